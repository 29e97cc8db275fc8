"""Time as a parameter, and spans of time as people write them."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias

from shadoweval.errors import SettingsError

__all__ = ["Clock", "Seconds", "parse_since", "parse_span", "utc_now"]

Clock: TypeAlias = Callable[[], datetime]
"""Gives the time now, as an aware datetime in UTC."""
Seconds: TypeAlias = Callable[[], float]
"""Gives seconds: monotonic ones for durations, seconds since 1970 where processes compare them."""

_SPAN: Final = re.compile(r"(?P<number>\d+(?:\.\d+)?)(?P<unit>[smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)


def parse_span(text: str, *, name: str = "span") -> timedelta:
    """The span that `90s`, `30m`, `24h` or `7d` stands for.

    Args:
        text: A positive number with one of s, m, h, d.
        name: What the span was written for; the error names it.

    Raises:
        SettingsError: anything else.
    """
    match = _SPAN.fullmatch(text.strip())
    if not match or float(match["number"]) <= 0:
        raise SettingsError(name, text, why="write a number and s, m, h or d, for instance 30m or 24h")
    return timedelta(**{_UNITS[match["unit"]]: float(match["number"])})


def parse_since(text: str, *, name: str = "since") -> timedelta | datetime:
    """The span that `24h` stands for, or the time that `2026-01-31T12:00Z` does.

    Raises:
        SettingsError: neither, or a time without its zone.
    """
    try:
        time = datetime.fromisoformat(text.strip())
    except ValueError:
        return parse_span(text, name=name)
    if time.tzinfo is None:
        raise SettingsError(name, text, why=f"say in which zone: {time:%Y-%m-%dT%H:%M}Z is UTC")
    return time.astimezone(UTC)
