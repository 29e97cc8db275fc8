"""From a gate to what proves it, what breaks it and what is worth a notice: questions about means of variables."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shadoweval.errors import ExperimentError
from shadoweval.evidence.bets import Side
from shadoweval.evidence.capped import CappedDifference, CappedRatio
from shadoweval.evidence.looks import Looks, MarginTest
from shadoweval.evidence.quantiles import ORDER_LEVELS, Beyond, Exceedances
from shadoweval.evidence.ratios import MeanRatio
from shadoweval.evidence.variables import (
    Difference,
    Level,
    Relative,
    Scale,
    Variable,
)
from shadoweval.protocols import Metric
from shadoweval.verdict.gates import Gate

__all__ = ["Claim", "claim_of", "contrast_of", "scale_of"]

_BETTING: Final = "Waudby-Smith and Ramdas 2023 (arXiv 2010.09686); Ryu and Bhatt (arXiv 2207.12382)"
_LEVEL_CAP: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A gate as tests; it owns the variables that they are about, and says their interval in the metric's unit."""

    gate: Gate
    metric: Metric
    variables: tuple[Variable, ...]
    """Those that it asks about; the first is the one that promotion rests on."""
    holds: MarginTest
    """What must be shown before promotion."""
    breaks: MarginTest
    """What rolls back once it is shown."""
    notices: tuple[MarginTest, ...] = ()
    """Worse than the incumbent at all, within the margin or not; any of them will do."""
    uncredited: MarginTest | None = None
    """What must be shown beside `holds` of the pairs that can prove a gain; None: nothing."""
    ratio: MeanRatio | None = None
    """The ratio of the arms' means, for display."""
    method: str = ""
    source: str = _BETTING

    @property
    def broken_row(self) -> tuple[Variable, int]:
        """The variable that `breaks` asks about, and which of its rows."""
        return next(
            (variable, row)
            for variable in self.variables
            for row, mean in enumerate(variable.means)
            if mean is self.breaks.mean
        )

    def bounds(self, looks: Looks, *, promotion_alpha: float, alpha: float) -> tuple[float, float]:
        """One-sided bounds of the variable's mean; promotion's level at the edge that proves the claim."""
        below, above = (promotion_alpha, alpha) if self.holds.side == "greater" else (alpha, promotion_alpha)
        return looks.bound(self.holds.mean, below, "lower"), looks.bound(self.holds.mean, above, "upper")

    def interval(
        self, looks: Looks, *, promotion_alpha: float, alpha: float
    ) -> tuple[float | None, float | None, float | None]:
        """Difference, and the bounds that decide (of the level, the difference or the ratio), in the metric's own unit.

        None: there is none. The bounds of a ratio are an approximation, for display.
        """
        variable, mean = self.variables[0], self.holds.mean
        if self.gate.ratio:
            lower, upper = self._ratio_interval(variable, 2 * promotion_alpha)
            return None, lower if lower > 0 else None, upper if math.isfinite(upper) else None
        if not mean.n or isinstance(variable, Beyond | Exceedances):
            return None, None, None
        lower, upper = self.bounds(looks, promotion_alpha=promotion_alpha, alpha=alpha)
        below, above = (promotion_alpha, alpha) if self.holds.side == "greater" else (alpha, promotion_alpha)
        lower, upper = variable.traffic.widened(lower, upper, below=below, above=above)
        lower, upper = variable.within_ends(lower, upper)
        if isinstance(variable, Level):
            return None, variable.value(lower), variable.value(upper)
        low, high = variable.scale.span(self.gate.cap)
        width = high - low
        return variable.traffic.mean * width, lower * width, upper * width

    def _ratio_interval(self, variable: Variable, alpha: float) -> tuple[float, float]:
        if isinstance(variable, Exceedances):
            return variable.ratio_interval(alpha)
        return (0.0, math.inf) if self.ratio is None else self.ratio.interval(alpha)


def scale_of(metric: Metric) -> Scale:
    """Range and direction of a metric."""
    return Scale(metric.low, metric.high, metric.higher_is_better, metric.least_chance)


def contrast_of(metric: Metric) -> Variable:
    """The variable that summaries and slices compare the arms by."""
    scale = scale_of(metric)
    return Difference(scale) if scale.bounded else Relative(scale)


def claim_of(gate: Gate, metrics: Sequence[Metric], *, contrasts: Mapping[str, Variable]) -> Claim:
    """The claim that a gate makes; `contrasts` has each metric's `contrast_of`, shared between gates and slices.

    Raises:
        ExperimentError: the gate can't be decided with this metric; the message says why.
    """
    metric = next((metric for metric in metrics if metric.name == gate.base), None)
    if metric is None:
        known = ", ".join(repr(metric.name) for metric in metrics)
        raise ExperimentError(f"No scorer makes {gate.base!r}, which a gate asks for. They make: {known}.")
    _look_at_direction(gate, metric)
    _look_at_drawing(gate, metric)
    if gate.quantile is not None:
        return _quantile_claim(gate, metric, gate.quantile)
    if gate.ratio:
        return _ratio_claim(gate, metric)
    if gate.compares:
        return _mean_claim(gate, metric, contrasts)
    return _level_claim(gate, metric)


def _look_at_direction(gate: Gate, metric: Metric) -> None:
    """Refuse a bound on the side on which failures lie: a candidate that always fails would keep it.

    Raises:
        ExperimentError: such a bound.
    """
    kept_by_failing = "at_most" if metric.higher_is_better else "at_least"
    if gate.kind != kept_by_failing or metric.failure_scores is None:
        return
    better, other = ("higher", "False") if metric.higher_is_better else ("lower", "True")
    raise ExperimentError(
        f"'{gate.sentence}': of {metric.name!r} {better} is better, and a failed run scores {metric.failure_scores:g}, "
        f"so a candidate that always fails would pass. Declare Metric(higher_is_better={other}) if that is what the "
        "gate means, or failure_scores=None: failures have no value."
    )


def _look_at_drawing(gate: Gate, metric: Metric) -> None:
    """Refuse what scores of some pairs, weighed by their chances, can't say.

    Raises:
        ExperimentError: a quantile, a ratio or a cap of such a metric.
    """
    if metric.least_chance < 1 and (gate.ratio or gate.quantile is not None or gate.cap is not None):
        raise ExperimentError(
            f"'{gate.sentence}': not every pair is scored by {metric.name!r} (least_chance={metric.least_chance:g}), "
            "which tells means, and neither quantiles, ratios nor capped values. Gate its mean: "
            f"no_worse({metric.name!r}, by=...), or score every pair."
        )


def _margin_inside(gate: Gate, margin: float, *, lo: float) -> float:
    if not lo < margin < 1:
        raise ExperimentError(
            f"'{gate.sentence}' is decided before the first pair: the margin lies outside what {gate.base!r} can "
            f"reach. Give a margin inside its range, or correct the range the scorer declares."
        )
    return margin


def _mean_claim(gate: Gate, metric: Metric, contrasts: Mapping[str, Variable]) -> Claim:
    variable = contrasts[metric.name]
    low, high = variable.scale.span()
    if isinstance(variable, Difference):
        how = f"mean of paired differences in [{low - high:g}, {high - low:g}]"
        uncredited: Variable = Difference(variable.scale, credit=False)
    else:
        if gate.cap is None:
            raise ExperimentError(
                f"'{gate.sentence}': {metric.name!r} has no range, so a single query could outweigh all others. "
                f"Declare the most that one query can count: {gate.kind}({gate.metric!r}, by={gate.margin:g}, cap=...)"
                f", or gate it as at_most({gate.metric!r}, ratio=...)."
            )
        variable = CappedDifference(variable.scale, gate.cap)
        uncredited = CappedDifference(variable.scale, gate.cap, credit=False)
        low, high = variable.scale.span(gate.cap)
        how = f"mean of paired differences, each value counted up to {gate.cap:g}"
    margin = _margin_inside(gate, gate.margin / (high - low), lo=-1)
    needed = margin if gate.kind == "better" else -margin
    worse = MarginTest(mean=variable.mean, margin=0.0, side="less")
    gains = gate.kind == "better" and not metric.like_with_like
    return Claim(
        gate=gate,
        metric=metric,
        variables=(variable, uncredited) if gains else (variable,),
        holds=MarginTest(mean=variable.mean, margin=needed, side="greater"),
        uncredited=MarginTest(mean=uncredited.mean, margin=needed, side="greater") if gains else None,
        breaks=worse if gate.kind == "better" else MarginTest(mean=variable.mean, margin=needed, side="less"),
        notices=(worse,),
        method=f"betting on the {how}",
    )


def _ratio_claim(gate: Gate, metric: Metric) -> Claim:
    scale = scale_of(metric)
    within, same = CappedRatio(scale, gate.cap, ratio=gate.margin), CappedRatio(scale, gate.cap, ratio=1.0)
    cap = gate.cap if metric.high is None else metric.high
    upto = "at least five times the largest before it" if cap is None else f"{cap:g}"
    return Claim(
        gate=gate,
        metric=metric,
        variables=(within,) if metric.higher_is_better else (within, same),
        holds=MarginTest(mean=within.mean, margin=0.0, side="greater"),
        breaks=MarginTest(mean=within.mean, margin=0.0, side="less"),
        notices=() if metric.higher_is_better else (MarginTest(mean=same.mean, margin=0.0, side="less"),),
        ratio=MeanRatio(),
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
    limit = _margin_inside(gate, (gate.margin - low) / (high - low), lo=0)
    sides: tuple[Side, Side] = ("less", "greater") if gate.kind == "at_most" else ("greater", "less")
    how = f"betting on the candidate's mean, each value counted within [{low:g}, {high:g}]"
    return _one_sided(gate, metric, Level(scale_of(metric), low, high), margin=limit, sides=sides, method=how)


def _one_sided(
    gate: Gate,
    metric: Metric,
    variable: Variable,
    *,
    margin: float,
    sides: tuple[Side, Side],
    method: str,
    source: str = _BETTING,
) -> Claim:
    """A claim on the candidate's own level: it holds on one side of the margin and breaks on the other."""
    holds, breaks = (MarginTest(mean=variable.mean, margin=margin, side=side) for side in sides)
    return Claim(
        gate=gate, metric=metric, variables=(variable,), holds=holds, breaks=breaks, method=method, source=source
    )


def _quantile_claim(gate: Gate, metric: Metric, level: float) -> Claim:
    source = f"{_BETTING}; compare Howard and Ramdas (arXiv 1906.09712)"
    if not gate.compares:
        above = gate.kind == "at_most"
        rate = 1 - level if above else level
        failure = metric.failure_scores
        variable = Beyond(scale_of(metric), gate.margin, above=above, failure=failure)
        how = (
            f"betting on how often the candidate is {'above' if above else 'below'} {gate.margin:g}, against {rate:.3g}"
        )
        return _one_sided(gate, metric, variable, margin=rate, sides=("less", "greater"), method=how, source=source)
    if metric.low is None or metric.low < 0:
        raise ExperimentError(f"'{gate.sentence}': quantiles are compared for amounts >= 0 only.")
    if gate.ratio and metric.higher_is_better:
        raise ExperimentError(
            f"'{gate.sentence}': larger {metric.name!r} is better, so there is nothing to keep low. "
            f"Use no_worse or better, or correct the scorer's direction."
        )
    shift = 0.0 if gate.ratio else gate.margin * (1 if gate.kind == "no_worse" else -1)
    shift = -shift if metric.higher_is_better else shift
    variable = Exceedances(
        scale_of(metric),
        level,
        watched=ORDER_LEVELS if gate.ratio else (level,),
        ratio=gate.margin if gate.ratio else 1.0,
        shift=shift,
        failure=metric.failure_scores,
    )
    allowed, *same = (MarginTest(mean=mean, margin=0.0, side="greater") for mean in variable.means)
    return Claim(
        gate=gate,
        metric=metric,
        variables=(variable,),
        holds=MarginTest(mean=variable.mean, margin=0.0, side="less"),
        breaks=same[0] if gate.kind == "better" else allowed,
        notices=tuple(same),
        method="betting on which arm alone goes beyond the incumbent's quantile as known before the pair",
        source=source,
    )
