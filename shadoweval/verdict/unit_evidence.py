"""From pairs to evidence by units: each pair is measured, and counts with the cluster of its unit that it belongs to.

A question that nobody in particular asks for the first time is a cluster at once; its repeats of a day, and what one
user or session asks at a time, are clusters once they are complete.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray, IdArray, IntArray
from shadoweval.evidence.returning import DAY, Generations, UnitBook
from shadoweval.evidence.sessions import Clusters, Sessions
from shadoweval.evidence.slices import Contrasts, SliceEvidence, joined
from shadoweval.evidence.variables import Measured, Scores, Variable
from shadoweval.evidence.views import Places
from shadoweval.verdict.columns import Columns

__all__ = ["UnitEvidence"]

_Rows: TypeAlias = tuple[Variable, FloatArray, BoolArray, IntArray | None]
"""Of m clusters: a variable, its sums over each (rows, m), which have any, and over how many pairs (None: one)."""

_PORTION: Final = 50_000
"""Pairs measured at once, so that they stay in the processor's cache."""
_SLICED_AT_ONCE: Final = 5 * _PORTION
"""Pairs after which the slices are counted, so that they need little memory."""


class UnitEvidence:
    """The evidence of some variables. Feeding pairs one by one, in batches or all at once gives the same.

    Args:
        variables: Each with the name of the metric that it measures.
        sliced: The variable of each metric that slices are compared by; with none there are no slices.
    """

    def __init__(self, variables: Mapping[Variable, str], *, sliced: Mapping[str, Variable]) -> None:
        self.variables = dict(variables)
        self._sliced = sliced
        self.slices = SliceEvidence({m: variable.hi for m, variable in sliced.items() if variable.hi > 1})
        self._waiting: dict[str, list[Contrasts]] = {}
        """Clusters that are not counted in the slices yet, by metric; none between two batches."""
        self.pairs = self.distinct = 0
        self._first_day = 0
        self._newest = 0.0
        self._units = UnitBook()
        self._sessions = Sessions(sum(len(variable.means) for variable in self.variables), 1)

    @property
    def most_pairs(self) -> int:
        """Pairs in complete clusters of the unit that brought most."""
        return self._units.most_pairs

    @property
    def unfinished(self) -> bool:
        """Whether some cluster may still grow."""
        return bool(self._sessions.unfinished().units.size)

    def add(self, columns: Columns, scores: Mapping[str, Scores]) -> None:
        """Take in a batch of pairs, later than all before, with sound scores of each variable's metric."""
        if not columns.n:
            return
        if not self.pairs:
            self._first_day, self._newest = int(columns.asked_at[0] // DAY), float(columns.asked_at[0])
        first = self._units.ask(columns.key, alone=columns.alone, asked=columns.asked_at)
        self.pairs += columns.n
        self.distinct += int(first.sum())
        units = np.where(columns.alone, columns.key, columns.cluster)
        for start in range(0, columns.n, _PORTION):
            at = slice(start, start + _PORTION)
            single = columns.alone[at] & first[at]
            profiles = self.slices.profiles(
                {name: each.part(at) for name, each in columns.attributes.items()}, single.size
            )
            part = {name: scores[name].of(at) for name in dict.fromkeys(self.variables.values())}
            self._count(columns, at, single=single, units=units[at], profiles=profiles, scores=part)
            if start % _SLICED_AT_ONCE == 0:
                self._count_slices()
        self._count_slices()

    def _count(
        self,
        columns: Columns,
        at: slice,
        *,
        single: BoolArray,
        units: IdArray,
        profiles: IntArray,
        scores: Mapping[str, Scores],
    ) -> None:
        """Count a stretch of pairs: those that are clusters by themselves at once, the others once theirs are over."""
        asked = columns.asked_at[at]
        self._newest = max(self._newest, float(asked.max()))
        measured = {variable: variable.add(scores[metric]) for variable, metric in self.variables.items()}
        if single.all():
            self._count_single(measured, asked, profiles)
        else:
            if single.any():
                some = {variable: (values[:, single], known[single]) for variable, (values, known) in measured.items()}
                self._count_single(some, asked[single], profiles[single])
            for variable in self.variables:
                variable.expect_returning()
        rest = ~single
        if rest.any() or self.unfinished:
            known = [known[rest] for values, known in measured.values() for _ in values]
            sums = [np.where(known, row, 0.0)[rest] for values, known in measured.values() for row in values]
            pairs = Clusters(
                units=units[rest],
                pairs=np.ones(int(rest.sum()), dtype=np.int64),
                ended=asked[rest],
                sums=np.array(sums),
                counts=np.array(known, dtype=np.int64),
                codes=profiles[np.newaxis, rest],
            )
            self._complete(self._sessions.add(pairs, daily=columns.alone[at][rest], newest=self._newest))

    def _count_single(self, measured: Mapping[Variable, Measured], asked: FloatArray, profiles: IntArray) -> None:
        """Count pairs that are the first clusters of their units."""
        places = Places(Generations.firsts(asked), first_day=self._first_day)
        rows = [(variable, values, known, None) for variable, (values, known) in measured.items()]
        self._count_clusters(rows, places, profiles)

    def _complete(self, clusters: Clusters) -> None:
        """Count clusters of several pairs."""
        if not clusters.units.size:
            return
        which = self._units.enter(clusters.units, pairs=clusters.pairs, ended=clusters.ended)
        rows: list[_Rows] = []
        row = 0
        for variable in self.variables:
            counts = clusters.counts[row]
            rows.append((variable, clusters.sums[row : row + len(variable.means)], counts > 0, counts))
            row += len(variable.means)
        self._count_clusters(rows, Places(which, first_day=self._first_day), clusters.codes[0])

    def _count_clusters(self, rows: Sequence[_Rows], places: Places, profiles: IntArray) -> None:
        """Count complete clusters."""
        for variable, sums, has, counts in rows:
            own, in_slices = places, profiles
            if not has.all():
                if not has.any():
                    continue
                own, in_slices, sums = places.part(has), profiles[has], sums[:, has]  # noqa: PLW2901
                counts = None if counts is None else counts[has]  # noqa: PLW2901
            means = variable.add_clusters(sums, counts, own)
            metric = self.variables[variable]
            if self._sliced.get(metric) is variable:
                first = None if own.all_first else own.which.number == 1
                self._waiting.setdefault(metric, []).append(Contrasts(means[0], in_slices, first))

    def _count_slices(self) -> None:
        """Count what waits; most of it costs the same for many clusters as for few."""
        self.slices.add({metric: joined(parts) for metric, parts in self._waiting.items()})
        self._waiting.clear()

    def end_sessions(self) -> None:
        """Count the clusters that are still open as they stand: no more pairs will come."""
        self._complete(self._sessions.unfinished())
        self._count_slices()

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "variables": [variable.to_state() for variable in self.variables],
            "slices": self.slices.to_state(),
            "units": self._units.to_state(),
            "sessions": self._sessions.to_state(),
            "pairs": [self.pairs, self.distinct],
            "days": [self._first_day, self._newest],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up, before any pair, what `to_state` of evidence about the same variables gave."""
        for variable, gathered in zip(self.variables, state["variables"], strict=True):
            variable.restore(gathered)
        self.slices.restore(state["slices"])
        self._units.restore(state["units"])
        self._sessions.restore(state["sessions"])
        self.pairs, self.distinct = state["pairs"]
        self._first_day, self._newest = state["days"]

    def begin(self, other: UnitEvidence, twins: Mapping[Variable, Variable]) -> None:
        """Begin with what was gathered about the twins of these variables."""
        rows: dict[Variable, range] = {}
        row = 0
        for variable in other.variables:
            rows[variable] = range(row, row := row + len(variable.means))
        for variable in self.variables:
            variable.restore({**twins[variable].to_state(), "newest": []})
        self._sessions = other._sessions.of([row for variable in self.variables for row in rows[twins[variable]]])
        self._units = copy.deepcopy(other._units)
        self.pairs, self.distinct = other.pairs, other.distinct
        self._first_day, self._newest = other._first_day, other._newest
