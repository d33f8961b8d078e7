"""redis.asyncio through the proxy, over RESP2 and RESP3: the points of tests/interop/README.md, and its own lock."""

import asyncio

import locks
import relay
from common import done, keys_of

POINTS = (
    locks.greets_and_authenticates,
    relay.does_ordinary_work,
    locks.locks,
    locks.locks_from_a_pool,
    locks.locks_in_a_pipeline,
    relay.subscribes,
    relay.transacts,
    relay.blocks,
    locks.locks_through_an_outage,
    relay.locks_by_redis_lock,
)


async def main():
    for protocol in (2, 3):
        for number, point in enumerate(POINTS, 1):
            await point(protocol, keys_of("redis-py-asyncio", protocol))
            done(number, protocol, point)


asyncio.run(main())
