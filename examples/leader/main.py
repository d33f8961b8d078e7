"""Of several candidates one leads, and a leader that slept through the end of its time can do no harm.

SESSION keeps the lock as long as the connection lives. OWNER lets a leader whose connection broke take its own lock over
without a gap. FENCE gives each term of office a number larger than all before: the storage keeps the largest number it
has seen and refuses whoever comes with a smaller one. That last check is what makes it safe, whatever clocks and
networks do in between; without it, every lock service leaves a gap. The storage is SQLite here; with PostgreSQL the
statement is the same.
"""

import os
import socket
import sqlite3
import struct
import tempfile
import time

import redis

PREFIX = os.environ.get("KEY_PREFIX", "")
PORT = int(os.environ.get("PROXY_PORT", 6379))
LOCK, TTL_MS = PREFIX + "leader", 1_000


class Storage:
    """What the leader writes to."""

    def __init__(self, path):
        self.db = sqlite3.connect(path)
        with self.db:
            self.db.execute("CREATE TABLE state (id INTEGER PRIMARY KEY, value TEXT, fence INTEGER NOT NULL)")
            self.db.execute("INSERT INTO state VALUES (1, NULL, 0)")

    def write(self, fence, value):
        """False when somebody with a larger number was here: the caller leads no longer."""
        with self.db:
            written = self.db.execute(
                "UPDATE state SET value = ?, fence = ? WHERE id = 1 AND fence <= ?", (value, fence, fence)
            )
        return written.rowcount == 1


class Candidate:
    def __init__(self, name):
        self.name = name
        self.proxy = None

    def campaign(self, wait_ms):
        """Takes the lock for as long as the connection lives; the number of this term, or None."""
        self.proxy = redis.Redis(port=PORT, decode_responses=True, single_connection_client=True)
        options = ["OWNER", self.name, "SESSION", "FENCE"]
        if wait_ms:
            options += ["WAIT", wait_ms]
        lock = self.proxy.execute_command("RLOCK", LOCK, TTL_MS, *options)
        return None if lock is None else lock[2]

    def lose_connection(self):
        """As when a cable is pulled: the connection is reset, and the proxy cannot know whether anybody is there."""
        sock = self.proxy.connection._sock
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


with tempfile.TemporaryDirectory() as folder:
    storage = Storage(os.path.join(folder, "state.db"))
    ann, ben = Candidate("ann"), Candidate("ben")

    first = ann.campaign(wait_ms=0)
    assert first is not None and storage.write(first, "ann was here")
    assert ben.campaign(wait_ms=0) is None, "there is one leader"
    print(f"ann leads, with number {first}")

    time.sleep(2 * TTL_MS / 1000)
    assert ben.campaign(wait_ms=0) is None, "a session outlives its ttl"

    ann.lose_connection()
    second = ann.campaign(wait_ms=0)
    assert second is not None and second > first, "its own lock is taken over, as a later term"
    print(f"ann lost her connection and leads on, with number {second}")

    # Now ann is suspended in the middle of her work, and does not know it.
    ann.lose_connection()
    third = ben.campaign(wait_ms=10 * TTL_MS)
    assert third is not None and third > second
    assert storage.write(third, "ben was here")
    print(f"ben waited until ann's time was over and leads, with number {third}")

    # She wakes up and goes on where she was.
    assert not storage.write(second, "ann was here again"), "the storage took what a former leader wrote"
    print("what ann writes now is refused: she leads no longer")
    ben.proxy.close()
