"""The points about everything that the upstream answers, redis-py's own lock among them."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import redis
from client import connect, eventually, failure, lock_and_unlock
from common import ALL_BYTES, MEGABYTE, PATIENCE, PROXY_PORT, TTL, UPSTREAM_PORT, expect, expect_error, expect_lock
from redis.exceptions import ExecAbortError, LockError, LockNotOwnedError


def does_ordinary_work(protocol, key):
    client = connect(protocol)
    expect(client.set(key("text"), "value"), True, "SET")
    expect(client.get(key("text")), b"value", "GET")
    expect([client.incr(key("number")), client.incr(key("number"), 41)], [1, 42], "INCR")
    expect(client.hset(key("hash"), mapping={"a": "1", "b": "2"}), 2, "HSET")
    expect(client.hgetall(key("hash")), {b"a": b"1", b"b": b"2"}, "HGETALL")
    expect(client.rpush(key("list"), "x", "y", "z"), 3, "RPUSH")
    expect(client.lrange(key("list"), 0, -1), [b"x", b"y", b"z"], "LRANGE")
    for value in (ALL_BYTES, MEGABYTE):
        expect(client.set(key("bytes"), value), True, "SET")
        expect(client.get(key("bytes")) == value, True, f"GET of {len(value)} bytes")
    expect_error(failure(client.incr, key("text")), redis.ResponseError, "value is not an integer or out of range")


def subscribes(protocol, key):
    client, channel, job = connect(protocol), key("channel"), key("subscribed")
    with client.pubsub() as subscriber:
        subscriber.subscribe(channel)
        expect(subscriber.get_message(timeout=PATIENCE)["type"], "subscribe", "SUBSCRIBE")
        token = expect_lock(client.execute_command("RLOCK", job, TTL))
        if protocol == 3:
            # A subscribed connection may do other things as well.
            subscriber.execute_command("RUNLOCK", job, token)
            expect(subscriber.parse_response(), 1, "RUNLOCK while subscribed")
        else:
            expect(client.execute_command("RUNLOCK", job, token), 1, "RUNLOCK")
        expect(client.publish(channel, ALL_BYTES), 1, "PUBLISH")
        message = subscriber.get_message(timeout=PATIENCE)
        expect((message["type"], message["data"]), ("message", ALL_BYTES), "the message")


def transacts(protocol, key):
    client, other, balance, job = connect(protocol), connect(protocol), key("balance"), key("transaction")
    with client.pipeline() as pipe:
        pipe.watch(balance)
        expect(pipe.get(balance), None, "GET under WATCH")
        pipe.multi()
        expect(pipe.set(balance, 1).incr(balance).execute(), [True, 2], "EXEC")
        pipe.watch(balance)
        other.set(balance, 10)
        pipe.multi()
        expect(type(failure(pipe.incr(balance).execute)), redis.WatchError, "EXEC after a conflict")
    call = connect(protocol, single_connection_client=True).execute_command
    expect([call("MULTI"), call("APPEND", balance, "0")], [b"OK", b"QUEUED"], "MULTI")
    refused = failure(call, "RLOCK", job, TTL)
    expect_error(refused, redis.ResponseError, "Command not allowed inside a transaction")
    expect_error(failure(call, "EXEC"), ExecAbortError, "Transaction discarded because of previous errors.")
    expect(call("GET", balance), b"10", "GET after EXECABORT")
    lock_and_unlock(call, job)


def blocks(protocol, key):
    queue, name = key("queue"), key("name")
    client, other = connect(protocol, client_name=name), connect(protocol)
    with ThreadPoolExecutor(1) as threads:
        popped = threads.submit(client.blpop, queue, PATIENCE)
        # The upstream knows it by its name, and that it waits.
        eventually(
            lambda: any((it["name"], it["cmd"], it["flags"]) == (name, "blpop", "b") for it in other.client_list()),
            "a client that blocks",
        )
        expect(other.rpush(queue, "item"), 1, "RPUSH")
        expect(list(popped.result()), [queue.encode(), b"item"], "BLPOP")


def locks_by_redis_lock(protocol, key):
    """redis-py's lock on one server, through the relay as with that server itself."""
    for port in (UPSTREAM_PORT, PROXY_PORT):
        client = connect(protocol, port)
        name = key(f"redis-lock-{port}")
        mine, other = (client.lock(name, timeout=TTL / 1000) for _ in range(2))
        expect(mine.acquire(), True, "acquire")
        expect(client.get(name), mine.local.token, "the record")
        expect(other.acquire(blocking=False), False, "acquire of a held lock")
        expect(other.acquire(blocking_timeout=0.3), False, "acquire of a held lock with a timeout")
        expect((mine.owned(), other.owned(), other.locked()), (True, False, True), "who owns it")
        expect(mine.extend(TTL / 1000), True, "extend")
        expect(TTL < client.pttl(name) <= 2 * TTL, True, "PTTL of the extended lock")
        expect(mine.reacquire(), True, "reacquire")
        expect(0 < client.pttl(name) <= TTL, True, "PTTL of the lock acquired anew")
        # As if it had expired: who has lost the lock to another cannot touch the other's.
        client.delete(name)
        expect(other.acquire(), True, "acquire of a lock that was lost")
        for action in (partial(mine.extend, 1), mine.reacquire, mine.release):
            expect(type(failure(action)), LockNotOwnedError, "what is not its owner's to do")
        with ThreadPoolExecutor(1) as threads:
            # Tokens are kept by thread unless asked otherwise.
            waiter = client.lock(name, timeout=TTL / 1000, thread_local=False, blocking_timeout=PATIENCE)
            waiting = threads.submit(waiter.acquire)
            other.release()
            expect(waiting.result(), True, "acquire of a lock that is released")
        waiter.release()
        expect_error(failure(waiter.release), LockError, "Cannot release a lock that's not owned")
        expect(client.get(name), None, "the record of a released lock")
