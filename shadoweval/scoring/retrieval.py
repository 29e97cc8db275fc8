"""How good the retrieved documents are: against judgements, or, without any, against the incumbent's.

Judgements come with the case file or later as labels (`Labels.relevant`, document id -> grade, 0: not relevant). A
query that nobody judged is unscored, with that reason; so is a run of which no retrieval was recorded, or whose hits
can't be told by an id. A hit whose id no label names, but whose text (of 40 characters or more) is that of a labelled
hit of the same query, is that document: an index that was built anew gives new ids to old documents. What labels for
whole documents and spans name: `records.labelled`. Formulas and conventions: `rank_metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial

import msgspec

from shadoweval.checks import checked_keywords, checked_number
from shadoweval.protocols import Metric
from shadoweval.records import NOT_RERUN, Observation, Pair, PairScore, Score, Scored, Unscored
from shadoweval.records.keys import by_labelled_ids
from shadoweval.scoring import rank_metrics
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.rank_metrics import Judgements, Unjudged
from shadoweval.scoring.rankings import ids_by_content, labelled, ranked_hits, texts_of, unknown_hits

__all__ = [
    "average_precision",
    "bpref",
    "by_retrieval",
    "context_precision",
    "hit_rate",
    "judged",
    "mean_average_precision",
    "mrr",
    "ndcg",
    "overlap",
    "precision",
    "r_precision",
    "recall",
    "recall_at_level",
]


def by_retrieval(metric: str) -> bool:
    """Whether a metric goes by what was retrieved."""
    return by_labelled_ids(metric) or metric.startswith("overlap@") or metric in {"citations", "support"}


def _against_judgements(
    name: str,
    value: Callable[[Sequence[str], Judgements], float],
    *,
    version: int = 2,
    nothing: str = "",
    relevant_from: float = 1.0,
    descriptive: bool = False,
) -> PairScorer:
    """`nothing`: why a run without hits has no score; empty: it has. `descriptive`: as of `Metric`."""

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        of_pair = labelled(pair)
        judgements = of_pair.judgements(relevant_from)
        if isinstance(judgements, Unjudged):
            return {name: Unscored(judgements.value, informative=False)}
        ranking = of_pair.ranking(observation)
        if ranking.unknown is not None:
            return {name: Unscored(ranking.unknown)}
        if nothing and not observation.hits:
            return {name: Unscored(nothing, informative=bool(pair.served.hits or pair.candidate.hits))}
        return {name: Scored(value(ranking.names, judgements))}

    return PairScorer(
        metrics=(Metric(name=name, descriptive=descriptive),), version=f"{name}/{version}", score_one=score_one
    )


def _at(k: int, name: str, value: Callable[..., float]) -> PairScorer:
    k = checked_number(f"{name}(k)", k, low=1, whole=True)
    return _against_judgements(f"{name}@{k}", partial(value, k=k))


@checked_keywords()
def recall(k: int = 5) -> PairScorer:
    """`recall@k`: share of the relevant documents among the first k."""
    return _at(k, "recall", rank_metrics.recall_of)


@checked_keywords()
def precision(k: int = 5) -> PairScorer:
    """`precision@k`: share of the first k that is relevant."""
    return _at(k, "precision", rank_metrics.precision_of)


@checked_keywords()
def hit_rate(k: int = 5) -> PairScorer:
    """`hit_rate@k`: 1 if any of the first k is relevant."""
    return _at(k, "hit_rate", rank_metrics.hit_rate_of)


@checked_keywords()
def mrr(k: int = 10) -> PairScorer:
    """`mrr@k`: 1 / rank of the first relevant document, 0 below rank k."""
    return _at(k, "mrr", rank_metrics.reciprocal_rank_of)


@checked_keywords()
def ndcg(k: int = 10) -> PairScorer:
    """`ndcg@k` with linear gains, as trec_eval's `ndcg_cut_k`."""
    return _at(k, "ndcg", rank_metrics.ndcg_of)


@checked_keywords()
def average_precision(k: int = 10) -> PairScorer:
    """`average_precision@k`: mean over the relevant documents of the precision at their rank; 0 below rank k."""
    return _at(k, "average_precision", rank_metrics.average_precision_of)


@checked_keywords()
def mean_average_precision() -> PairScorer:
    """`map`: average precision over the whole ranking, as trec_eval's `map`; its mean over queries is MAP."""
    return _against_judgements("map", rank_metrics.average_precision_of)


@checked_keywords()
def r_precision() -> PairScorer:
    """`r_precision`: share of the first R that is relevant, where R documents are, as trec_eval's `Rprec`."""
    return _against_judgements("r_precision", rank_metrics.r_precision_of)


@checked_keywords()
def recall_at_level(k: int = 5, *, level: int = 2) -> PairScorer:
    """`recall(rel=level)@k`: share of the documents graded `level` or higher among the first k (trec_eval's `-l`)."""
    k = checked_number("recall_at_level(k)", k, low=1, whole=True)
    level = checked_number("recall_at_level(level)", level, low=1, whole=True)
    value = partial(rank_metrics.recall_of, k=k)
    return _against_judgements(f"recall(rel={level})@{k}", value, relevant_from=level)


@checked_keywords()
def context_precision(k: int = 5) -> PairScorer:
    """`context_precision@k`: how far up the relevant ones among the first k stand, as RAGAS has it."""
    return _at(k, "context_precision", rank_metrics.context_precision_of)


@checked_keywords()
def bpref() -> PairScorer:
    """`bpref`: how seldom documents judged irrelevant stand above relevant ones; unjudged ones play no part."""
    return _against_judgements("bpref", rank_metrics.bpref_of)


@checked_keywords()
def judged(k: int = 5) -> PairScorer:
    """`judged@k`: share of the first k that anybody judged; where one arm's is lower, its other scores are too low."""
    k = checked_number("judged(k)", k, low=1, whole=True)
    value = partial(rank_metrics.judged_share, k=k)
    return _against_judgements(f"judged@{k}", value, version=3, nothing="nothing was retrieved", descriptive=True)


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """Agreement with the incumbent's hits, no labels needed; says "different", not "worse".

    The incumbent's own score is its re-run's agreement with what it served: the noise floor that the candidate's
    agreement is compared with. Where it was not run again there is none.
    """

    metrics: tuple[Metric, ...]
    version: str
    k: int

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """The candidate's and the re-run's agreement with the served hits."""
        name = self.metrics[0].name
        again = self._agreement(pair.served, pair.rerun)
        yield PairScore(
            metric=name,
            query_id=pair.id,
            incumbent=again,
            candidate=self._agreement(pair.served, pair.candidate),
            scorer_version=self.version,
            noise=again,
        )

    def _agreement(self, served: Observation, other: Observation | None) -> Score:
        if other is None:
            return Unscored(NOT_RERUN, informative=False)
        if served.failed:
            return Unscored("the served run failed, there is nothing to agree with", informative=False)
        if other.failed:
            return Scored(0.0)
        unknown = unknown_hits(served) or unknown_hits(other)
        if unknown is not None:
            return Unscored(unknown)
        if not served.hits and not other.hits:
            return Unscored("neither run retrieved anything", informative=False)
        ranking = tuple(hit.id for hit in ranked_hits(served))
        again = ids_by_content(other, known=texts_of(served), keep=ranking)
        return Scored(rank_metrics.jaccard_of(ranking, again, k=self.k))


@checked_keywords()
def overlap(k: int = 5) -> Overlap:
    """`overlap@k`: Jaccard index of the first k documents of candidate and incumbent."""
    k = checked_number("overlap(k)", k, low=1, whole=True)
    return Overlap(
        metrics=(Metric(name=f"overlap@{k}", descriptive=True, of_pair=True),), version=f"overlap@{k}/3", k=k
    )
