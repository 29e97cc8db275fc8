"""What earlier looks said, carried from one evaluation to the next: how the evidence grew, in numbers only.

Each evaluation holds the looks before it, so that a report needs no store and no other evaluation's texts.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from shadoweval.records import Arm, AskedWhen, Evaluation, PastLook, Verdict
from shadoweval.verdict.trial import Trial

__all__ = ["asked_when", "history_after", "shortened"]

_KEPT: Final = 60
"""Looks; beyond that every second one of the older half is left out."""


def history_after(
    before: Evaluation | None, now: Mapping[Arm, tuple[Verdict, tuple[PastLook, ...]]]
) -> dict[Arm, tuple[PastLook, ...]]:
    """By candidate: the looks up to the evaluation `before` that were about the gates of its verdict now.

    A trend is a trial of its own each time, so it is no part of any history; nor is what other gates asked. Where
    there was no look before, the points on the way of this one take the place.

    Args:
        before: The one before this; None: there is none.
        now: Candidate -> its verdict, and those points.
    """
    history = dict(before.history) if before is not None else {}
    if before is not None and not before.trend:
        history |= {
            verdict.candidate: (*history.get(verdict.candidate, ()), _past(before, verdict))
            for verdict in before.verdicts
        }
    kept: dict[Arm, tuple[PastLook, ...]] = {}
    for candidate in dict.fromkeys((*history, *now)):
        looks = history.get(candidate, ())
        verdict, points = now.get(candidate, (None, ()))
        gates = None if verdict is None else {gate.sentence for gate in verdict.gates}
        kept[candidate] = _thinned(tuple(look for look in looks if gates is None or set(look.gates) == gates)) or points
    return {candidate: looks for candidate, looks in kept.items() if looks}


def _past(evaluation: Evaluation, verdict: Verdict) -> PastLook:
    return PastLook(
        id=evaluation.id,
        at=evaluation.created_at,
        decision=verdict.decision,
        pairs=verdict.pairs,
        gates={
            gate.sentence: (gate.state, gate.share_of_evidence, gate.difference, gate.lower, gate.upper)
            for gate in verdict.gates
        },
    )


def _thinned(looks: tuple[PastLook, ...]) -> tuple[PastLook, ...]:
    if len(looks) <= _KEPT:
        return looks
    half = len(looks) // 2
    return (*looks[:half:2], *looks[half:])


def asked_when(trial: Trial) -> AskedWhen | None:
    """When the queries of its pairs were asked; None: there is no pair."""
    if not trial.pairs:
        return None
    first, last = (datetime.fromtimestamp(moment, UTC) for moment in (trial.first_asked, trial.last_asked))
    return AskedWhen(first=first, last=last, hours_of_day=trial.hours.covered(24))


def shortened(erased: int) -> tuple[str, ...]:
    """That retention, or an erasure, has taken evidence away; nothing where it has not."""
    if not erased:
        return ()
    sentence = (
        f"Warning: {erased:,} mirrored queries were purged or erased and are no evidence any more: what is judged "
        "began later. Keep queries for longer than the experiment runs (retention), or begin a window (--new-window)."
    )
    return (sentence,)
