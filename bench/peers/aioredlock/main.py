"""Drives aioredlock (https://pypi.org/project/aioredlock/) against the primaries themselves.

It was last released in 2022 and stands on aioredis 1. Both run on today's Python as they are: it is aioredis 2 whose
import fails from 3.11 on, and `distutils`, which Python 3.12 dropped and aioredlock imports, comes from setuptools.
"""

import asyncio
import threading

from aioredlock import Aioredlock

import driver


class AioRedlock:
    def __init__(self, ports):
        self.servers = [("127.0.0.1", port) for port in ports]
        self.locks = {}
        # It runs on between two commands: the library cleans up in the background after a try that failed.
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.manager = self.run(self.make_manager(retry_count=1))

    def run(self, coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self):
        # Not destroy(), which would release what is still held.
        self.run(self.manager.redis.clear_connections())

    async def make_manager(self, **settings):
        return Aioredlock(self.servers, **settings)

    def acquire(self, key, ttl_ms):
        self.locks[key] = self.run(self.manager.lock(key, lock_timeout=ttl_ms / 1000))
        return self.locks[key].id.encode().hex()

    def extend(self, key, ttl_ms):
        self.run(self.manager.extend(self.locks[key], lock_timeout=ttl_ms / 1000))

    def release(self, key):
        self.run(self.manager.unlock(self.locks[key]))

    def drive(self, keys, milliseconds, contended):
        return self.run(self.drive_async(keys, milliseconds, contended))

    async def drive_async(self, keys, milliseconds, contended):
        manager = Aioredlock(self.servers)
        if contended:
            # As many tries as there is time for, at the library's own delay.
            manager.retry_count = int(milliseconds / 1000 / manager.retry_delay_min) + 1

        async def pair(worker):
            lock = await manager.lock(worker.key, lock_timeout=driver.TTL_MS / 1000)
            await manager.unlock(lock)
            return True

        try:
            return await driver.drive_tasks(keys, milliseconds, pair)
        finally:
            await manager.destroy()


library = AioRedlock(driver.PORTS)
driver.serve("aioredlock", library)
library.close()
