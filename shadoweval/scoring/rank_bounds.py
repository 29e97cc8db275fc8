"""Between which values a metric lies while some documents of the pool are not judged: numbers of one ranking.

An unjudged document may have any grade from 0 up. Assignments under which nothing is relevant have no value, and bound
nothing. Recall's bounds are exact; nDCG's too where few enough assignments are to be tried, else they are sound.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping, Sequence
from math import log2
from typing import Final

from shadoweval.scoring.rank_metrics import Judgements, ndcg_of, read_judgements

__all__ = ["ndcg_bounds_of", "recall_bounds_of"]

_MOST: Final = 1024
"""Assignments that are tried."""


def recall_bounds_of(
    ranking: Sequence[str], grades: Mapping[str, float], *, unjudged: Collection[str], k: int
) -> tuple[float, float]:
    """The lowest and highest recall at k. Something must be relevant, or not judged."""
    top = set(ranking[:k])
    relevant = {document for document, grade in grades.items() if grade >= 1}
    given, open_in_top = len(relevant & top), len(top & set(unjudged))
    open_below = len(set(unjudged)) - open_in_top
    low, high = len(relevant) + open_below, len(relevant) + open_in_top
    return (given / low if low else 1.0, (given + open_in_top) / high if high else 0.0)


def ndcg_bounds_of(
    ranking: Sequence[str], grades: Mapping[str, float], *, unjudged: Collection[str], k: int, highest: int
) -> tuple[float, float]:
    """The lowest and highest nDCG at k where unjudged documents have whole grades up to `highest`."""
    open_documents = sorted(set(unjudged))
    if (highest + 1) ** len(open_documents) > _MOST:
        return _sound_bounds(ranking, grades, unjudged=open_documents, k=k, highest=highest)
    values: list[float] = []
    for assigned in itertools.product(range(highest + 1), repeat=len(open_documents)):
        judgements = read_judgements({**grades, **dict(zip(open_documents, assigned, strict=True))})
        if isinstance(judgements, Judgements):
            values.append(ndcg_of(ranking, judgements, k=k))
    return min(values), max(values)


def _sound_bounds(
    ranking: Sequence[str], grades: Mapping[str, float], *, unjudged: Sequence[str], k: int, highest: int
) -> tuple[float, float]:
    """Each of the gains and the ideal at its worst and best, though not both can be."""

    def ideal(all_grades: Mapping[str, float]) -> float:
        best = sorted((grade for grade in all_grades.values() if grade > 0), reverse=True)[:k]
        return sum(grade / log2(rank + 1) for rank, grade in enumerate(best, start=1))

    def gained(all_grades: Mapping[str, float]) -> float:
        ranks = {document: rank for rank, document in reversed(list(enumerate(ranking[:k], start=1)))}
        return sum(max(0.0, all_grades.get(document, 0.0)) / log2(rank + 1) for document, rank in ranks.items())

    at_best = {**grades, **dict.fromkeys(unjudged, float(highest))}
    low, high = gained(grades) / ideal(at_best), ideal(grades)
    return low, min(1.0, gained(at_best) / high) if high else 1.0
