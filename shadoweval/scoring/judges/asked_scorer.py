"""A scorer that asks a judge one question about each run of a pair, all runs of many pairs at once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from shadoweval.checks import checked_instance
from shadoweval.protocols import Metric
from shadoweval.records import NOT_DRAWN, Observation, Pair, PairScore, Score, Scored, Unscored
from shadoweval.scoring.batched import BatchedPairScorer, runs_of
from shadoweval.scoring.judges.fences import ABOUT_FENCES, fenced
from shadoweval.scoring.judges.judge import Judge
from shadoweval.scoring.judges.questions import Message, Question, Reply
from shadoweval.scoring.pair_scorer import PairScorer

__all__ = [
    "AskedScorer",
    "Form",
    "answer_of",
    "asked_scorer",
    "checked_judge",
    "made_by",
    "question_of",
    "reply_schema",
    "version_of",
]

_MOST: Final = 10_000
"""Replies that a scorer has at hand."""
_UNDRAWN: Final = Unscored(NOT_DRAWN, informative=False)
_NOT_ASKED: Final = Unscored("the judge was not asked", informative=False)


@dataclass(frozen=True, kw_only=True)
class Form:
    """How a metric is asked for."""

    name: str
    """Of the metric."""
    task: str
    """What the judge is told to do; what is judged is never in it."""
    material: Callable[[Observation, Pair], tuple[Mapping[str, Any], Mapping[str, Any]] | Score]
    """What is judged, and the schema of the reply; or the score where there is nothing to ask."""
    value: Callable[[Mapping[str, Any]], float]
    """From a checked reply to the score."""


def reply_schema(**properties: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of an object of these properties, all of them there, its reason first."""
    named = {"reason": {"type": "string"}, **properties}
    return {"type": "object", "properties": named, "required": list(named), "additionalProperties": False}


def checked_judge(what: str, judge: Any) -> Judge:
    """The judge of a scorer."""
    return checked_instance(what, judge, Judge, mend="Write judge=Judge('gpt-4.1-mini').")


def answer_of(observation: Observation) -> str | None:
    """A run's answer."""
    return None if observation.outcome is None else observation.outcome.answer


def question_of(
    form: str, task: str, *, material: Mapping[str, Any], schema: Mapping[str, Any], pair: Pair
) -> Question:
    """The question: what to do in the system's message, what is judged in the user's."""
    messages = (Message("system", f"{task} {ABOUT_FENCES}"), Message("user", fenced(material)))
    return Question(messages=messages, schema=schema, name=form, query_id=pair.id)


def made_by(judge: Judge, task: str) -> dict[str, str]:
    """Whose word a score is: model and endpoint, and the prompt, of which the hash is shown."""
    return {"model": judge.name, "prompt": f"{task} {ABOUT_FENCES}", "repeats": str(judge.repeats)}


def version_of(form: str, task: str, judge: Judge) -> str:
    """Another model, endpoint, parameter or prompt is another version."""
    rests_on = [task, ABOUT_FENCES, dict(judge.identity), judge.repeats]
    digest = hashlib.sha256(msgspec.json.encode(rests_on, order="sorted")).hexdigest()[:16]
    return f"{form}/1 {judge.model} {digest}"


def asked_scorer(form: Form, judge: Judge) -> BatchedPairScorer:
    """The scorer; with `repeats`, a second metric says how far the judge agrees with itself."""
    asked, least = _Asked(form, judge), judge.least_chance
    said: dict[str, Any] = {"costly": True, "judged": True, "least_chance": least}
    metrics = [Metric(name=form.name, **said)]
    if judge.repeats > 1:
        metrics.append(Metric(name=asked.agreement, descriptive=True, failure_scores=None, **said))
    return AskedScorer(
        metrics=tuple(metrics),
        version=version_of(form.name, form.task, judge),
        score_one=asked.score_one,
        made_by=made_by(judge, form.task),
        get_ready=asked.get_ready,
        chance_of=asked.chance_of,
        asks=judge,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedScorer(BatchedPairScorer):
    """As `BatchedPairScorer`, with the chance with which each pair was drawn."""

    chance_of: Callable[[Pair], float]
    """Of a pair that was scored."""
    asks: Judge | None = None

    def score(self, pair: Pair, *, basis: str = "") -> list[PairScore]:
        """Both arms and the re-run; of a pair that was not drawn neither arm has a score."""
        scores = PairScorer.score(self, pair, basis=basis)
        chance = self.chance_of(pair)
        return [_drawn(each, chance) for each in scores]


def _drawn(score: PairScore, chance: float) -> PairScore:
    changes: dict[str, Any] = {} if chance == score.chance else {"chance": chance}
    if _UNDRAWN in {score.incumbent, score.candidate}:
        changes |= {"incumbent": _UNDRAWN, "candidate": _UNDRAWN}
    return msgspec.structs.replace(score, **changes) if changes else score


class _Asked:
    """Asks, and has the replies at hand until all runs are scored."""

    def __init__(self, form: Form, judge: Judge) -> None:
        self._form, self._judge = form, judge
        self.agreement = f"{form.name}_agreement"
        self._replies: dict[tuple[str, str], tuple[Reply | Unscored, float]] = {}

    def get_ready(self, pairs: Sequence[Pair]) -> None:
        """Ask about all runs of these pairs at once."""
        if not pairs or len(self._replies) > _MOST:
            self._replies.clear()
        asked = [self._question(run, pair) for pair in pairs for run in runs_of(pair)]
        questions = {_key(each): each for each in asked if isinstance(each, Question)}
        if questions:
            self._replies.update(zip(questions, self._judge.ask_drawn(list(questions.values())), strict=True))

    def score_one(self, observation: Observation, pair: Pair) -> Mapping[str, Score]:
        """A run's scores; all runs of its pair are asked about together, so that all are judged or none."""
        question = self._question(observation, pair)
        if not isinstance(question, Question):
            return self._scores(question, question if isinstance(question, Unscored) else _NOT_ASKED)
        if _key(question) not in self._replies:
            self.get_ready([pair])
        reply, _ = self._replies.get(_key(question), (_NOT_ASKED, 1.0))
        if isinstance(reply, Unscored):
            return self._scores(reply, reply)
        return self._scores(Scored(self._form.value(reply.content)), Scored(reply.agreement))

    def chance_of(self, pair: Pair) -> float:
        """With which both arms' answers were drawn; 1 where nobody was asked about them."""
        asked = [self._question(run, pair) for run in (pair.served, pair.candidate) if run.outcome is not None]
        keys = [_key(each) for each in asked if isinstance(each, Question)]
        return min((self._replies[key][1] for key in keys if key in self._replies), default=1.0)

    def _scores(self, score: Score, agreement: Score) -> dict[str, Score]:
        both: dict[str, Score] = {self._form.name: score}
        return {**both, self.agreement: agreement} if self._judge.repeats > 1 else both

    def _question(self, observation: Observation, pair: Pair) -> Question | Score:
        asked = self._form.material(observation, pair)
        if isinstance(asked, Scored | Unscored):
            return asked
        material, schema = asked
        return question_of(self._form.name, self._form.task, material=material, schema=schema, pair=pair)


def _key(question: Question) -> tuple[str, str]:
    return question.query_id, question.messages[-1].content
