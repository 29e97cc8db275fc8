"""The evidence on one gate: how far it is proven, how far it is broken, and what stands in the way of either."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shadoweval.evidence.looks import ALWAYS, ONCE, Looks
from shadoweval.evidence.views import View
from shadoweval.records import Coverage
from shadoweval.verdict.caps import doubt_of, rollback_stands
from shadoweval.verdict.claims import Claim
from shadoweval.verdict.drawn import drawn_doubt
from shadoweval.verdict.missing import could_tip, missing_tolerable, unscored_share
from shadoweval.verdict.outages import credited_doubt
from shadoweval.verdict.returning import breaking_views, returning_doubt
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.summary import MetricCounts

__all__ = ["GateEvidence", "looks_of", "views_of", "weigh"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvidence:
    """Current log e-values of one gate."""

    claim: Claim
    n: int
    holds: float
    views: tuple[View, ...]
    """Who says that it is broken: the first clusters of all units (`breaks`), and views of those who came back."""
    notice: float | None
    """Worse than the incumbent at all; None for a gate on the candidate's own level."""
    tolerable: bool
    """Whether the claim would hold whatever the missing pairs were like."""
    doubt: str = ""
    """Why it can't be taken as proven whatever its evidence says; empty: nothing is in the way."""

    @property
    def breaks(self) -> float:
        """What the first clusters say."""
        return self.views[0].log_e

    def looks_broken(self, rules: Rules) -> bool:
        """Whether some view has enough evidence against it by itself."""
        return any(view.log_e >= view.needed(rules.rollback_alpha) for view in self.views)


def looks_of(rules: Rules) -> Looks:
    """How evidence is read under these rules."""
    return ONCE if rules.once else ALWAYS


def weigh(
    claim: Claim,
    *,
    rules: Rules,
    missing: float,
    counts: MetricCounts | None = None,
    coverage: Coverage | None = None,
    largest: float = 0.0,
) -> GateEvidence:
    """The evidence on one claim.

    Args:
        claim: With its evidence.
        rules: Levels and floors.
        missing: Share of the sampled queries without a pair.
        counts: Of its metric, over all pairs; None: nothing is known of what is missing among the pairs.
        coverage: The funnel, to name what is missing.
        largest: Share of the pairs that one unit brought.
    """
    looks = looks_of(rules)
    holds, views = looks.log_e(claim.holds), views_of(claim, rules)
    proven = holds >= math.log(1 / rules.promotion_alpha)
    lacking, asked = (0, 0) if counts is None else unscored_share(claim, counts)
    missing = 1 - (1 - missing) * (1 - (lacking / asked if asked else 0.0))
    tolerable = missing_tolerable(claim, looks, promotion_alpha=rules.promotion_alpha, missing=missing)
    credited = "" if claim.uncredited is None else credited_doubt(looks.log_e(claim.uncredited), rules, proven=proven)
    doubt = credited or drawn_doubt(claim.metric, counts) or doubt_of(claim, counts and counts.means, proven=proven)
    doubt = doubt or returning_doubt(claim, views, alpha=rules.alpha, largest=largest)
    if not doubt and not tolerable and counts is not None:
        doubt = could_tip(claim, counts, coverage, proven=proven)
    return GateEvidence(
        claim=claim,
        n=claim.holds.mean.n,
        holds=holds,
        views=views,
        notice=looks.merged([looks.log_e(test) for test in claim.notices]) if claim.notices else None,
        tolerable=tolerable,
        doubt=doubt,
    )


def views_of(claim: Claim, rules: Rules) -> tuple[View, ...]:
    """The evidence that the claim is broken, by view."""
    views = breaking_views(claim, looks_of(rules), once=rules.once)
    if rollback_stands(claim, alpha=rules.rollback_alpha):
        return views
    return tuple(view._replace(log_e=min(view.log_e, 0.0)) for view in views)
