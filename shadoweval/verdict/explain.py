"""Verdicts as text: why a gate says what it says, the formula and its source, and how far off a decision is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from shadoweval.records import DivergenceShare, GateResult, MetricSummary, Verdict
from shadoweval.records.sentences import gate_words, summary_of_gate

__all__ = ["explain", "with_outlook"]

_STATES = {
    "holds": "proven",
    "broken": "proven broken",
    "open": "not decided",
    "error": "not decidable: something is wrong with its evidence",
}


def explain(verdict: Verdict, divergences: Sequence[DivergenceShare] = ()) -> str:
    """All gates of a verdict, one paragraph each; and at which steps the arms part."""
    head = f"{verdict.experiment} / {verdict.candidate}: {verdict.decision} ({verdict.why})"
    lines = [head, *(f"  because {reason}" for reason in verdict.reasons)]
    lines += [f"  note {notice}" for notice in verdict.notices]
    parting = ["\n".join(_parting(verdict, divergences))] if divergences else []
    return "\n\n".join(
        [
            "\n".join(lines),
            *parting,
            *(explain_gate(gate, summary_of_gate(gate, verdict.summaries)) for gate in verdict.gates),
        ]
    )


def _parting(verdict: Verdict, divergences: Sequence[DivergenceShare]) -> Iterator[str]:
    metric = f", and their part of the difference in {verdict.gates[0].metric}" if verdict.gates else ""
    yield f"where the arms part first, in pairs{metric}:"
    for share in divergences:
        part = "" if share.difference is None else f" ({share.difference:+.4g})"
        yield f"  {share.kind}: {share.pairs}{part}"


def explain_gate(gate: GateResult, summary: MetricSummary | None = None) -> str:
    """One gate: claim, state, arms, evidence on both sides, what is missing, formula, source."""
    return "\n".join(_lines(gate, summary))


def _lines(gate: GateResult, summary: MetricSummary | None) -> Iterator[str]:
    role = "critical" if gate.critical else "a dry run, decides nothing" if gate.dry_run else ""
    yield f"{gate.sentence}{f' ({role})' if role else ''}: {_STATES[gate.state]}"
    if gate.reason:
        yield f"  reason: {gate.reason}"
    yield f"  rests on {gate.n} units (sessions, users or distinct queries)"
    if gate.candidate is not None:
        yield f"  candidate: {gate_words(gate, summary)}"
    yield from _change(gate)
    yield from _evidence(gate)
    if gate.pairs_needed is not None:
        yield f"  {gate.outlook}; no reason to stop"
    if gate.noise_floor is not None:
        yield f"  two runs of the incumbent may differ by {gate.noise_floor:.4g} on average"
    for reason, count in sorted(gate.unscored.items(), key=lambda item: -item[1]):
        yield f"  unscored {count}: {reason}"
    yield f"  formula: {gate.method}"
    yield f"  source: {gate.source}"


def _change(gate: GateResult) -> Iterator[str]:
    what = "candidate's level"
    if gate.difference is not None:
        what = "ratio candidate / incumbent" if gate.ratio else "difference, larger is better"
    bounds = (
        f"at least {'?' if gate.lower is None else f'{gate.lower:.6g}'}, "
        f"at most {'?' if gate.upper is None else f'{gate.upper:.6g}'}, each wrong with chance {gate.level:g} at most"
    )
    if gate.difference is not None:
        yield f"  {what}: {gate.difference:.6g}; {bounds}"
    elif gate.lower is not None or gate.upper is not None:
        yield f"  {what}: {bounds}"


def _evidence(gate: GateResult) -> Iterator[str]:
    details = gate.details
    for side, name in (("holds", "it holds"), ("breaks", "it is broken")):
        log_e, needed = details.get(f"log e {side}"), details.get(f"needed to {side.rstrip('s')}")
        if log_e is not None and needed is not None:
            enough = "enough" if log_e >= needed else "not enough"
            yield f"  evidence that {name}: e = {_power(log_e)}, needs {_power(needed)}: {enough}"
    worse = details.get("log e worse at all")
    if worse is not None:
        yield f"  evidence that it is worse than the incumbent at all: e = {_power(worse)}"
    if capped := details.get("values counted as the cap"):
        yield f"  {capped:.0f} values of the candidate were larger than the cap and count as it"


def _power(log_e: float) -> str:
    return f"{math.exp(log_e):.3g}" if abs(log_e) < 20 else f"10^{log_e / math.log(10):.0f}"


def with_outlook(reasons: Sequence[str], gates: Sequence[GateResult]) -> tuple[str, ...]:
    """The reasons of a verdict; those that name an open gate also say how far off its decision is."""
    waits = {f"not proven yet: {gate.sentence}": gate.outlook for gate in gates if gate.outlook and not gate.dry_run}
    return tuple(f"{reason} ({waits[reason]})" if reason in waits else reason for reason in reasons)
