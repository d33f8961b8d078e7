"""What Redlock libraries send to each primary: a function for each, and where on github.com it was learnt.

What a script does and how it is called is the library's; its text is this project's own.
"""

from commands import (
    COMPARE_AND_DELETE,
    COMPARE_AND_EXPIRE,
    Library,
    by_digest_loaded_first,
    by_digest_or_load,
    by_digest_or_text,
    by_text,
    every_form_of_set,
    setting,
)


def redis_plus_plus_mutex():
    """sewenew/redis-plus-plus, src/sw/redis++/recipes/redlock.cpp: RedMutex, which watches the key."""

    def if_mine(primary, key, token, *command):
        primary.call("WATCH", key)
        if primary.call("GET", key) != token:
            primary.call("UNWATCH")
            return False
        primary.call("MULTI")
        primary.call(*command)
        return primary.call("EXEC") == [1]

    return Library(
        "redis-plus-plus, RedMutex",
        acquire=setting("SET", "PX", "NX"),
        release=lambda primary, key, token: if_mine(primary, key, token, "DEL", key),
        extend=lambda primary, key, token, ttl: if_mine(primary, key, token, "PEXPIRE", key, ttl),
    )


def redis_plus_plus_vessel():
    """sewenew/redis-plus-plus, src/sw/redis++/recipes/redlock.cpp: RedLockMutexVessel."""
    return Library(
        "redis-plus-plus, RedLockMutexVessel",
        acquire=setting("SET", "PX", "NX"),
        release=by_text(COMPARE_AND_DELETE),
        extend=by_text(COMPARE_AND_EXPIRE),
    )


def redlock_net():
    """samcook/RedLock.net, RedLockNet.SERedis/RedLock.cs and Lua/: its extend takes the lock anew where it is gone.

    StackExchange.Redis, src/StackExchange.Redis/RedisDatabase.cs: whole seconds are sent as EX, others as PX.
    """
    extend = """
        local holder = redis.call('GET', KEYS[1])
        if holder and holder ~= ARGV[1] then return -1 end
        if holder then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
        redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        return 1
    """
    return Library(
        "RedLock.net",
        acquire=setting("SET", "EX", "NX"),
        release=by_digest_loaded_first(COMPARE_AND_DELETE),
        extend=by_digest_loaded_first(extend, no=-1),
    )


def redlock_php():
    """ronnylt/redlock-php, src/RedLock.php; phpredis puts the expiry first, whatever the order of the options."""
    return Library("redlock-php", acquire=setting("SET", "PX", "NX"), release=by_text(COMPARE_AND_DELETE))


def php_lock():
    """php-lock/lock, src/Mutex/RedisMutex.php with phpredis, which keeps the case of the options.

    Its record for the lock NAME is called php-malkusch-lock:NAME: that is what the proxy must be asked for.
    """
    return Library("php-lock", acquire=setting("SET", "px", "nx"), release=by_text(COMPARE_AND_DELETE))


def php_lock_1():
    """php-lock/lock, classes/mutex/PHPRedisMutex.php: malkusch/lock 1, whose time is in seconds."""
    return Library("malkusch/lock 1", acquire=setting("SET", "ex", "nx"), release=by_text(COMPARE_AND_DELETE))


def redlock_rb():
    """leandromoreira/redlock-rb, lib/redlock/client.rb and scripts.rb: it locks and extends by one script."""
    lock = """
        local holder = redis.call('GET', KEYS[1])
        if holder == ARGV[1] or (not holder and ARGV[3] == 'yes') then
          return redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
        end
    """
    locked = by_digest_or_load(lock, yes="OK", no=None)
    return Library(
        "redlock-rb",
        acquire=lambda primary, key, token, ttl: locked(primary, key, token, ttl, "yes"),
        release=by_digest_or_load(COMPARE_AND_DELETE),
        extend=lambda primary, key, token, ttl: locked(primary, key, token, ttl, "no"),
    )


def redlock_rb_reference():
    """antirez/redlock-rb, lib/redlock.rb: the first implementation of all, in lower case."""
    return Library(
        "redlock-rb, the first", acquire=setting("set", "nx", "px"), release=by_text(COMPARE_AND_DELETE, command="eval")
    )


def deno_redlock():
    """oslabs-beta/Deno-Redlock, src/redlock.ts and scripts.ts: several keys at once, by digest or else by text."""
    acquire = """
        if redis.call('EXISTS', unpack(KEYS)) > 0 then return 0 end
        for _, key in ipairs(KEYS) do redis.call('SET', key, ARGV[1], 'PX', ARGV[2]) end
        return #KEYS
    """
    extend = """
        for _, holder in ipairs(redis.call('MGET', unpack(KEYS))) do if holder ~= ARGV[1] then return 0 end end
        for _, key in ipairs(KEYS) do redis.call('PSETEX', key, ARGV[2], ARGV[1]) end
        return #KEYS
    """
    release = """
        local released = 0
        for _, key in ipairs(KEYS) do
          if redis.call('GET', key) == ARGV[1] then released = released + redis.call('DEL', key) end
        end
        return released
    """
    return Library(
        "Deno-Redlock",
        acquire=by_digest_or_text(acquire),
        release=by_digest_or_text(release),
        extend=by_digest_or_text(extend),
    )


LIBRARIES = (
    redis_plus_plus_mutex(),
    redis_plus_plus_vessel(),
    redlock_net(),
    redlock_php(),
    php_lock(),
    php_lock_1(),
    redlock_rb(),
    redlock_rb_reference(),
    deno_redlock(),
    *every_form_of_set(),
)
