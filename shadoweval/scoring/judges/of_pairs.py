"""Which of both answers a judge prefers, asked in both orders: what changes with the order is a tie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from shadoweval.checks import checked_instance, checked_keywords
from shadoweval.protocols import Metric
from shadoweval.records import Pair, PairScore, Score, Scored, Unscored
from shadoweval.scoring.judges.asked_scorer import (
    answer_of,
    checked_judge,
    made_by,
    question_of,
    reply_schema,
    version_of,
)
from shadoweval.scoring.judges.judge import Judge
from shadoweval.scoring.judges.questions import Question, Reply
from shadoweval.scoring.pair_scorer import NO_TEXT

__all__ = ["BY_PLACE", "LONGER", "PAIRWISE", "pairwise_judge"]

PAIRWISE: Final = "pairwise_judge"
"""The metric."""
BY_PLACE: Final = "pairwise_judge_by_place"
"""Share of the pairs in which the judge preferred the same place in both orders."""
LONGER: Final = "pairwise_judge_longer"
"""Share of the decided pairs in which the longer answer was preferred."""
_AGREEMENT: Final = "pairwise_judge_agreement"
_SCHEMA: Final = reply_schema(better={"type": "string", "enum": ["first", "second", "tie"]})
_CHOICES: Final = {"first": 1.0, "tie": 0.5, "second": 0.0}
_TASK: Final = (
    "You compare two answers to one question, the first and the second. Say which of them is better by this criterion: "
    "{criterion} The order in which they stand says nothing, nor does their length. Say tie where neither is better."
)
_UNASKED: Final = Unscored("a preference was not asked for", informative=False)
_UNDECIDED: Final = Unscored("neither answer was preferred", informative=False)


class PairwiseJudge:
    """The scorer of `pairwise_judge`."""

    def __init__(self, judge: Judge, criterion: str) -> None:
        self.asks, self._task = judge, _TASK.format(criterion=criterion)
        shown: dict[str, Any] = {"descriptive": True, "failure_scores": None}
        made: dict[str, Any] = {"costly": True, "judged": True, "least_chance": judge.least_chance}
        names = (BY_PLACE, LONGER, *([_AGREEMENT] if judge.repeats > 1 else ()))
        self.metrics = (
            Metric(name=PAIRWISE, **made),
            *(Metric(name=name, **shown, **made) for name in names),
        )
        self.version = version_of(PAIRWISE, self._task, judge)
        self.made_by = made_by(judge, self._task)

    def score(self, pair: Pair) -> Iterator[PairScore]:
        """Its preference, and what speaks against it."""
        return self.score_many([pair])

    def score_many(self, pairs: Sequence[Pair]) -> Iterator[PairScore]:
        """Both orders of all pairs, asked at once."""
        orders = [self._orders(pair) for pair in pairs]
        asked = [each for both in orders if isinstance(both, tuple) for each in both]
        replies = iter(self.asks.ask_drawn(asked) if asked else ())
        for pair, both in zip(pairs, orders, strict=True):
            scores, chance = self._unasked(both), 1.0
            if isinstance(both, tuple):
                (ahead, chance), (behind, _) = next(replies), next(replies)
                scores = self._of(pair, (ahead, behind))
            for metric in self.metrics:
                each = self._both(pair, metric.name, scores.get(metric.name, _UNASKED))
                yield msgspec.structs.replace(each, chance=chance)

    def _orders(self, pair: Pair) -> tuple[Question, Question] | Score:
        """Both questions; or the candidate's share where there is nothing to ask."""
        for run in (pair.served, pair.candidate):
            if run.failed and run.unscored:
                return Unscored(run.unscored, informative=False)
        failed = pair.served.failed, pair.candidate.failed
        if any(failed):
            return Scored(0.5 if all(failed) else float(failed[0]))
        served, candidate = answer_of(pair.served), answer_of(pair.candidate)
        if served is None or candidate is None:
            return NO_TEXT
        if served == candidate:
            return Scored(0.5)
        return self._question(pair, candidate, served), self._question(pair, served, candidate)

    def _question(self, pair: Pair, first: str, second: str) -> Question:
        material = {"question": pair.query.text, "first answer": first, "second answer": second}
        return question_of(PAIRWISE, self._task, material=material, schema=_SCHEMA, pair=pair)

    def _unasked(self, score: Score | tuple[Question, Question]) -> dict[str, Score]:
        return {} if isinstance(score, tuple) else {PAIRWISE: score}

    def _of(self, pair: Pair, replies: tuple[Reply | Unscored, Reply | Unscored]) -> dict[str, Score]:
        """What both orders say together: the candidate stands first in the first one."""
        ahead, behind = replies
        if isinstance(ahead, Unscored) or isinstance(behind, Unscored):
            why = ahead if isinstance(ahead, Unscored) else behind
            return {metric.name: why for metric in self.metrics if isinstance(why, Unscored)}
        first, second = _CHOICES[ahead.content["better"]], 1 - _CHOICES[behind.content["better"]]
        by_place = {first, second} == {0.0, 1.0}
        share = 0.5 if first != second else first
        served, candidate = len(answer_of(pair.served) or ""), len(answer_of(pair.candidate) or "")
        undecided = share == 0.5 or served == candidate
        return {
            PAIRWISE: Scored(share),
            BY_PLACE: Scored(float(by_place)),
            LONGER: _UNDECIDED if undecided else Scored(float((share > 0.5) == (candidate > served))),
            _AGREEMENT: Scored((ahead.agreement + behind.agreement) / 2),
        }

    def _both(self, pair: Pair, name: str, score: Score) -> PairScore:
        """Of the preference the arms' shares, which sum to 1; what is said of the judge is the same for both."""
        incumbent = Scored(1 - score.value) if name == PAIRWISE and isinstance(score, Scored) else score
        return PairScore(
            metric=name, query_id=pair.id, incumbent=incumbent, candidate=score, scorer_version=self.version
        )


@checked_keywords()
def pairwise_judge(
    criterion: str = "which answers the question better: right, complete and to the point.", *, judge: Judge
) -> PairwiseJudge:
    """`pairwise_judge`: which of both answers a model prefers; compare by `better("pairwise_judge", by=...)`.

    It is asked twice, with either answer first. Only what it says in both orders is a preference; what changes with the
    order is a tie, counted in `pairwise_judge_by_place`. `pairwise_judge_longer` says how often it prefers the longer.

    Args:
        criterion: What makes an answer better, in a sentence.
        judge: Who is asked.
    """
    checked_instance("pairwise_judge(criterion)", criterion, str)
    return PairwiseJudge(checked_judge("pairwise_judge(judge)", judge), criterion)
