"""What a judge says of one answer: by a rubric, against a reference, against what was retrieved, against a goal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from shadoweval.checks import checked_instance, checked_keywords, checked_strings
from shadoweval.errors import ArgumentError
from shadoweval.records import Observation, Pair, Score, Unscored
from shadoweval.scoring.against import agent_calls
from shadoweval.scoring.judges.asked_scorer import Form, answer_of, asked_scorer, checked_judge, reply_schema
from shadoweval.scoring.judges.judge import Judge
from shadoweval.scoring.pair_scorer import NO_TEXT, PairScorer
from shadoweval.scoring.support import said_by, texts_of, unsupported

__all__ = ["correctness_judge", "faithfulness_judge", "rubric_judge", "task_success_judge"]

_CORRECT: Final[Mapping[str, float]] = {"incorrect": 0.0, "partly": 0.5, "correct": 1.0}
_NO_REFERENCE: Final = Unscored("no reference answer", informative=False)
_MOST_SENTENCES: Final = 60
_MOST_CALLS: Final = 60

Material = tuple[Mapping[str, Any], Mapping[str, Any]] | Score


@checked_keywords()
def rubric_judge(rubric: str, *, judge: Judge, levels: Sequence[str]) -> PairScorer:
    """`rubric_judge`: which of the levels of your rubric an answer reaches, as a model sees it.

    Args:
        rubric: What is judged, in a sentence: "Is the answer polite?".
        judge: Who is asked.
        levels: What each level is, the worst first: the worst scores 0, the best 1, the others lie evenly between.
    """
    if not checked_instance("rubric_judge(rubric)", rubric, str).strip():
        raise ArgumentError("rubric_judge(rubric)", rubric, expected="what is judged")
    steps = checked_strings("rubric_judge(levels)", levels)
    if len(steps) < 2 or len(set(steps)) < len(steps):
        mend = "Write levels=['rude', 'neutral', 'polite'], the worst first."
        raise ArgumentError("rubric_judge(levels)", levels, expected="two or more different texts", mend=mend)
    named = " ".join(f"{number}: {text}." for number, text in enumerate(steps))
    schema = reply_schema(level={"type": "integer", "minimum": 0, "maximum": len(steps) - 1})

    def material(observation: Observation, pair: Pair) -> Material:
        answer = answer_of(observation)
        return NO_TEXT if answer is None else ({"question": pair.query.text, "answer": answer}, schema)

    form = Form(
        name="rubric_judge",
        task=f"You grade an answer to a question by this rubric: {rubric} The levels are {named} Give the number of "
        "the level that it reaches.",
        material=material,
        value=lambda content: content["level"] / (len(steps) - 1),
    )
    return asked_scorer(form, checked_judge("rubric_judge(judge)", judge))


@checked_keywords()
def correctness_judge(*, judge: Judge) -> PairScorer:
    """`correctness_judge`: whether an answer says what a reference says: 1, partly 0.5, else 0, as a model sees it.

    Each of several references is as good as the others. A wrong fact beside the right one makes an answer partly
    correct at best.

    Args:
        judge: Who is asked.
    """
    form = Form(
        name="correctness_judge",
        task="You compare an answer to a question with right answers, each as good as the others. It is correct if it "
        "says what one of them says, in whatever words and however much more, and nothing that contradicts it; partly "
        "if it says some of it, or says it beside something wrong; else incorrect. Longer is not better.",
        material=_against_references,
        value=lambda content: _CORRECT[content["verdict"]],
    )
    return asked_scorer(form, checked_judge("correctness_judge(judge)", judge))


def _against_references(observation: Observation, pair: Pair) -> Material:
    answer = answer_of(observation)
    if not pair.labels.references:
        return _NO_REFERENCE
    if answer is None:
        return NO_TEXT
    material = {"question": pair.query.text, "right answers": list(pair.labels.references), "answer": answer}
    return material, reply_schema(verdict={"type": "string", "enum": list(_CORRECT)})


@checked_keywords()
def faithfulness_judge(*, judge: Judge) -> PairScorer:
    """`faithfulness_judge`: share of an answer's sentences that the retrieved texts say, as a model sees it.

    The sentences are ours and numbered; a reply that does not rule on each of them is none. An answer that says nothing
    has nothing that is supported: 0. Of a very long one the first 60 sentences count.

    Args:
        judge: Who is asked.
    """
    form = Form(
        name="faithfulness_judge",
        task="You are given retrieved texts and the numbered sentences of an answer. For each sentence, in their "
        "order, say whether the texts say what it claims: supported, or unsupported where they do not say it, say "
        "otherwise or say it only in part. What you know yourself does not count. Give one verdict for each sentence.",
        material=_against_texts,
        value=lambda content: content["verdicts"].count("supported") / len(content["verdicts"]),
    )
    return asked_scorer(form, checked_judge("faithfulness_judge(judge)", judge))


def _against_texts(observation: Observation, pair: Pair) -> Material:
    score = unsupported(observation, pair)
    if score is not None:
        return score
    sentences = said_by(observation)[:_MOST_SENTENCES]
    numbered = [f"{number}. {sentence}" for number, sentence in enumerate(sentences, start=1)]
    count = len(sentences)
    verdicts = {"type": "array", "items": {"enum": ["supported", "unsupported"]}, "minItems": count, "maxItems": count}
    material = {"question": pair.query.text, "retrieved texts": texts_of(observation), "sentences": numbered}
    return material, reply_schema(verdicts=verdicts)


@checked_keywords()
def task_success_judge(goal: str | None = None, *, judge: Judge) -> PairScorer:
    """`task_success_judge`: whether an agent has done what it was asked for, by its calls and its answer: 1, else 0.

    Where worlds say what a run has changed, `task_success` measures that, and needs no model.

    Args:
        goal: What counts as done, in words; None: the case's `goal`, its references, else what the question asks.
        judge: Who is asked.
    """
    if goal is not None:
        checked_instance("task_success_judge(goal)", goal, str)

    def material(observation: Observation, pair: Pair) -> Material:
        answer = answer_of(observation)
        calls = agent_calls(observation.tool_calls)[:_MOST_CALLS]
        if answer is None and not calls:
            return NO_TEXT
        wanted: Any = pair.labels.goal or list(pair.labels.references) or "what the question asks for"
        shown = [
            {"tool": c.name, "arguments": c.arguments, "error": c.error or c.failed or "", "result": c.result}
            for c in calls
        ]
        judged = {"question": pair.query.text, "goal": goal or wanted, "calls": shown, "answer": answer or ""}
        return judged, reply_schema(done={"type": "boolean"})

    form = Form(
        name="task_success_judge",
        task="You are given what an agent was asked, the goal, the tool calls that it made in their order with their "
        "results, and its answer. Say whether the goal is reached. What the answer claims counts only as far as the "
        "calls show it; a call that failed has done nothing; what was done twice or beside the goal is not done.",
        material=material,
        value=lambda content: float(content["done"]),
    )
    return asked_scorer(form, checked_judge("task_success_judge(judge)", judge))
