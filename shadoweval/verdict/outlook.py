"""How far off the decision on a gate is, and towards what: an estimate by what was seen, never a reason to stop.

Live traffic is counted in pairs, with the time they take if they come as they came. Where units come back, pairs of
the same ones bring little, so new units are counted. A suite takes more cases, however long it waits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from shadoweval.evidence.looks import MarginTest
from shadoweval.evidence.planning import cases_to_go, pairs_to_go, planned_pairs
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.weighing import GateEvidence

__all__ = ["Outlook", "outlook_of"]

_FUTURES: Final = 60
_COARSE: Final = 500
_RETURNING: Final = 1.1
_UNITS: Final = "users, sessions or questions that have not come before"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """What is still to come until a gate is decided: about how much more, and in words."""

    pairs: tuple[int, int, int] | None = None
    """Middle, early and late; None: that can't be said."""
    text: str = "no end is in sight yet"


def outlook_of(gate: GateEvidence, trial: Trial, rules: Rules) -> Outlook:
    """What is to be expected of a gate that is not decided yet."""
    if gate.doubt:
        return Outlook(text=gate.doubt)
    test = gate.claim.holds
    if test.mean.n < 2:
        return Outlook()
    worse = test.gap <= 0
    more = _units(gate.claim.breaks if worse else test, rules, alpha=rules.alpha if worse else rules.promotion_alpha)
    if more is None:
        return Outlook()
    floor = 0 if worse else rules.least_units - gate.n
    units = sorted(max(n, floor) for n in more)
    per_unit = trial.pairs / gate.n
    early, middle, late = (math.ceil(n * per_unit) for n in units)
    towards = ", and then more likely rollback" if worse else ""
    if rules.ended:
        return Outlook(pairs=(middle, early, late), text=f"about {middle:,} more cases{towards}")
    if per_unit >= _RETURNING:
        text = f"about {units[1]:,} more {_UNITS}, {units[0]:,} to {units[2]:,}{towards}"
        return Outlook(pairs=(middle, early, late), text=text)
    seconds = trial.last_asked - trial.first_asked
    when = f", some {_span(middle / trial.pairs * seconds / 3600)} at the traffic so far" if seconds > 0 else ""
    return Outlook(
        pairs=(middle, early, late), text=f"about {middle:,} more pairs, {early:,} to {late:,}{towards}{when}"
    )


def _units(test: MarginTest, rules: Rules, *, alpha: float) -> tuple[int, int, int] | None:
    """How many more units until this is proven, early, middle and late; None where that can't be said."""
    mean = test.mean
    if test.gap <= 0:
        return None
    if rules.once:
        more = cases_to_go(mean, test.margin, test.side, alpha=alpha)
        return None if more is None else (more, more, more)
    if mean.bins > _COARSE:
        if mean.variance == 0:
            return None
        plan = planned_pairs(mean.variance, test.gap)
        middle, late = plan.half - mean.n, plan.most - mean.n
        return (max(middle // 2, 0), middle, late) if middle > 0 else None
    to_go = pairs_to_go(mean, test.margin, test.side, alpha=alpha, futures=_FUTURES)
    return None if to_go.chance < 0.5 else (to_go.early, to_go.median, to_go.late)


def _span(hours: float) -> str:
    for size, name in ((24.0, "days"), (1.0, "hours"), (1 / 60, "minutes")):
        if hours >= 1.5 * size:
            return f"{hours / size:,.0f} {name}"
    return "2 minutes"
