"""A scorer of single observations that gets ready for many at once: a model embeds all texts of a batch together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from shadoweval.records import Observation, Pair, PairScore
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["BatchedPairScorer", "runs_of"]


def runs_of(pair: Pair) -> list[Observation]:
    """The pair's runs that answered."""
    return [run for run in (pair.served, pair.candidate, pair.rerun) if run is not None and run.outcome is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchedPairScorer(PairScorer):
    """As `PairScorer`; what `score_one` then asks for is at hand."""

    get_ready: Callable[[Sequence[Pair]], object]
    """Makes at once, and remembers, what each observation of these pairs needs; of no pairs, when they are scored: it
    may forget."""

    def score_many(self, pairs: Sequence[Pair]) -> Iterator[PairScore]:
        """All pairs' scores, after one getting ready."""
        self.get_ready(pairs)
        for pair in pairs:
            yield from self.score(pair)
