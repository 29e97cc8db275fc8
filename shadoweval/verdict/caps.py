"""What a cap on amounts without a range can't show: giants that it cuts, and a ratio that contradicts its proof.

Where nobody declares the most that one query can count, the cap is learned from earlier pairs, and what is proven holds
for values up to it. A value beyond it shows that it was too low: the gate then proves nothing until a cap is declared.
A declared cap is the user's statement, so values beyond it count as the cap, and are said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from shadoweval.evidence.caps import Cut
from shadoweval.evidence.quantiles import Exceedances
from shadoweval.verdict.claims import Claim
from shadoweval.verdict.gates import Gate

__all__ = ["cap_notices", "doubt_of", "rollback_stands"]


def _cut(claim: Claim) -> Cut | None:
    cut = getattr(claim.variables[0], "cut", None)
    return cut if isinstance(cut, Cut) and (cut.incumbent or cut.candidate) else None


def _learned_cut(claim: Claim) -> Cut | None:
    """What a cap that nobody declared cut off; None: nothing."""
    return _cut(claim) if claim.gate.cap is None else None


def doubt_of(claim: Claim, means: tuple[float, float] | None, *, proven: bool) -> str:
    """Why this claim can't be taken as proven, with the line that mends it; empty: nothing is in the way.

    Args:
        claim: The claim, with its evidence.
        means: Of incumbent and candidate, uncut, over all pairs.
        proven: Whether its evidence says that it holds; only then can the means contradict it.
    """
    gate, cut, variable = claim.gate, _learned_cut(claim), claim.variables[0]
    if proven and isinstance(variable, Exceedances) and not variable.surely(worse=False):
        lower, upper = variable.bounds()
        return (
            f"the incumbent's own {gate.metric} lies anywhere from {lower:.3g} to {upper:.3g}, and the candidate's is "
            "not within the margin of all of that. Wait for more pairs, or gate another quantile where values lie in "
            "heaps."
        )
    if cut is not None:
        n = cut.incumbent + cut.candidate
        return (
            f"{n} value{'s were' if n > 1 else ' was'} far larger than all before (up to {cut.largest:.4g}), so the "
            f"mean of {gate.base} hangs on rare giants. Declare the most that one query can count, such as "
            f"{_with_cap(gate, cut.largest)}."
        )
    if gate.ratio and gate.quantile is None and proven and means is not None and means[1] > gate.margin * means[0]:
        cut = _cut(claim)
        beyond = "" if cut is None else f" ({cut.incumbent + cut.candidate} values lie beyond the cap of {gate.cap:g})"
        return (
            f"over all pairs {gate.base} is {means[1]:.4g} against {means[0]:.4g}, more than {gate.margin:g} times as "
            f"much{beyond}, which contradicts the proof. "
            + ("Wait for more pairs." if cut is None else f"Declare a cap that holds: {_with_cap(gate, cut.largest)}.")
        )
    return ""


def rollback_stands(claim: Claim, *, alpha: float) -> bool:
    """Whether "broken" can be believed.

    Cutting the incumbent's giants alone makes the candidate look dearer; and early thresholds of a quantile may have
    lain where neither arm's is.
    """
    variable = claim.variables[0]
    if isinstance(variable, Exceedances):
        return variable.surely(worse=True, allowed=claim.gate.kind != "better")
    cut = _learned_cut(claim)
    if cut is None or not cut.incumbent or claim.ratio is None:
        return True
    return claim.ratio.interval(2 * alpha)[0] > claim.gate.margin


def cap_notices(claims: Sequence[Claim]) -> Iterator[str]:
    """Of each declared cap that values went beyond."""
    for claim in claims:
        cut = _cut(claim)
        if cut is not None and claim.gate.cap is not None:
            yield (
                f"{cut.candidate} values of the candidate and {cut.incumbent} of the incumbent are larger than the cap "
                f"of {claim.gate.cap:g} that '{claim.gate.sentence}' declares, up to {cut.largest:.4g}, and count as it"
            )


def _with_cap(gate: Gate, largest: float) -> str:
    """The gate as the user writes it, with a cap of two digits that the largest value so far fits in."""
    step = 10.0 ** (math.floor(math.log10(largest)) - 1)
    bound = f"ratio={gate.margin:g}" if gate.ratio else f"{gate.margin:g}"
    return f"{gate.kind}({gate.metric!r}, {bound}, cap={math.ceil(largest / step) * step:g})"
