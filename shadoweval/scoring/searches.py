"""What looking things up loses and saves: neighbours that an approximate index misses, and hits of caches.

Both are measured while a run runs (`Step.value`), so that no retriever is asked again when pairs are scored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from shadoweval.checks import checked_instance, checked_keywords
from shadoweval.protocols import Metric
from shadoweval.records import CACHE, EXACT_SEARCH, Observation, Pair, Score, Scored, Step, Unscored
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = ["cache_hits", "index_recall"]

_NO_EXACT = (
    "no search was made again exactly; put exact= on watch(QdrantClient(...)) or @retriever, which then search twice "
    "in a shadow"
)
_NO_CACHE = "no look into a cache was recorded; call record_cache(hit=...) where it is asked"


def _mean(name: str, steps: Callable[[Observation], Sequence[Step]], *, missing: str) -> PairScorer:
    metric = Metric(name=name, like_with_like=True, fact_of_run=True, failure_scores=None)

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        del pair
        made = steps(observation)
        values = [step.value for step in made if step.value is not None]
        if values:
            return {name: Scored(sum(values) / len(values))}
        reason = next((step.name.partition(": ")[2] for step in made), "") or missing
        return {name: Unscored(reason, informative=False)}

    return PairScorer(metrics=(metric,), version=f"{name}/1", score_one=score_one)


@checked_keywords()
def index_recall() -> PairScorer:
    """`index_recall`: share of the exact neighbours that the index gave, over a run's searches.

    Where it falls the index loses documents; where `recall@k` falls and this does not, the embedding does.
    """
    return _mean("index_recall", _exact_searches, missing=_NO_EXACT)


def _exact_searches(observation: Observation) -> list[Step]:
    return [step for step in observation.steps if step.kind == "other" and step.name.startswith(EXACT_SEARCH)]


@checked_keywords()
def cache_hits(name: str = "") -> PairScorer:
    """`cache_hits`: share of a run's looks into caches that hit; of one cache by its `name`, as `cache_hits:name`.

    Compared with the incumbent's re-run, which began with the same caches as the candidate.
    """
    checked_instance("cache_hits(name)", name, str)
    cache = f"{CACHE} {name}".rstrip()

    def looks(observation: Observation) -> list[Step]:
        steps = [step for step in observation.steps if step.value is not None and step.kind == "other"]
        return [step for step in steps if step.name == cache or (not name and step.name.startswith(f"{CACHE} "))]

    return _mean(f"cache_hits:{name}" if name else "cache_hits", looks, missing=_NO_CACHE)
