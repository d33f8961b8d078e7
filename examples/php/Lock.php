<?php

declare(strict_types=1);

/** A lock that an owner holds through redlock-proxy. */
final class Lock
{
    private function __construct(
        private readonly Redis $redis,
        private readonly string $key,
        private readonly string $token,
        private float $end,
    ) {
    }

    /** Takes the lock, be it over from the same owner; null when somebody else has it. */
    public static function take(Redis $redis, string $key, string $owner, int $ttl): ?self
    {
        $asked = self::now();
        $reply = self::ask($redis, 'RLOCK', $key, $ttl, 'OWNER', $owner);
        // phpredis shows the null array of a refusal as an empty one.
        return $reply === [] ? null : new self($redis, $key, $reply[0], $asked + $reply[1]);
    }

    /** How many milliseconds the lock is good for; look at it before each effect. */
    public function left(): float
    {
        return $this->end - self::now();
    }

    /** False when the lock is lost: stop. */
    public function extend(int $ttl): bool
    {
        $asked = self::now();
        $validity = self::ask($this->redis, 'REXTEND', $this->key, $this->token, $ttl);
        if ($validity === false) {
            return false;
        }
        $this->end = $asked + $validity;
        return true;
    }

    /** False when it was no longer held. */
    public function release(): bool
    {
        return self::ask($this->redis, 'RUNLOCK', $this->key, $this->token) === 1;
    }

    /** phpredis shows NOQUORUM as false, as it does a null. What tells them apart is the last error. */
    private static function ask(Redis $redis, string|int ...$command): mixed
    {
        $redis->clearLastError();
        $reply = $redis->rawCommand(...$command);
        return $redis->getLastError() === null ? $reply : throw new RedisException($redis->getLastError());
    }

    /** Milliseconds. A validity is counted from the moment of asking: the way of the reply is not in it. */
    private static function now(): float
    {
        return hrtime(true) / 1e6;
    }
}
