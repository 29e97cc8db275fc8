"""How good a ranking is, given judgements; how alike two rankings are, given none: numbers of one ranking.

A ranking is the ids of the retrieved documents, best first; ranks start at 1. `recall_of` is the number,
`retrieval.recall` the scorer that asks for it, and so with the others. Two conventions hold for every function with
judgements:

- A document that nobody judged counts as not relevant (trec_eval's convention). Where the judgements were
  made on one arm's hits this favours that arm: look at `judged_share`, or use `bpref_of`.
- A document that is returned again keeps the rank it takes up and earns nothing there, because the second
  copy takes room from the reader and tells nothing new.

The values are those of trec_eval for rankings without repetitions. The tests check them against trec_eval's
own printed values and, on random rankings, against pytrec_eval (through ir-measures).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum

__all__ = [
    "Judgements",
    "Unjudged",
    "average_precision_of",
    "bpref_of",
    "context_precision_of",
    "hit_rate_of",
    "jaccard_of",
    "judged_share",
    "ndcg_of",
    "precision_of",
    "r_precision_of",
    "read_judgements",
    "recall_of",
    "reciprocal_rank_of",
]


class Unjudged(Enum):
    """Why a query has no value of any metric that needs judgements; the value is a reason to show."""

    NO_JUDGEMENTS = "no document is judged for this query"
    NOTHING_RELEVANT = "no document is judged relevant to this query"


@dataclass(frozen=True, slots=True)
class Judgements:
    """One query's judgements with at least one relevant document; made by `read_judgements`."""

    grades: Mapping[str, float]
    relevant: frozenset[str]
    _ideals: dict[int | None, float] = field(default_factory=dict[int | None, float], compare=False, repr=False)

    def ideal(self, k: int | None) -> float:
        """Discounted gain of the best k judged documents, in the best order; both arms are held against it."""
        if k not in self._ideals:
            best = sorted([grade for grade in self.grades.values() if grade > 0], reverse=True)[:k]
            self._ideals[k] = _discounted(tuple(best))
        return self._ideals[k]


def read_judgements(grades: Mapping[str, float], *, relevant_from: float = 1.0) -> Judgements | Unjudged:
    """Read one query's grades, or say why no ranking of that query can be scored.

    Every metric here is a total function of `Judgements`, so this is the only place where a value can be
    missing. trec_eval scores a query without a relevant document as 0 whatever was retrieved; that number
    says nothing about the ranking and pulls both arms' means together, so here it has no value.

    Args:
        grades: document id -> grade. Grades are gains in `ndcg_of`; grades of 0 and below mean "not relevant".
        relevant_from: the lowest grade that counts as relevant in the binary metrics (trec_eval's `-l`). Must
            be > 0.
    """
    if not grades:
        return Unjudged.NO_JUDGEMENTS
    relevant = frozenset(document for document, grade in grades.items() if grade >= relevant_from > 0)
    return Judgements(grades, relevant) if relevant else Unjudged.NOTHING_RELEVANT


def recall_of(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """Share of the relevant documents that stand in the first k (trec_eval `recall_k`)."""
    return len(judgements.relevant.intersection(ranking[:k])) / len(judgements.relevant)


def precision_of(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """Relevant documents in the first k, over k even where fewer were returned (trec_eval `P_k`)."""
    return len(judgements.relevant.intersection(ranking[:k])) / k


def r_precision_of(ranking: Sequence[str], judgements: Judgements) -> float:
    """Precision of the first R, where R documents are relevant (trec_eval `Rprec`)."""
    return precision_of(ranking, judgements, k=len(judgements.relevant))


def context_precision_of(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """Mean over the relevant documents among the first k of the precision at their rank; 0 where there is none.

    RAGAS (Es et al. 2024, `ContextPrecision`): how far up the useful part of what a reader gets stands, whatever was
    not retrieved; unlike `average_precision_of`, which divides by all relevant documents.
    """
    hits = [rank for rank, document in _first_occurrences(ranking[:k]) if document in judgements.relevant]
    return sum(place / rank for place, rank in enumerate(hits, start=1)) / len(hits) if hits else 0.0


def hit_rate_of(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """1.0 if a relevant document stands in the first k, else 0.0 (trec_eval `success_k`)."""
    return float(not judgements.relevant.isdisjoint(ranking[:k]))


def reciprocal_rank_of(ranking: Sequence[str], judgements: Judgements, *, k: int | None = None) -> float:
    """1 / rank of the first relevant document, 0.0 if none stands in the first k; its mean is MRR@k."""
    for rank, document in enumerate(ranking[:k], start=1):
        if document in judgements.relevant:
            return 1 / rank
    return 0.0


def average_precision_of(ranking: Sequence[str], judgements: Judgements, *, k: int | None = None) -> float:
    """Mean over the relevant documents of the precision at their rank, 0 past the first k (`map_cut_k`)."""
    total, relevant = 0.0, 0
    for rank, document in _first_occurrences(ranking[:k]):
        if document in judgements.relevant:
            relevant += 1
            total += relevant / rank
    return total / len(judgements.relevant)


def ndcg_of(ranking: Sequence[str], judgements: Judgements, *, k: int | None = None) -> float:
    """Normalised discounted cumulative gain of the first k, in [0, 1].

    Järvelin and Kekäläinen 2002 in the convention of trec_eval `ndcg_cut_k`: gain = grade (not 2^grade - 1),
    discount log2(rank + 1) (theirs is log2(rank) from rank 2 on), and the ideal is the best k judged documents.
    Grades of 0 and below gain nothing. `relevant_from` plays no part.
    """
    grade_of, seen = judgements.grades.get, _first_occurrences(ranking[:k])
    gains = [grade / _discount(rank) for rank, document in seen if (grade := grade_of(document, 0)) > 0]
    return sum(gains) / judgements.ideal(k)


@functools.lru_cache(maxsize=1_024)  # many queries have the same grades: one document, three of grade 1
def _discounted(grades: tuple[float, ...]) -> float:
    return sum(grade / _discount(rank) for rank, grade in enumerate(grades, start=1))


@functools.lru_cache(maxsize=1_024)
def _discount(rank: int) -> float:
    return math.log2(rank + 1)


def bpref_of(ranking: Sequence[str], judgements: Judgements) -> float:
    """How seldom judged non-relevant documents stand above relevant ones; unjudged documents play no part.

    Buckley and Voorhees 2004 as in trec_eval `bpref`: mean over the R relevant documents of
    1 - min(n, R) / min(N, R), where n of the N judged non-relevant documents stand above; 0 for those not
    returned.
    """
    relevant = len(judgements.relevant)
    bound = min(relevant, len(judgements.grades) - relevant)
    total, above = 0.0, 0
    for _, document in _first_occurrences(ranking):
        if document in judgements.relevant:
            total += 1 - min(above, relevant) / bound if above else 1.0
        elif document in judgements.grades:
            above += 1
    return total / relevant


def judged_share(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """Share of the first k returned documents that anybody judged; 1.0 where nothing was returned.

    Compare it between the arms before you compare anything else: a candidate that finds good documents nobody
    has judged looks worse than it is.
    """
    top = set(ranking[:k])
    return len(top & judgements.grades.keys()) / len(top) if top else 1.0


def jaccard_of(left: Sequence[str], right: Sequence[str], *, k: int) -> float:
    """Documents both rankings hold in their first k, over those either does; 1.0 if both are empty."""
    lefts, rights = set(left[:k]), set(right[:k])
    return len(lefts & rights) / len(lefts | rights) if lefts or rights else 1.0


def _first_occurrences(ranking: Sequence[str]) -> Iterable[tuple[int, str]]:
    if len(set(ranking)) == len(ranking):
        return enumerate(ranking, start=1)
    ranks: dict[str, int] = {}
    for rank, document in enumerate(ranking, start=1):
        ranks.setdefault(document, rank)
    return [(rank, document) for document, rank in ranks.items()]
