"""Workers take jobs from a queue, and two jobs of one customer never run at the same time.

WAIT lets a worker stand in line for the customer it has a job for: first come, first served, and no polling. Whoever
releases the lock hands it to the next in line.
"""

import os
import random
import threading
import time

import redis

PREFIX = os.environ.get("KEY_PREFIX", "")
PORT = int(os.environ.get("PROXY_PORT", 6379))
QUEUE = PREFIX + "jobs"
TTL_MS, WAIT_MS = 10_000, 60_000

at_work = set()  # the customers that somebody works for: what the locks have to keep apart
done = []


def work_for(customer, number):
    assert customer not in at_work, f"two jobs of {customer} at the same time"
    at_work.add(customer)
    time.sleep(random.uniform(0.005, 0.02))
    at_work.remove(customer)
    done.append(number)


def worker():
    # A connection of its own: while it stands in line, nothing else is answered on it.
    proxy = redis.Redis(port=PORT, decode_responses=True, single_connection_client=True)
    while (job := proxy.lpop(QUEUE)) is not None:
        number, customer = job.split(" ", 1)
        lock = proxy.execute_command("RLOCK", PREFIX + customer, TTL_MS, "WAIT", WAIT_MS)
        if lock is None:
            proxy.rpush(QUEUE, job)  # in vain for a minute: somebody else may try
            continue
        token, _validity_ms = lock
        try:
            work_for(customer, int(number))
        finally:
            proxy.execute_command("RUNLOCK", PREFIX + customer, token)


proxy = redis.Redis(port=PORT, decode_responses=True)
proxy.delete(QUEUE)
proxy.rpush(QUEUE, *(f"{number} {random.choice(('ann', 'ben', 'eve'))}" for number in range(40)))
workers = [threading.Thread(target=worker) for _ in range(8)]
for thread in workers:
    thread.start()
for thread in workers:
    thread.join()
assert sorted(done) == list(range(40)), f"not every job was done once: {sorted(done)}"
print(f"{len(done)} jobs by {len(workers)} workers, no two of one customer at a time")
