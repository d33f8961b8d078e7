"""Drives pottery's Redlock (https://pypi.org/project/pottery/) against the primaries themselves."""

from pottery import Redlock
from redis import Redis

import driver


class PlainlyNamed(Redlock):
    """pottery keeps the lock `job` in the record `redlock:job`. Here the record has the name that was asked for."""

    @property
    def key(self):
        return super().key.removeprefix(f"{self._KEY_PREFIX}:")

    @key.setter
    def key(self, name):
        # It logs how long it stood in line under what comes after the prefix, and fails where there is no colon.
        if ":" not in name:
            raise ValueError("pottery needs a colon in the key")
        Redlock.key.fset(self, name)


class Pottery:
    def __init__(self, ports):
        self.masters = {Redis(host="127.0.0.1", port=port) for port in ports}
        self.locks = {}

    def lock(self, key, ttl_ms):
        return PlainlyNamed(key=key, masters=self.masters, auto_release_time=ttl_ms / 1000)

    def acquire(self, key, ttl_ms):
        lock = self.lock(key, ttl_ms)
        if not lock.acquire(blocking=False):
            raise driver.Refused("acquire() returned False")
        self.locks[key] = lock
        return ""

    def extend(self, key, ttl_ms):
        # extend() takes no time: it extends by what the lock was made with.
        lock = self.locks[key]
        lock.auto_release_time = ttl_ms / 1000
        lock.extend()

    def release(self, key):
        self.locks[key].release()

    def drive(self, keys, milliseconds, contended):
        def pair(worker):
            lock = self.lock(worker.key, driver.TTL_MS)
            held = lock.acquire(timeout=worker.seconds_left())
            if held:
                lock.release()
            return held

        return driver.drive_threads(keys, milliseconds, pair)


driver.serve("pottery", Pottery(driver.PORTS))
