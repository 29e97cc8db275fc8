"""Time as a parameter."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

__all__ = ["Clock", "utc_now"]

Clock = Callable[[], datetime]
"""Aware UTC time, now."""


def utc_now() -> datetime:
    """The system's clock."""
    return datetime.now(UTC)
