# frozen_string_literal: true

require 'redis'

# A lock held through redlock-proxy.
class Lock
  class Lost < StandardError; end
  class Unavailable < StandardError; end

  # Waits for the lock, runs the block under it and releases it, whatever comes.
  def self.hold(redis, key, ttl: 30_000, patience: 30_000)
    lock = new(redis, key, ttl)
    give_up = now + patience
    until lock.try
      raise Unavailable, "#{key} is held by somebody else" if now > give_up

      # Never twice the same pause: those who come again in step would meet for ever.
      sleep(rand(0.001..0.02))
    end
    begin
      yield lock
    ensure
      lock.release
    end
  end

  # Milliseconds, from a clock that is never set.
  def self.now = Process.clock_gettime(Process::CLOCK_MONOTONIC, :float_millisecond)

  def initialize(redis, key, ttl)
    @redis = redis
    @key = key
    @ttl = ttl
  end

  # Asks once. A validity is counted from the moment of asking: the way of the reply is not in it.
  def try
    asked = Lock.now
    @token, validity = @redis.call('RLOCK', @key, @ttl)
    @end = asked + validity if @token
    !@token.nil?
  end

  # To be called before each effect: raises Lost when there is not so much time left and no more to be had.
  def ensure_left(milliseconds)
    return if @end - Lock.now > milliseconds

    asked = Lock.now
    validity = @redis.call('REXTEND', @key, @token, @ttl)
    raise Lost, "#{@key} is lost" if validity.nil?

    @end = asked + validity
  end

  def release = @redis.call('RUNLOCK', @key, @token)
end
