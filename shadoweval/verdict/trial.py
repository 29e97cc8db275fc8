"""Pairs in, evidence out: everything a verdict rests on, gathered batch by batch in query order."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np

from shadoweval.errors import ExperimentError
from shadoweval.evidence.inputs import BoolArray, FloatArray, IdArray, IntArray
from shadoweval.evidence.sessions import SeenIds, Sessions, Units
from shadoweval.evidence.slices import SliceEvidence
from shadoweval.evidence.variables import Noise, Scores, Variable
from shadoweval.protocols import Metric
from shadoweval.verdict.claims import Claim, claim_of, contrast_of, scale_of, watch_for_decay
from shadoweval.verdict.columns import Columns, ScoredPair, columns_of, sound
from shadoweval.verdict.facts import Facts
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.summary import MetricCounts, count_scores

__all__ = ["STATE_VERSION", "Trial"]

STATE_VERSION: Final = 5
"""Of what `Trial.to_state` writes."""

_PORTION: Final = 20_000
"""Pairs taken in at once, so that a million pairs need little memory."""

_DOUBLE_WITHIN: Final = 1.0
"""Seconds within which the same text from the same unit is taken for one call mirrored twice."""


class Trial:
    """The evidence about one candidate. Feeding pairs one by one, in batches or all at once gives the same.

    Raises:
        ExperimentError: a gate can't be decided with these metrics.
    """

    def __init__(self, metrics: Sequence[Metric], gates: Sequence[Gate]) -> None:
        if len({metric.name for metric in metrics}) < len(metrics):
            raise ExperimentError(f"Two scorers make a metric of the same name: {sorted(m.name for m in metrics)}.")
        self.metrics, self.gates = tuple(metrics), tuple(gates)
        self.contrasts = {metric.name: contrast_of(metric) for metric in metrics}
        self.noises = {metric.name: Noise(scale_of(metric)) for metric in metrics if not metric.like_with_like}
        self.claims: tuple[Claim, ...] = tuple(claim_of(g, metrics, contrasts=self.contrasts) for g in gates)
        self.watched = watch_for_decay(self.claims)
        owned = [(claim.metric.name, variable) for claim in self.claims for variable in claim.variables]
        named = [*self.contrasts.items(), *self.noises.items(), *owned]
        self._variables: dict[Variable, str] = {variable: metric for metric, variable in named}
        self.counts = {metric.name: MetricCounts() for metric in metrics}
        self.facts = Facts()
        self.slices = SliceEvidence()
        self._keys = SeenIds()
        self._sessions = Sessions(sum(len(variable.means) for variable in self._variables), 1)
        self.pairs = self.distinct = self.grouped = self.disordered = self.doubled = 0
        self.first_asked = self.last_asked = 0.0
        self._last_row: tuple[int, int] = (0, 0)

    def add_pairs(self, pairs: Iterable[ScoredPair]) -> None:
        """Take in pairs in query order, in batches of their own."""
        source = iter(pairs)
        while portion := list(islice(source, _PORTION)):
            self.add(columns_of(portion, self.metrics))

    def add(self, columns: Columns) -> None:
        """Take in a batch, later than all before."""
        self.facts.merge(columns.facts)
        n = columns.asked_at.size
        if not n:
            return
        self._look_at_order(columns)
        judged = sound(columns.scores, self.metrics, n)
        count_scores(self.counts, judged)
        first = self._keys.first_time(columns.key)
        profiles = self.slices.profiles(columns.attributes, n)
        scores: Mapping[str, Scores] = judged
        if not first.all():
            scores, profiles = {name: each.of(first) for name, each in judged.items()}, profiles[first]
        for claim in self.claims:
            if claim.ratio is not None:
                own = scores[claim.metric.name]
                claim.ratio.extend(own.incumbent[own.both], own.candidate[own.both])
        self.pairs += n
        self.distinct += int(first.sum())
        self.grouped += int((~columns.alone).sum())
        self._count(columns, first, scores=scores, profiles=profiles)

    def _count(self, columns: Columns, first: BoolArray, *, scores: Mapping[str, Scores], profiles: IntArray) -> None:
        """Count distinct pairs: those that stand alone at once, the others when their session is over."""
        alone = columns.alone[first]
        sums: list[FloatArray] = []
        counts: list[IntArray] = []
        contrasts: dict[str, FloatArray] = {}
        profiles_of: dict[str, IntArray] = {}
        for variable, metric in self._variables.items():
            values, known = variable.add(scores[metric], alone)
            if variable is self.contrasts[metric]:
                singly = slice(None) if known.all() and alone.all() else known & alone
                contrasts[metric], profiles_of[metric] = values[0, singly], profiles[singly]
            if self.grouped:
                sums += [np.where(known, row, 0.0)[~alone] for row in values]
                counts += [known[~alone].astype(np.int64)] * len(values)
        self.slices.add(contrasts, profiles_of)
        if self.grouped:
            units = self._sessions.add(
                columns.cluster[first][~alone],
                columns.asked_at[first][~alone],
                pairs=Units(sums=np.array(sums), counts=np.array(counts), codes=profiles[np.newaxis, ~alone]),
                newest=self.last_asked,
            )
            self._count_units(units)

    def _count_units(self, units: Units) -> None:
        row = 0
        contrasts: dict[str, FloatArray] = {}
        profiles: dict[str, IntArray] = {}
        for variable, metric in self._variables.items():
            rows = slice(row, row + len(variable.means))
            row = rows.stop
            has = units.counts[rows.start] > 0
            if has.any():
                means = variable.add_units(units.sums[rows, has], units.counts[rows.start, has])
                if variable is self.contrasts[metric]:
                    contrasts[metric], profiles[metric] = means[0], units.codes[0, has]
        if contrasts:
            self.slices.add(contrasts, profiles)

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

    def end_sessions(self) -> None:
        """Count the sessions that are still open as they stand: no more pairs will come."""
        self._count_units(self._sessions.unfinished())

    def closed(self) -> Trial:
        """This trial if no more pairs came; a copy where sessions are still open."""
        if not self._sessions.unfinished().sums.size:
            return self
        ended = copy.deepcopy(self)
        ended.end_sessions()
        return ended

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values (JSON, msgpack): some 4 kB a gate and 8 bytes a distinct query or session."""
        return {
            "v": STATE_VERSION,
            "gates": [gate.sentence for gate in self.gates],
            "variables": [variable.to_state() for variable in self._variables],
            "ratios": [None if claim.ratio is None else claim.ratio.to_state() for claim in self.claims],
            "metrics": {name: counts.to_state() for name, counts in self.counts.items()},
            "facts": self.facts.to_state(),
            "slices": self.slices.to_state(),
            "keys": self._keys.array.tolist(),
            "sessions": self._sessions.to_state(),
            "counts": [self.pairs, self.distinct, self.grouped, self.disordered, self.doubled],
            "asked": [self.first_asked, self.last_asked],
            "last_row": list(self._last_row),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up, before any pair, what `to_state` of a trial with the same metrics and gates gave.

        Raises:
            ExperimentError: it had other gates; evidence gathered for one question does not answer another.
        """
        gates = [gate.sentence for gate in self.gates]
        same = state.get("v") == STATE_VERSION and state.get("gates") == gates
        if not same or len(state["variables"]) != len(self._variables):
            raise ExperimentError(f"This evidence was gathered for {state.get('gates')}, not for {gates}. Start anew.")
        for variable, gathered in zip(self._variables, state["variables"], strict=True):
            variable.restore(gathered)
        for claim, ratio in zip(self.claims, state["ratios"], strict=True):
            if claim.ratio is not None:
                claim.ratio.restore(ratio)
        for name, counts in self.counts.items():
            counts.restore(state["metrics"][name])
        self.facts.restore(state["facts"])
        self.slices.restore(state["slices"])
        self._keys = SeenIds(np.array(state["keys"], dtype=np.uint64))
        self._sessions.restore(state["sessions"])
        self.pairs, self.distinct, self.grouped, self.disordered, self.doubled = state["counts"]
        self.first_asked, self.last_asked = state["asked"]
        self._last_row = state["last_row"][0], state["last_row"][1]


def _shifted(ids: IdArray, before: int) -> IdArray:
    return np.concatenate([np.array([before], dtype=np.uint64), ids[:-1]])
