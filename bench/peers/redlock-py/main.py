"""Drives redlock-py (https://pypi.org/project/redlock-py/) against the primaries themselves."""

from redlock import Redlock

import driver


class RedlockPy:
    def __init__(self, ports):
        self.servers = [{"host": "127.0.0.1", "port": port} for port in ports]
        self.manager = Redlock(self.servers, retry_count=1)
        self.locks = {}

    def acquire(self, key, ttl_ms):
        lock = self.manager.lock(key, ttl_ms)
        if not lock:
            raise driver.Refused("lock() returned False")
        self.locks[key] = lock
        return lock.key.hex()

    def extend(self, key, ttl_ms):
        raise NotImplementedError

    def release(self, key):
        self.manager.unlock(self.locks[key])

    def drive(self, keys, milliseconds, contended):
        manager = Redlock(self.servers)
        if contended:
            # As many tries as there is time for, at the library's own delay.
            manager.retry_count = milliseconds // int(manager.retry_delay * 1000) + 1

        def pair(worker):
            lock = manager.lock(worker.key, driver.TTL_MS)
            if lock:
                manager.unlock(lock)
            return bool(lock)

        return driver.drive_threads(keys, milliseconds, pair)


driver.serve("redlock-py", RedlockPy(driver.PORTS))
