"""How libraries take a record, and the ways in which they run their scripts, whose texts are this project's own."""

import hashlib
from dataclasses import dataclass
from itertools import product
from typing import Callable, Optional

from client import ServerError

COMPARE_AND_DELETE = """
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('DEL', KEYS[1])
"""
COMPARE_AND_EXPIRE = """
    if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
    return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""


@dataclass
class Library:
    """Each is called with a primary, key and token (and ttl in milliseconds), and returns whether it was done."""

    name: str
    acquire: Callable
    release: Callable
    extend: Optional[Callable] = None


def setting(command, *options):
    """SET with its options in this order and case; the time stands behind PX or EX."""

    def acquire(primary, key, token, ttl):
        units = {"PX": [ttl], "EX": [ttl // 1000]}
        words = [word for option in options for word in [option, *units.get(option.upper(), [])]]
        return one_of("OK", None, primary.call(command, key, token, *words))

    return acquire


def every_form_of_set():
    """The same record however SET is written: its options in both orders, in seconds and milliseconds, in any case."""
    for unit, order, case in product(("PX", "EX"), (1, -1), (str.upper, str.lower, str.title)):
        words = [case(word) for word in ["NX", unit][::order]]
        yield Library(
            " ".join(["SET", *words]), acquire=setting(case("SET"), *words), release=by_text(COMPARE_AND_DELETE)
        )


def by_text(script, yes=1, no=0, command="EVAL"):
    """The text each time."""
    return lambda primary, key, *arguments: one_of(yes, no, primary.call(command, script, 1, key, *arguments))


def by_digest_loaded_first(script, yes=1, no=0):
    """SCRIPT LOAD, and then the digest that it answers."""

    def run(primary, key, *arguments):
        digest = primary.call("SCRIPT", "LOAD", script)
        return one_of(yes, no, primary.call("EVALSHA", digest, 1, key, *arguments))

    return run


def by_digest_or_text(script, yes=1, no=0):
    """The digest, and the text when the server does not know it."""

    def run(primary, key, *arguments):
        try:
            reply = primary.call("EVALSHA", digest_of(script), 1, key, *arguments)
        except ServerError as error:
            expect_noscript(error)
            reply = primary.call("EVAL", script, 1, key, *arguments)
        return one_of(yes, no, reply)

    return run


def by_digest_or_load(script, yes=1, no=0):
    """The digest, and when the server does not know it SCRIPT LOAD and the digest again."""

    def run(primary, key, *arguments):
        command = ["EVALSHA", digest_of(script), 1, key, *arguments]
        try:
            reply = primary.call(*command)
        except ServerError as error:
            expect_noscript(error)
            primary.call("SCRIPT", "LOAD", script)
            reply = primary.call(*command)
        return one_of(yes, no, reply)

    return run


def digest_of(script):
    return hashlib.sha1(script.encode()).hexdigest()


def expect_noscript(error):
    if not str(error).startswith("NOSCRIPT"):
        raise error


def one_of(yes, no, reply):
    if reply == yes:
        return True
    if reply == no:
        return False
    raise AssertionError(f"neither {yes!r} nor {no!r} but {reply!r}")
