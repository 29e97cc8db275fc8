"""Pairs in, evidence out: everything a verdict rests on, gathered batch by batch in query order."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from shadoweval.errors import ExperimentError
from shadoweval.evidence import HistBet, MeanRatio, QuantileRatio
from shadoweval.protocols import Metric
from shadoweval.verdict.attributes import CodeArray
from shadoweval.verdict.claims import Claim, claim_of, contrast_of
from shadoweval.verdict.columns import (
    BoolArray,
    Columns,
    Facts,
    FloatArray,
    IdArray,
    JudgedPair,
    ScoreColumns,
    batches,
    sound,
)
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.lately import Lately
from shadoweval.verdict.slices import SliceBook
from shadoweval.verdict.summary import MetricTally
from shadoweval.verdict.units import SeenIds, Sessions, Units
from shadoweval.verdict.variables import Difference, Noise, Variable

__all__ = ["Trial"]

_DOUBLE_WITHIN: Final = 1.0
"""Seconds within which the same text from the same unit is taken for one call mirrored twice."""


class Trial:
    """The evidence about one candidate. Feeding pairs one by one, in batches or all at once gives the same.

    Args:
        metrics: What the scorers make.
        gates: What must hold.

    Raises:
        ExperimentError: a gate can't be decided with these metrics.
    """

    def __init__(self, metrics: Sequence[Metric], gates: Sequence[Gate]) -> None:
        if len({metric.name for metric in metrics}) < len(metrics):
            raise ExperimentError(f"Two scorers make a metric of the same name: {sorted(m.name for m in metrics)}.")
        self.metrics, self.gates = tuple(metrics), tuple(gates)
        self.contrasts = {metric.name: contrast_of(metric) for metric in metrics}
        self.noises = {metric.name: Noise(metric) for metric in metrics if not metric.like_with_like}
        self.claims: tuple[Claim, ...] = tuple(claim_of(g, metrics, contrasts=self.contrasts) for g in gates)
        wanted = [*self.contrasts.values(), *self.noises.values(), *(v for c in self.claims for v in c.variables)]
        self._variables: tuple[Variable, ...] = tuple(dict.fromkeys(wanted))
        self.ratios: dict[str, MeanRatio | QuantileRatio] = {
            gate.metric: MeanRatio() if gate.quantile is None else QuantileRatio(gate.quantile)
            for gate in gates
            if gate.ratio
        }
        watched = [
            claim.holds
            for claim in self.claims
            if claim.gate.kind == "no_worse" and not claim.gate.dry_run and isinstance(claim.holds.variable, Difference)
        ]
        self.lately: dict[Variable, Lately] = {
            test.variable: Lately(-test.margin, alpha=0.05 / len(watched)) for test in watched
        }
        self._evidence = {v: HistBet(v.lo, v.hi, bins=v.bins) for v in self._variables}
        self.tallies = {metric.name: MetricTally() for metric in metrics}
        self.facts = Facts()
        self._slices = SliceBook()
        self._keys = SeenIds()
        self._sessions = Sessions(len(self._variables), 1)
        self.pairs = self.distinct = self.grouped = self.disordered = self.doubled = 0
        self.first_asked = self.last_asked = 0.0
        self._last_row: tuple[int, int] = (0, 0)

    def add_pairs(self, pairs: Iterable[JudgedPair]) -> None:
        """Take in pairs in query order, in batches of their own."""
        for columns in batches(pairs, self.metrics):
            self.add(columns)

    def add(self, columns: Columns) -> None:
        """Take in a batch, later than all before."""
        self.facts.merge(columns.facts)
        if not columns.n:
            return
        self._look_at_order(columns)
        judged = {m.name: sound(columns.scores.get(m.name), m, columns.n) for m in self.metrics}
        for name, tally in self.tallies.items():
            tally.add(judged[name])
        kept = self._keys.first_time(columns.key)
        profiles = self._slices.profiles(columns.attributes, columns.n)[kept]
        scores = {name: _rows(column, kept) for name, column in judged.items()}
        for gate in self.gates:
            if gate.ratio:
                one = scores[gate.base]
                self.ratios[gate.metric].extend(one.incumbent[one.both], one.candidate[one.both])
        self.pairs += columns.n
        self.distinct += int(kept.sum())
        self.grouped += int((~columns.alone).sum())
        self._take_in(columns, kept, scores=scores, profiles=profiles)

    def _take_in(
        self, columns: Columns, kept: BoolArray, *, scores: Mapping[str, ScoreColumns], profiles: CodeArray
    ) -> None:
        alone = columns.alone[kept]
        sums, counts = [], []
        for variable in self._variables:
            values, known = variable.measure(scores[variable.metric])
            singly = slice(None) if known.all() and alone.all() else known & alone
            extend(self._evidence[variable], values[singly])
            if variable in self.lately:
                self.lately[variable].extend(values[singly])
            if variable is self.contrasts.get(variable.metric):
                self._slices.add(variable.metric, values[singly], profiles[singly])
            sums.append(np.where(known, values, 0.0)[~alone])
            counts.append(known[~alone].astype(np.int64))
        units = self._sessions.add(
            columns.cluster[kept][~alone],
            columns.asked_at[kept][~alone],
            pairs=Units(sums=np.array(sums), counts=np.array(counts), codes=profiles[np.newaxis, ~alone]),
            newest=self.last_asked,
        )
        for place, variable in enumerate(self._variables):
            if variable in self.lately:
                self.lately[variable].extend(units.values(place))
        self._count_units(units, self._evidence, self._slices)

    def _count_units(self, units: Units, evidence: Mapping[Variable, HistBet], slices: SliceBook) -> None:
        for place, variable in enumerate(self._variables):
            values = np.clip(units.values(place), variable.lo, variable.hi)
            extend(evidence[variable], values)
            if variable is self.contrasts.get(variable.metric):
                slices.add(variable.metric, values, units.codes[0, units.counts[place] > 0])

    def _look_at_order(self, columns: Columns) -> None:
        asked, key, cluster = columns.asked_at, columns.key, columns.cluster
        if not self.pairs:
            self.first_asked = float(asked[0])
        before = float(asked[0]) if not self.pairs else self.last_asked
        steps = np.diff(asked, prepend=before)
        self.disordered += int((steps < 0).sum())
        same = (key == _shifted(key, self._last_row[0])) & (cluster == _shifted(cluster, self._last_row[1]))
        soon = steps < _DOUBLE_WITHIN
        if not self.pairs:
            same[0] = False
        self.doubled += int((same & soon).sum())
        self.last_asked = max(before, float(asked.max()))
        self._last_row = int(key[-1]), int(cluster[-1])

    def evidence(self, *, closed: bool) -> tuple[Mapping[Variable, HistBet], SliceBook]:
        """Histogram of each variable and the slices; with `closed` the sessions that are still open count too."""
        units = self._sessions.unfinished()
        if not closed or not units.sums.size:
            return self._evidence, self._slices
        evidence = {variable: HistBet.from_state(found.to_state()) for variable, found in self._evidence.items()}
        slices = SliceBook()
        slices.restore(self._slices.to_state())
        self._count_units(units, evidence, slices)
        return evidence, slices

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values (JSON, msgpack): some 4 kB a gate and 8 bytes a distinct query or session."""
        return {
            "v": 1,
            "gates": [gate.sentence for gate in self.gates],
            "variables": [variable.to_state() for variable in self._variables],
            "evidence": [self._evidence[variable].to_state() for variable in self._variables],
            "ratios": {name: ratio.to_state() for name, ratio in self.ratios.items()},
            "tallies": {name: tally.to_state() for name, tally in self.tallies.items()},
            "facts": self.facts.to_state(),
            "lately": [one.to_state() for one in self.lately.values()],
            "slices": self._slices.to_state(),
            "keys": self._keys.array.tolist(),
            "sessions": self._sessions.to_state(),
            "counts": [self.pairs, self.distinct, self.grouped, self.disordered, self.doubled],
            "asked": [self.first_asked, self.last_asked],
            "last_row": list(self._last_row),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` of a trial with the same metrics and gates gave.

        Raises:
            ExperimentError: it had other gates; evidence gathered for one question does not answer another.
        """
        gates = [gate.sentence for gate in self.gates]
        if state.get("v") != 1 or state.get("gates") != gates or len(state["variables"]) != len(self._variables):
            raise ExperimentError(f"This evidence was gathered for {state.get('gates')}, not for {gates}. Start anew.")
        for place, variable in enumerate(self._variables):
            variable.restore(state["variables"][place])
            self._evidence[variable] = HistBet.from_state(state["evidence"][place])
        for name, ratio in self.ratios.items():
            self.ratios[name] = type(ratio).from_state(state["ratios"][name])
        for name, tally in self.tallies.items():
            tally.restore(state["tallies"][name])
        self.facts.restore(state["facts"])
        for one, newest in zip(self.lately.values(), state["lately"], strict=True):
            one.restore(newest)
        self._slices.restore(state["slices"])
        self._keys = SeenIds(np.array(state["keys"], dtype=np.uint64))
        self._sessions.restore(state["sessions"])
        self.pairs, self.distinct, self.grouped, self.disordered, self.doubled = state["counts"]
        self.first_asked, self.last_asked = state["asked"]
        self._last_row = state["last_row"][0], state["last_row"][1]


def _shifted(ids: IdArray, before: int) -> IdArray:
    return np.concatenate([np.array([before], dtype=np.uint64), ids[:-1]])


def extend(evidence: HistBet, values: FloatArray) -> None:
    """Count values; those of a few kinds (wins, losses, ties) as counts, which is many times faster."""
    ends = (evidence.lo, 0.0, evidence.hi)
    if values.size > 1_000 and evidence.lo <= 0 <= evidence.hi:
        times = [int((values == end).sum()) for end in dict.fromkeys(ends)]
        if sum(times) == values.size:
            evidence.extend(list(dict.fromkeys(ends)), times=times)
            return
    evidence.extend(values)


def _rows(scores: ScoreColumns, kept: BoolArray) -> ScoreColumns:
    if kept.all():
        return scores
    has_noise = scores.noise is not None and scores.noise_scored is not None
    return ScoreColumns(
        incumbent=scores.incumbent[kept],
        candidate=scores.candidate[kept],
        incumbent_scored=scores.incumbent_scored[kept],
        candidate_scored=scores.candidate_scored[kept],
        noise=scores.noise[kept] if scores.noise is not None and has_noise else None,
        noise_scored=scores.noise_scored[kept] if scores.noise_scored is not None and has_noise else None,
    )
