"""The points about locks."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import redis
from client import connect, eventually, failure, lock_and_unlock
from common import (
    AUTH_PASSWORD,
    AUTH_PORT,
    OUTAGE_PORT,
    PRIMARY_PORT,
    ROUNDS,
    TTL,
    WORKERS,
    expect,
    expect_error,
    expect_lock,
    switch_upstream,
)


def greets_and_authenticates(protocol, key):
    lock_and_unlock(connect(protocol, AUTH_PORT, password=AUTH_PASSWORD).execute_command, key("auth"))
    # With RESP3 it is the greeting that is refused.
    words = (
        "Authentication required." if protocol == 2 else "HELLO must be called with the client already authenticated"
    )
    stranger = connect(protocol, AUTH_PORT)
    expect_error(failure(stranger.execute_command, "RLOCK", key("auth"), TTL), redis.AuthenticationError, words)


def locks(protocol, key):
    client = connect(protocol)
    call, job, wrong = client.execute_command, key("job"), "0" * 40
    token = expect_lock(call("RLOCK", job, TTL))
    with redis.Redis(port=PRIMARY_PORT) as primary:
        eventually(lambda: primary.get(job) == token, "the record on a primary")
    expect(call("RLOCK", job, TTL), None, "RLOCK of a held key")
    expect(call("RUNLOCK", job, wrong), 0, "RUNLOCK with a wrong token")
    expect(call("REXTEND", job, wrong, TTL), None, "REXTEND with a wrong token")
    expect(TTL < call("REXTEND", job, token, 2 * TTL) <= 2 * TTL, True, "REXTEND")
    expect(call("RUNLOCK", job, token), 1, "RUNLOCK")
    expect(call("RUNLOCK", job, token), 0, "RUNLOCK again")
    lock_and_unlock(call, job)
    for arguments, words in (
        ((job, "soon"), "value is not an integer or out of range"),
        ((job, TTL, "NOW"), "syntax error"),
        ((job,), "wrong number of arguments for 'rlock' command"),
    ):
        expect_error(failure(call, "RLOCK", *arguments), redis.ResponseError, words)
        expect(client.ping(), True, "PING behind an error")


def locks_from_a_pool(protocol, key):
    client = connect(protocol, max_connections=WORKERS)
    call, shared, counter = client.execute_command, key("shared"), key("counter")

    def work(number):
        for _ in range(ROUNDS):
            lock_and_unlock(call, key(f"own-{number}"))
            while (lock := call("RLOCK", shared, TTL)) is None:
                time.sleep(random.uniform(0.001, 0.01))
            client.set(counter, int(client.get(counter) or 0) + 1)
            expect(call("RUNLOCK", shared, expect_lock(lock)), 1, "RUNLOCK of the shared key")

    with ThreadPoolExecutor(WORKERS) as threads:
        list(threads.map(work, range(WORKERS)))
    expect(int(client.get(counter)), WORKERS * ROUNDS, "the counter")


def locks_in_a_pipeline(protocol, key):
    client, first, second, data = connect(protocol), key("first"), key("second"), key("data")
    with client.pipeline(transaction=False) as pipe:
        pipe.set(data, "v").execute_command("RLOCK", first, TTL).get(data).execute_command("RLOCK", second, TTL)
        pipe.execute_command("RLOCK", first, TTL).incr(key("count"))
        stored, lock, value, other_lock, refused, count = pipe.execute()
        expect([stored, value, refused, count], [True, b"v", None, 1], "the first pipeline")
        token, other = expect_lock(lock), expect_lock(other_lock)
        pipe.execute_command("REXTEND", first, token, 2 * TTL).delete(data).execute_command("RUNLOCK", first, token)
        pipe.get(data).execute_command("RUNLOCK", second, other).execute_command("REXTEND", second, other, TTL)
        validity, *others = pipe.execute()
        expect(TTL < validity <= 2 * TTL, True, "REXTEND in a pipeline")
        expect(others, [1, 1, None, 1, None], "the second pipeline")


def locks_through_an_outage(protocol, key):
    """One client object all the time; redis-py sends again over a new connection, which the owner makes safe."""
    client, job, data = connect(protocol, OUTAGE_PORT), key("job"), key("data")

    def locks_by_owner():
        token = expect_lock(client.execute_command("RLOCK", job, TTL, "OWNER", "worker"), owner=b"worker:")
        expect(client.execute_command("RUNLOCK", job, token), 1, "RUNLOCK")

    def upstream_answers():
        try:
            return client.set(data, "v")
        except redis.ResponseError as error:
            expect_error(error, redis.ResponseError, "UPSTREAMDOWN ")
            return False

    locks_by_owner()
    expect(upstream_answers(), False, "SET without an upstream")
    switch_upstream("up")
    eventually(upstream_answers, "SET with an upstream")
    expect(client.get(data), b"v", "GET")
    locks_by_owner()
    switch_upstream("down")
    eventually(lambda: not upstream_answers(), "no SET without an upstream")
    locks_by_owner()
