"""What a reader gets twice: passages that repeat each other, letter by letter or nearly so.

Texts are compared by their shingles, runs of nine characters of the text in lower case and normal form (NFKC) with
single spaces (Broder 1997; Leskovec, Rajaraman, Ullman, Mining of Massive Datasets, 3.2): no script needs words.
No label is needed. That hits repeat each other says that room was wasted, not that the answer is worse.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from shadoweval.checks import checked_keywords, checked_number
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.rankings import ranked_hits, unknown_hits

__all__ = ["near_duplicates", "redundancy"]

_SHINGLE: Final = 9


def _shingles(text: str) -> frozenset[str]:
    plain = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return frozenset(plain[at : at + _SHINGLE] for at in range(max(1, len(plain) - _SHINGLE + 1)))


def redundancy_of(texts: Sequence[str]) -> float:
    """Mean share of the shingles of a text that stood in one before it; the first repeats nothing."""
    seen: set[str] = set()
    repeated = 0.0
    for text in texts:
        shingles = _shingles(text)
        repeated += len(shingles & seen) / len(shingles)
        seen |= shingles
    return repeated / len(texts)


def near_duplicates_of(texts: Sequence[str], *, alike: float) -> float:
    """Share of the texts that are near duplicates of one before: the Jaccard index of their shingles is `alike`."""
    shingles = [_shingles(text) for text in texts]
    repeats = (
        any(len(one & other) >= alike * len(one | other) for other in shingles[:place])
        for place, one in enumerate(shingles)
    )
    return sum(repeats) / len(texts)


def _over_texts(name: str, k: int, value: Callable[[Sequence[str]], float], *, version: str = "1") -> PairScorer:
    metric = Metric(name=name, higher_is_better=False, descriptive=True, failure_scores=None)

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        unknown = unknown_hits(observation)
        if unknown is not None:
            return {name: Unscored(unknown)}
        hits = ranked_hits(observation)[:k]
        if not hits:
            return {name: Unscored("nothing was retrieved", informative=bool(pair.served.hits or pair.candidate.hits))}
        texts = [hit.text for hit in hits if hit.text]
        if len(texts) < len(hits):
            return {name: Unscored("a hit has no text; record it with the hits")}
        return {name: Scored(value(texts))}

    return PairScorer(metrics=(metric,), version=f"{name}/{version}", score_one=score_one)


@checked_keywords()
def redundancy(k: int = 5) -> PairScorer:
    """`redundancy@k`: mean share of the text of each of the first k hits that stood in a hit above it."""
    k = checked_number("redundancy(k)", k, low=1, whole=True)
    return _over_texts(f"redundancy@{k}", k, redundancy_of)


@checked_keywords()
def near_duplicates(k: int = 5, *, alike: float = 0.8) -> PairScorer:
    """`near_duplicates@k`: share of the first k hits that say nearly the same as one above them.

    Args:
        k: how many hits are looked at.
        alike: Jaccard index of the shingles from which on two texts are nearly the same.
    """
    k = checked_number("near_duplicates(k)", k, low=1, whole=True)
    alike = checked_number("near_duplicates(alike)", alike, above=0, high=1)
    return _over_texts(f"near_duplicates@{k}", k, partial(near_duplicates_of, alike=alike), version=f"1 {alike:g}")
