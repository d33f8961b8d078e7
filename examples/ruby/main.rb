# frozen_string_literal: true

# Eight threads sell five seats. Each looks how many are left and writes one less: without the lock, two that look at the
# same time would sell the same seat.

require_relative 'lock'

SEATS = 5
KEY = "#{ENV.fetch('KEY_PREFIX', '')}seats"

# One attempt to connect and send: a lock command that is sent twice unasked would refuse itself (or use OWNER).
def connect = Redis.new(port: Integer(ENV.fetch('PROXY_PORT', 6379)), reconnect_attempts: 0)

def buy(redis)
  Lock.hold(redis, "#{KEY}:lock") do |lock|
    left = Integer(redis.get("#{KEY}:left"))
    next if left.zero?

    lock.ensure_left(1_000)
    redis.set("#{KEY}:left", left - 1)
    left
  end
end

Thread.report_on_exception = false # Thread#value raises what the thread raised.
redis = connect
redis.set("#{KEY}:left", SEATS)
seats = Array.new(8) { Thread.new { buy(connect) } }.map(&:value)
seats.each.with_index(1) { |seat, buyer| puts(seat ? "buyer #{buyer} has seat #{seat}" : "buyer #{buyer} has none") }

sold = seats.compact.sort
abort "sold were #{sold}" unless sold == (1..SEATS).to_a
abort 'seats are left' unless redis.get("#{KEY}:left") == '0'
puts 'each seat is sold once'
