"""What the Python drivers share: the orders that README.md lists, and the closed loop that measures.

A library is an object with `acquire(key, ttl_ms)` (one try; returns the record's value in hex, or "" where the library
keeps it to itself), `extend(key, ttl_ms)`, `release(key)` and `drive(keys, milliseconds, contended)`, one worker per
key. What it raises is the reason that is answered.
"""

import asyncio
import json
import os
import sys
import threading
import time
from importlib.metadata import version

TTL_MS = 30_000
PORTS = [int(port) for port in os.environ["PRIMARY_PORTS"].split()]


class Refused(Exception):
    """Somebody else holds it."""


def serve(name, library):
    print(f"ready {name} {version(name)}", flush=True)
    for line in sys.stdin:
        print(answer(library, line.split()), flush=True)


def answer(library, words):
    try:
        match words:
            case ["acquire", key, ttl]:
                return f"held {library.acquire(key, int(ttl))}".rstrip()
            case ["extend", key, ttl]:
                library.extend(key, int(ttl))
                return "extended"
            case ["release", key]:
                library.release(key)
                return "released"
            case ["drive", "distinct", clients, milliseconds, prefix]:
                keys = [f"{prefix}{number}" for number in range(int(clients))]
                return json.dumps(library.drive(keys, int(milliseconds), contended=False))
            case ["drive", "contended", clients, milliseconds, key]:
                return json.dumps(library.drive([key] * int(clients), int(milliseconds), contended=True))
            case _:
                return "error unknown command"
    except NotImplementedError:
        return "unsupported"
    except Exception as error:
        verdict = {"acquire": "refused", "drive": "error"}.get(words[0], "failed")
        return f"{verdict} {one_line(error)}"


def one_line(error):
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]


class Race:
    """How often a pair was another worker's than the one before."""

    def __init__(self):
        self.last = None
        self.hand_overs = 0

    def note(self, worker):
        if self.last is not worker:
            self.last = worker
            self.hand_overs += 1


class Worker:
    """One closed loop: lock and unlock again and again until the time is up."""

    def __init__(self, key, deadline, race):
        self.key = key
        self.deadline = deadline
        self.race = race
        self.latencies = []
        self.errors = 0

    def seconds_left(self):
        return self.deadline - time.perf_counter()

    def run(self, pair):
        while self.seconds_left() > 0:
            began = time.perf_counter()
            try:
                self.note(began, pair(self))
            except Exception as error:
                self.fail(error)

    async def run_async(self, pair):
        while self.seconds_left() > 0:
            began = time.perf_counter()
            try:
                self.note(began, await pair(self))
            except Exception as error:
                self.fail(error)

    def note(self, began, succeeded):
        if succeeded:
            self.latencies.append(time.perf_counter() - began)
            self.race.note(self)
        else:
            self.fail(Refused("the library gave up"))

    def fail(self, error):
        # An attempt that the end of the time interrupts has not failed.
        if self.seconds_left() > 0:
            self.errors += 1
            print(one_line(error), file=sys.stderr)


def drive_threads(keys, milliseconds, pair):
    """`pair(worker)` locks and unlocks the worker's key, and returns whether it got it."""
    began, race = time.perf_counter(), Race()
    workers = [Worker(key, began + milliseconds / 1000, race) for key in keys]
    threads = [threading.Thread(target=worker.run, args=(pair,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return summary(workers, race, time.perf_counter() - began)


async def drive_tasks(keys, milliseconds, pair):
    """The same with a coroutine function."""
    began, race = time.perf_counter(), Race()
    workers = [Worker(key, began + milliseconds / 1000, race) for key in keys]
    await asyncio.gather(*(worker.run_async(pair) for worker in workers))
    return summary(workers, race, time.perf_counter() - began)


def summary(workers, race, elapsed):
    latencies = sorted(latency for worker in workers for latency in worker.latencies)

    def percentile(share):
        return round(latencies[int(share * len(latencies))] * 1e6) if latencies else 0

    return {
        "pairs": len(latencies),
        "hand_overs": race.hand_overs,
        "elapsed_us": round(elapsed * 1e6),
        "p50_us": percentile(0.5),
        "p99_us": percentile(0.99),
        "p999_us": percentile(0.999),
        "errors": sum(worker.errors for worker in workers),
        "clients": [len(worker.latencies) for worker in workers],
    }
