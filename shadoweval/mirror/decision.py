"""Whether a call is mirrored, where a unit, attributes or somebody else has a say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shadoweval.buckets import bucket
from shadoweval.mirror.sampling import draw, ids

if TYPE_CHECKING:
    from shadoweval.mirror.site import Site

__all__ = ["decided"]


def decided(  # noqa: PLR0917 - the request path
    site: Site, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> str | tuple[str, float | None, Mapping[str, Any]]:
    """Why the call is not mirrored; or its unit, the unit's bucket, and its attributes."""
    plan = site.plan
    attributes = {} if plan.attributes is None else plan.attributes(*args, **kwargs)
    found = plan.unit(*args, **kwargs) if plan.unit is not None else None
    unit = "" if found is None else str(found)
    if plan.decide is not None:
        reason = plan.decide(unit or f"{ids.prefix}{number}", attributes)
        if reason is not None:
            return reason
    if unit and plan.sample >= 1.0:  # whoever finishes the draft works the bucket out
        return unit, None, attributes
    place = bucket(plan.salt, unit) if unit else draw()
    return "not_sampled" if place >= plan.sample else (unit, place, attributes)
