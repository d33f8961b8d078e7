"""The points about everything that the upstream answers, redis-py's own lock among them."""

import asyncio
from functools import partial

import redis
from client import connect, eventually, failure, lock_and_unlock
from common import ALL_BYTES, MEGABYTE, PATIENCE, PROXY_PORT, TTL, UPSTREAM_PORT, expect, expect_error, expect_lock
from redis.exceptions import ExecAbortError, LockError, LockNotOwnedError


async def does_ordinary_work(protocol, key):
    async with connect(protocol) as client:
        expect(await client.set(key("text"), "value"), True, "SET")
        expect(await client.get(key("text")), b"value", "GET")
        expect([await client.incr(key("number")), await client.incr(key("number"), 41)], [1, 42], "INCR")
        expect(await client.hset(key("hash"), mapping={"a": "1", "b": "2"}), 2, "HSET")
        expect(await client.hgetall(key("hash")), {b"a": b"1", b"b": b"2"}, "HGETALL")
        expect(await client.rpush(key("list"), "x", "y", "z"), 3, "RPUSH")
        expect(await client.lrange(key("list"), 0, -1), [b"x", b"y", b"z"], "LRANGE")
        for value in (ALL_BYTES, MEGABYTE):
            expect(await client.set(key("bytes"), value), True, "SET")
            expect(await client.get(key("bytes")) == value, True, f"GET of {len(value)} bytes")
        error = await failure(client.incr(key("text")))
        expect_error(error, redis.ResponseError, "value is not an integer or out of range")


async def subscribes(protocol, key):
    channel, job = key("channel"), key("subscribed")
    async with connect(protocol) as client, client.pubsub() as subscriber:
        await subscriber.subscribe(channel)
        expect((await subscriber.get_message(timeout=PATIENCE))["type"], "subscribe", "SUBSCRIBE")
        token = expect_lock(await client.execute_command("RLOCK", job, TTL))
        if protocol == 3:
            # A subscribed connection may do other things as well.
            await subscriber.execute_command("RUNLOCK", job, token)
            expect(await subscriber.parse_response(), 1, "RUNLOCK while subscribed")
        else:
            expect(await client.execute_command("RUNLOCK", job, token), 1, "RUNLOCK")
        expect(await client.publish(channel, ALL_BYTES), 1, "PUBLISH")
        message = await subscriber.get_message(timeout=PATIENCE)
        expect((message["type"], message["data"]), ("message", ALL_BYTES), "the message")


async def transacts(protocol, key):
    balance, job = key("balance"), key("transaction")
    async with connect(protocol) as client, client.pipeline() as pipe:
        await pipe.watch(balance)
        expect(await pipe.get(balance), None, "GET under WATCH")
        pipe.multi()
        expect(await pipe.set(balance, 1).incr(balance).execute(), [True, 2], "EXEC")
        await pipe.watch(balance)
        await client.set(balance, 10)
        pipe.multi()
        expect(type(await failure(pipe.incr(balance).execute())), redis.WatchError, "EXEC after a conflict")
    async with connect(protocol, single_connection_client=True) as client:
        call = client.execute_command
        expect([await call("MULTI"), await call("APPEND", balance, "0")], [b"OK", b"QUEUED"], "MULTI")
        refused = await failure(call("RLOCK", job, TTL))
        expect_error(refused, redis.ResponseError, "Command not allowed inside a transaction")
        expect_error(await failure(call("EXEC")), ExecAbortError, "Transaction discarded because of previous errors.")
        expect(await call("GET", balance), b"10", "GET after EXECABORT")
        await lock_and_unlock(call, job)


async def blocks(protocol, key):
    queue, name = key("queue"), key("name")
    async with connect(protocol, client_name=name) as client, connect(protocol) as other:
        popped = asyncio.ensure_future(client.blpop(queue, PATIENCE))

        async def waits():
            # The upstream knows it by its name.
            listed = [(it["name"], it["cmd"], it["flags"]) for it in await other.client_list()]
            return (name, "blpop", "b") in listed

        await eventually(waits, "a client that blocks")
        expect(await other.rpush(queue, "item"), 1, "RPUSH")
        expect(list(await popped), [queue.encode(), b"item"], "BLPOP")


async def locks_by_redis_lock(protocol, key):
    """redis-py's lock on one server, through the relay as with that server itself."""
    for port in (UPSTREAM_PORT, PROXY_PORT):
        async with connect(protocol, port) as client:
            name = key(f"redis-lock-{port}")
            mine, other, waiter = (client.lock(name, timeout=TTL / 1000) for _ in range(3))
            expect(await mine.acquire(), True, "acquire")
            expect(await client.get(name), mine.local.token, "the record")
            expect(await other.acquire(blocking=False), False, "acquire of a held lock")
            expect(await other.acquire(blocking_timeout=0.3), False, "acquire of a held lock with a timeout")
            expect((await mine.owned(), await other.owned(), await other.locked()), (True, False, True), "who owns it")
            expect(await mine.extend(TTL / 1000), True, "extend")
            expect(TTL < await client.pttl(name) <= 2 * TTL, True, "PTTL of the extended lock")
            expect(await mine.reacquire(), True, "reacquire")
            expect(0 < await client.pttl(name) <= TTL, True, "PTTL of the lock acquired anew")
            # As if it had expired: who has lost the lock to another cannot touch the other's.
            await client.delete(name)
            expect(await other.acquire(), True, "acquire of a lock that was lost")
            for action in (partial(mine.extend, 1), mine.reacquire, mine.release):
                expect(type(await failure(action())), LockNotOwnedError, "what is not its owner's to do")
            waiting = asyncio.ensure_future(waiter.acquire(blocking_timeout=PATIENCE))
            await other.release()
            expect(await waiting, True, "acquire of a lock that is released")
            await waiter.release()
            try:
                await waiter.release()
                raise AssertionError("a lock was released twice")
            except LockError as error:
                expect_error(error, LockError, "Cannot release a lock that's not owned")
            expect(await client.get(name), None, "the record of a released lock")
