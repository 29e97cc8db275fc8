"""`ragas(...)` over the real library, wherever it is installed."""

import importlib.util
import re
import sys

import pytest

from shadoweval.errors import ArgumentError, MissingExtraError
from shadoweval.records import Hit, Labels, Scored, Unscored
from shadoweval.scoring import Judge, ragas
from shadoweval.scoring.ragas.scorer import _INPUTS
from shadoweval.testing import ScriptedJudge, make_pair

INSTALLED = importlib.util.find_spec("ragas") is not None
real = [pytest.mark.slow, pytest.mark.skipif(not INSTALLED, reason="ragas has an environment of its own")]
HITS = [Hit(id="a", rank=1, text="The shop opens at nine."), Hit(id="b", rank=2, text="It is in Bern.")]


def pair(number=1, *, answer="It opens at nine. It is in Bern.", reference="It opens at nine."):
    run = {"answer": answer, "hits": HITS}
    return make_pair(number, served=run, shadow=run, labels=Labels(reference=reference))


def filled(schema, root=None):
    """A reply that fits a schema: every verdict yes, lists of the length that is asked for."""
    root = root or schema
    if "$ref" in schema:
        return filled(root["$defs"][schema["$ref"].rpartition("/")[2]], root)
    if "enum" in schema:
        return schema["enum"][-1]
    if schema["type"] == "object":
        return {name: filled(each, root) for name, each in schema["properties"].items()}
    if schema["type"] == "array":
        return [filled(schema["items"], root)] * schema.get("minItems", 1)
    return "Bern" if schema["type"] == "string" else 1


def changed(change):
    """A judge that fits the schema but for what `change` makes of its reply."""

    def say(question):
        return change(filled(question.schema))

    return ScriptedJudge(say)


def score_of(metric, judge, **made):
    (score,) = ragas(metric, judge=judge).score(pair(**made))
    return score.candidate


@pytest.mark.parametrize("metric", [pytest.param(each, marks=real) for each in _INPUTS])
def test_each_metric_is_a_share(metric):
    """All that are listed score what a judge says."""
    score = score_of(metric, changed(lambda reply: reply))

    assert isinstance(score, Scored), score
    assert 0 <= score.value <= 1


def one_of_five(reply):
    if reply["statements"][0] == "Bern":
        return {"statements": list("abcde")}
    return {"statements": reply["statements"][:1]}


@pytest.mark.parametrize(
    ("metric", "change", "reason"),
    [
        pytest.param(*row, marks=real, id=name)
        for name, row in {
            "one verdict for five statements was 1.0": (
                "Faithfulness", one_of_five, "the judge's reply has a wrong length in 'statements'",
            ),
            "a verdict of 2 was 2.0": (
                "ContextPrecision", lambda reply: {**reply, "verdict": 2},
                "the judge's reply is out of range in 'verdict'",
            ),
            "no claims were 0.0": (
                "FactualCorrectness", lambda reply: {name: [] for name in reply},
                "the judge's reply has a wrong length in 'claims'",
            ),
            "no statements were an error of numpy": (
                "NoiseSensitivity", lambda reply: {name: [] for name in reply},
                "the judge's reply has a wrong length in 'statements'",
            ),
            "a refused key was NaN after ten requests": (
                "AnswerAccuracy", lambda _: "no JSON", "the judge's reply is not JSON",
            ),
        }.items()
    ],
)  # fmt: skip
def test_what_ragas_made_a_wrong_number_of_is_a_reason(metric, change, reason):
    """Each of these is a score of ragas 0.4.3 by itself."""
    assert score_of(metric, changed(change)) == Unscored(reason)


@pytest.mark.slow
@pytest.mark.skipif(not INSTALLED, reason="ragas has an environment of its own")
def test_two_hundred_pairs_take_one_process_and_no_call_twice():
    """Both arms of 200 pairs with the same answer: two calls for each, all in one process, and again none."""
    judge = changed(lambda reply: reply)
    scorer = ragas("Faithfulness", judge=judge)
    pairs = [pair(number, answer=f"Answer number {number}.") for number in range(200)]

    made = list(scorer.score_many(pairs))

    assert [each.candidate for each in made] == [Scored(1.0)] * 200
    prompts = {question.messages[0].content for question in judge.questions}
    assert len(judge.questions) == len(prompts) <= 2 * 200
    list(scorer.score_many(pairs))
    assert len(judge.questions) == len(prompts)


def test_what_a_pair_lacks_is_said_before_anybody_is_asked():
    """No reference says nothing about the answer; no retrieved text does."""
    judge = ScriptedJudge({})

    (recall,) = ragas("ContextRecall", judge=judge).score(make_pair(served={"hits": HITS}, shadow={"hits": HITS}))
    (faithful,) = ragas("Faithfulness", judge=judge).score(make_pair(served={"hits": ["a"]}, shadow={"hits": ["a"]}))

    assert recall.candidate == Unscored("no reference", informative=False)
    assert faithful.candidate == Unscored("no hit has a text")
    assert judge.questions == []


def test_the_direction_is_the_metrics_own():
    """NoiseSensitivity counts what is wrong."""
    made = {name: ragas(name, judge=Judge("m")).metrics[0].higher_is_better for name in _INPUTS}

    assert [name for name, better in made.items() if not better] == ["NoiseSensitivity"]


def test_the_version_names_what_decides_a_score():
    """The release, the settings and the judge are in it."""
    base = {"judge": Judge("m"), "python": sys.executable, "version": "0.4.3"}
    made = [base, {**base, "judge": Judge("n")}, {**base, "version": "0.4.4"}, {**base, "settings": {"mode": "recall"}}]

    assert len({ragas("FactualCorrectness", **each).version for each in made}) == len(made)


def test_mistakes_are_said_where_they_are_written():
    """A name that ragas has not got, an interpreter that is not there, a release that nobody can read."""
    judge = Judge("m")
    with pytest.raises(ArgumentError, match=re.escape("Did you mean 'Faithfulness'?")):
        ragas("Faithfullness", judge=judge)
    with pytest.raises(ArgumentError, match="Make the environment first"):
        ragas("Faithfulness", judge=judge, python="/nowhere/python", version="1")
    with pytest.raises(ArgumentError, match="Write version="):
        ragas("Faithfulness", judge=judge, python=sys.executable)
    with pytest.raises(ArgumentError, match="Write judge="):
        ragas("Faithfulness", judge="gpt")


@pytest.mark.skipif(INSTALLED, reason="ragas is here")
def test_without_ragas_the_extra_is_named():
    """At the first score, not where the scorer is written."""
    with pytest.raises(MissingExtraError, match=re.escape("shadoweval[ragas]")):
        score_of("Faithfulness", ScriptedJudge({}))
