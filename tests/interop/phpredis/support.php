<?php

// What the points in client.php are made of: connections, checks that end the program, and child processes, as PHP has
// no threads. A child has connections of its own: one that was made before the fork would be both processes'.

declare(strict_types=1);

const TTL = 30000;

function env(string $name): string
{
    $value = getenv($name);
    return $value !== false ? $value : fail("$name is not set: this program is started by `make interop`");
}

function key_of(string $name): string
{
    return env('KEY_PREFIX') . $name;
}

function connect(string $port): Redis
{
    $redis = new Redis();
    // The 30 s are only against hanging.
    $redis->connect('127.0.0.1', (int) $port, 30, null, 0, 30);
    return $redis;
}

function fail(string $message): never
{
    fwrite(STDERR, "FAILED: $message\n" . (new Exception())->getTraceAsString() . "\n");
    exit(1);
}

function same(mixed $expected, mixed $actual, string $what): void
{
    if ($actual !== $expected) {
        fail("$what: expected " . var_export($expected, true) . ', got ' . var_export($actual, true));
    }
}

/** That phpredis throws an error which begins with these words. */
function throws(string $words, callable $work): void
{
    try {
        $work();
    } catch (RedisException $error) {
        same($words, substr($error->getMessage(), 0, strlen($words)), 'the error thrown');
        return;
    }
    fail("nothing was thrown where $words was expected");
}

/** That the last command answered false, because of an error which begins with these words. */
function refused(string $words, Redis $redis, mixed $reply): void
{
    same(false, $reply, "the reply beside the error $words");
    same($words, substr((string) $redis->getLastError(), 0, strlen($words)), 'the last error');
    $redis->clearLastError();
}

function check_validity(mixed $validity): void
{
    same(true, is_int($validity) && $validity > 0 && $validity <= TTL, var_export($validity, true) . ' is a validity');
}

/** The token of a reply to RLOCK that grants. */
function granted(mixed $reply, Redis $redis): string
{
    same(2, is_array($reply) ? count($reply) : $redis->getLastError(), 'the elements of the reply to RLOCK');
    same(1, preg_match('/^[0-9a-f]{40}\z/', $reply[0]), "$reply[0] is 40 hex digits");
    check_validity($reply[1]);
    return $reply[0];
}

/** Takes a lock that must be free. */
function take(Redis $redis, string $key): string
{
    return granted($redis->rawCommand('RLOCK', $key, TTL), $redis);
}

/** Takes a lock when it becomes free. */
function take_at_last(Redis $redis, string $key): string
{
    // A pause of random length, so that two that came at once do not come at once again.
    while (($reply = $redis->rawCommand('RLOCK', $key, TTL)) === []) {
        usleep(random_int(500, 5000));
    }
    return granted($reply, $redis);
}

function release(Redis $redis, string $key, string $token): void
{
    same(1, $redis->rawCommand('RUNLOCK', $key, $token), "RUNLOCK $key");
}

/** Waits for what another process is about to do. */
function eventually(string $what, callable $is_so): void
{
    for ($patience = hrtime(true) + 60e9; !$is_so(); usleep(2000)) {
        same(true, hrtime(true) < $patience, "within a minute $what");
    }
}

/** Begins work in a child process, whose id it returns. */
function begin(callable $work): int
{
    $child = pcntl_fork();
    same(true, $child !== -1, 'there is a child process');
    if ($child === 0) {
        $work();
        exit(0);
    }
    return $child;
}

function join_children(int ...$children): void
{
    foreach ($children as $child) {
        pcntl_waitpid($child, $status);
        same(0, $status, "status of the child process $child, which says itself what is wrong");
    }
}
