"""What units that come back say beside the evidence of their first clusters: they can break a gate, and bar its proof.

Promotion rests on the first clusters, in which each unit counts once, and holds for traffic only if nothing speaks
against it: not the mean over all pairs, which is what users meet, and no view of those who came back.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from shadoweval.evidence.looks import Looks, MarginTest
from shadoweval.evidence.segments import KEPT
from shadoweval.evidence.views import View
from shadoweval.verdict.claims import Claim
from shadoweval.verdict.rules import Rules

__all__ = ["breaking_views", "population_notice", "returning_doubt"]

_LARGE: Final = 0.05
_ROUNDING: Final = 1e-9


def breaking_views(claim: Claim, looks: Looks, *, once: bool) -> tuple[View, ...]:
    """The evidence that the claim is broken: the first clusters' own, then each view of those who came back."""
    first = looks.log_e(claim.breaks)
    variable, row = claim.broken_row
    alone = (View("", 0.0, first),)
    if variable.views is None:
        return alone
    views = tuple(variable.views.of(first, row=row, margin=claim.breaks.margin, side=claim.breaks.side))
    return alone if once and len(views) == 1 else views


def returning_doubt(claim: Claim, views: Iterable[View], *, alpha: float, largest: float) -> str:
    """What speaks against the claim although its evidence may prove it; empty: nothing.

    Args:
        claim: The claim, with its evidence.
        views: As `breaking_views` gives them.
        alpha: At which one view that is broken is enough to doubt.
        largest: Share of the pairs that one unit brought.
    """
    traffic, test = claim.variables[0].traffic, claim.holds
    if traffic.clustered and _beyond(traffic.mean, test):
        whose = f"; one user, session or question makes {largest:.0%} of them" if largest >= _LARGE else ""
        return (
            "over all pairs it lies beyond the margin, whatever each user or question says the first time: what comes "
            f"again is worse{whose}"
        )
    for view in views:
        if view.name and view.log_e >= math.log(1 / alpha):
            return f"it is worse beyond its margin among {view.name}"
    return ""


def population_notice(claims: Sequence[Claim], rules: Rules, *, days: float) -> Iterator[str]:
    """Of whom the verdict speaks, where not of everybody, after so many days from the first query to the last."""
    units = max((claim.variables[0].traffic.units for claim in claims), default=0)
    if rules.visits:
        yield (
            f"Judged by each visit of the users seen (users, sessions or questions: {units}): what is proven holds for "
            "them, and says nothing of users to come."
        )
    if days > KEPT:
        yield (
            f"The window is {days:.0f} days long: users, sessions and questions that did not come for {KEPT} days "
            "count as new when they come back."
        )


def _beyond(mean: float, test: MarginTest) -> bool:
    """Whether a mean lies on the wrong side of what must be shown."""
    gap = mean - test.margin if test.side == "greater" else test.margin - mean
    return gap < -_ROUNDING
