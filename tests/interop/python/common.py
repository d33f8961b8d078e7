"""What the redis-py programs share: where the servers are, how a reply is looked at, and the list of points."""

import os
import re
import socket
import time

PROXY_PORT = int(os.environ["PROXY_PORT"])
AUTH_PORT = int(os.environ["AUTH_PORT"])
AUTH_PASSWORD = os.environ["AUTH_PASSWORD"]
OUTAGE_PORT = int(os.environ["OUTAGE_PORT"])
UPSTREAM_PORT = int(os.environ["UPSTREAM_PORT"])
PRIMARY_PORT = int(os.environ["PRIMARY_PORTS"].split()[0])

TTL = 30_000
ALL_BYTES = bytes(range(256))
MEGABYTE = ALL_BYTES * 4096
# Workers of the pooled point, and how often each locks its own key and the shared one.
WORKERS = 8
ROUNDS = 50
# Seconds after which what must happen is given up.
PATIENCE = 30


def keys_of(program, protocol):
    """A function that makes this run's keys from names."""
    return lambda name: f"{os.environ['KEY_PREFIX']}{program}:{protocol}:{name}"


def done(number, protocol, point):
    print(f"ok {number} RESP{protocol} {point.__name__.replace('_', ' ')}", flush=True)


def expect(found, expected, what):
    if found != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {found!r}")


def expect_error(error, kind, words):
    """The library's class, and the server's words."""
    if type(error) is not kind or not str(error).startswith(words):
        raise AssertionError(f"expected {kind.__name__} {words!r}, found {error!r} {error}")


def expect_lock(reply, ttl=TTL, owner=b""):
    """The token of a lock that was granted for at most `ttl`."""
    token, validity = reply
    if not re.fullmatch(re.escape(owner) + rb"[0-9a-f]{40}", token) or not 0 < validity <= ttl:
        raise AssertionError(f"no lock for {ttl} ms: {reply!r}")
    return token


def patience(what):
    """Yields until it runs out."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        yield
    raise AssertionError(f"never came true: {what}")


def switch_upstream(position):
    """Makes the upstream of the proxy on OUTAGE_PORT reachable (`up`), or cuts it off (`down`)."""
    with socket.create_connection(("127.0.0.1", int(os.environ["SWITCH_PORT"])), timeout=PATIENCE) as control:
        control.sendall(position.encode() + b"\n")
        expect(control.makefile("rb").readline(), b"ok\n", f"the switch, asked for {position}")
