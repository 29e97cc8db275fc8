"""Spans of time as people write them: `90s`, `30m`, `24h`, `7d`."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

from shadoweval.errors import SettingsError

__all__ = ["parse_span"]

_SPAN: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_span(text: str, *, name: str = "span") -> timedelta:
    """`24h` as a timedelta.

    Raises:
        SettingsError: not a positive number with one of s, m, h, d.
    """
    found = _SPAN.fullmatch(text.strip())
    if not found or float(found["number"]) <= 0:
        raise SettingsError(name, text, why="write a number and s, m, h or d, for instance 30m or 24h")
    return timedelta(**{_UNITS[found["unit"]]: float(found["number"])})
