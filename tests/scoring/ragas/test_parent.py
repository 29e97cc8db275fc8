"""The process in which ragas runs, with a library of that name that does what ragas must not."""

import os
import sys

import pytest

from shadoweval import Experiment, Rules, better, evaluate
from shadoweval.records import Envelope, Hit, Scored, Unscored
from shadoweval.scoring import JudgeBudget, ragas
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, ScriptedJudge, make_observation, make_pair, make_query

LIBRARY = {
    "langchain_community/chat_models/vertexai.py": "",
    "ragas/llms/base.py": "class InstructorBaseRagasLLM: pass",
    "ragas/metrics/collections.py": """
import os, types

class Model:
    @staticmethod
    def model_json_schema():
        return {"properties": {"rating": {"type": "integer"}}}
    @staticmethod
    def model_validate(content):
        return content

class ContextRelevance:
    def __init__(self, llm, **settings):
        self.llm, self.settings = llm, settings
        print("a line that is none of ours")
    async def ascore(self, user_input, retrieved_contexts):
        says = retrieved_contexts[0]
        if says == "raise":
            raise ValueError("no such thing")
        if says == "die":
            print("out of memory", file=__import__("sys").stderr, flush=True)
            os._exit(3)
        if says == "hang":
            await __import__("asyncio").sleep(60)
        if says in ("ask", "swallow"):
            for _ in range(10):
                try:
                    value = (await self.llm.agenerate("How relevant?", Model))["rating"]
                    break
                except Exception:
                    value = 0.7
        else:
            value = float(says)
        return types.SimpleNamespace(value=value)
""",
}


@pytest.fixture(autouse=True)
def _library(tmp_path, monkeypatch):
    for name, text in LIBRARY.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    for folder in ("ragas", "ragas/llms", "ragas/metrics", "langchain_community", "langchain_community/chat_models"):
        (tmp_path / folder / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)


def scores(served, candidate, *, judge=None, **options):
    run = [{"hits": [Hit(id="a", rank=1, text=text)]} for text in (served, candidate)]
    judge = judge or ScriptedJudge({"rating": 1})
    scorer = ragas("ContextRelevance", judge=judge, python=sys.executable, version="a fake", **options)
    (score,) = scorer.score(make_pair(served=run[0], shadow=run[1]))
    return score.incumbent, score.candidate


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("nan", "ragas gave no number"),
        ("2", "ragas gave 2, outside [0, 1]"),
        ("-1", "ragas gave -1, outside [0, 1]"),
        ("raise", "ragas raised ValueError: no such thing"),
    ],
)
def test_what_is_no_score_is_a_reason(text, reason):
    """NaN, a value out of range and an exception cost that arm its score, and the other arm none."""
    assert scores("0.5", text) == (Scored(0.5), Unscored(reason))


def test_our_judge_is_asked():
    """Its reply is the metric's, though the metric prints lines of its own."""
    assert scores("ask", "0.25") == (Scored(1.0), Scored(0.25))


def test_a_reply_that_is_none_is_never_a_number():
    """A metric that takes 0.7 where the judge said nothing, after asking ten times: asked once, and unscored."""
    judge = ScriptedJudge({"rating": "high"})

    assert scores("swallow", "0.25", judge=judge)[0] == Unscored("the judge's reply does not fit in 'rating' (type)")
    assert len(judge.questions) == 1


def test_a_process_that_dies_says_nothing_about_the_answers():
    """Its last words are the reason; nobody waits for ever."""
    why = Unscored("the process of ragas ended: out of memory", informative=False)

    assert scores("die", "die") == (why, why)


def test_a_run_has_a_deadline():
    """A metric that hangs costs its run, as missing evidence."""
    hung = Unscored("ragas gave nothing within 0.2 s", informative=False)

    assert scores("hang", "hang", deadline=0.2) == (hung, hung)


def test_an_environment_without_ragas_is_a_reason(tmp_path):
    """What its import raised is said."""
    (tmp_path / "ragas/__init__.py").write_text("raise ImportError('pins')", encoding="utf-8")

    assert scores("0.5", "0.5")[0] == Unscored("the process of ragas ended: ImportError: pins", informative=False)


def test_a_verdict_says_what_ragas_could_not_score(tmp_path):
    """From the experiment to the sentence: an arm that ragas can't score holds, and the reason is read."""
    scorer = ragas("ContextRelevance", judge=ScriptedJudge({"rating": 1}), python=sys.executable, version="a fake")
    clock = FixedClock()
    clock.tick(3600)
    experiment = Experiment(
        name="e",
        candidates={"new": "app:new"},
        scorers=[scorer],
        gates=[better("ragas.ContextRelevance", by=0.1)],
        rules=Rules(min_hours=0, min_units=40),
        settings=Settings(home=str(tmp_path / "home")),
    )
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=FixedClock()) as store:
        for number in range(60):
            query = make_query(number)
            texts = "ask", "nan" if number % 2 else "1"
            served, candidate = (
                make_observation(query, arm, hits=[Hit(id="a", rank=1, text=text)])
                for arm, text in zip(("incumbent", "new"), texts, strict=True)
            )
            store.add_envelopes([Envelope(experiment="e", query=query, served=served)], arms={query.id: ["new"]})
            store.add_observation(candidate)
        store.add_counters("e", "spool", {"eligible": 60, "mirrored": 60})

        (verdict,) = evaluate(experiment, store=store, clock=clock).verdicts

    assert verdict.decision == "hold"
    assert "ragas gave no number" in str(verdict)


def test_a_pair_is_drawn_as_its_judge_draws():
    """Where the budget thins, both arms are judged or none, and the score says with which chance."""
    judge = ScriptedJudge(lambda _: {"rating": 1}, budget=JudgeBudget(calls=40, least_chance=0.25), concurrency=1)
    scorer = ragas("ContextRelevance", judge=judge, python=sys.executable, version="a fake")
    run = {"hits": [Hit(id="a", rank=1, text="ask")]}

    made = []
    for number in range(4):  # one batch after the other, as an evaluation asks
        made += scorer.score_many([make_pair(10 * number + k, served=run, shadow=run) for k in range(10)])

    assert {each.chance for each in made} <= {1.0, 0.5, 0.25}
    assert all(isinstance(each.incumbent, Scored) == isinstance(each.candidate, Scored) for each in made)
    assert scorer.metrics[0].least_chance == 0.25
