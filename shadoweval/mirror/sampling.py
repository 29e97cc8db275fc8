"""Which part of the traffic: a bucket function that is specified, versioned and the same for ever.

Version 1: `int(SHA256(f"{salt}:{unit}").hexdigest()[:16], 16) / 2**64 < share`, with salt and unit in UTF-8. A
unit that is in at a share stays in at every larger share. Test vectors: docs/sampling.md.
"""

from __future__ import annotations

import itertools
import os
import secrets
from collections.abc import Callable
from hashlib import sha256
from struct import Struct
from typing import Final

from shadoweval.errors import ShareError

__all__ = ["VERSION", "bucket", "bucketer", "request_id", "share_of"]

VERSION: Final = 1
_TWO: Final = Struct(">QQ").unpack_from
_SCALE: Final = 2.0**-64


def bucket(salt: str, unit: str) -> float:
    """Where `unit` falls in [0, 1) under `salt`."""
    return bucketer(salt)(unit)[0]


def bucketer(salt: str) -> Callable[[str], tuple[float, float]]:
    """Gives a unit's bucket, and a second number in [0, 1) that does not depend on it (bits 64 to 127 of the hash)."""
    salted = sha256(f"{salt}:".encode()).copy

    def placed(unit: str) -> tuple[float, float]:
        hashed = salted()
        hashed.update(unit.encode())
        first, second = _TWO(hashed.digest())
        return first * _SCALE, second * _SCALE

    return placed


def share_of(what: str, value: float) -> float:
    """A share of the traffic.

    Raises:
        ShareError: not a number from 0 to 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:  # pyright: ignore[reportUnnecessaryIsInstance] - users' values
        raise ShareError(what, value)
    return float(value)


class _Ids:
    """Random prefix of this process, and a counter: unique without a system call per request."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.prefix = secrets.token_hex(8)
        self.next = itertools.count(1).__next__


_ids: Final = _Ids()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ids.renew)


def request_id() -> str:
    """An id that no other call of any process has."""
    return f"{_ids.prefix}{_ids.next()}"
