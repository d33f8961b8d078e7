"""Of many workers only one makes the report: a lock that is taken, extended and released through redlock-proxy."""

import os
import sys
import time
import uuid

import redis

JOB = os.environ.get("KEY_PREFIX", "") + "report"
TTL_MS = 10_000

proxy = redis.Redis(port=int(os.environ.get("PROXY_PORT", 6379)), decode_responses=True)


def deadline_of(asked, validity_ms):
    """Until when the lock is surely ours: counted from before asking, as nobody knows how long the answer travelled."""
    return asked + validity_ms / 1000


# redis-py asks again when a connection breaks. With a name of its own, a worker is not refused for its own lock then.
asked = time.monotonic()
lock = proxy.execute_command("RLOCK", JOB, TTL_MS, "OWNER", f"worker-{uuid.uuid4()}")
if lock is None:
    sys.exit("another worker is at it")
token, validity_ms = lock
deadline = deadline_of(asked, validity_ms)

try:
    for part in range(1, 4):
        if time.monotonic() >= deadline:
            sys.exit("this took too long: the lock may be another's")
        print(f"writing part {part} of 3")
        time.sleep(0.1)  # the work

        asked = time.monotonic()
        validity_ms = proxy.execute_command("REXTEND", JOB, token, TTL_MS)
        if validity_ms is None:
            sys.exit("the lock is lost")
        deadline = deadline_of(asked, validity_ms)
finally:
    proxy.execute_command("RUNLOCK", JOB, token)
print("the report is written")
