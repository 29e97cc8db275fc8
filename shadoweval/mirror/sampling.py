"""Who is in the sample: ids and chance. What a unit has to say see `buckets`."""

from __future__ import annotations

import itertools
import os
import random
from typing import Final

__all__ = ["draw", "ids", "request_id"]


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
