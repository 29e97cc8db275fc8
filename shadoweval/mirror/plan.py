"""What is the same for all calls of a mirror, and of one decorated function: worked out once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import time
from typing import TYPE_CHECKING, Any

import msgspec

from shadoweval.buckets import first_out
from shadoweval.capture.copying import encode
from shadoweval.capture.document_parts import HitId
from shadoweval.capture.outcomes import Extract
from shadoweval.mirror.outlet import Outlet
from shadoweval.protocols import Redactor

if TYPE_CHECKING:
    from shadoweval.capture.failures import Failures

__all__ = ["Plan", "Reader", "Site", "now"]

Reader = Callable[..., Any]
"""Gets the call's own arguments."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror does with each call; made once."""

    experiment: str
    outlet: Outlet
    sample: float
    control: float
    salt: str
    decide: Callable[[str, Mapping[str, Any]], str | None] | None
    attributes: Reader | None
    unit: Reader | None
    text: Reader | None
    key: Reader | None
    inputs: Reader | None
    outcome: Extract | None
    failures: Failures | None
    hit_id: HitId | None
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


class Site:
    """A decorated function.

    Args:
        plan: What its mirror does with each call.
        entry: Where a candidate's process finds it, `"module:attribute"`.
        method: Its first argument is the instance or class, and no part of the input.
        names: Of its positional arguments, as far as they have any.
    """

    def __init__(self, plan: Plan, entry: str, *, method: bool, names: Sequence[str] = ()) -> None:
        self.plan, self.entry = plan, entry
        self.outlet = plan.outlet
        self.skip = 1 if method else 0
        self.sample = plan.sample
        self.off = plan.sample <= 0.0
        self.by_chance = plan.unit is plan.attributes is plan.decide is None
        self.salted, self.first_out = f"{plan.salt}:".encode(), first_out(plan.sample)
        self.clock: Any = time if plan.clock is now else plan.clock
        self.names = () if plan.inputs is not None else tuple(names)  # what `inputs` gives has its own names, or none
        self.raw = msgspec.Raw(encode((plan.experiment, entry, plan.salt, plan.versions, self.names)))
