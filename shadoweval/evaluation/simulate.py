"""How long gates take on this traffic, and how often they would be wrong.

The paired differences that were measured are moved until their mean is the effect that one wants to assume, and streams
of queries are drawn from them with replacement. All gates are judged together at every look, by the rule that judges
live traffic (`stats.guard_verdict`'s rule: promotion needs every gate at once, rollback the mean of the evidence).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from shadoweval.errors import ExperimentError
from shadoweval.evidence import log_e_path, promote_evidence, rollback_evidence
from shadoweval.experiment import Experiment
from shadoweval.protocols import Metric, Store
from shadoweval.records import Arm, PairScore, Scored
from shadoweval.verdict.gates import Gate

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Simulation", "moved_to", "paired_differences", "simulate", "simulate_stored"]

_FEWEST = 30
_LENGTH = 10_000
_EVERY = 50


class Simulation(msgspec.Struct, frozen=True, kw_only=True):
    """What became of simulated streams of queries."""

    gates: tuple[str, ...]
    """Sentences of the gates that were judged."""
    left_out: tuple[str, ...]
    """Gates that can't be simulated (levels, ratios, quantiles)."""
    effect: float
    streams: int
    length: int
    promoted: float
    rolled_back: float
    held: float
    promoted_after: tuple[int, int] | None
    """Queries after which half, and 95 %, of the streams were promoted; None where fewer were."""
    rolled_back_after: tuple[int, int] | None

    def __str__(self) -> str:
        lines = [
            f"{self.streams} streams of {self.length:,} queries, true difference {self.effect:+g} in every metric:"
        ]
        for name, share, after in (
            ("promote", self.promoted, self.promoted_after),
            ("rollback", self.rolled_back, self.rolled_back_after),
        ):
            when = "" if after is None else f"   half of them by {after[0]:,}, 95 % by {after[1]:,} queries"
            lines.append(f"  {name:<9} {100 * share:5.1f} %{when}")
        lines.append(f"  {'hold':<9} {100 * self.held:5.1f} %")
        lines += [f"  judged:   {sentence}" for sentence in self.gates]
        lines += [f"  left out: {sentence}" for sentence in self.left_out]
        return "\n".join(lines)


def paired_differences(scores: Sequence[PairScore], gates: Sequence[Gate], metrics: dict[str, Metric]) -> NDArray[Any]:
    """Oriented differences as shares of each metric's range, shape (gates, n); queries without all of them are out."""
    rows: dict[str, dict[str, float]] = {}
    wanted = {gate.base for gate in gates}
    for one in scores:
        if one.metric in wanted and isinstance(one.incumbent, Scored) and isinstance(one.candidate, Scored):
            metric = metrics[one.metric]
            sign = 1.0 if metric.higher_is_better else -1.0
            rows.setdefault(one.query_id, {})[one.metric] = (
                sign * (one.candidate.value - one.incumbent.value) / _span(metric)
            )
    whole = [row for row in rows.values() if row.keys() >= wanted]
    return np.array([[row[gate.base] for row in whole] for gate in gates]).reshape(len(gates), len(whole))


def simulate_stored(
    experiment: Experiment, *, store: Store, candidate: Arm, effect: float, streams: int = 200, seed: int = 0
) -> Simulation:
    """Simulate on the stored scores of a candidate.

    Raises:
        ExperimentError: no gate that can be simulated, or too few scored pairs to draw from.
    """
    able = [gate for gate in experiment.gates if _simulated(gate, experiment.metrics[gate.base])]
    if not able:
        raise ExperimentError(
            f"Experiment {experiment.name!r} has no gate over a paired mean (better, no_worse of a metric with a "
            "range), and only those can be simulated."
        )
    scores = list(store.scores(experiment.name, candidate))
    differences = paired_differences(scores, able, experiment.metrics)
    if differences.shape[1] < _FEWEST:
        raise ExperimentError(
            f"{differences.shape[1]} pairs of {candidate!r} have all scores, and at least {_FEWEST} are needed to draw "
            "from. Let the worker run on, and evaluate."
        )
    left_out = tuple(gate.sentence for gate in experiment.gates if gate not in able)
    return simulate(
        differences,
        able,
        effect=effect,
        streams=streams,
        spans=[_span(experiment.metrics[gate.base]) for gate in able],
        alpha=experiment.rules.alpha,
        candidates=len(experiment.candidates),
        min_units=experiment.rules.min_units,
        left_out=left_out,
        seed=seed,
    )


def _span(metric: Metric) -> float:
    return (1.0 if metric.high is None else metric.high) - (metric.low or 0.0)


def _simulated(gate: Gate, metric: Metric) -> bool:
    bounded = metric.low is not None and metric.high is not None
    return gate.compares and not gate.ratio and gate.quantile is None and not gate.dry_run and bounded


def simulate(
    differences: NDArray[Any],
    gates: Sequence[Gate],
    *,
    effect: float,
    streams: int,
    alpha: float,
    spans: Sequence[float] | None = None,
    candidates: int = 1,
    min_units: int = 0,
    left_out: tuple[str, ...] = (),
    length: int = _LENGTH,
    seed: int = 0,
) -> Simulation:
    """Simulate on paired differences, shape (gates, n), oriented and in shares of the metric's range.

    Args:
        differences: What was measured.
        gates: One for each row.
        effect: The true difference to assume, in each metric's own unit.
        streams: How many streams are drawn.
        alpha: Chance of error.
        spans: Width of each gate's metric; None: 1.
        candidates: How many are tried at once.
        min_units: Nothing is promoted before.
        left_out: Sentences of gates that can't be simulated.
        length: Queries of a stream.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    widths = [1.0] * len(gates) if spans is None else spans
    moved = np.array([moved_to(row, effect / width) for row, width in zip(differences, widths, strict=True)])
    margins = [gate.margin / width for gate, width in zip(gates, widths, strict=True)]
    promoted, rolled_back = [], []
    for _ in range(streams):
        drawn = moved[:, rng.integers(moved.shape[1], size=length)]
        promote, rollback = _evidence(drawn, gates, margins)
        promote[: max(min_units - 1, 0) // _EVERY] = -math.inf
        first = [_first(promote >= math.log(candidates / alpha)), _first(rollback >= math.log(1 / alpha))]
        promoted.append(first[0] if first[0] < first[1] else math.inf)
        rolled_back.append(first[1] if first[1] <= first[0] else math.inf)
    return Simulation(
        gates=tuple(gate.sentence for gate in gates),
        left_out=left_out,
        effect=effect,
        streams=streams,
        length=length,
        promoted=float(np.isfinite(promoted).mean()),
        rolled_back=float(np.isfinite(rolled_back).mean()),
        held=float((np.isinf(promoted) & np.isinf(rolled_back)).mean()),
        promoted_after=_delays(promoted),
        rolled_back_after=_delays(rolled_back),
    )


def _evidence(
    drawn: NDArray[Any], gates: Sequence[Gate], margins: Sequence[float]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Log evidence for promotion and for rollback at each look."""
    holds, broken = [], []
    for row, gate, margin in zip(drawn, gates, margins, strict=True):
        proof = margin if gate.kind == "better" else -margin
        harm = 0.0 if gate.kind == "better" else -margin
        holds.append(log_e_path(row, proof, "greater", every=_EVERY))
        broken.append(log_e_path(row, harm, "less", every=_EVERY))
    return promote_evidence(np.stack(holds, axis=-1)), rollback_evidence(np.stack(broken, axis=-1))


def moved_to(row: NDArray[Any], mean: float) -> NDArray[Any]:
    """The differences shifted, and clipped to [-1, 1], so that their mean is `mean`."""
    low, high = -2.0, 2.0
    for _ in range(60):
        middle = (low + high) / 2
        if np.clip(row + middle, -1, 1).mean() < mean:
            low = middle
        else:
            high = middle
    return np.clip(row + high, -1, 1)


def _first(reached: NDArray[Any]) -> float:
    return float((int(reached.argmax()) + 1) * _EVERY) if reached.any() else math.inf


def _delays(ends: Sequence[float]) -> tuple[int, int] | None:
    half, most = np.quantile(ends, [0.5, 0.95], method="higher")
    return (int(half), int(most)) if math.isfinite(most) else None
