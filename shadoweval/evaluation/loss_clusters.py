"""Parts of the traffic in which the candidate loses, or wins, and that nobody named.

Sought in a sample by hash of a candidate's pairs, as a report reads them: one half of the units proposes parts, the
other half tests them, all of one look as one family. So of one look the chance that any part is named wrongly is at
most `_ALPHA`; several looks are as many searches.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np

from shadoweval.evaluation.cluster_features import FeatureRows, asked_with, happened
from shadoweval.evidence.inputs import BoolArray, FloatArray, IntArray
from shadoweval.evidence.subgroups import Features, Rule, Subgroup, confirm, seek
from shadoweval.experiment import Experiment
from shadoweval.protocols import Metric
from shadoweval.records import LossCluster, Pair, PairScore, Scored

__all__ = ["LossClusters"]

_ALPHA: Final = 0.05
_FEWEST: Final = 200
"""Pairs, each of another query of a unit, below which nothing is said."""
_METRICS: Final = 3
"""Of the first gates."""
_EXAMPLES: Final = 3


class _Search(NamedTuple):
    """What one metric's first half proposes among features of one sort."""

    metric: Metric
    differences: FloatArray
    scored: BoolArray
    named: FeatureRows
    features: Features
    rules: Sequence[Rule]

    def borne_out(self, rows: BoolArray, *, units: IntArray, alpha: float) -> list[Subgroup]:
        """Those that the other half bears out, each at `alpha`."""
        rows, level = rows & self.scored, alpha * len(self.rules)
        return confirm(self.differences, self.features, rules=self.rules, rows=rows, units=units, alpha=level)


class LossClusters:
    """Gathers pairs, then names parts.

    Args:
        experiment: Whose gates say which metrics count: bounded ones, of which both arms have a score for every pair.
        sample: Ids of the pairs that were chosen by nothing but a hash, in an order of their own. Others may be read
            too; they belong to parts, and no number rests on them.
    """

    def __init__(self, experiment: Experiment, *, sample: Collection[str]) -> None:
        gated = dict.fromkeys(gate.base for gate in experiment.gates)
        self._metrics = [each for each in map(experiment.metrics.__getitem__, gated) if _counts(each)][:_METRICS]
        self._order = {query_id: place for place, query_id in enumerate(sample)}
        self._ids: list[str] = []
        self._units: dict[str, int] = {}
        self._unit_of: list[int] = []
        self._keys: list[str] = []
        self._differences: list[list[float]] = [[] for _ in self._metrics]
        self._asked, self._ran = FeatureRows(), FeatureRows()

    def see(self, pair: Pair, scores: Sequence[PairScore], *, parts: str) -> None:
        """Gather one; `parts`: the kind of step at which the arms part, empty where they do not."""
        if not self._metrics:
            return
        self._ids.append(pair.id)
        self._unit_of.append(self._units.setdefault(pair.query.cluster, len(self._units)))
        self._keys.append(pair.query.key)
        by_name = {score.metric: score for score in scores}
        for metric, differences in zip(self._metrics, self._differences, strict=True):
            differences.append(_difference(metric, by_name.get(metric.name)))
        self._asked.add(asked_with(pair), text=pair.query.text)
        self._ran.add(happened(pair, parts))

    def named(self, *, listed: Collection[str]) -> tuple[tuple[LossCluster, ...], Mapping[str, tuple[int, ...]]]:
        """The parts, worst first, and by query id the places of those that a query belongs to.

        Args:
            listed: Ids of the queries that a report lists, of which alone there are examples.
        """
        if len(self._ids) < _FEWEST:
            return (), {}
        units, counts = np.array(self._unit_of, dtype=np.int64), self._counting()
        first = np.array([_half(unit) for unit in self._units], dtype=bool)[units]
        searches = list(self._searches(units, counts=counts, first=first))
        rules = sum(len(search.rules) for search in searches)
        named = [
            self._cluster(search, part, listed)
            for search in searches
            for part in search.borne_out(counts & ~first, units=units, alpha=_ALPHA / max(rules, 1))
        ]
        named.sort(key=lambda each: each[0].difference)
        places: dict[str, tuple[int, ...]] = {}
        for place, (_, members) in enumerate(named):
            for row in np.flatnonzero(members):
                places[self._ids[row]] = (*places.get(self._ids[row], ()), place)
        return tuple(cluster for cluster, _ in named), places

    def _counting(self) -> BoolArray:
        """Rows of the sample, of each query of a unit the one that comes first in it."""
        count = np.zeros(len(self._ids), dtype=bool)
        last = len(self._order)
        seen: set[tuple[int, str]] = set()
        for row in sorted(range(len(self._ids)), key=lambda row: self._order.get(self._ids[row], last)):
            known = (self._unit_of[row], self._keys[row])
            if self._ids[row] in self._order and known not in seen:
                seen.add(known)
                count[row] = True
        return count

    def _searches(self, units: IntArray, *, counts: BoolArray, first: BoolArray) -> Iterator[_Search]:
        """Of each metric one over what was asked, and one over what happened."""
        sorts = [(sort, sort.features()) for sort in (self._asked, self._ran)]
        for metric, values in zip(self._metrics, self._differences, strict=True):
            differences = np.array(values, dtype=np.float64)
            scored = ~np.isnan(differences)
            differences[~scored] = 0.0
            if (scored & counts).sum() < _FEWEST:
                continue
            for sort, features in sorts:
                rules = seek(differences, features, rows=counts & scored & first, units=units)
                yield _Search(metric, differences, scored, sort, features, rules)

    def _cluster(self, search: _Search, part: Subgroup, listed: Collection[str]) -> tuple[LossCluster, BoolArray]:
        members = part.rule.members(search.features, len(self._ids))
        sampled = np.array([query_id in self._order for query_id in self._ids], dtype=bool)
        shown = [row for row in np.flatnonzero(members & search.scored) if self._ids[row] in listed]
        shown.sort(key=lambda row: (-part.rule.sign * search.differences[row], self._ids[row]))
        cluster = LossCluster(
            features=search.named.described(part.rule),
            metric=search.metric.name,
            difference=part.difference,
            lower=part.lower,
            upper=part.upper,
            elsewhere=part.elsewhere,
            units=part.units,
            share=float(members[sampled].mean()),
            examples=tuple(self._ids[row] for row in shown[:_EXAMPLES]),
        )
        return cluster, members


def _counts(metric: Metric) -> bool:
    """Whether the served run and the candidate's are compared by it on every pair, within a range."""
    bounded = metric.low is not None and metric.high is not None
    return bounded and metric.least_chance >= 1 and not metric.like_with_like and not metric.of_pair


def _difference(metric: Metric, score: PairScore | None) -> float:
    """Larger is better; NaN where either arm has no score."""
    if score is None or not isinstance(score.incumbent, Scored) or not isinstance(score.candidate, Scored):
        return float("nan")
    return (1.0 if metric.higher_is_better else -1.0) * (score.candidate.value - score.incumbent.value)


def _half(unit: str) -> bool:
    """Whether a unit proposes; its other half tests. By a hash that no sampling uses."""
    return bool(hashlib.blake2b(unit.encode("utf-8", "replace"), digest_size=1).digest()[0] & 1)
