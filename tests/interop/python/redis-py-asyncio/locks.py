"""The points about locks."""

import asyncio
import random

import redis
from client import connect, eventually, failure, lock_and_unlock
from common import (
    AUTH_PASSWORD,
    AUTH_PORT,
    OUTAGE_PORT,
    PRIMARY_PORT,
    ROUNDS,
    TTL,
    WORKERS,
    expect,
    expect_error,
    expect_lock,
    switch_upstream,
)


async def greets_and_authenticates(protocol, key):
    async with connect(protocol, AUTH_PORT, password=AUTH_PASSWORD) as client:
        await lock_and_unlock(client.execute_command, key("auth"))
    # With RESP3 it is the greeting that is refused.
    words = (
        "Authentication required." if protocol == 2 else "HELLO must be called with the client already authenticated"
    )
    async with connect(protocol, AUTH_PORT) as stranger:
        refused = await failure(stranger.execute_command("RLOCK", key("auth"), TTL))
        expect_error(refused, redis.AuthenticationError, words)


async def locks(protocol, key):
    async with connect(protocol) as client, connect(protocol, PRIMARY_PORT) as primary:
        call, job, wrong = client.execute_command, key("job"), "0" * 40
        token = expect_lock(await call("RLOCK", job, TTL))

        async def recorded():
            return await primary.get(job) == token

        await eventually(recorded, "the record on a primary")
        expect(await call("RLOCK", job, TTL), None, "RLOCK of a held key")
        expect(await call("RUNLOCK", job, wrong), 0, "RUNLOCK with a wrong token")
        expect(await call("REXTEND", job, wrong, TTL), None, "REXTEND with a wrong token")
        expect(TTL < await call("REXTEND", job, token, 2 * TTL) <= 2 * TTL, True, "REXTEND")
        expect(await call("RUNLOCK", job, token), 1, "RUNLOCK")
        expect(await call("RUNLOCK", job, token), 0, "RUNLOCK again")
        await lock_and_unlock(call, job)
        for arguments, words in (
            ((job, "soon"), "value is not an integer or out of range"),
            ((job, TTL, "NOW"), "syntax error"),
            ((job,), "wrong number of arguments for 'rlock' command"),
        ):
            expect_error(await failure(call("RLOCK", *arguments)), redis.ResponseError, words)
            expect(await client.ping(), True, "PING behind an error")


async def locks_from_a_pool(protocol, key):
    async with connect(protocol, max_connections=WORKERS) as client:
        call, shared, counter = client.execute_command, key("shared"), key("counter")

        async def work(number):
            for _ in range(ROUNDS):
                await lock_and_unlock(call, key(f"own-{number}"))
                while (lock := await call("RLOCK", shared, TTL)) is None:
                    await asyncio.sleep(random.uniform(0.001, 0.01))
                await client.set(counter, int(await client.get(counter) or 0) + 1)
                expect(await call("RUNLOCK", shared, expect_lock(lock)), 1, "RUNLOCK of the shared key")

        await asyncio.gather(*(work(number) for number in range(WORKERS)))
        expect(int(await client.get(counter)), WORKERS * ROUNDS, "the counter")


async def locks_in_a_pipeline(protocol, key):
    first, second, data = key("first"), key("second"), key("data")
    async with connect(protocol) as client, client.pipeline(transaction=False) as pipe:
        pipe.set(data, "v").execute_command("RLOCK", first, TTL).get(data).execute_command("RLOCK", second, TTL)
        pipe.execute_command("RLOCK", first, TTL).incr(key("count"))
        stored, lock, value, other_lock, refused, count = await pipe.execute()
        expect([stored, value, refused, count], [True, b"v", None, 1], "the first pipeline")
        token, other = expect_lock(lock), expect_lock(other_lock)
        pipe.execute_command("REXTEND", first, token, 2 * TTL).delete(data).execute_command("RUNLOCK", first, token)
        pipe.get(data).execute_command("RUNLOCK", second, other).execute_command("REXTEND", second, other, TTL)
        validity, *others = await pipe.execute()
        expect(TTL < validity <= 2 * TTL, True, "REXTEND in a pipeline")
        expect(others, [1, 1, None, 1, None], "the second pipeline")


async def locks_through_an_outage(protocol, key):
    """One client object all the time; redis-py sends again over a new connection, which the owner makes safe."""
    async with connect(protocol, OUTAGE_PORT) as client:
        job, data = key("job"), key("data")

        async def locks_by_owner():
            token = expect_lock(await client.execute_command("RLOCK", job, TTL, "OWNER", "worker"), owner=b"worker:")
            expect(await client.execute_command("RUNLOCK", job, token), 1, "RUNLOCK")

        async def upstream_answers():
            try:
                return await client.set(data, "v")
            except redis.ResponseError as error:
                expect_error(error, redis.ResponseError, "UPSTREAMDOWN ")
                return False

        async def upstream_is_away():
            return not await upstream_answers()

        await locks_by_owner()
        expect(await upstream_answers(), False, "SET without an upstream")
        switch_upstream("up")
        await eventually(upstream_answers, "SET with an upstream")
        expect(await client.get(data), b"v", "GET")
        await locks_by_owner()
        switch_upstream("down")
        await eventually(upstream_is_away, "no SET without an upstream")
        await locks_by_owner()
