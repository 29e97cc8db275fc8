"""The first screen: what is decided, what gets better and worse and by how much, what is missing, what to do now."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from shadoweval.records import AskedWhen, Evaluation, MetricSummary, Verdict
from shadoweval.records.changes import Change, slice_words
from shadoweval.records.sentences import headline, missing, next_step, sides_of

__all__ = ["bar_of", "moment"]

_MARKS: Final = {"promote": "✔", "hold": "◆", "rollback": "✖"}
_SHOWN: Final = 3
_HOUR: Final = 3600
_DAY: Final = 24.0


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
    if hours >= 2:
        return f"{hours:.1f} hours"
    minutes = round(hours * 60)
    return "1 minute" if minutes == 1 else f"{minutes} minutes"


def bar_of(evaluation: Evaluation, verdict: Verdict) -> dict[str, Any]:
    """What the bar shows of one candidate."""
    name = verdict.candidate
    summaries = evaluation.summaries.get(name, ())
    sides = sides_of(verdict, summaries)
    return {
        "mark": _MARKS[verdict.decision],
        "headline": headline(verdict, sides, trend=evaluation.trend),
        "worse": _lines(sides.worse),
        "better": _lines(sides.better),
        "unclear": _lines(sides.unclear),
        "worse_parts": _worse_parts(evaluation, name, summaries),
        "asked": _asked_words(evaluation.asked.get(name), evaluation),
        "missing": missing(verdict, summaries),
        "next": next_step(verdict, sides, trend=evaluation.trend),
    }


def _lines(changes: Sequence[Change]) -> dict[str, Any]:
    shown = [{"metric": each.metric, "words": each.words, "interval": each.interval} for each in changes[:_SHOWN]]
    return {"shown": shown, "more": [each.metric for each in changes[_SHOWN:]]}


def _worse_parts(evaluation: Evaluation, candidate: str, summaries: Sequence[MetricSummary]) -> list[str]:
    by_name = {summary.metric: summary for summary in summaries}
    parts = [part for part in evaluation.slices.get(candidate, ()) if part.state == "worse"]
    return [f"{part.metric} where {part.slice}: {slice_words(part, by_name.get(part.metric))}" for part in parts[:2]]
