"""When the evidence of several guards says promote, roll back, or hold on.

Rolling back needs one guard to be materially worse than its margin; merging by the mean of the e-values keeps the
chance of a false rollback at alpha however the guards depend on each other. Promoting needs every guard to be shown
no worse at the same moment, which is an intersection-union test (Berger 1982) and needs no correction.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from shadoweval.evidence.inputs import FloatArray, Floats, StatsInputError, at_least, share
from shadoweval.evidence.multiplicity import e_closed, log_e_values, mean_log_e

__all__ = [
    "ALPHA",
    "MIN_UNITS",
    "Attribution",
    "Decision",
    "Outcome",
    "attribute",
    "guard_verdict",
    "promote_evidence",
    "rollback_evidence",
]

Outcome: TypeAlias = Literal["promote", "hold", "rollback"]

ALPHA = 0.05
MIN_UNITS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Attribution:
    """Which guards an alarm is about: `named` with familywise certainty, else `likeliest` as the best guess."""

    named: tuple[int, ...]
    likeliest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What the evidence says now.

    Attributes:
        outcome: `rollback` is checked before `promote`; `hold` when neither is shown.
        log_rollback: Log evidence that some guard is worse than its margin.
        log_promote: Log evidence of the guard that is furthest from being shown no worse.
        log_notice: Log evidence that some guard is worse at all, within its margin or not.
        rollback_at: What `log_rollback` and `log_notice` must reach.
        promote_at: What `log_promote` must reach.
        notice: A real regression was found; printed next to any outcome.
        blame: What a rollback, or else a notice, is about; None without either.
        blocked: Why promotion was withheld although the guards allow it or would; empty when nothing stood in the way.
    """

    outcome: Outcome
    log_rollback: float
    log_promote: float
    log_notice: float
    rollback_at: float
    promote_at: float
    notice: bool
    blame: Attribution | None
    blocked: tuple[str, ...]


def rollback_evidence(log_mat: Floats, *, weights: Floats | None = None) -> FloatArray:
    """Log evidence that some guard is materially worse, along the last axis; weights are fixed before any data."""
    return mean_log_e(log_mat, weights=weights)


def promote_evidence(log_ni: Floats, *, log_sup: Floats | None = None) -> FloatArray:
    """Log evidence of the weakest claim that promotion needs, along the last axis.

    Args:
        log_ni: Per guard, log evidence that it is no worse than its margin, shape (..., J).
        log_sup: Per required improvement, log evidence that it is there, shape (..., S).
    """
    weakest = log_e_values(log_ni).min(axis=-1)
    return weakest if log_sup is None else np.minimum(weakest, log_e_values(log_sup).min(axis=-1))


def attribute(log_e: Floats, *, alpha: float = ALPHA) -> Attribution:
    """Which of the guards an alarm is about, with a chance of at most alpha to name an innocent one."""
    values = log_e_values(log_e)
    named = tuple(int(index) for index in np.flatnonzero(e_closed(values, alpha)))
    return Attribution(named=named, likeliest=int(values.argmax()))


def _aligned(*evidence: Floats) -> tuple[FloatArray, ...]:
    arrays = tuple(log_e_values(values) for values in evidence)
    if arrays[0].ndim != 1 or any(array.shape != arrays[0].shape for array in arrays):
        raise StatsInputError(
            f"Each guard needs one log e-value per question, but the shapes are {[array.shape for array in arrays]}."
        )
    return arrays


def guard_verdict(
    log_ni: Floats,
    log_mat: Floats,
    log_reg: Floats,
    *,
    n_units: int,
    log_sup: Floats | None = None,
    weights: Floats | None = None,
    alpha: float = ALPHA,
    min_units: int = MIN_UNITS,
    candidates: int = 1,
    blocked: Sequence[str] = (),
) -> Decision:
    """The rule on the current log e-values of J guards, each oriented so that larger is better.

    With D the paired difference and d >= 0 the margin of a guard, its evidence comes from HistBet as
    ``log_ni = log_e(-d, "greater")``, ``log_mat = log_e(-d, "less")``, ``log_reg = log_e(0, "less")`` and, for a
    required improvement by s, ``log_sup = log_e(s, "greater")``. Use current values, never running maxima.

    Args:
        log_ni: Evidence per guard that it is no worse than its margin, shape (J,).
        log_mat: Evidence per guard that it is worse than its margin, shape (J,).
        log_reg: Evidence per guard that it is worse at all, shape (J,).
        n_units: Independent units (clusters) judged so far.
        log_sup: Evidence per required improvement.
        weights: Weights of the guards in the mean that decides on rollback and notice.
        alpha: Chance of a false promotion, and of a false rollback.
        min_units: Fewer units than this never promote.
        candidates: Candidates tried at once; promotion demands ln(candidates / alpha).
        blocked: Reasons that forbid promotion whatever the evidence says (open alarm, missing metric, short cycle).

    Raises:
        StatsInputError: The arrays are empty, differ in length or hold NaN, or a setting is out of range.
    """
    no_worse, material, regressed = _aligned(log_ni, log_mat, log_reg)
    rollback_at = math.log(1 / share(alpha, "alpha"))
    promote_at = rollback_at + math.log(at_least(candidates, 1, name="candidates"))
    rollback = float(rollback_evidence(material, weights=weights))
    promote = float(promote_evidence(no_worse, log_sup=log_sup))
    regression = float(mean_log_e(regressed, weights=weights))
    few = (f"{n_units} of at least {min_units} units",) if n_units < min_units else ()
    barriers = (*few, *blocked)
    rolls_back, notice = rollback >= rollback_at, regression >= rollback_at
    outcome: Outcome = "hold"
    if rolls_back:
        outcome = "rollback"
    elif promote >= promote_at and not barriers:
        outcome = "promote"
    alarm = material if rolls_back else regressed if notice else None
    return Decision(
        outcome=outcome,
        log_rollback=rollback,
        log_promote=promote,
        log_notice=regression,
        rollback_at=rollback_at,
        promote_at=promote_at,
        notice=notice,
        blame=None if alarm is None else attribute(alarm, alpha=alpha),
        blocked=barriers,
    )
