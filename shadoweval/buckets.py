"""Which part of the traffic: a bucket function that is specified, versioned and the same for ever.

Version 1: `int(SHA256(f"{salt}:{unit}").hexdigest()[:16], 16) / 2**64 < share`, with salt and unit in UTF-8. The test
vectors in docs/sampling.md let any other language agree.

Two things follow from one number per unit and salt. A unit that is in at a share is in at every larger share, so a
ramp never throws members out. And under one salt shares lie inside each other: the 1 % that a judge reads are part of
the 10 % that are mirrored. Different salts are independent of each other.

Where there is no unit, chance decides, with numbers and ids of our own.
"""

from __future__ import annotations

import itertools
import os
import random
from hashlib import sha256
from typing import Final

__all__ = ["bucket", "draw", "first_out", "ids", "request_id", "within"]

VERSION: Final = 1
_SCALE: Final = 2.0**-64


def bucket(salt: str, unit: str) -> float:
    """Where `unit` falls under `salt`: in [0, 1], where 1.0 is a rounded value just below it (once in 2**54 units)."""
    return int.from_bytes(sha256(f"{salt}:{unit}".encode()).digest()[:8], "big") * _SCALE


def within(share: float, salt: str, unit: str) -> bool:
    """Whether `unit` is in at `share`; a share of 1 takes everyone, a share of 0 nobody."""
    return share >= 1.0 or (share > 0.0 and bucket(salt, unit) < share)


def first_out(share: float) -> bytes:
    """The least hash of a unit, by its first eight bytes, whose bucket is not below a share between 0 and 1.

    `digest < first_out(share)` says what `bucket(...) < share` says, rounding and all, in half the time.
    """
    low, high = 0, 1 << 64
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if middle * _SCALE >= share else (middle + 1, high)
    return high.to_bytes(9, "big")[1:] if high < 1 << 64 else b"\xff" * 33  # above every hash


chance: Final = random.Random()  # noqa: S311 - no secret
"""Our own: an application that seeds `random` gets the numbers that it gets without us."""
draw: Final = chance.random
"""A number in [0, 1), by chance."""


class _Ids:
    """Random prefix of this process, and a counter: unique without a system call per request."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.prefix = os.urandom(8).hex()
        self.next = itertools.count(1).__next__


def _forked() -> None:
    ids.renew()
    chance.seed()


ids: Final = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


def request_id() -> str:
    """An id that no other call of any process has."""
    return f"{ids.prefix}{ids.next()}"
