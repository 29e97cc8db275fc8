"""What gets better and what gets worse, however the gates stand: each metric in words, the worst first."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from shadoweval.records.amounts import amount, instead, range_words
from shadoweval.records.scores import GateResult, MetricSummary, SliceResult
from shadoweval.records.traffic import LossCluster

__all__ = [
    "Change",
    "changes_of",
    "cluster_words",
    "is_about",
    "quantile_of",
    "slice_bounds",
    "slice_words",
    "summary_words",
]

_STEPS: Final = 20
"""Quantiles of a distribution lie at 0, 5, ..., 100 %."""
_PERCENT: Final = 100.0
_HUNDREDTHS, _SMALL = 2, 0.01


class Change(NamedTuple):
    """One metric of a candidate beside the incumbent's."""

    metric: str
    """Its name, with the quantile that a gate asks for: `latency.p95`."""
    direction: Literal["better", "worse", "unclear", "neither"]
    words: str
    """`0.37 s instead of 0.06 s (6.7 x)`."""
    interval: str
    """Where the mean difference, or the ratio of the quantiles, lies; empty: unknown yet."""
    weight: float
    """How much it changes, as a share of the larger value; by it the worst comes first."""
    broken: bool
    """Whether a gate on it is proven broken."""


def changes_of(gates: Sequence[GateResult], summaries: Sequence[MetricSummary]) -> tuple[Change, ...]:
    """Of each metric that both arms have, broken gates first, then by how much it changes."""
    about = {summary.metric: _gates_on(summary.metric, gates) for summary in summaries}
    known = {summary.metric for summary in summaries}
    changes = [change for each in summaries for change in _changes(each, about[each.metric])]
    changes += [_of_gate(gate) for gate in gates if gate.metric not in known and _is_alone(gate, known)]
    return tuple(sorted(changes, key=lambda change: (not change.broken, -change.weight)))


def summary_words(summary: MetricSummary) -> str:
    """The arms' means in words; a measure of the pair as an agreement; a dash where an arm has none."""
    candidate, incumbent = summary.candidate, summary.incumbent
    if summary.of_pair:
        own = "" if incumbent is None else f"; the incumbent run again with itself: {amount(incumbent, summary.unit)}"
        return f"agrees with what was served: {amount(candidate, summary.unit)}{own}"
    if candidate is None or incumbent is None:
        return "–"
    return _arms_words(summary, incumbent, candidate)


def _arms_words(summary: MetricSummary, incumbent: float, candidate: float) -> str:
    words = instead(incumbent, candidate, summary.unit, bounded=summary.bounded)
    if summary.failed_as is not None:
        words += f"; a failed run counts as {amount(summary.failed_as, summary.unit)}"
    return words


def slice_words(part: SliceResult, summary: MetricSummary | None) -> str:
    """How the arms differ in a part of the traffic, the sign as people read it: candidate - incumbent."""
    if part.difference is None:
        return "–"
    if summary is not None and not summary.bounded:
        way = "better" if part.difference > 0 else "worse"
        return f"{abs(part.difference):.0%} {way}, of the larger one".replace("%", " %")
    sign = 1 if summary is None or summary.higher_is_better else -1
    shown = sign * part.difference
    if summary is not None and summary.unit == "share":
        return f"{shown * _PERCENT:+.1f} points"
    return f"{shown:+.3g}"


def slice_bounds(part: SliceResult, summary: MetricSummary | None) -> str:
    """Where that difference lies, as far as it is known, in the same way; a dash where nothing is."""
    ends = [(end, msgspec.structs.replace(part, difference=end)) for end in (part.lower, part.upper)]
    if summary is not None and summary.bounded and not summary.higher_is_better:
        ends.reverse()
    low, high = ("" if end is None else slice_words(at, summary) for end, at in ends)
    if low and high:
        return f"{low} to {high}"
    return f"above {low}" if low else f"below {high}" if high else "–"


def cluster_words(cluster: LossCluster, summary: MetricSummary | None) -> str:
    """`0.31 lower (0.22 to 0.40)`: candidate - incumbent in a part of the traffic, and where that lies."""
    lower = (cluster.difference < 0) == (summary is None or summary.higher_is_better)
    percent = summary is not None and summary.unit == "share"
    near, middle, far = sorted(abs(each) * (_PERCENT if percent else 1) for each in _ends(cluster))
    digits = 1 if percent else _HUNDREDTHS if near >= _SMALL else 2 * _HUNDREDTHS
    how = "points " if percent else ""
    return f"{middle:.{digits}f} {how}{'lower' if lower else 'higher'} ({near:.{digits}f} to {far:.{digits}f})"


def _ends(cluster: LossCluster) -> tuple[float, float, float]:
    return cluster.lower, cluster.difference, cluster.upper


def quantile_of(values: Sequence[float], level: float) -> float | None:
    """A quantile between those that are known; None: there are none."""
    if len(values) != _STEPS + 1:
        return None
    place = min(max(level, 0.0), 1.0) * _STEPS
    below = min(int(place), _STEPS - 1)
    return values[below] + (place - below) * (values[below + 1] - values[below])


def _gates_on(metric: str, gates: Sequence[GateResult]) -> list[GateResult]:
    return [gate for gate in gates if is_about(gate, metric)]


def is_about(gate: GateResult, metric: str) -> bool:
    """Whether a gate is on that metric, or on a quantile of it."""
    return gate.metric == metric or _level(gate, metric) is not None


def _level(gate: GateResult, metric: str) -> float | None:
    """0.95 of a gate on `latency.p95`, where the metric is `latency`."""
    base, _, quantile = gate.metric.rpartition(".p")
    return float(f"0.{quantile}") if base == metric and quantile.isdecimal() else None


def _is_alone(gate: GateResult, known: set[str]) -> bool:
    """Whether no summary speaks of what the gate is about."""
    return gate.metric.rpartition(".p")[0] not in known and None not in (gate.incumbent, gate.candidate)


def _changes(summary: MetricSummary, gates: Sequence[GateResult]) -> list[Change]:
    if summary.of_pair or summary.incumbent is None or summary.candidate is None:
        return []
    broken = any(gate.state == "broken" and not gate.dry_run for gate in gates)
    span = "" if summary.change is None else f"mean: {range_words(*summary.change, summary.unit)}"
    means = summary.incumbent, summary.candidate
    mean = _change(summary, summary.metric, arms=means, interval=span)._replace(broken=broken)
    found: dict[str, Change] = {summary.metric: mean}
    for gate in gates:
        level = _level(gate, summary.metric)
        if level is None:
            continue
        arms = _arms_at(gate, summary, level)
        if arms is not None:
            own = _direction(gate, summary, arms)
            change = _change(summary, gate.metric, arms=arms, interval=_gate_span(gate))
            found[gate.metric] = change._replace(direction=own, broken=gate.state == "broken" and not gate.dry_run)
    quantiles = [change for name, change in found.items() if name != summary.metric]
    said = any(change.direction == mean.direction or change.broken for change in quantiles)
    return quantiles if said else [mean, *quantiles]


def _arms_at(gate: GateResult, summary: MetricSummary, level: float) -> tuple[float, float] | None:
    arms = gate.incumbent, gate.candidate
    if None in arms:
        arms = quantile_of(summary.distribution[0], level), quantile_of(summary.distribution[1], level)
    incumbent, candidate = arms
    return None if incumbent is None or candidate is None else (incumbent, candidate)


def _direction(
    gate: GateResult, summary: MetricSummary, arms: tuple[float, float]
) -> Literal["better", "worse", "unclear", "neither"]:
    """By the gate's own bounds where they tell; else by the mean, if the quantiles go the same way."""
    if gate.state == "broken":
        return "worse"
    if gate.ratio and gate.lower is not None and gate.lower > 1:
        return "worse"
    if gate.ratio and gate.upper is not None and gate.upper < 1:
        return "better"
    gap = (arms[1] - arms[0]) * (1 if summary.higher_is_better else -1)
    agrees = (gap > 0 and summary.direction == "better") or (gap < 0 and summary.direction == "worse")
    return summary.direction if agrees or summary.direction == "neither" else "unclear"


def _gate_span(gate: GateResult) -> str:
    if not gate.ratio or gate.lower is None or gate.upper is None:
        return ""
    return f"ratio: {gate.lower:.2f} to {gate.upper:.2f} x"


def _change(summary: MetricSummary, name: str, *, arms: tuple[float, float], interval: str) -> Change:
    words = _arms_words(summary, *arms)
    larger = max(map(abs, arms))
    weight = abs(arms[1] - arms[0]) / larger if larger else 0.0
    return Change(name, summary.direction, words, interval, weight, broken=False)


def _of_gate(gate: GateResult) -> Change:
    """A gate without a summary of its metric, as a case of old evaluations."""
    incumbent, candidate = gate.incumbent or 0.0, gate.candidate or 0.0
    words = instead(incumbent, candidate, bounded=not gate.ratio)
    larger = max(abs(incumbent), abs(candidate))
    weight = abs(candidate - incumbent) / larger if larger else 0.0
    broken, nothing = gate.state == "broken", 1.0 if gate.ratio else 0.0
    direction = "worse" if broken else "unclear"
    if not broken and gate.lower is not None and gate.upper is not None and not gate.lower <= nothing <= gate.upper:
        direction = "better" if (gate.lower > nothing) != gate.ratio else "worse"
    return Change(gate.metric, direction, words, "", weight, broken=broken)
