"""What an answer to "Is the comparison valid?" is made of."""

from __future__ import annotations

from typing import Final, NamedTuple

__all__ = ["MANY", "Line"]

MANY: Final = 0.05
"""A share of pairs lost or unscored from which a line is marked."""


class Line(NamedTuple):
    """One answer."""

    what: str
    state: str
    """`good`, `look` (worth a look) or `bad`."""
    words: str
    details: tuple[str, ...] = ()
    """What is folded below it."""
