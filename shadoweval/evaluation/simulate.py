"""How long gates take on this traffic, and how often they would be wrong.

The candidate's measured scores are moved until the paired difference has the mean that one wants to assume. Streams of
queries are drawn from the measured pairs with replacement, whole sessions at a time, and go through the very trial and
rules that judge live traffic: critical gates, sessions, duplicates, floors and soundness included.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import msgspec
import numpy as np

from shadoweval.errors import ExperimentError
from shadoweval.evidence.inputs import BoolArray, FloatArray, IntArray
from shadoweval.experiment import Experiment
from shadoweval.protocols import Metric, Store
from shadoweval.records import Arm, Coverage, Decision, PairScore, Scored
from shadoweval.verdict.columns import Columns, ScoreColumns, ScoredPair, columns_of
from shadoweval.verdict.decide import decide
from shadoweval.verdict.facts import PairFacts
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

__all__ = ["simulate_stored"]

_FEWEST: Final = 30
_LENGTH: Final = 10_000
_EVERY: Final = 50
_MIX: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that multiples of it stay apart (Knuth's multiplicative hashing)."""


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


def simulate_stored(
    experiment: Experiment,
    *,
    store: Store,
    candidate: Arm,
    effect: float,
    streams: int = 200,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Simulation:
    """Simulate on the stored pairs and scores of a candidate, under the experiment's rules.

    `progress` is called with how many streams are done, and how many there are.

    The day's cycle that live traffic waits for without `min_hours` is left out: it says nothing about the gates.

    Raises:
        ExperimentError: no gate that can be simulated, or too few scored pairs to draw from.
    """
    able = [gate for gate in experiment.gates if _simulated(gate, experiment.metrics[gate.base])]
    if not able:
        raise ExperimentError(
            f"Experiment {experiment.name!r} has no gate over a paired mean (better, no_worse of a metric with a "
            "range), and only those can be simulated."
        )
    pairs = _stored_pairs(store, experiment.name, candidate, wanted={gate.base for gate in able})
    if len(pairs) < _FEWEST:
        raise ExperimentError(
            f"{len(pairs)} pairs of {candidate!r} have all scores, and at least {_FEWEST} are needed to draw "
            "from. Let the worker run on, and evaluate."
        )
    simulation = simulate(
        pairs,
        able,
        metrics=list(experiment.metrics.values()),
        rules=replace(experiment.rules, candidates=len(experiment.candidates)),
        effect=effect,
        streams=streams,
        seed=seed,
        progress=progress,
    )
    left_out = tuple(gate.sentence for gate in experiment.gates if gate not in able)
    return msgspec.structs.replace(simulation, left_out=left_out)


def _simulated(gate: Gate, metric: Metric) -> bool:
    bounded = metric.low is not None and metric.high is not None
    return gate.compares and not gate.ratio and gate.quantile is None and not gate.dry_run and bounded


def _stored_pairs(store: Store, experiment: str, candidate: Arm, *, wanted: set[str]) -> list[ScoredPair]:
    """Pairs in query order that have both scores of every wanted metric."""
    scores: dict[str, list[PairScore]] = {}
    for score in store.scores(experiment, candidate):
        if score.metric in wanted and isinstance(score.incumbent, Scored) and isinstance(score.candidate, Scored):
            scores.setdefault(score.query_id, []).append(score)
    queries = (pair.query for pair in store.pairs(experiment, candidate) if len(scores.get(pair.id, ())) == len(wanted))
    return [
        (PairFacts(query_id=query.id, key=query.key, unit=query.unit, asked_at=query.asked_at), scores[query.id])
        for query in queries
    ]


def simulate(
    pairs: Sequence[ScoredPair],
    gates: Sequence[Gate],
    *,
    metrics: Sequence[Metric],
    rules: Rules,
    effect: float,
    streams: int,
    length: int = _LENGTH,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Simulation:
    """Simulate on measured pairs.

    `pairs` are in query order, with both scores of every metric that a gate is about; each gate is over the paired mean
    of a metric with a range. `effect` is the true difference to assume, in each metric's own unit; larger is better.
    """
    rng = np.random.default_rng(seed)
    about = [metric for metric in metrics if metric.name in {gate.base for gate in gates}]
    traffic = Traffic.of(pairs, about, effect=effect)
    ends: dict[str, list[float]] = {"promote": [], "rollback": []}
    for done in range(1, streams + 1):
        looks = decisions(traffic.stream(rng, length), about, gates, rules=rules)
        end, after = next(((d, float(n)) for n, d in looks if d != "hold"), ("hold", math.inf))
        for decision, times in ends.items():
            times.append(after if end == decision else math.inf)
        if progress is not None:
            progress(done, streams)
    promoted, rolled_back = (np.isfinite(times) for times in ends.values())
    return Simulation(
        gates=tuple(gate.sentence for gate in gates),
        left_out=(),
        effect=effect,
        streams=streams,
        length=length,
        promoted=float(promoted.mean()),
        rolled_back=float(rolled_back.mean()),
        held=float((~promoted & ~rolled_back).mean()),
        promoted_after=_delays(ends["promote"]),
        rolled_back_after=_delays(ends["rollback"]),
    )


def decisions(
    stream: Columns, metrics: Sequence[Metric], gates: Sequence[Gate], *, rules: Rules
) -> Iterator[tuple[int, Decision]]:
    """How many pairs of a stream were seen and what was decided, at looks after 50 pairs, then after 2 % more."""
    trial, seen = Trial(metrics, gates, visits=rules.visits), 0
    while (stop := seen + _EVERY * max(1, seen // (_EVERY * _EVERY))) <= stream.n:
        trial.add(stream.part(slice(seen, stop)))
        seen = stop
        coverage = Coverage(eligible=seen, mirrored=seen, paired=seen, distinct=trial.distinct)
        decided = decide(trial, candidate="", coverage=coverage, now=trial.last_asked, rules=rules, all_reasons=False)
        yield seen, decided.outcome.decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """Measured pairs to draw streams from."""

    columns: Columns
    """The pairs, those of a unit side by side, with the candidate's scores moved."""
    first: IntArray
    """Where each unit begins."""
    sizes: IntArray
    """How many pairs it has."""
    repeated: BoolArray
    """Whether a pair's query comes in another unit too."""
    pace: float
    """Seconds from one unit to the next."""

    @classmethod
    def of(cls, pairs: Sequence[ScoredPair], metrics: Sequence[Metric], *, effect: float) -> Traffic:
        """The traffic of measured pairs, each metric's paired difference moved to a mean of `effect`."""
        measured = columns_of(pairs, metrics)
        cluster = np.where(measured.alone, np.arange(measured.n, dtype=np.uint64) * _MIX, measured.cluster)
        order = np.argsort(cluster, kind="stable")
        columns, cluster = replace(measured, cluster=cluster).part(order), cluster[order]
        first = np.flatnonzero(np.concatenate([[True], cluster[1:] != cluster[:-1]]))
        sizes = np.diff(np.append(first, columns.n))
        unit = np.repeat(np.arange(first.size), sizes)
        # A unit counts by the mean of its pairs, so that each pair weighs one over their number.
        scores = {m.name: _moved(columns.scores[m.name], m, effect, weights=1 / sizes[unit]) for m in metrics}
        span = float(measured.asked_at[-1] - measured.asked_at[0])
        return cls(
            columns=replace(columns, scores=scores),
            first=first,
            sizes=sizes,
            repeated=_in_several(columns.key, unit),
            pace=span / first.size if span > 0 else 1.0,
        )

    def stream(self, rng: np.random.Generator, length: int) -> Columns:
        """`length` pairs in query order: whole units drawn with replacement, each of them a new unit.

        A query that only one unit asked is a new query each time; one that several asked comes once in as many units
        as were measured, as it did.
        """
        drawn = rng.integers(self.first.size, size=length)
        number = np.repeat(np.arange(length), self.sizes[drawn])
        begins = np.cumsum(self.sizes[drawn]) - self.sizes[drawn]
        rows = np.arange(number.size) - begins[number] + self.first[drawn][number]
        offsets = self.columns.asked_at[rows] - self.columns.asked_at[self.first[drawn]][number]
        asked_at = self.columns.asked_at[0] + number * self.pace + offsets
        order = np.argsort(asked_at, kind="stable")[:length]
        rows, number = rows[order], number[order].astype(np.uint64)
        passes = np.where(self.repeated[rows], number // np.uint64(self.first.size), number)
        drawn_rows = self.columns.part(rows)
        return replace(
            drawn_rows,
            asked_at=asked_at[order],
            key=drawn_rows.key + passes * _MIX,
            cluster=np.where(drawn_rows.alone, np.uint64(0), drawn_rows.cluster + number * _MIX),
        )


def _in_several(keys: Any, units: IntArray) -> BoolArray:
    """Which keys come in more than one unit."""
    _keys, inverse = np.unique(keys, return_inverse=True)
    seen = np.unique(np.stack([inverse, units]), axis=1)
    return np.bincount(seen[0])[inverse] > 1


def _moved(scores: ScoreColumns, metric: Metric, effect: float, *, weights: FloatArray) -> ScoreColumns:
    low, high = metric.low, metric.high
    if low is None or high is None:
        return scores
    sign = 1 if metric.higher_is_better else -1
    target = float(np.average(scores.incumbent, weights=weights)) + sign * effect
    return replace(scores, candidate=moved_to(scores.candidate, target, within=(low, high), weights=weights))


def moved_to(
    values: FloatArray, mean: float, *, within: tuple[float, float], weights: FloatArray | None = None
) -> FloatArray:
    """The values shifted, and clipped to a range, so that their (weighted) mean is `mean`."""
    low, high = within[0] - within[1], within[1] - within[0]
    for _ in range(60):
        middle = (low + high) / 2
        if np.average(np.clip(values + middle, *within), weights=weights) < mean:
            low = middle
        else:
            high = middle
    return np.clip(values + high, *within)


def _delays(ends: Sequence[float]) -> tuple[int, int] | None:
    half, most = np.quantile(ends, [0.5, 0.95], method="higher")
    return (int(half), int(most)) if math.isfinite(most) else None
