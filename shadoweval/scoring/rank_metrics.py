"""How good a ranking is, given judgements; how alike two rankings are, given none.

A ranking is the ids of the retrieved documents, best first; ranks start at 1. Two conventions hold for every
function with judgements:

- A document that nobody judged counts as not relevant (trec_eval's convention). Where the judgements were
  made on one arm's hits this favours that arm: look at `judged`, or score `condensed` rankings, or use
  `bpref`.
- A document that is returned again keeps the rank it takes up and earns nothing there, because the second
  copy takes room from the reader and tells nothing new.

The values are those of trec_eval for rankings without repetitions. The tests check them against trec_eval's
own printed values and, on random rankings, against pytrec_eval (through ir-measures).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

__all__ = [
    "Judgements",
    "Unjudged",
    "average_precision",
    "bpref",
    "condensed",
    "hit_rate",
    "jaccard",
    "judge",
    "judged",
    "ndcg",
    "overlap",
    "precision",
    "rank_biased_overlap",
    "recall",
    "reciprocal_rank",
]


class Unjudged(Enum):
    """Why a query has no value of any metric that needs judgements; the value is a reason to show."""

    NO_JUDGEMENTS = "no document is judged for this query"
    NOTHING_RELEVANT = "no document is judged relevant to this query"


@dataclass(frozen=True, slots=True)
class Judgements:
    """One query's judgements with at least one relevant document; made by `judge`."""

    grades: Mapping[str, float]
    relevant: frozenset[str]


def judge(grades: Mapping[str, float], *, relevant_from: float = 1.0) -> Judgements | Unjudged:
    """Read one query's grades, or say why no ranking of that query can be scored.

    Every metric here is a total function of `Judgements`, so this is the only place where a value can be
    missing. trec_eval scores a query without a relevant document as 0 whatever was retrieved; that number
    says nothing about the ranking and pulls both arms' means together, so here it has no value.

    Args:
        grades: document id -> grade. Grades are gains in `ndcg`; grades of 0 and below mean "not relevant".
        relevant_from: the lowest grade that counts as relevant in the binary metrics (trec_eval's `-l`). Must
            be > 0.
    """
    if not grades:
        return Unjudged.NO_JUDGEMENTS
    relevant = frozenset(document for document, grade in grades.items() if grade >= relevant_from > 0)
    return Judgements(grades, relevant) if relevant else Unjudged.NOTHING_RELEVANT


def recall(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """Share of the relevant documents that stand in the first k (trec_eval `recall_k`)."""
    return len(judgements.relevant.intersection(ranking[:k])) / len(judgements.relevant)


def precision(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """Relevant documents in the first k, over k even where fewer were returned (trec_eval `P_k`)."""
    return len(judgements.relevant.intersection(ranking[:k])) / k


def hit_rate(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """1.0 if a relevant document stands in the first k, else 0.0 (trec_eval `success_k`)."""
    return float(not judgements.relevant.isdisjoint(ranking[:k]))


def reciprocal_rank(ranking: Sequence[str], judgements: Judgements, *, k: int | None = None) -> float:
    """1 / rank of the first relevant document, 0.0 if none stands in the first k; its mean is MRR@k."""
    for rank, document in enumerate(ranking[:k], start=1):
        if document in judgements.relevant:
            return 1 / rank
    return 0.0


def average_precision(ranking: Sequence[str], judgements: Judgements, *, k: int | None = None) -> float:
    """Mean over the relevant documents of the precision at their rank, 0 past the first k (`map_cut_k`)."""
    total, found = 0.0, 0
    for rank, document in _first_occurrences(ranking[:k]):
        if document in judgements.relevant:
            found += 1
            total += found / rank
    return total / len(judgements.relevant)


def ndcg(ranking: Sequence[str], judgements: Judgements, *, k: int | None = None) -> float:
    """Normalised discounted cumulative gain of the first k, in [0, 1].

    Järvelin and Kekäläinen 2002 in the convention of trec_eval `ndcg_cut_k`: gain = grade (not 2^grade - 1),
    discount log2(rank + 1) (theirs is log2(rank) from rank 2 on), and the ideal is the best k judged documents.
    Grades of 0 and below gain nothing. `relevant_from` plays no part.
    """
    gained = sum(
        max(0.0, judgements.grades.get(document, 0.0)) / math.log2(rank + 1)
        for rank, document in _first_occurrences(ranking[:k])
    )
    best = sorted((grade for grade in judgements.grades.values() if grade > 0), reverse=True)[:k]
    return gained / sum(grade / math.log2(rank + 1) for rank, grade in enumerate(best, start=1))


def bpref(ranking: Sequence[str], judgements: Judgements) -> float:
    """How seldom judged non-relevant documents stand above relevant ones; unjudged documents play no part.

    Buckley and Voorhees 2004 as in trec_eval `bpref`: mean over the R relevant documents of
    1 - min(n, R) / min(N, R), where n of the N judged non-relevant documents stand above; 0 for those not
    returned.
    """
    wanted = len(judgements.relevant)
    bound = min(wanted, len(judgements.grades) - wanted)
    total, above = 0.0, 0
    for _, document in _first_occurrences(ranking):
        if document in judgements.relevant:
            total += 1 - min(above, wanted) / bound if above else 1.0
        elif document in judgements.grades:
            above += 1
    return total / wanted


def judged(ranking: Sequence[str], judgements: Judgements, *, k: int) -> float:
    """Share of the first k returned documents that anybody judged; 1.0 where nothing was returned.

    Compare it between the arms before you compare anything else: a candidate that finds good documents nobody
    has judged looks worse than it is.
    """
    top = set(ranking[:k])
    return len(top & judgements.grades.keys()) / len(top) if top else 1.0


def condensed(ranking: Iterable[str], judgements: Judgements) -> tuple[str, ...]:
    """Leave out what nobody judged, and repetitions (Sakai 2007, "Alternatives to Bpref")."""
    return tuple(document for document in dict.fromkeys(ranking) if document in judgements.grades)


def overlap(one: Sequence[str], other: Sequence[str], *, k: int) -> float:
    """Documents both rankings hold in their first k, over the longer of the two; 1.0 if both are empty."""
    left, right = set(one[:k]), set(other[:k])
    return len(left & right) / max(len(left), len(right)) if left or right else 1.0


def jaccard(one: Sequence[str], other: Sequence[str], *, k: int) -> float:
    """Documents both rankings hold in their first k, over those either does; 1.0 if both are empty."""
    left, right = set(one[:k]), set(other[:k])
    return len(left & right) / len(left | right) if left or right else 1.0


def rank_biased_overlap(one: Iterable[str], other: Iterable[str], *, p: float = 0.9) -> float:
    """Likeness of two rankings in [0, 1], the top weighing most: extrapolated RBO, of uneven lists too.

    Webber, Moffat and Zobel 2010 (doi:10.1145/1852102.1852106), equation 32. Repetitions are left out first.
    Two empty rankings are alike (1.0); an empty and a non-empty one are not (0.0). The tests check it against
    the infinite sum of its definition and values published with other implementations.

    Args:
        one: document ids, best first.
        other: document ids, best first.
        p: persistence in (0, 1): the first d ranks weigh more the smaller p is; 0.9 gives the first ten about
            86 %.
    """
    short, long = sorted((list(dict.fromkeys(one)), list(dict.fromkeys(other))), key=len)
    if not short:
        return float(not long)
    agreements, weight = 0.0, 1.0
    seen_short: set[str] = set()
    seen_long: set[str] = set()
    shared = shared_when_short_ends = 0
    for depth, document in enumerate(long, start=1):
        seen_long.add(document)
        shared += document in seen_short
        if depth <= len(short):
            seen_short.add(short[depth - 1])
            shared += short[depth - 1] in seen_long
            shared_when_short_ends = shared
        # Past its end the short ranking is taken to go on agreeing as well as it did.
        assumed = shared_when_short_ends * max(0, depth - len(short)) / len(short)
        agreements += (1 - p) * weight * (shared + assumed) / depth
        weight *= p
    last = (shared - shared_when_short_ends) / len(long) + shared_when_short_ends / len(short)
    return min(1.0, agreements + last * weight)  # Rounding may pass 1 by a bit or two.


def _first_occurrences(ranking: Sequence[str]) -> list[tuple[int, str]]:
    ranks: dict[str, int] = {}
    for rank, document in enumerate(ranking, start=1):
        ranks.setdefault(document, rank)
    return [(rank, document) for document, rank in ranks.items()]
