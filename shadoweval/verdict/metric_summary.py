"""One metric over all pairs, for people: means, interval, noise floor, distribution. Gates decide on none of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from shadoweval.evidence import HistBet
from shadoweval.protocols import Metric
from shadoweval.records import MetricSummary
from shadoweval.verdict.looks import looks_of
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.variables import Difference, Variable, span

__all__ = ["noise_floor", "summary_of"]

_FEWEST_RERUNS: Final = 50


def noise_floor(trial: Trial, metric: Metric, evidence: Mapping[Variable, HistBet], *, alpha: float) -> float | None:
    """How far apart two runs of the incumbent may lie on average: differences within it are no change."""
    noise = trial.noises.get(metric.name)
    if noise is None or evidence[noise].n < _FEWEST_RERUNS or metric.low is None or metric.high is None:
        return None
    lower, upper = evidence[noise].interval(alpha)
    return max(-lower, upper) * (metric.high - metric.low)


def summary_of(trial: Trial, metric: Metric, evidence: Mapping[Variable, HistBet], *, rules: Rules) -> MetricSummary:
    """What people read of one metric."""
    tally, contrast = trial.tallies[metric.name], trial.contrasts[metric.name]
    means = tally.means
    difference = None if means is None else (means[1] - means[0]) * contrast.sign
    lower = upper = None
    low, high = span(metric)
    if isinstance(contrast, Difference) and evidence[contrast].n:
        held = evidence[contrast]
        lower, upper = (
            looks_of(rules).bound(held, rules.alpha / 2, edge) * (high - low) for edge in ("lower", "upper")
        )
    return MetricSummary(
        metric=metric.name,
        higher_is_better=metric.higher_is_better,
        incumbent=None if means is None else means[0],
        candidate=None if means is None else means[1],
        difference=difference,
        lower=lower,
        upper=upper,
        scored=tally.both,
        unscored=dict(tally.unscored),
        noise_floor=noise_floor(trial, metric, evidence, alpha=rules.alpha),
        distribution=(tally.incumbent.quantiles(), tally.candidate.quantiles()),
    )
