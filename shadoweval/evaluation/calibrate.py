"""The incumbent against itself: how much of a difference is noise, and how often the gates would be fooled.

Every query that the worker ran again gives a pair of two runs of the same pipeline. Whatever differs between them is
noise (sampling of the model, ties in the index, the clock), or the shadow path itself being slower than the served one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from shadoweval.errors import ExperimentError
from shadoweval.evaluation.judging import judging
from shadoweval.evaluation.progress import score
from shadoweval.evidence.histbet import HistBet
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import INCUMBENT, Arm, PairScore, Scored
from shadoweval.verdict.writes import WRITES

__all__ = ["calibrate"]

_FEWEST = 20
_ALPHA = 0.05


class MetricNoise(msgspec.Struct, frozen=True, kw_only=True):
    """How far apart two runs of the incumbent lie under one metric."""

    metric: str
    n: int
    served: float
    again: float
    differing: float
    """Share of the queries on which the two runs score differently."""
    typical: float
    """Mean size of the difference."""
    lower: float | None
    upper: float | None
    """Always-valid 95 % interval of the mean difference, for metrics with a range."""


class Calibration(msgspec.Struct, frozen=True, kw_only=True):
    """What the incumbent's re-runs say."""

    experiment: str
    n: int
    metrics: tuple[MetricNoise, ...]
    slower: float | None
    """Median seconds of the re-run over those of the served run; None where either was not timed."""
    alarms: tuple[str, ...]
    """Metrics in which the incumbent differs from itself beyond chance: the two paths are not the same."""

    def __str__(self) -> str:
        lines = [f"{self.experiment}: the incumbent against itself, {self.n} queries"]
        head = f"  {'metric':<22} {'served':>10} {'again':>10} {'differ':>8} {'typical':>10}  95 % interval of the mean"
        lines.append(head)
        for m in self.metrics:
            interval = "-" if m.lower is None or m.upper is None else f"[{m.lower:+.4f}, {m.upper:+.4f}]"
            lines.append(
                f"  {m.metric:<22} {m.served:>10.4g} {m.again:>10.4g} {100 * m.differing:>6.1f} % "
                f"{m.typical:>10.4g}  {interval}"
            )
        if self.slower is not None:
            lines.append(
                f"  the shadow path takes {self.slower:.2f} times as long: seconds are compared within it alone"
            )
        lines += [f"  ALARM: {name} differs between two runs of the same pipeline" for name in self.alarms]
        lines += [] if self.alarms else ["  no metric differs beyond chance: differences of a candidate are its own"]
        return "\n".join(lines)


def calibrate(experiment: Experiment, *, store: Store, candidate: Arm | None = None) -> Calibration:
    """Compare what was served with what the worker's re-run gave.

    Raises:
        ExperimentError: too few re-runs are stored.
    """
    name = candidate or next(iter(experiment.candidates))
    rows: dict[str, list[tuple[float, float]]] = {}
    seconds: list[tuple[float, float]] = []
    with judging(experiment.name, store):
        for scores, times in _reruns(experiment, store=store, candidate=name):
            seconds.append(times)
            for metric, pair in scores.items():
                rows.setdefault(metric, []).append(pair)
    if len(seconds) < _FEWEST:
        raise ExperimentError(
            f"{len(seconds)} queries of {experiment.name!r} were run again by a worker, and at least {_FEWEST} are "
            f"needed. The share is rerun={experiment.rerun:g}: raise it, or let the worker run on."
        )
    noises = tuple(_noise(experiment, metric, pairs) for metric, pairs in rows.items())
    served, again = np.array(seconds).T
    return Calibration(
        experiment=experiment.name,
        n=len(seconds),
        metrics=noises,
        slower=float(np.median(again) / np.median(served)) if np.median(served) > 0 else None,
        alarms=tuple(m.metric for m in noises if m.lower is not None and m.upper is not None and m.lower * m.upper > 0),
    )


def _reruns(
    experiment: Experiment, *, store: Store, candidate: Arm
) -> Iterator[tuple[Mapping[str, tuple[float, float]], tuple[float, float]]]:
    """For each query that was run again: both scores by metric, and both durations."""
    for pair in store.pairs(experiment.name, candidate):
        if pair.rerun is None or pair.served.failed or pair.rerun.failed:
            continue
        itself = msgspec.structs.replace(pair, candidate=msgspec.structs.replace(pair.rerun, arm=INCUMBENT))
        wrote = bool(experiment.writes.compared(itself).tools)
        made = [each for each in score(experiment, itself) if wrote or each.metric != WRITES]
        scores = {each.metric: both for each in made if (both := _both(experiment, each))}
        yield scores, (pair.served.latency, pair.rerun.latency)


def _both(experiment: Experiment, pair: PairScore) -> tuple[float, float] | None:
    if experiment.metrics[pair.metric].like_with_like:
        return None  # seconds are compared as a whole, below
    if isinstance(pair.incumbent, Scored) and isinstance(pair.candidate, Scored):
        return pair.incumbent.value, pair.candidate.value
    return None


def _noise(experiment: Experiment, metric: str, pairs: Sequence[tuple[float, float]]) -> MetricNoise:
    served, again = np.array(pairs).T
    bounds = _interval(experiment, metric, again - served)
    return MetricNoise(
        metric=metric,
        n=len(pairs),
        served=float(served.mean()),
        again=float(again.mean()),
        differing=float((served != again).mean()),
        typical=float(np.abs(again - served).mean()),
        lower=bounds[0] if bounds else None,
        upper=bounds[1] if bounds else None,
    )


def _interval(experiment: Experiment, metric: str, differences: Any) -> tuple[float, float] | None:
    known = experiment.metrics[metric]
    if known.low is None or known.high is None:
        return None
    span = known.high - known.low
    lower, upper = HistBet.of(differences / span).interval(_ALPHA)
    return lower * span, upper * span
