# frozen_string_literal: true

# What the points in client.rb are made of: connections, checks that raise, and waiting.

require 'redis'

TTL = 30_000
PREFIX = ENV.fetch('KEY_PREFIX')
PROXY_PORT = Integer(ENV.fetch('PROXY_PORT'))

def key(name) = "#{PREFIX}#{name}"

# The 30 s are only against hanging. Unless told otherwise, redis-rb opens a connection that broke again and sends the
# command once more, which for an RLOCK without OWNER would hide that the first one was granted.
def connect(port = PROXY_PORT, **options)
  Redis.new(host: '127.0.0.1', port: port, timeout: 30, reconnect_attempts: 0, **options)
end

def same(expected, actual, what)
  raise "#{what}: expected #{expected.inspect}, got #{actual.inspect}" unless actual == expected
end

# That redis-rb raises an error which begins with these words.
def refuses(words)
  reply = yield
rescue Redis::CommandError => e
  same(words, e.message[0, words.length], 'the error')
else
  raise "#{reply.inspect} where the error #{words} was expected"
end

def check_validity(validity)
  same(true, validity.is_a?(Integer) && validity.positive? && validity <= TTL, "#{validity.inspect} is a validity")
end

# The token of a reply to RLOCK that grants.
def granted(reply)
  token, validity = reply
  same(true, reply.is_a?(Array) && reply.length == 2 && token.match?(/\A[0-9a-f]{40}\z/), "#{reply.inspect} grants")
  check_validity(validity)
  token
end

def take(redis, key) = granted(redis.call('RLOCK', key, TTL))

# Takes a lock when it becomes free. The pauses are random, so that two that came at once do not come at once again.
def take_at_last(redis, key)
  while (reply = redis.call('RLOCK', key, TTL)).nil?
    sleep(rand(0.0005..0.005))
  end
  granted(reply)
end

def release(redis, key, token) = same(1, redis.call('RUNLOCK', key, token), "RUNLOCK #{key}")

# Waits for what another thread or a server is about to do.
def eventually(what)
  patience = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 60
  until yield
    raise "not within a minute: #{what}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > patience

    sleep 0.002
  end
end

def point(number, what)
  yield
  puts "ok #{number} RESP2 #{what}"
end
