"""Who is in the sample: ids, chance, and what a unit, attributes or somebody else has to say."""

from __future__ import annotations

import itertools
import os
import random
import secrets
from collections.abc import Mapping
from typing import Any, Final

from shadoweval.buckets import bucket
from shadoweval.mirror.plan import Plan

__all__ = ["chance", "decided", "draw", "ids", "request_id"]


chance: Final = random.Random()  # noqa: S311 - no secret
"""Our own: an application that seeds `random` gets the numbers that it gets without us."""
draw: Final = chance.random
"""A number in [0, 1), by chance."""


class _Ids:
    """Random prefix of this process, and a counter: unique without a system call per request."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        self.prefix = secrets.token_hex(8)
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


def decided(
    plan: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str | tuple[str, float | None, Mapping[str, Any]]:
    """Why the call is not mirrored; or its unit, the unit's bucket, and its attributes."""
    attributes = {} if plan.attributes is None else plan.attributes(*args, **kwargs)
    unit = None if plan.unit is None else plan.unit(*args, **kwargs)
    if type(unit) is not str:
        unit = "" if unit is None else str(unit)
    if plan.decide is not None:
        reason = plan.decide(unit or request_id(), attributes)
        if reason is not None:
            return reason
    if unit and plan.sample >= 1.0:  # whoever finishes the draft works the bucket out
        return unit, None, attributes
    position = bucket(plan.salt, unit) if unit else draw()
    return "not_sampled" if position >= plan.sample else (unit, position, attributes)
