"""What a mirror does with each call."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from shadoweval.capture.outcomes import Extract
from shadoweval.mirror.redaction.redactor import Redactor

__all__ = ["Plan", "Reader", "now"]

Reader = Callable[..., Any]
"""Gets the call's own arguments."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror does with each call; made once."""

    experiment: str
    outlet: Any
    sample: float
    control: float
    salt: str
    decide: Callable[[str, Mapping[str, Any]], str | None] | None
    attributes: Reader | None
    unit: Reader | None
    text: Reader | None
    inputs: Reader | None
    outcome: Extract | None
    redact: Redactor | None
    versions: dict[str, str]
    clock: Callable[[], datetime]
    max_bytes: int
    observe: Callable[..., None] | None
    """Called as `observe(seconds, failed=, mirrored=)` at the end of mirrored and control calls."""
    charge: Callable[[], Any] | None
    """Called for each mirrored call."""


def now() -> datetime:
    """The time of day, aware."""
    return datetime.now(UTC)
