"""Where calls begin of something that is no function: a client, a graph, an app."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import msgspec

from shadoweval.checks import checked_instance, checked_target
from shadoweval.mirror.decorator import Mirror
from shadoweval.mirror.plan import Plan, Site
from shadoweval.records import Outcome

__all__ = ["site_of"]


def site_of(
    mirror: Mirror,
    entry: str | None,
    *,
    extract: Callable[[Plan, Any], Outcome] | None = None,
    value_of: Callable[[Any], Any] | None = None,
    **changes: Any,
) -> Site:
    """Where the calls of something that is no function begin.

    Args:
        mirror: How they are mirrored.
        entry: `"module:attribute"` of it, for re-runs of the incumbent; None: as the mirror says, else nowhere.
        extract: The outcome of what a call gives, from the mirror's own plan and it.
        value_of: What the mirror's own `failures` gets of what a call gives.
        changes: Other fields of the plan that are not the mirror's.

    Raises:
        ArgumentError: not a mirror.
        TargetError: `entry` is not written as `"module:attribute"`.
    """
    checked_instance("mirror", mirror, Mirror, mend="Write experiment.mirror(...), with its parentheses.")
    if entry is not None:
        checked_target(entry, what="entry")
    if extract is not None:
        changes["outcome"] = functools.partial(extract, mirror.plan)
    own = mirror.plan.failures
    if own is not None and value_of is not None:

        def failures(given: Any) -> bool | str | None:
            return own(given if isinstance(given, BaseException) else value_of(given))

        changes["failures"] = failures
    return Site(msgspec.structs.replace(mirror.plan, **changes), entry or mirror.entry or "", method=False)
