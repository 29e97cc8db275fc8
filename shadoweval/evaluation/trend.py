"""A window that slides with the clock shows a trend: each look begins a trial of its own, so nothing acts on it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from shadoweval.records import Evaluation, Verdict

__all__ = ["as_trend", "newest_verdicts"]

_TREND: Final = (
    "The window slides with the clock, so each look begins a trial of its own, and who looks often enough finds "
    "anything: it shows a trend, on which nothing may act. For a verdict let the window begin at a fixed time "
    "(shadoweval evaluate --since 2026-01-31T12:00Z, --new-window, or neither)"
)
_LIMITS: Final = (1, 20, 500)


def as_trend(verdict: Verdict) -> Verdict:
    """The verdict held as undecided, with what the window alone would say among its notes."""
    alone = (f"In this window alone: {verdict.decision}, {reason}" for reason in verdict.reasons)
    return msgspec.structs.replace(
        verdict, decision="hold", why="inconclusive", reasons=(_TREND,), notices=(*alone, *verdict.notices), trend=True
    )


def newest_verdicts(evaluations: Callable[[int], Sequence[Evaluation]]) -> Evaluation | None:
    """The newest evaluation that is no trend, of so many as `evaluations` is asked for; None: there is none."""
    for limit in _LIMITS:
        newest = evaluations(limit)
        for evaluation in newest:
            if not evaluation.trend:
                return evaluation
        if len(newest) < limit:
            break
    return None
