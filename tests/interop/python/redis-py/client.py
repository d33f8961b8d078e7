"""How the points call redis-py."""

import time

import redis
from common import PATIENCE, PROXY_PORT, TTL, expect, expect_lock, patience


def connect(protocol, port=PROXY_PORT, **options):
    # Its own time-out is 5 s, which a busy machine may need.
    return redis.Redis(port=port, protocol=protocol, socket_timeout=PATIENCE, **options)


def failure(call, *arguments):
    """What the call raises."""
    try:
        found = call(*arguments)
    except Exception as error:
        return error
    raise AssertionError(f"no error for {arguments!r}, but {found!r}")


def eventually(claim, what):
    for _ in patience(what):
        if claim():
            break
        time.sleep(0.01)


def lock_and_unlock(call, key):
    token = expect_lock(call("RLOCK", key, TTL))
    expect(call("RUNLOCK", key, token), 1, f"RUNLOCK {key}")
