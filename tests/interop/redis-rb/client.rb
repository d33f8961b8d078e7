# frozen_string_literal: true

# redis-rb through the proxy: what tests/interop/README.md lists. RESP2 only; this version says no HELLO.
#
# Locks are asked for with `call`, which shows null as nil and an error as Redis::CommandError. A Redis object is one
# connection, which threads take in turns; the eight workers have one each.

require_relative 'support'

$stdout.sync = true
Thread.report_on_exception = false # Thread#join raises what a thread raised.
puts "redis-rb #{Redis::VERSION}, Ruby #{RUBY_VERSION}"
redis = connect
other = connect
text = key('text')
lock = key('lock')

point 1, 'greeting and password' do
  port = Integer(ENV.fetch('AUTH_PORT'))
  refuses('NOAUTH Authentication required.') { take(connect(port), key('auth')) }
  refuses('WRONGPASS ') { take(connect(port, password: 'wrong'), key('auth')) }
  guarded = connect(port, password: ENV.fetch('AUTH_PASSWORD'))
  release(guarded, key('auth'), take(guarded, key('auth')))
end

point 2, 'ordinary work' do
  same([nil, 'OK', '41', 42], [redis.get(text), redis.set(text, 41), redis.get(text), redis.incr(text)], 'a counter')
  same([2, { 'a' => '1', 'b' => '2' }], [redis.hset(key('hash'), a: 1, b: 2), redis.hgetall(key('hash'))], 'a hash')
  same([3, %w[x y z]], [redis.rpush(key('list'), %w[x y z]), redis.lrange(key('list'), 0, -1)], 'a list')
  every_byte = (0..255).to_a.pack('C*')
  [every_byte, every_byte * 4096].each do |value|
    redis.set(key('bytes'), value)
    same(true, redis.get(key('bytes')).b == value, "the #{value.length} bytes come back")
  end
  refuses('WRONGTYPE Operation against a key') { redis.incr(key('list')) }
  same('42', redis.get(text), 'GET behind an error')
end

point 3, 'locks' do
  token = take(redis, lock)
  ENV.fetch('PRIMARY_PORTS').split.each do |port|
    primary = connect(Integer(port))
    # The last of the primaries may hear of a lock after the client does.
    eventually("the primary #{port} holds the token") { primary.get(lock) == token }
  end
  same(nil, redis.call('RLOCK', lock, TTL), 'RLOCK of a held key')
  same(0, redis.call('RUNLOCK', lock, '0' * 40), 'RUNLOCK with a wrong token')
  same(nil, redis.call('REXTEND', lock, '0' * 40, TTL), 'REXTEND with a wrong token')
  check_validity(redis.call('REXTEND', lock, token, TTL))
  refuses('ERR syntax error') { redis.call('RLOCK', lock, TTL, 'NONSENSE') }
  release(redis, lock, token)
  same(0, redis.call('RUNLOCK', lock, token), 'a second RUNLOCK')
  release(other, lock, take(other, lock))
end

point 4, 'eight threads' do
  work = lambda do |own|
    mine = connect
    50.times do
      release(mine, own, take(mine, own))
      token = take_at_last(mine, key('shared'))
      mine.set(key('counter'), mine.get(key('counter')).to_i + 1)
      release(mine, key('shared'), token)
    end
  end
  Array.new(8) { |worker| Thread.new { work.call(key("own:#{worker}")) } }.each(&:join)
  same('400', redis.get(key('counter')), 'the counter')
end

point 5, 'pipelines' do
  a = key('a')
  b = key('b')
  set, first, got, second, again, incremented = redis.pipelined do |pipeline|
    pipeline.set(text, 1)
    pipeline.call('RLOCK', a, TTL)
    pipeline.get(text)
    pipeline.call('RLOCK', b, TTL)
    pipeline.call('RLOCK', a, TTL)
    pipeline.incr(text)
  end
  first = granted(first)
  second = granted(second)
  same(['OK', '1', nil, 2], [set, got, again, incremented], 'the replies beside the tokens')
  extended, *rest = redis.pipelined do |pipeline|
    pipeline.call('REXTEND', a, first, TTL)
    pipeline.get(text)
    pipeline.call('RUNLOCK', a, first)
    pipeline.call('RUNLOCK', b, second)
    pipeline.call('RUNLOCK', a, first)
    pipeline.incr(text)
  end
  check_validity(extended)
  same(['2', 1, 1, 0, 3], rest, 'the replies behind REXTEND')
end

point 6, 'publish and subscribe' do
  # The subscriber's own connection may lock when the subscription has ended, as it is RESP2.
  subscriber = Thread.new do
    mine = connect
    heard = []
    mine.subscribe(key('news')) do |on|
      on.message do |channel, message|
        heard << [channel, message.b]
        mine.unsubscribe
      end
    end
    release(mine, key('news'), take(mine, key('news')))
    heard
  end
  eventually('there is a subscriber') { redis.pubsub(:numsub, key('news')) == [key('news'), 1] }
  token = take(redis, lock)
  same(1, redis.publish(key('news'), "good\r\n\0news"), 'PUBLISH')
  release(redis, lock, token)
  same([[key('news'), "good\r\n\0news".b]], subscriber.value, 'the messages')
end

point 7, 'transactions' do
  increment_twice = ->(transaction) { 2.times { transaction.incr(text) } }
  redis.set(text, 1)
  same([2, 3], redis.multi(&increment_twice), 'MULTI, EXEC')
  same([4, 5], redis.watch(text) { redis.multi(&increment_twice) }, 'WATCH, MULTI, EXEC')
  conflict = redis.watch(text) do
    other.set(text, 10)
    redis.multi(&increment_twice)
  end
  same(nil, conflict, 'EXEC after a conflict')
  # With a block the library raises the first error, without one each in its turn.
  refused = 'ERR Command not allowed inside a transaction'
  refuses(refused) { redis.multi { |transaction| transaction.incr(text) && transaction.call('RLOCK', lock, TTL) } }
  same(%w[OK QUEUED], [redis.multi, redis.incr(text)], 'MULTI, INCR')
  refuses(refused) { redis.call('RLOCK', lock, TTL) }
  refuses('EXECABORT Transaction discarded because of previous errors.') { redis.exec }
  same('10', redis.get(text), 'GET behind them')
  release(redis, lock, take(redis, lock))
end

point 8, 'a blocking command' do
  popper = Thread.new { connect.blpop(key('queue'), timeout: 30) }
  eventually('BLPOP waits') { Integer(redis.info('clients')['blocked_clients']) >= 1 }
  same(1, redis.rpush(key('queue'), 'work'), 'RPUSH')
  same([key('queue'), 'work'], popper.value, 'BLPOP')
end
