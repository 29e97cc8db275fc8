"""The last check of a verdict: do the numbers that it prints agree with what it says?

Display and decision come from one place, so this should never say anything. It stands behind them all the same: a gate
that is "ok" while the arms' means beside it lie beyond its margin is a fault of ours, and nobody must act on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from shadoweval.protocols import Metric
from shadoweval.records import GateResult, Verdict
from shadoweval.verdict.gates import Gate

__all__ = ["consistent"]

_ROUNDING: Final = 1e-9
_THINNED: Final = 0.05
"""Relative error that a quantile may have: it comes from a thinned sample, its bounds from all pairs."""
_REASON: Final = "its own numbers speak against it"
"""What the gate itself says, beside its numbers."""
_MEND: Final = (
    "Nothing can be concluded from numbers that disagree: look at who makes most of the traffic, and report it with "
    "what `shadoweval explain` prints."
)


def consistent(verdict: Verdict, metrics: Sequence[Metric]) -> Verdict:
    """The verdict if all that it prints agrees; else one that holds and names the numbers that do not.

    A gate that contradicts itself decides nothing: its state is `error`. A rollback stands where another is broken.
    """
    higher = {metric.name: metric.higher_is_better for metric in metrics}
    wrong = {
        number: sentence
        for number, gate in enumerate(verdict.gates)
        if (sentence := contradiction(gate, higher_is_better=_higher_is_better(gate, higher)))
    }
    if not wrong:
        return verdict
    gates = tuple(
        msgspec.structs.replace(gate, state="error", reason=_REASON) if number in wrong else gate
        for number, gate in enumerate(verdict.gates)
    )
    verdict = msgspec.structs.replace(verdict, gates=gates)
    reasons = tuple(sentence for number, sentence in wrong.items() if not gates[number].dry_run)
    stands = verdict.rolls_back and any(gate.state == "broken" and not gate.dry_run for gate in gates)
    if not reasons or stands:
        return verdict
    before = verdict.reasons if verdict.why == "error" else ()
    return msgspec.structs.replace(verdict, decision="hold", why="error", reasons=(*before, *reasons))


def _higher_is_better(gate: GateResult, by_metric: Mapping[str, bool]) -> bool:
    return by_metric.get(Gate(metric=gate.metric, kind=gate.kind, margin=gate.margin).base, True)


def contradiction(gate: GateResult, *, higher_is_better: bool) -> str:
    """What of a result's own numbers speaks against its state, in a sentence; empty: nothing.

    Where a part of the traffic decides that a gate is broken, its reason says which, and all of it may look well.
    """
    if gate.state not in {"holds", "broken"} or (gate.state == "broken" and gate.reason):
        return ""
    level, edge = _level(gate, higher_is_better=higher_is_better), _edge(gate)
    slack = _ROUNDING + (_THINNED * abs(edge) if _is_quantile(gate) else 0.0)
    # What is "ok" must lie above the edge, with larger as better; what is broken below it.
    sign = (-1 if gate.kind == "at_most" else 1) * (1 if gate.state == "holds" else -1)
    farthest = gate.upper if sign > 0 else gate.lower
    against = [
        name
        for name, value in (("point estimate", level), ("interval", farthest))
        if value is not None and sign * (value - edge) < -slack
    ]
    if not against:
        return ""
    state = "proven" if gate.state == "holds" else "proven broken"
    numbers = f"{_numbers(gate, level)} ({' and '.join(against)})"
    return f"{gate.sentence}: {state} by its evidence, and its own numbers speak against it: {numbers}. {_MEND}"


def _edge(gate: GateResult) -> float:
    """Where good ends, in what `_level` says."""
    if gate.kind == "no_worse":
        return -gate.margin
    return 0.0 if gate.kind == "better" and gate.state == "broken" else gate.margin


def _level(gate: GateResult, *, higher_is_better: bool) -> float | None:
    """What the margin is about, from the arms as they are printed: difference, larger is better; ratio; or level."""
    if gate.kind in {"at_most", "at_least"} and not gate.ratio:
        return gate.candidate
    if gate.incumbent is None or gate.candidate is None:
        return None
    if gate.ratio:
        return gate.candidate / gate.incumbent if gate.incumbent > 0 else None
    gap = gate.candidate - gate.incumbent
    return gap if higher_is_better else -gap


def _is_quantile(gate: GateResult) -> bool:
    return Gate(metric=gate.metric, kind=gate.kind, margin=gate.margin).quantile is not None


def _numbers(gate: GateResult, level: float | None) -> str:
    arms = ("?" if value is None else f"{value:.4g}" for value in (gate.incumbent, gate.candidate))
    bounds = ("?" if value is None else f"{value:.4g}" for value in (gate.lower, gate.upper))
    shown = "?" if level is None else f"{level:.4g}"
    return f"{' -> '.join(arms)} is {shown} in [{', '.join(bounds)}], against {_edge(gate):g}"
