"""Takes, extends and releases a lock with redis-py; fails when anything but the expected comes back.

Arguments: the protocol (2 or 3), the proxy's port, the key, the port of each primary.
"""

import sys
import time

import redis


def expect(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: expected {expected!r}, found {found!r}")


def expect_everywhere(primaries, key, expected):
    """The last primaries may hear of a decision a moment after the client does."""
    patience = time.monotonic() + 20
    while [primary.get(key) for primary in primaries] != [expected] * len(primaries):
        if time.monotonic() > patience:
            sys.exit(f"not every primary holds {expected!r}: {[primary.get(key) for primary in primaries]!r}")
        time.sleep(0.005)


def main():
    protocol, port, key, *ports = sys.argv[1:]
    proxy = redis.Redis(port=int(port), protocol=int(protocol), decode_responses=True)
    primaries = [redis.Redis(port=int(port), decode_responses=True) for port in ports]
    expect(proxy.ping(), True, "PING")

    token, validity = proxy.execute_command("RLOCK", key, 30000)
    expect((len(token), 0 < validity <= 30000), (40, True), "RLOCK")
    expect_everywhere(primaries, key, token)
    for primary in primaries:
        expect(0 < primary.pttl(key) <= 30000, True, "PTTL")
    # A Redlock library that talks to the primaries finds the lock taken.
    expect(primaries[0].set(key, "mine", nx=True, px=1000), None, "SET NX")
    expect(proxy.execute_command("RLOCK", key, 30000), None, "RLOCK again")

    extended = proxy.execute_command("REXTEND", key, token, 50000)
    expect(30000 < extended <= 50000, True, "REXTEND")
    expect(proxy.execute_command("RUNLOCK", key, token), 1, "RUNLOCK")
    expect(proxy.execute_command("RUNLOCK", key, token), 0, "RUNLOCK again")
    expect(proxy.execute_command("REXTEND", key, token, 50000), None, "REXTEND of nothing")
    expect_everywhere(primaries, key, None)

    try:
        proxy.execute_command("RLOCK", key, "soon")
        sys.exit("no error for a ttl that is no number")
    except redis.ResponseError as error:
        expect(str(error), "value is not an integer or out of range", "the error")
    print("done")


main()
