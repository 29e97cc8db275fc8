"""What is missing is a number: pairs that never came, scores that are not there, and whether they could tip a proof.

Two shares count for each gate: of the sampled queries, those that became no pair; of the pairs, those without the
scores that the gate asks for, for a reason that may lie in the answer (`Unscored.informative`). Both enter the decision
as if they were as bad as can be, or, where at most 5 % are missing, by how bad they would have to be.
Scores that are missing for reasons that can't lie in the answer (no label, a judge that was busy) are shown, and the
pairs that have one are compared with those that have none (`representative`).
"""

from __future__ import annotations

from collections import Counter
from typing import Final

from shadoweval.counters import ALIKE
from shadoweval.evidence.capped import CappedRatio
from shadoweval.evidence.looks import Looks
from shadoweval.evidence.validity import TOLERABLE_SHARE, missing_is_tolerable, share_exceeds
from shadoweval.records import Coverage
from shadoweval.verdict.claims import Claim
from shadoweval.verdict.summary import MetricCounts

__all__ = ["could_tip", "losses", "missing_share", "missing_tolerable", "unscored_share"]

_SHOWN: Final = 3


def losses(coverage: Coverage) -> Counter[str]:
    """Sampled queries that became no pair, by reason; what was switched off, or not drawn, is no loss."""
    lost = Counter({reason: n for reason, n in coverage.not_mirrored.items() if reason not in ALIKE})
    lost.update(coverage.failed)
    if coverage.gap:
        lost["unaccounted for"] += coverage.gap
    return lost


def missing_share(coverage: Coverage, ended: float = 0.0) -> float:
    """Share of the sampled queries that have no pair, or one whose run the shadow ended.

    Args:
        coverage: The funnel.
        ended: Share of the pairs that the shadow ended.
    """
    lost = losses(coverage).total()
    sampled = lost + coverage.paired
    missing = lost / sampled if sampled else 0.0
    return missing + (1 - missing) * ended


def unscored_share(claim: Claim, counts: MetricCounts) -> tuple[int, int]:
    """Pairs without the scores that the claim asks for, for a reason that may lie in the answer, and of how many."""
    if claim.gate.compares:
        return counts.informative, counts.informative + counts.both
    return counts.own_informative, counts.own_informative + counts.candidate_scored


def missing_tolerable(claim: Claim, looks: Looks, *, promotion_alpha: float, missing: float) -> bool:
    """Whether the claim would hold in spite of this share of missing pairs."""
    if missing == 0:
        return True
    mean, margin, variable = claim.holds.mean, claim.holds.margin, claim.variables[0]
    if claim.holds.side == "greater":
        lower, margin, lowest = looks.bound(mean, promotion_alpha, "lower"), -margin, mean.lo
    else:
        lower, lowest = -looks.bound(mean, promotion_alpha, "upper"), -mean.hi
    # An amount without a range is a small share of its cap; there, twice the usual amount is far off.
    lowest = max(lowest, variable.ends[0] if claim.holds.side == "greater" else -variable.ends[1])
    far = {"far": variable.usual} if isinstance(variable, CappedRatio) else {}
    return missing_is_tolerable(lower, missing, margin=margin, lowest=lowest, **far)


def could_tip(claim: Claim, counts: MetricCounts | None, coverage: Coverage | None, *, proven: bool) -> str:
    """Why what is missing stands in the way, and what mends it; empty while more pairs may settle it."""
    lacking, asked = (0, 0) if counts is None else unscored_share(claim, counts)
    lost = Counter[str]() if coverage is None else losses(coverage)
    many = share_exceeds(lacking, asked, TOLERABLE_SHARE)
    if not proven and not many:
        return ""
    parts: list[str] = []
    if lacking and counts is not None:
        parts.append(
            f"{lacking} of {asked} pairs have no score of {claim.metric.name} for a reason that may lie in the answer "
            f"({_named(counts.unscored)})"
        )
    if lost and coverage is not None:
        parts.append(f"{lost.total()} sampled queries became no pair ({_named(lost)})")
    missing = " and ".join(parts) or "runs that the shadow ended"
    start = "proven for the pairs that came, but the missing ones could tip it: " if proven else ""
    mend = (
        f". Let the scorer of {claim.metric.name} score them, or say Unscored(reason, informative=False) where the "
        "reason can't lie in the answer"
        if lacking
        else ""
    )
    return f"{start}{missing}{mend}"


def _named(reasons: Counter[str]) -> str:
    return ", ".join(f"{reason} ({n})" for reason, n in reasons.most_common(_SHOWN))
