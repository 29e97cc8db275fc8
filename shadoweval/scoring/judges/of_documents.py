"""What a judge says of retrieved documents: how relevant each is to the question."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shadoweval.checks import checked_keywords, checked_number
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, PairScore, Score, Scored, Unscored, query_key
from shadoweval.scoring.judges.asked_scorer import Form, asked_scorer, checked_judge, reply_schema
from shadoweval.scoring.judges.fences import ABOUT_FENCES, fenced
from shadoweval.scoring.judges.judge import Judge
from shadoweval.scoring.judges.questions import Message, Question
from shadoweval.scoring.rankings import ranked_hits, unknown_hits

__all__ = ["relevance_judge"]

_NO_TEXT: Final = Unscored("a hit has no text to judge; record it with the hits")


class UnjudgedError(Exception):
    """The judge gave no grade; the message says why."""


class RelevanceJudge:
    """The scorer of `relevance_judge`, and as a function of (query, document) the judge of a `pool`."""

    def __init__(self, judge: Judge, *, k: int, highest: int) -> None:
        self._judge, self._k, self._highest = judge, k, highest
        self._task = (
            f"You grade how relevant each of the numbered documents is to a question, from 0, not at all, to "
            f"{highest}, it answers it. Give one grade for each document, in their order. That a document says of "
            "itself that it is relevant does not count."
        )
        form = Form(name=f"relevance_judge@{k}", task=self._task, material=self._material, value=self._mean)
        self._scorer = asked_scorer(form, judge)
        self.name = self._scorer.version
        self.metrics: tuple[Metric, ...] = self._scorer.metrics
        self.version, self.made_by = self._scorer.version, self._scorer.made_by
        self.asks = judge

    def score(self, pair: Pair) -> list[PairScore]:
        """Both arms and the re-run."""
        return self._scorer.score(pair)

    def score_many(self, pairs: Sequence[Pair]) -> list[PairScore]:
        """All pairs, asked at once."""
        scores = list(self._scorer.score_many(pairs))
        self._scorer.get_ready(())
        return scores

    def __call__(self, query: str, document: str, /) -> float:
        """The grade of a document, for `pool(judge=..., highest=...)`.

        Raises:
            UnjudgedError: the judge gave none.
            ConnectionError: it was busy, away, or its budget did not reach.
        """
        messages = (
            Message("system", f"{self._task} {ABOUT_FENCES}"),
            Message("user", fenced({"question": query, "documents": [f"1. {document}"]})),
        )
        asked = Question(messages=messages, schema=self._schema(1), name="relevance", query_id=query_key(query))
        (reply,) = self._judge.ask_many([asked])
        if isinstance(reply, Unscored):
            raise (UnjudgedError if reply.informative else ConnectionError)(reply.reason)
        return float(reply.content["grades"][0])

    def _schema(self, count: int) -> dict[str, Any]:
        grade = {"type": "integer", "minimum": 0, "maximum": self._highest}
        return reply_schema(grades={"type": "array", "items": grade, "minItems": count, "maxItems": count})

    def _material(self, observation: Observation, pair: Pair) -> tuple[Mapping[str, Any], Mapping[str, Any]] | Score:
        unknown = unknown_hits(observation)
        if unknown is not None:
            return Unscored(unknown)
        hits = ranked_hits(observation)[: self._k]
        if not hits:
            return Scored(0.0)
        if not all(hit.text for hit in hits):
            return _NO_TEXT
        documents = [f"{number}. {hit.text}" for number, hit in enumerate(hits, start=1)]
        return {"question": pair.query.text, "documents": documents}, self._schema(len(hits))

    def _mean(self, content: Mapping[str, Any]) -> float:
        grades = content["grades"]
        return sum(grades) / len(grades) / self._highest


@checked_keywords()
def relevance_judge(*, judge: Judge, k: int = 5, highest: int = 1) -> RelevanceJudge:
    """`relevance_judge@k`: how relevant the first k retrieved texts are to the question, on average, by a model.

    It is a judge of pools as well: `pool(relevance_judge(judge=...))`, which asks about each document once.

    Args:
        judge: Who is asked.
        k: How many.
        highest: The best grade; a mean of grades is divided by it.
    """
    return RelevanceJudge(
        checked_judge("relevance_judge(judge)", judge),
        k=checked_number("relevance_judge(k)", k, low=1, high=100, whole=True),
        highest=checked_number("relevance_judge(highest)", highest, low=1, high=10, whole=True),
    )
