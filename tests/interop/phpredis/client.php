<?php

// phpredis through the proxy: what tests/interop/README.md lists. RESP2 only; this version knows no HELLO.
//
// Locks are asked for with rawCommand. It shows the null array of a refused RLOCK as [], the null of a refused REXTEND
// as false with no last error, and an error as false with a last error, or thrown, by its first word: ERR and NOQUORUM
// are not thrown.

declare(strict_types=1);

require 'support.php';

echo 'phpredis ', phpversion('redis'), ', PHP ', PHP_VERSION, "\n";
$redis = connect(env('PROXY_PORT'));
$other = connect(env('PROXY_PORT'));

// 1. Greeting and password.
$guarded = connect(env('AUTH_PORT'));
throws('NOAUTH ', fn () => take($guarded, key_of('auth')));
throws('WRONGPASS ', fn () => $guarded->auth('wrong'));
same(true, $guarded->auth(env('AUTH_PASSWORD')), 'AUTH');
release($guarded, key_of('auth'), take($guarded, key_of('auth')));
echo "ok 1 RESP2 greeting and password\n";

// 2. Ordinary work.
[$text, $hash, $list] = [key_of('text'), key_of('hash'), key_of('list')];
same(false, $redis->get($text), 'GET of nothing');
same([true, '41', 42], [$redis->set($text, '41'), $redis->get($text), $redis->incr($text)], 'SET, GET, INCR');
same([1, 1], [$redis->hSet($hash, 'a', '1'), $redis->hSet($hash, 'b', '2')], 'HSET');
same(['a' => '1', 'b' => '2'], $redis->hGetAll($hash), 'HGETALL');
same([3, ['x', 'y', 'z']], [$redis->rPush($list, 'x', 'y', 'z'), $redis->lRange($list, 0, -1)], 'RPUSH, LRANGE');
$every_byte = implode('', array_map('chr', range(0, 255)));
foreach ([$every_byte, str_repeat($every_byte, 4096)] as $value) {
    same(true, $redis->set(key_of('bytes'), $value), 'SET of bytes');
    same(true, $redis->get(key_of('bytes')) === $value, 'the ' . strlen($value) . ' bytes come back');
}
refused('WRONGTYPE Operation against a key', $redis, $redis->incr($list));
same('42', $redis->get($text), 'GET behind an error');
echo "ok 2 RESP2 ordinary work\n";

// 3. Locks.
$key = key_of('lock');
$token = take($redis, $key);
foreach (explode(' ', env('PRIMARY_PORTS')) as $port) {
    $primary = connect($port);
    // The last of the primaries may hear of a lock after the client does.
    eventually("the primary $port holds the token", fn () => $primary->get($key) === $token);
}
same([], $redis->rawCommand('RLOCK', $key, TTL), 'RLOCK of a held key');
$wrong = str_repeat('0', 40);
same(0, $redis->rawCommand('RUNLOCK', $key, $wrong), 'RUNLOCK with a wrong token');
same(false, $redis->rawCommand('REXTEND', $key, $wrong, TTL), 'REXTEND with a wrong token');
same(null, $redis->getLastError(), 'the error beside it');
check_validity($redis->rawCommand('REXTEND', $key, $token, TTL));
refused('ERR syntax error', $redis, $redis->rawCommand('RLOCK', $key, TTL, 'NONSENSE'));
release($redis, $key, $token);
same(0, $redis->rawCommand('RUNLOCK', $key, $token), 'a second RUNLOCK');
release($other, $key, take($other, $key));
echo "ok 3 RESP2 locks\n";

// 4. Eight processes, with a connection each: locks of their own, and one that guards a counter.
$counter = key_of('counter');
$work = function (string $own) use ($counter): void {
    $redis = connect(env('PROXY_PORT'));
    for ($round = 0; $round < 50; $round++) {
        release($redis, $own, take($redis, $own));
        $token = take_at_last($redis, key_of('shared'));
        $redis->set($counter, (int) $redis->get($counter) + 1);
        release($redis, key_of('shared'), $token);
    }
};
join_children(...array_map(fn ($worker) => begin(fn () => $work(key_of("own:$worker"))), range(1, 8)));
same('400', $redis->get($counter), 'the counter');
echo "ok 4 RESP2 eight processes\n";

// 5. Pipelines.
[$a, $b] = [key_of('a'), key_of('b')];
$redis->pipeline()->set($text, 'one')->rawCommand('RLOCK', $a, TTL)->get($text)->rawCommand('RLOCK', $b, TTL);
$replies = $redis->rawCommand('RLOCK', $a, TTL)->rawCommand('RLOCK', $b, 'soon')->set($text, 'two')->exec();
[$token_a, $token_b] = [granted($replies[1], $redis), granted($replies[3], $redis)];
unset($replies[1], $replies[3]);
same([true, 'one', [], false, true], array_values($replies), 'the replies beside the tokens');
refused('ERR value is not an integer or out of range', $redis, $replies[5]);
$redis->pipeline()->rawCommand('REXTEND', $a, $token_a, TTL)->get($text)->rawCommand('RUNLOCK', $a, $token_a);
$replies = $redis->rawCommand('RUNLOCK', $b, $token_b)->rawCommand('RUNLOCK', $a, $token_a)->get($text)->exec();
check_validity(array_shift($replies));
same(['two', 1, 1, 0, 'two'], $replies, 'the replies behind REXTEND');
echo "ok 5 RESP2 pipelines\n";

// 6. A subscription in another process. Its connection may lock when it has ended, as it is RESP2.
$news = key_of('news');
$subscriber = begin(function () use ($news): void {
    $redis = connect(env('PROXY_PORT'));
    $heard = [];
    $hear = function (Redis $redis, string $channel, string $message) use (&$heard): void {
        $heard[] = [$channel, $message];
        refused("ERR Can't execute 'rlock'", $redis, $redis->rawCommand('RLOCK', $channel, TTL));
        same([$channel => true], $redis->unsubscribe([$channel]), 'UNSUBSCRIBE');
        release($redis, $channel, take($redis, $channel));
        $redis->close(); // Nothing else ends the library's subscribe().
    };
    throws('Connection closed', fn () => $redis->subscribe([$news], $hear));
    same([[$news, "good\r\n\0news"]], $heard, 'the messages');
});
eventually('there is a subscriber', fn () => $redis->pubsub('numsub', [$news]) === [$news => 1]);
$token = take($redis, $key);
same(1, $redis->publish($news, "good\r\n\0news"), 'PUBLISH');
release($redis, $key, $token);
join_children($subscriber);
echo "ok 6 RESP2 publish and subscribe\n";

// 7. Transactions.
same([true, '1'], $redis->multi()->set($text, '1')->get($text)->exec(), 'EXEC');
$redis->watch($text);
same(['1', [true]], [$redis->get($text), $redis->multi()->set($text, '2')->exec()], 'EXEC after a WATCH');
$redis->watch($text);
same([true, false], [$other->set($text, '3'), $redis->multi()->set($text, '4')->exec()], 'EXEC after a conflict');
// As raw commands, since phpredis' own exec() shows the error of an EXEC as a broken connection.
same([true, true], [$redis->rawCommand('MULTI'), $redis->rawCommand('SET', $text, '5')], 'MULTI, SET');
refused('ERR Command not allowed inside a transaction', $redis, $redis->rawCommand('RLOCK', $key, TTL));
throws('EXECABORT ', fn () => $redis->rawCommand('EXEC'));
same('3', $redis->get($text), 'GET behind them');
release($redis, $key, take($redis, $key));
echo "ok 7 RESP2 transactions\n";

// 8. A blocking command.
$queue = key_of('queue');
$popper = begin(fn () => same([$queue, 'work'], connect(env('PROXY_PORT'))->blPop([$queue], 0), 'BLPOP'));
eventually('BLPOP waits', fn () => $redis->info('clients')['blocked_clients'] >= 1);
same(1, $redis->rPush($queue, 'work'), 'RPUSH');
join_children($popper);
echo "ok 8 RESP2 a blocking command\n";
