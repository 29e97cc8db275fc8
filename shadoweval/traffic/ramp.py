"""When an experiment is mirrored, and how much of it: a start, a stop and steps that only go up.

A unit is in while its bucket lies below the share (`shadoweval.buckets`), so whoever came in at a small share stays
in at every larger one, and the share that a model scores lies inside the share that is mirrored under the same salt.
"""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from typing import Annotated

import msgspec

__all__ = ["Moment", "Ramp", "Share"]

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
"""A time with its time zone."""
Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
"""A share from 0 to 1, not a percentage."""


class Ramp(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Share of the units over time: one share, or steps.

    Args:
        share: From `start` to `stop`; None where there are steps.
        steps: The ramp: steps `(when, share)`, rising in both; before the first the share is 0.
        start: Nobody is in before.
        stop: Nobody is in from here on.

    Raises:
        ValueError: neither a share nor a ramp, or both; steps that go back or down; a stop before the start.
    """

    share: Share | None = None
    steps: tuple[tuple[Moment, Share], ...] = ()
    start: Moment | None = None
    stop: Moment | None = None

    def __post_init__(self) -> None:
        if (self.share is None) == (not self.steps):
            raise ValueError("give either `share` or `ramp`")
        if self.start is not None and self.stop is not None and self.stop <= self.start:
            raise ValueError("`stop` is not after `start`")
        for (when, share), (later, larger) in pairwise(self.steps):
            if later <= when:
                raise ValueError(f"`ramp` goes back in time: {later} after {when}")
            if larger < share:
                raise ValueError(f"`ramp` goes down from {share} to {larger}: a ramp only grows, so that members stay")

    def at(self, when: datetime) -> float:
        """Share at a time."""
        if (self.start is not None and when < self.start) or (self.stop is not None and when >= self.stop):
            return 0.0
        if self.share is not None:
            return self.share
        reached = 0.0
        for step, share in self.steps:
            if step > when:
                break
            reached = share
        return reached
