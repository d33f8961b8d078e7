<?php

// A worker sends invoices one by one and is killed in the middle. Its lock outlives it; started again, it takes the lock
// over by its name and goes on at once, while every other worker is still refused.

declare(strict_types=1);

require 'Lock.php';

const TTL = 30000;
define('INVOICES', getenv('KEY_PREFIX') . 'invoices');

function connect(): Redis
{
    $redis = new Redis();
    $redis->connect('127.0.0.1', (int) (getenv('PROXY_PORT') ?: 6379));
    return $redis;
}

function expect(bool $true, string $otherwise): void
{
    $true || throw new Exception($otherwise);
}

/** Sends the first of the invoices; false when there is none. */
function send_one(Redis $redis, Lock $lock, string $worker): bool
{
    // What follows must not happen twice: there has to be time for it.
    expect($lock->left() > 5000 || $lock->extend(TTL), "$worker has lost the lock");
    $invoice = $redis->lPop(INVOICES . ':open');
    echo $invoice === false ? "$worker has sent everything\n" : "$worker sends $invoice\n";
    return $invoice !== false;
}

$redis = connect();
$redis->del(INVOICES . ':open');
$redis->rPush(INVOICES . ':open', 'invoice 1', 'invoice 2', 'invoice 3');
$lock = Lock::take($redis, INVOICES, 'worker-1', TTL);
expect($lock !== null, 'somebody else sends the invoices');
expect(send_one($redis, $lock, 'worker-1'), 'there are no invoices');
$redis->close();
echo "worker-1 is killed\n";

expect(Lock::take(connect(), INVOICES, 'worker-2', TTL) === null, 'worker-2 has got the lock of worker-1');
echo "worker-2 is refused\n";

$redis = connect();
$again = Lock::take($redis, INVOICES, 'worker-1', TTL);
expect($again !== null, 'worker-1 has not got its own lock');
echo "worker-1 is back and takes its lock over\n";
expect($again->extend(TTL), 'the lock taken over cannot be extended');
while (send_one($redis, $again, 'worker-1')) {
}
expect($again->release(), 'the lock was lost meanwhile');

$next = Lock::take(connect(), INVOICES, 'worker-2', TTL);
expect($next !== null && $next->release(), 'the lock is not free');
echo "now worker-2 may\n";
