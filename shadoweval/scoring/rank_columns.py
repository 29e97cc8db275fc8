"""The numbers of `rank_metrics` for many queries at once, as arrays: two microseconds a ranking instead of a dozen.

    judged = read_columns([pair.labels.relevant for pair in pairs])
    candidate = judged.rank([[hit.id for hit in hits] for hits in rankings])
    candidate.ndcg(k=10)[judged.scored]

Documents are looked up once, each id in the grades of its own query; all else is arithmetic on matrices of grades, one
for each length of ranking. Each value is that of the function of `rank_metrics` to 1e-12, repetitions and unjudged
documents included; that module says what the metrics mean, and its functions stay the words for a single ranking (an
array of one costs more than they do). Some thousand queries at a time fit a processor's cache; the values of a query
don't depend on what stands beside it.

This module needs numpy (extra `store`), so import it where arrays are at hand, not with the scorers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from operator import attrgetter, methodcaller
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from shadoweval.scoring.rank_metrics import Unjudged

__all__ = ["read_columns"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Counts = NDArray[np.intp]

_UNJUDGED: Final = float("nan")
"""Grade of what nobody judged: not relevant, no gain, and told from a grade of 0."""


_LOOK_UP: Final = attrgetter("get")
_VALUES: Final = methodcaller("values")


class _Ranked(NamedTuple):
    """Rankings of one length: a row for each rank, a column for each query, so that sums go over whole rows."""

    queries: Counts
    grades: Floats
    """A document that is returned again has the grade of an unjudged one there."""
    relevant: Bools


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgementColumns:
    """Judgements of many queries; made by `read_columns`. Both arms of a pair are ranked against the same ones."""

    grades: Sequence[Mapping[str, float]]
    relevant_from: float
    judged: Counts
    """How many documents are judged, by query."""
    relevant: Counts
    """How many of them are relevant."""
    scored: Bools
    """Whether the query has a value. Where it has none every metric is NaN, so that no mean passes over it."""
    best: tuple[tuple[Counts, Floats], ...]
    """Queries with equally many judgements, and their gains (judged documents, queries), highest first."""

    def why_unscored(self, query: int) -> Unjudged | None:
        """Why the query at this place has no value; None: it has one."""
        if self.scored[query]:
            return None
        return Unjudged.NOTHING_RELEVANT if self.judged[query] else Unjudged.NO_JUDGEMENTS

    def rank(self, rankings: Sequence[Sequence[str]]) -> RankColumns:
        """Look up one ranking for each query, ids best first, as `rank_metrics` has them.

        Raises:
            ValueError: there are more or fewer rankings than queries.
        """
        if len(rankings) != len(self.grades):
            raise ValueError(
                f"{len(rankings)} rankings for {len(self.grades)} queries. Give one for each, [] for none."
            )
        lengths = _counts(map(len, rankings), len(rankings))
        # By iterators alone: a list of bound methods makes the garbage collector look through the whole heap.
        found = chain.from_iterable(map(map, map(_LOOK_UP, self.grades), rankings, repeat(repeat(_UNJUDGED))))
        grades = np.fromiter(found, np.float64, int(lengths.sum()))
        _forget_repetitions(grades, rankings, lengths)
        ranked = tuple(
            _Ranked(queries, matrix, matrix >= self.relevant_from) for queries, matrix in _by_length(grades, lengths)
        )
        return RankColumns(judgements=self, rankings=rankings, ranked=ranked)


def read_columns(grades: Sequence[Mapping[str, float]], *, relevant_from: float = 1.0) -> JudgementColumns:
    """Read many queries' grades, each as `rank_metrics.read_judgements` reads one and says what the arguments are."""
    judged = _counts(map(len, grades), len(grades))
    flat = np.fromiter(chain.from_iterable(map(_VALUES, grades)), np.float64, int(judged.sum()))
    relevant = np.zeros(len(grades), np.intp)
    best: list[tuple[Counts, Floats]] = []
    for queries, matrix in _by_length(flat, judged):
        relevant[queries] = (matrix >= relevant_from).sum(axis=0) if relevant_from > 0 else 0
        gains = np.maximum(matrix, 0.0)
        if (gains[1:] > gains[:-1]).any():
            gains = -np.sort(-gains, axis=0)
        best.append((queries, gains))
    return JudgementColumns(
        grades=grades,
        relevant_from=relevant_from,
        judged=judged,
        relevant=relevant,
        scored=relevant > 0,
        best=tuple(best),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RankColumns:
    """One ranking for each of many queries; made by `JudgementColumns.rank`. Each metric is an array (queries,)."""

    judgements: JudgementColumns
    rankings: Sequence[Sequence[str]]
    ranked: tuple[_Ranked, ...]

    def recall(self, *, k: int) -> Floats:
        """`recall_of` each ranking."""
        return self._each(lambda group: _relevant_in(group, k) / self._relevant(group))

    def precision(self, *, k: int) -> Floats:
        """`precision_of` each ranking."""
        return self._each(lambda group: _relevant_in(group, k) / k)

    def r_precision(self) -> Floats:
        """`r_precision_of` each ranking."""

        def value(group: _Ranked) -> Floats:
            relevant = self._relevant(group)
            return (group.relevant & (_ranks(group.relevant) <= relevant)).sum(axis=0) / relevant

        return self._each(value)

    def hit_rate(self, *, k: int) -> Floats:
        """`hit_rate_of` each ranking."""
        return self._each(lambda group: np.asarray(_relevant_in(group, k) > 0, np.float64))

    def reciprocal_rank(self, *, k: int | None = None) -> Floats:
        """`reciprocal_rank_of` each ranking."""
        return self._each(lambda group: (group.relevant[:k] / _ranks(group.relevant[:k])).max(axis=0))

    def average_precision(self, *, k: int | None = None) -> Floats:
        """`average_precision_of` each ranking."""
        return self._each(lambda group: _precisions(group.relevant[:k]) / self._relevant(group))

    def context_precision(self, *, k: int) -> Floats:
        """`context_precision_of` each ranking."""
        return self._each(lambda group: _precisions(group.relevant[:k]) / np.maximum(_relevant_in(group, k), 1))

    def ndcg(self, *, k: int | None = None) -> Floats:
        """`ndcg_of` each ranking."""
        ideal = np.ones(len(self.judgements.grades))
        for queries, gains in self.judgements.best:
            ideal[queries] = _discounted(gains[:k])
        ideal[~self.judgements.scored] = 1.0
        return self._each(lambda group: np.divide(_discounted(np.fmax(group.grades[:k], 0.0)), ideal[group.queries]))

    def bpref(self) -> Floats:
        """`bpref_of` each ranking."""

        def value(group: _Ranked) -> Floats:
            relevant = self._relevant(group)
            bound = np.minimum(relevant, self.judgements.judged[group.queries] - relevant)
            irrelevant = ~group.relevant & ~np.isnan(group.grades)
            above = np.minimum(np.cumsum(irrelevant, axis=0), relevant)
            return (group.relevant * (1 - above / np.maximum(bound, 1))).sum(axis=0) / relevant

        return self._each(value)

    def judged_share(self, *, k: int) -> Floats:
        """`judged_share` of each ranking."""
        documents = _counts((len(set(ranking[:k])) for ranking in self.rankings), len(self.rankings))
        return self._each(
            lambda group: (~np.isnan(group.grades[:k])).sum(axis=0) / documents[group.queries], nothing=1.0
        )

    def _relevant(self, group: _Ranked) -> Counts:
        """Relevant documents of each query of the group; 1 where there is none, whose value is not used."""
        return np.maximum(self.judgements.relevant[group.queries], 1)

    def _each(self, value: Callable[[_Ranked], Floats], *, nothing: float = 0.0) -> Floats:
        """The metric of each query; `nothing`: of a ranking without any document."""
        values = np.full(len(self.judgements.grades), nothing)
        for group in self.ranked:
            values[group.queries] = value(group)
        values[~self.judgements.scored] = np.nan
        return values


def _counts(numbers: Iterator[int], count: int) -> Counts:
    return np.fromiter(numbers, np.intp, count)


def _forget_repetitions(grades: Floats, rankings: Sequence[Sequence[str]], lengths: Counts) -> None:
    """Of all hits, ranking after ranking, those that stand further up in their ranking too get no grade.

    Only a ranking of two judged hits or more can hold a judged document twice; where no hit is judged none is lost.
    """
    ends = np.cumsum(lengths)
    judged = np.concatenate(([0], np.cumsum(~np.isnan(grades))))
    several = np.flatnonzero(judged[ends] - judged[ends - lengths] > 1)
    distinct = _counts(map(len, map(set, map(rankings.__getitem__, several.tolist()))), len(several))
    for query in map(int, several[distinct != lengths[several]]):
        seen: set[str] = set()
        for place, document in enumerate(rankings[query], start=int(ends[query] - lengths[query])):
            if document in seen:
                grades[place] = _UNJUDGED
            seen.add(document)


def _by_length(flat: NDArray[Any], lengths: Counts) -> Iterator[tuple[Counts, NDArray[Any]]]:
    """Rows of equal length, and their elements (length, rows) out of all rows' one after the other; no empty rows."""
    starts = np.cumsum(lengths) - lengths
    order = np.argsort(lengths, kind="stable")
    for rows in np.split(order, np.flatnonzero(np.diff(lengths[order])) + 1):
        length = int(lengths[rows[0]]) if len(rows) else 0
        if length and len(rows) == len(lengths):
            yield rows, np.ascontiguousarray(flat.reshape(-1, length).T)
        elif length:
            yield rows, flat[starts[rows] + np.arange(length)[:, np.newaxis]]


def _ranks(matrix: Bools | Floats) -> Counts:
    return np.arange(1, len(matrix) + 1)[:, np.newaxis]


def _relevant_in(group: _Ranked, k: int) -> Counts:
    return group.relevant[:k].sum(axis=0)


def _precisions(relevant: Bools) -> Floats:
    """The precisions at the ranks of the relevant documents, added up."""
    return (relevant * (np.cumsum(relevant, axis=0) / _ranks(relevant))).sum(axis=0)


def _discounted(gains: Floats) -> Floats:
    return (gains / np.log2(_ranks(gains) + 1)).sum(axis=0)
