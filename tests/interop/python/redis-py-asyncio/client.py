"""How the points call redis.asyncio."""

import asyncio

from common import PATIENCE, PROXY_PORT, TTL, expect, expect_lock, patience
from redis.asyncio import Redis


def connect(protocol, port=PROXY_PORT, **options):
    """Used as `async with`, which closes it before its event loop ends."""
    # Its own time-out is 5 s, which a busy machine may need.
    return Redis(port=port, protocol=protocol, socket_timeout=PATIENCE, **options)


async def failure(awaitable):
    """What the call raises."""
    try:
        found = await awaitable
    except Exception as error:
        return error
    raise AssertionError(f"no error, but {found!r}")


async def eventually(claim, what):
    for _ in patience(what):
        if await claim():
            break
        await asyncio.sleep(0.01)


async def lock_and_unlock(call, key):
    token = expect_lock(await call("RLOCK", key, TTL))
    expect(await call("RUNLOCK", key, token), 1, f"RUNLOCK {key}")
