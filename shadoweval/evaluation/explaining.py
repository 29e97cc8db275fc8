"""One query in words: where the arms part, what followed from failing tools, and how both were scored."""

from __future__ import annotations

from collections.abc import Iterator

from shadoweval.errors import ShadowEvalError
from shadoweval.evaluation.examples import course_of
from shadoweval.evaluation.judging import judging
from shadoweval.evaluation.progress import judged_pair
from shadoweval.evaluation.rescoring import score
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import Arm, Pair, Score, Scored

__all__ = ["explain_query"]


def explain_query(experiment: Experiment, store: Store, *, candidate: Arm, query_id: str) -> str:
    """What both arms did with a query.

    Raises:
        ShadowEvalError: there is no such pair.
    """
    pair = next((pair for pair in store.pairs(experiment.name, candidate) if pair.id == query_id), None)
    if pair is None:
        raise ShadowEvalError(
            f"There is no pair of query {query_id!r} for {candidate!r}. The report names queries by their ids."
        )
    with judging(experiment.name, store):
        return "\n".join(_lines(experiment, judged_pair(pair, experiment.sandbox.stubs.failed)))


def _lines(experiment: Experiment, pair: Pair) -> Iterator[str]:
    yield f"{experiment.name} / {pair.candidate.arm}, query {pair.id}: {pair.query.text}"
    course = course_of(pair)
    yield from (f"  {line}" for line in course or ("The arms took the same steps to the same answer.",))
    yield from (f"  {each.metric}: {_value(each.incumbent)} -> {_value(each.candidate)}"
                for each in score(experiment, pair))  # fmt: skip


def _value(score: Score) -> str:
    return f"{score.value:.4g}" if isinstance(score, Scored) else f"unscored ({score.reason})"
