"""Locks with redis-py while the upstream is away, and goes on when it is back.

Arguments: the protocol (2 or 3), the proxy's port, a key for the lock, a key for data. Prints `away` when it has done all that can be
done without the upstream, then waits for a line on standard input, and then for the upstream.
"""

import sys
import time

import redis


def expect(found, expected, what):
    if found != expected:
        sys.exit(f"{what}: expected {expected!r}, found {found!r}")


def main():
    protocol, port, job, data = sys.argv[1:]
    client = redis.Redis(
        port=int(port), protocol=int(protocol), client_name="worker", decode_responses=True, single_connection_client=True
    )
    expect(client.ping(), True, "PING")
    token, validity = client.execute_command("RLOCK", job, 30000)
    expect(0 < validity <= 30000, True, "RLOCK")
    try:
        sys.exit(f"SET: {client.set(data, 'v')!r}")
    except redis.ResponseError as error:
        expect(str(error).startswith("UPSTREAMDOWN "), True, f"SET: {error}")
    expect(client.execute_command("RUNLOCK", job, token), 1, "RUNLOCK")

    print("away", flush=True)
    sys.stdin.readline()
    patience = time.monotonic() + 20
    while True:
        try:
            expect(client.set(data, "v"), True, "SET")
            break
        except redis.ResponseError as error:
            if not str(error).startswith("UPSTREAMDOWN ") or time.monotonic() > patience:
                raise
            time.sleep(0.01)
    expect(client.hset(data + ":hash", mapping={"a": "1"}), 1, "HSET")
    expect(client.hgetall(data + ":hash"), {"a": "1"}, "HGETALL")
    # Said while the upstream was away, to the proxy; now the upstream knows it.
    expect(client.client_getname(), "worker", "CLIENT GETNAME")
    expect(len(client.execute_command("RLOCK", job, 30000)), 2, "RLOCK")


main()
