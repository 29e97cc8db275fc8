"""What a verdict says, in sentences that print, log, alert, Markdown and page share: decided, worse, missing, next.

Only here are they made; whoever shows a verdict lays them out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

from shadoweval.records.amounts import amount, instead, range_words
from shadoweval.records.changes import Change, changes_of, is_about
from shadoweval.records.scores import Decision, GateResult, MetricSummary

__all__ = [
    "gate_bounds", "gate_words", "headline", "lacking", "missing", "next_step", "sides_of", "summary_of_gate",
    "table",
]  # fmt: skip

_SHOWN: Final = 3
_SMALL: Final = 0.002
"""A change below this share of the larger value is none that anybody would name first."""
_STATES: Final = {"holds": "ok", "broken": "BROKEN", "open": "open", "error": "ERROR"}


class _Verdict(Protocol):
    """What of a `Verdict` is said; that one prints itself by `table`, and so stands above."""

    @property
    def experiment(self) -> str: ...
    @property
    def candidate(self) -> str: ...
    @property
    def decision(self) -> Decision: ...
    @property
    def why(self) -> str: ...
    @property
    def pairs(self) -> int: ...
    @property
    def reasons(self) -> tuple[str, ...]: ...
    @property
    def gates(self) -> tuple[GateResult, ...]: ...
    @property
    def notices(self) -> tuple[str, ...]: ...
    @property
    def summaries(self) -> tuple[MetricSummary, ...]: ...
    @property
    def trend(self) -> bool: ...
    @property
    def ended(self) -> bool: ...
    @property
    def live_writes_text(self) -> str: ...


class _Sides(NamedTuple):
    """The changes of a candidate's metrics by where they go, the worst of each first."""

    worse: list[Change]
    better: list[Change]
    unclear: list[Change]
    """They differ, and it may be chance."""


def sides_of(verdict: _Verdict, summaries: Sequence[MetricSummary]) -> _Sides:
    """What gets worse, better, or may do either; what a gate proves broken gets worse."""
    changes = changes_of(verdict.gates, summaries)
    return _Sides(
        worse=[each for each in changes if each.direction == "worse" or each.broken],
        better=[each for each in changes if each.direction == "better" and not each.broken],
        unclear=[each for each in changes if each.direction == "unclear" and each.weight > _SMALL and not each.broken],
    )


def headline(verdict: _Verdict, sides: _Sides, *, trend: bool = False) -> str:
    """The decision in one sentence, with the worst change; `trend`: the window slid with the clock."""
    name = verdict.candidate
    worse = sides.worse
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


def missing(verdict: _Verdict, summaries: Sequence[MetricSummary]) -> list[str]:
    """What is not there yet, a sentence each: trust, proofs, hours, scores."""
    lines: list[str] = []
    if verdict.why == "error":
        lines += verdict.reasons[:2]
    elif verdict.why == "inconclusive":
        lines += verdict.reasons[:_SHOWN]
        lines += [f"{len(verdict.reasons) - _SHOWN} more reasons below"] * (len(verdict.reasons) > _SHOWN)
    lines += filter(None, [lacking(summaries)])
    return lines or ["nothing: every gate is decided, and every pair has its scores"]


def lacking(summaries: Sequence[MetricSummary]) -> str:
    """The metric that lacks most scores; empty: none lacks any."""
    worst = max(summaries, key=lambda summary: summary.lacking, default=None)
    if worst is None or not worst.lacking:
        return ""
    return f"{worst.metric} has no score in {worst.lacking:,} of {worst.lacking + worst.scored:,} pairs"


def next_step(verdict: _Verdict, sides: _Sides, *, trend: bool = False) -> str:
    """What to do now."""
    if trend:
        return "Let the window begin at a fixed time, for a verdict."
    if verdict.decision == "promote":
        if not sides.worse:
            return f"Roll out {verdict.candidate}."
        return f"Decide whether {sides.worse[0].metric} may get worse; if so, roll out {verdict.candidate}."
    again = "run the cases again" if verdict.ended else "begin a new window"
    if verdict.decision == "rollback":
        return f"Do not roll out. Look at its worst queries, mend it, and {again}."
    if verdict.why != "error":
        return _wait(verdict)
    return f"Mend what its reasons name{f', and {again}' if verdict.ended else '; pairs that come meanwhile count'}."


def _wait(verdict: _Verdict) -> str:
    """What to wait for: the gate that takes longest."""
    more = "Add cases" if verdict.ended else "Let the mirror run"
    undecided = (gate for gate in verdict.gates if gate.state in {"open", "error"} and not gate.dry_run)
    waits = [gate for gate in undecided if gate.pairs_needed is not None]
    if not waits:
        return f"{more}, and look at why each gate is open."
    slowest = max(waits, key=lambda gate: (gate.pairs_needed or (0,))[0])
    return f"{more}: {slowest.outlook}."


def summary_of_gate(gate: GateResult, summaries: Sequence[MetricSummary]) -> MetricSummary | None:
    """The metric that a gate is about; None: nothing is known of it."""
    return next((summary for summary in summaries if is_about(gate, summary.metric)), None)


def gate_words(gate: GateResult, summary: MetricSummary | None) -> str:
    """The candidate's value beside the incumbent's; where a gate asks about the candidate alone, that; else a dash."""
    unit, bounded = ("", not gate.ratio) if summary is None else (summary.unit, summary.bounded)
    if gate.incumbent is None or gate.candidate is None:
        return amount(gate.candidate, unit)
    return instead(gate.incumbent, gate.candidate, unit, bounded=bounded)


def gate_bounds(gate: GateResult, summary: MetricSummary | None) -> str:
    """Where candidate - incumbent, their ratio, or the candidate's value lies, by the bounds that decide."""
    unit, higher_is_better = ("", True) if summary is None else (summary.unit, summary.higher_is_better)
    lower, upper = gate.lower, gate.upper
    if gate.ratio:
        ends = ("?" if end is None else f"{end:.2f} x" for end in (lower, upper))
        return " to ".join(ends) if lower is not None or upper is not None else "–"
    if lower is None or upper is None:
        return "–"
    if gate.kind in {"at_most", "at_least"}:
        return f"{amount(lower, unit)} to {amount(upper, unit)}"
    return range_words(lower, upper, unit) if higher_is_better else range_words(-upper, -lower, unit)


def table(verdict: _Verdict) -> str:
    """The same text in print, assert, log and alert: decision, changes, reasons, a line for each gate, what to do."""
    summaries = verdict.summaries
    sides, name = sides_of(verdict, summaries), f"{verdict.experiment} / {verdict.candidate}"
    lines = [
        f"{name}: {verdict.decision.upper()} ({verdict.why}) after {verdict.pairs} pairs",
        f"  {headline(verdict, sides, trend=verdict.trend)}",
        *_side("worse", sides.worse),
        *_side("better", sides.better),
        *(f"  because {reason}" for reason in verdict.reasons),
    ]
    for gate in verdict.gates:
        lines += _gate_lines(gate, summary_of_gate(gate, summaries))
    lines += [f"  note   {notice}" for notice in verdict.notices]
    lines += [f"  lacks  {sentence}" for sentence in filter(None, [lacking(summaries)])]
    lines.append(f"  next   {next_step(verdict, sides, trend=verdict.trend)}")
    lines.append(f"  live writes by candidates: {verdict.live_writes_text}")
    return "\n".join(lines)


def _side(title: str, changes: Sequence[Change]) -> Iterator[str]:
    for each in changes[:_SHOWN]:
        yield f"  {title:<6} {each.metric}: {each.words}" + (f"; {each.interval}" if each.interval else "")
    if len(changes) > _SHOWN:
        yield f"  {title:<6} and {', '.join(each.metric for each in changes[_SHOWN:])}"


def _gate_lines(gate: GateResult, summary: MetricSummary | None) -> Iterator[str]:
    words = (gate_words(gate, summary), gate_bounds(gate, summary), f"n={gate.n}", gate.reason)
    said = "; ".join(part for part in words if part not in {"", "–"})
    yield f"  {_STATES[gate.state]:<6} {gate.sentence:<44} {said}"
    if gate.missing_text:
        yield f"         {gate.missing_text}"
