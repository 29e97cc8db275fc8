"""Which part of the traffic: a bucket function that is specified, versioned and the same for ever.

Version 1: `int(SHA256(f"{salt}:{unit}").hexdigest()[:16], 16) / 2**64 < share`, with salt and unit in UTF-8. The test
vectors in docs/sampling.md let any other language agree.

Two things follow from one number per unit and salt. A unit that is in at a share is in at every larger share, so a
ramp never throws members out. And under one salt shares lie inside each other: the 1 % that a judge reads are part of
the 10 % that are mirrored. Different salts are independent of each other.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final

__all__ = ["bucket", "first_out", "within"]

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
