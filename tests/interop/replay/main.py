"""Redlock libraries that no package registry here carries, by the commands that they send to the primaries.

Each of them excludes the proxy and is excluded by it, and neither releases or extends what the other holds.
"""

import os
import secrets
import time

from client import PATIENCE, Client
from libraries import LIBRARIES

TTL = 30_000
PRIMARIES = [Client(int(port)) for port in os.environ["PRIMARY_PORTS"].split()]
PROXY = Client(int(os.environ["PROXY_PORT"]))


def expect(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def on_each(action, *arguments):
    return [action(primary, *arguments) for primary in PRIMARIES]


def values(key):
    return [primary.call("GET", key) for primary in PRIMARIES]


def expect_times(key, most):
    for left in (primary.call("PTTL", key) for primary in PRIMARIES):
        expect(most - TTL < left <= most, True, f"PTTL {left} of {most}")


def eventually(key, value):
    """The last primary may hear of a verdict a moment after the client."""
    patience = time.monotonic() + PATIENCE
    while values(key) != [value] * 3:
        if time.monotonic() > patience:
            raise AssertionError(f"the records are {values(key)!r} and not {value!r}")
        time.sleep(0.005)


def library_holds(library, key):
    mine, foreign = secrets.token_hex(16).encode(), secrets.token_hex(16).encode()
    expect(on_each(library.acquire, key, mine, TTL), [True] * 3, "acquire")
    expect_times(key, TTL)
    expect(PROXY.call("RLOCK", key, TTL), None, "RLOCK")
    expect(PROXY.call("RUNLOCK", key, foreign), 0, "RUNLOCK with another token")
    expect(PROXY.call("REXTEND", key, foreign, TTL), None, "REXTEND with another token")
    expect(on_each(library.acquire, key, foreign, TTL), [False] * 3, "acquire by another")
    expect(on_each(library.release, key, foreign), [False] * 3, "release by another")
    expect(values(key), [mine] * 3, "the records")
    expect_times(key, TTL)
    if library.extend:
        expect(on_each(library.extend, key, mine, 2 * TTL), [True] * 3, "extend")
        expect_times(key, 2 * TTL)
    expect(on_each(library.release, key, mine), [True] * 3, "release")
    expect(values(key), [None] * 3, "the records of a released lock")


def proxy_holds(library, key):
    token, validity = PROXY.call("RLOCK", key, TTL)
    expect(0 < validity <= TTL, True, f"the validity {validity}")
    eventually(key, token)
    foreign = secrets.token_hex(16).encode()
    expect(on_each(library.acquire, key, foreign, TTL), [False] * 3, "acquire of what the proxy holds")
    expect(on_each(library.release, key, foreign), [False] * 3, "release of what the proxy holds")
    if library.extend:
        expect(on_each(library.extend, key, foreign, 2 * TTL), [False] * 3, "extend of what the proxy holds")
    expect(values(key), [token] * 3, "the records of the proxy's lock")
    expect_times(key, TTL)
    expect(TTL < PROXY.call("REXTEND", key, token, 2 * TTL) <= 2 * TTL, True, "REXTEND")
    expect(PROXY.call("RUNLOCK", key, token), 1, "RUNLOCK")
    eventually(key, None)


for number, library in enumerate(LIBRARIES, 1):
    key = f"{os.environ['KEY_PREFIX']}{library.name}"
    try:
        library_holds(library, key)
        proxy_holds(library, key)
        # Free again for the library.
        library_holds(library, key)
    except AssertionError as error:
        raise SystemExit(f"{library.name}: {error}") from error
    print(f"ok {number} {library.name}", flush=True)
