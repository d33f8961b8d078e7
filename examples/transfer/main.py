"""Money goes from one account to another, and neither is touched by anybody else meanwhile.

RMLOCK takes both locks or none, with one token. It never holds one while it waits for the other, so two transfers that
need the same accounts, in whatever order, cannot block each other for good.
"""

import os
import random
import threading

import redis

PREFIX = os.environ.get("KEY_PREFIX", "")
PORT = int(os.environ.get("PROXY_PORT", 6379))
ACCOUNTS = [f"{PREFIX}account:{name}" for name in ("ann", "ben", "eve", "joe")]
TTL_MS, WAIT_MS = 10_000, 60_000


def transfer(proxy, source, target, amount):
    """False when the source has not got that much."""
    locks = [f"{source}:lock", f"{target}:lock"]
    taken = proxy.execute_command("RMLOCK", 2, *locks, TTL_MS, "WAIT", WAIT_MS)
    if taken is None:
        raise TimeoutError(f"in vain for {WAIT_MS} ms")
    token, _validity_ms = taken
    try:
        # Read, think, write: what no other transfer may come between.
        have, has = (int(proxy.get(account)) for account in (source, target))
        if have < amount:
            return False
        proxy.mset({source: have - amount, target: has + amount})
        return True
    finally:
        released = proxy.execute_command("RMUNLOCK", 2, *locks, token)
        assert released == 2, f"only {released} of 2 locks were still held"


def clerk(count, done):
    proxy = redis.Redis(port=PORT, decode_responses=True, single_connection_client=True)
    for _ in range(count):
        source, target = random.sample(ACCOUNTS, 2)
        done.append(transfer(proxy, source, target, random.randint(1, 60)))


proxy = redis.Redis(port=PORT, decode_responses=True)
proxy.mset({account: 100 for account in ACCOUNTS})
done = []
clerks = [threading.Thread(target=clerk, args=(25, done)) for _ in range(8)]
for thread in clerks:
    thread.start()
for thread in clerks:
    thread.join()
assert len(done) == 200, "a clerk has failed"
balances = [int(proxy.get(account)) for account in ACCOUNTS]
assert sum(balances) == 100 * len(ACCOUNTS) and min(balances) >= 0, balances
print(f"{done.count(True)} transfers, {done.count(False)} refused, and not a penny lost: {balances}")
