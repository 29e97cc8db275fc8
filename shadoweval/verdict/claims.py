"""From a gate to what proves it, what breaks it and what is worth a notice: questions about means of variables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shadoweval.errors import ExperimentError
from shadoweval.evidence import HistBet
from shadoweval.evidence.bets import Side
from shadoweval.evidence.latency import ORDER_LEVELS
from shadoweval.protocols import Metric
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.looks import Looks
from shadoweval.verdict.variables import (
    Beyond,
    CappedDifference,
    CappedRatio,
    Difference,
    Exceedance,
    Level,
    Relative,
    Variable,
    span,
)

__all__ = ["Claim", "Test", "claim_of", "contrast_of"]

_BETTING: Final = "Waudby-Smith and Ramdas 2023 (arXiv 2010.09686); Ryu and Bhatt (arXiv 2207.12382)"
_LEVEL_CAP: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Test:
    """Is the mean of a variable greater (less) than `margin`?"""

    __test__ = False  # no test of pytest's

    variable: Variable
    margin: float
    side: Side

    def log_e(self, evidence: Mapping[Variable, HistBet], looks: Looks) -> float:
        """Log evidence that it is."""
        return looks.log_e(evidence[self.variable], self.margin, self.side)


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A gate as tests."""

    gate: Gate
    metric: Metric
    holds: Test
    """What must be shown before promotion."""
    breaks: Test
    """What rolls back once it is shown."""
    notices: tuple[Test, ...] = ()
    """Worse than the incumbent at all, within the margin or not; any of them will do."""
    method: str = ""
    source: str = _BETTING

    @property
    def variables(self) -> tuple[Variable, ...]:
        """All variables that it asks about; the first is the one that promotion rests on."""
        return self.holds.variable, self.breaks.variable, *(test.variable for test in self.notices)

    def notice_log_e(self, evidence: Mapping[Variable, HistBet], looks: Looks) -> float | None:
        """Log evidence that the candidate is worse at all; None for a gate on the candidate's own level."""
        return looks.merged([test.log_e(evidence, looks) for test in self.notices]) if self.notices else None


def contrast_of(metric: Metric) -> Variable:
    """The variable that summaries and slices compare the arms by."""
    return Relative(metric) if metric.high is None or metric.low is None else Difference(metric)


def claim_of(gate: Gate, metrics: Sequence[Metric], *, contrasts: Mapping[str, Variable]) -> Claim:
    """The claim that a gate makes.

    Args:
        gate: The gate.
        metrics: All metrics that the scorers make.
        contrasts: The variable of each metric from `contrast_of`, shared between gates and slices.

    Raises:
        ExperimentError: the gate can't be decided with this metric; the message says why.
    """
    metric = next((metric for metric in metrics if metric.name == gate.base), None)
    if metric is None:
        known = ", ".join(repr(metric.name) for metric in metrics)
        raise ExperimentError(f"No scorer makes {gate.base!r}, which a gate asks for. They make: {known}.")
    if gate.quantile is not None:
        return _quantile_claim(gate, metric, gate.quantile)
    if gate.ratio:
        return _ratio_claim(gate, metric)
    if gate.compares:
        return _mean_claim(gate, metric, contrasts)
    return _level_claim(gate, metric)


def _margin_inside(gate: Gate, margin: float, *, lo: float) -> float:
    if not lo < margin < 1:
        raise ExperimentError(
            f"'{gate.sentence}' is decided before the first pair: the margin lies outside what {gate.base!r} can "
            f"reach. Give a margin inside its range, or correct the range the scorer declares."
        )
    return margin


def _mean_claim(gate: Gate, metric: Metric, contrasts: Mapping[str, Variable]) -> Claim:
    variable = contrasts[metric.name]
    low, high = span(metric)
    if isinstance(variable, Difference):
        scale, how = high - low, f"mean of paired differences in [{low - high:g}, {high - low:g}]"
    else:
        if gate.cap is None:
            raise ExperimentError(
                f"'{gate.sentence}': {metric.name!r} has no range, so a single query could outweigh all others. "
                f"Declare the most that one query can count: {gate.kind}({gate.metric!r}, by={gate.margin:g}, cap=...)"
                f", or gate it as at_most({gate.metric!r}, ratio=...)."
            )
        variable = CappedDifference(metric, gate.cap)
        low, high = span(metric, gate.cap)
        scale, how = high - low, f"mean of paired differences, each value counted up to {gate.cap:g}"
    margin = _margin_inside(gate, gate.margin / scale, lo=-1)
    needed = margin if gate.kind == "better" else -margin
    worse = Test(variable=variable, margin=0.0, side="less")
    return Claim(
        gate=gate,
        metric=metric,
        holds=Test(variable=variable, margin=needed, side="greater"),
        breaks=worse if gate.kind == "better" else Test(variable=variable, margin=needed, side="less"),
        notices=(worse,),
        method=f"betting on the {how}",
    )


def _ratio_claim(gate: Gate, metric: Metric) -> Claim:
    variable = CappedRatio(metric, gate.cap, ratio=gate.margin)
    dearer = Test(variable=CappedRatio(metric, gate.cap, ratio=1.0), margin=0.0, side="less")
    cap = gate.cap if metric.high is None else metric.high
    upto = "ten times the largest of the incumbent's first 50" if cap is None else f"{cap:g}"
    return Claim(
        gate=gate,
        metric=metric,
        holds=Test(variable=variable, margin=0.0, side="greater"),
        breaks=Test(variable=variable, margin=0.0, side="less"),
        notices=() if metric.higher_is_better else (dearer,),
        method=f"betting on {gate.margin:g} x incumbent - candidate, each value counted up to {upto}; the interval is "
        "Fieller's under an asymptotic confidence sequence, for display",
        source=f"{_BETTING}; Fieller 1954; Waudby-Smith et al. (arXiv 2103.06476)",
    )


def _level_claim(gate: Gate, metric: Metric) -> Claim:
    low, high = metric.low, metric.high
    cap = gate.cap if gate.cap is not None else _LEVEL_CAP * abs(gate.margin)
    low, high = (-cap if low is None else low), (cap if high is None else high)
    if not low < high:
        raise ExperimentError(f"'{gate.sentence}' needs cap=: the most that one query can count.")
    variable = Level(metric, low, high)
    limit = _margin_inside(gate, (gate.margin - low) / (high - low), lo=0)
    holds, breaks = _sides(gate)
    return Claim(
        gate=gate,
        metric=metric,
        holds=Test(variable=variable, margin=limit, side=holds),
        breaks=Test(variable=variable, margin=limit, side=breaks),
        method=f"betting on the candidate's mean, each value counted within [{low:g}, {high:g}]",
    )


def _sides(gate: Gate) -> tuple[Side, Side]:
    return ("less", "greater") if gate.kind == "at_most" else ("greater", "less")


def _quantile_claim(gate: Gate, metric: Metric, level: float) -> Claim:
    source = f"{_BETTING}; compare Howard and Ramdas (arXiv 1906.09712)"
    if not gate.compares:
        above = gate.kind == "at_most"
        variable = Beyond(metric, gate.margin, above=above)
        rate = 1 - level if above else level
        return Claim(
            gate=gate,
            metric=metric,
            holds=Test(variable=variable, margin=rate, side="less"),
            breaks=Test(variable=variable, margin=rate, side="greater"),
            method=f"betting on how often the candidate is {'above' if above else 'below'} {gate.margin:g}, against "
            f"{rate:.3g}",
            source=source,
        )
    if metric.low is None or metric.low < 0:
        raise ExperimentError(f"'{gate.sentence}': quantiles are compared for amounts >= 0 only.")
    if gate.ratio and metric.higher_is_better:
        raise ExperimentError(
            f"'{gate.sentence}': larger {metric.name!r} is better, so there is nothing to keep low. "
            f"Use no_worse or better, or correct the scorer's direction."
        )
    shift = 0.0 if gate.ratio else gate.margin * (1 if gate.kind == "no_worse" else -1)
    shift = -shift if metric.higher_is_better else shift
    variable = Exceedance(metric, level, ratio=gate.margin if gate.ratio else 1.0, shift=shift)
    same = Exceedance(metric, level)
    levels = [Exceedance(metric, other) for other in ORDER_LEVELS] if gate.ratio else [same]
    return Claim(
        gate=gate,
        metric=metric,
        holds=Test(variable=variable, margin=0.0, side="less"),
        breaks=Test(variable=same if gate.kind == "better" else variable, margin=0.0, side="greater"),
        notices=tuple(Test(variable=one, margin=0.0, side="greater") for one in levels),
        method="betting on which arm alone goes beyond the incumbent's quantile as known before the pair",
        source=source,
    )
