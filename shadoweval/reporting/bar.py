"""The first screen: what is decided, what gets better and worse and by how much, what is missing, what to do now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from shadoweval.records import AskedWhen, Evaluation, GateResult, MetricSummary, Verdict
from shadoweval.reporting.changes import Change, changes_of, slice_words

__all__ = ["bar_of", "moment"]

_MARKS: Final = {"promote": "✔", "hold": "◆", "rollback": "✖"}
_SHOWN: Final = 3
_HOUR: Final = 3600
_DAY: Final = 24.0
_SMALL: Final = 0.002
"""A change below this share of the larger value is none that anybody would name first."""


def moment(at: datetime | None) -> str:
    """`2 Nov 2026 14:05 UTC`; a dash where it is unknown."""
    return "–" if at is None else f"{at.day} {at:%b %Y %H:%M} UTC"


def _asked_words(asked: AskedWhen | None, evaluation: Evaluation) -> str:
    """From when to when the queries were asked, and how long that is."""
    if asked is None:
        if evaluation.since is None:
            return f"all queries until {moment(evaluation.until)}"
        return f"{moment(evaluation.since)} to {moment(evaluation.until)}"
    span = _span((asked.last - asked.first).total_seconds() / _HOUR)
    dates = f"{moment(asked.first).removesuffix(' UTC')} to {moment(asked.last)}"
    return f"{dates} ({span}, {asked.hours_of_day} of 24 hours of the day)"


def _span(hours: float) -> str:
    if hours >= 2 * _DAY:
        return f"{hours / _DAY:.1f} days"
    return f"{hours:.1f} hours" if hours >= 2 else f"{hours * 60:.0f} minutes"


def bar_of(evaluation: Evaluation, verdict: Verdict) -> dict[str, Any]:
    """What the bar shows of one candidate."""
    name = verdict.candidate
    summaries = evaluation.summaries.get(name, ())
    changes = changes_of(verdict, summaries)
    worse = [each for each in changes if each.direction == "worse" or each.broken]
    better = [each for each in changes if each.direction == "better" and not each.broken]
    leaning = [each for each in changes if each.direction == "unclear" and each.weight > _SMALL and not each.broken]
    return {
        "mark": _MARKS[verdict.decision],
        "headline": _headline(verdict, worse, trend=evaluation.trend),
        "worse": _lines(worse),
        "better": _lines(better),
        "unclear": _lines(leaning),
        "worse_parts": _worse_parts(evaluation, name, summaries),
        "asked": _asked_words(evaluation.asked.get(name), evaluation),
        "missing": _missing(verdict, summaries),
        "next": _next(verdict, worse, trend=evaluation.trend),
    }


def _lines(changes: Sequence[Change]) -> dict[str, Any]:
    shown = [{"metric": each.metric, "words": each.words, "interval": each.interval} for each in changes[:_SHOWN]]
    return {"shown": shown, "more": [each.metric for each in changes[_SHOWN:]]}


def _worse_parts(evaluation: Evaluation, candidate: str, summaries: Sequence[MetricSummary]) -> list[str]:
    by_name = {summary.metric: summary for summary in summaries}
    parts = [part for part in evaluation.slices.get(candidate, ()) if part.state == "worse"]
    return [f"{part.metric} where {part.slice}: {slice_words(part, by_name.get(part.metric))}" for part in parts[:2]]


def _headline(verdict: Verdict, worse: Sequence[Change], *, trend: bool) -> str:
    name = verdict.candidate
    worst = f"{worse[0].metric} {worse[0].words}" if worse else ""
    if trend:
        return f"A trend, no verdict: nothing may act on it.{f' Worse in it: {worst}.' if worst else ''}"
    if verdict.decision == "promote":
        but = f", but it is worse in {_counted(worse)}: {worst}" if worse else " and nothing measured gets worse"
        return f"{name} may be rolled out: every required gate is proven{but}."
    if verdict.decision == "rollback":
        what = f"{worst}" if worst else verdict.reasons[0] if verdict.reasons else "a gate is proven broken"
        return f"Keep the incumbent: {name} is proven worse than allowed. {what}."
    also = f" Worse so far: {worst}." if worst else ""
    if verdict.why == "error":
        return f"Keep the incumbent: the evidence on {name} can't be trusted yet.{also}"
    return f"Keep the incumbent for now: {name} is proven neither good enough nor worse than allowed.{also}"


def _counted(worse: Sequence[Change]) -> str:
    return "one thing" if len(worse) == 1 else f"{len(worse)} things, most of all"


def _undecided(verdict: Verdict) -> list[GateResult]:
    return [gate for gate in verdict.gates if gate.state in {"open", "error"} and not gate.dry_run]


def _missing(verdict: Verdict, summaries: Sequence[MetricSummary]) -> list[str]:
    """What is not there yet: trust, proofs, hours, scores."""
    lines: list[str] = []
    if verdict.why == "error":
        lines += verdict.reasons[:2]
    elif verdict.why == "inconclusive":
        lines += verdict.reasons[:_SHOWN]
        lines += [f"{len(verdict.reasons) - _SHOWN} more reasons below"] * (len(verdict.reasons) > _SHOWN)
    worst = max(summaries, key=lambda summary: summary.lacking, default=None)
    if worst is not None and worst.lacking:
        lines.append(f"{worst.metric} has no score in {worst.lacking:,} of {worst.lacking + worst.scored:,} pairs")
    return lines or ["nothing: every gate is decided, and every pair has its scores"]


def _next(verdict: Verdict, worse: Sequence[Change], *, trend: bool) -> str:
    """What to do now."""
    if trend:
        return "Let the window begin at a fixed time, for a verdict."
    if verdict.decision == "promote":
        if not worse:
            return f"Roll out {verdict.candidate}."
        return f"Decide whether {worse[0].metric} may get worse; if so, roll out {verdict.candidate}."
    if verdict.decision == "rollback":
        return "Do not roll out. Look at its worst queries below, mend it, and begin a new window."
    return (
        "Mend what stands under Missing; pairs that come meanwhile count." if verdict.why == "error" else _wait(verdict)
    )


def _wait(verdict: Verdict) -> str:
    """What to wait for: the gate that takes longest."""
    waits = [gate for gate in _undecided(verdict) if gate.pairs_needed is not None]
    if not waits:
        return "Let the mirror run, and look at why each gate is open below."
    slowest = max(waits, key=lambda gate: (gate.pairs_needed or (0,))[0])
    return f"Let the mirror run: {slowest.outlook}."
