"""Scorers that ask for objects: rebuilt where they can do no harm."""

import asyncio
import sys
from pathlib import Path

import pytest

from shadoweval import Experiment, Limits, Rules, Sandbox, Settings, better, evaluate
from shadoweval.codec import plain
from shadoweval.codec.extensions import REDUCED, extension
from shadoweval.errors import ArgumentError
from shadoweval.protocols import Metric
from shadoweval.records import INCUMBENT, Envelope, Outcome, Unscored
from shadoweval.scoring import PairScorer, keep_objects
from shadoweval.store import SqlStore
from shadoweval.testing import make_observation, make_query
from shadoweval.transport import SpoolReceiver
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool

TARGETS = str(Path(__file__).parent / "targets")
if TARGETS not in sys.path:
    sys.path.insert(0, TARGETS)
import judged_objects  # noqa: E402 - as above


def experiment_of(tmp_path, function, *, seconds=20.0):
    scorer = PairScorer(metrics=(Metric(name="rightness"),), version="1", score_one=function, rebuild=True)
    return Experiment(
        name="objects",
        candidates={"new": "judged_objects:worse"},
        incumbent="judged_objects:answer",
        scorers=[scorer],
        gates=[better("rightness", by=0.1)],
        outcome=keep_objects,
        sandbox=Sandbox(limits=Limits(seconds=seconds, grace=0.1)),
        rules=Rules(min_hours=0),
        settings=Settings(home=str(tmp_path / "home")),
    )


def scores_of(experiment, store):
    evaluation = evaluate(experiment, store=store)
    scores = [score for score in store.scores("objects", "new") if score.metric == "rightness"]
    return evaluation, scores


def put(store, value):
    """A pair whose candidate returned this value, whatever it says."""
    query = make_query(1)
    envelope = Envelope(experiment="objects", query=query, served=make_observation(query))
    store.add_envelopes([envelope], arms={query.id: ["new"]})
    store.add_observation(make_observation(query, "new", outcome=Outcome(value=value)))


def test_a_scorer_gets_the_objects_that_the_pipeline_returned(tmp_path):
    """From the decorator to the verdict: the class's own method decides, in a process of its own."""
    experiment = experiment_of(tmp_path, judged_objects.rightness)
    mirrored = experiment.mirror(control=0.0)(judged_objects.answer)
    assert [mirrored(f"q {n}").right() for n in range(3)] == [True] * 3

    async def work(store):
        async with candidate_pool(experiment, arms=[INCUMBENT, "new"]) as pool:
            await Worker(experiment, store=store, receiver=SpoolReceiver(experiment.spool), pool=pool).run(
                until_idle=True
            )

    with SqlStore(f"sqlite:///{tmp_path}/shadow.db") as store:
        asyncio.run(work(store))
        evaluation, scores = scores_of(experiment, store)
        (pair, *_) = store.pairs("objects", "new")
    assert pair.candidate.outcome.value == {"__class__": "judged_objects.Reply", "text": "no, since q 0"}
    assert [(score.incumbent.value, score.candidate.value) for score in scores] == [(1.0, 0.0)] * 3
    (summary,) = [each for each in evaluation.summaries["new"] if each.metric == "rightness"]
    assert (summary.incumbent, summary.candidate) == (1.0, 0.0)


FAILURES = [
    (judged_objects.raises, 20.0, "ValueError: half ?"),
    (judged_objects.dies, 20.0, "crash"),
    (judged_objects.hangs, 0.3, "timeout: no answer within 0.3 s"),
    (judged_objects.deletes, 20.0, "was refused"),
]


@pytest.mark.parametrize(("function", "seconds", "reason"), FAILURES, ids=lambda each: getattr(each, "__name__", ""))
def test_what_goes_wrong_costs_a_score_and_not_the_evaluation(function, seconds, reason, tmp_path, monkeypatch):
    """It raises, dies, hangs, or does what no scorer may: no score, with the reason."""
    file = tmp_path / "precious"
    file.touch()
    monkeypatch.setenv("SHADOW_TEST_FILE", str(file))
    with SqlStore(f"sqlite:///{tmp_path}/shadow.db") as store:
        put(store, {"text": "yes"})
        _, (score,) = scores_of(experiment_of(tmp_path, function, seconds=seconds), store)
    assert isinstance(score.candidate, Unscored)
    assert reason in score.candidate.reason
    assert file.exists()


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's layers are Linux's")
@pytest.mark.parametrize("how", ["reduce", "shell", "state"])
def test_a_class_that_acts_when_it_is_made_does_nothing(how, tmp_path):
    """What a candidate returned may name anything that is called with anything: the user's file stays."""
    file = tmp_path / "precious"
    value = {
        "reduce": extension(REDUCED, ["os:remove", [str(file)], None]),
        "shell": extension(REDUCED, ["os:system", [f"rm {file}"], None]),
        "state": plain(judged_objects.Deleting(str(file))),
    }[how]
    file.touch()
    with SqlStore(f"sqlite:///{tmp_path}/shadow.db") as store:
        put(store, value)
        experiment = experiment_of(tmp_path, judged_objects.rightness)
        (pair,) = store.pairs("objects", "new")
        evaluation, (score,) = scores_of(experiment, store)
    assert file.exists()
    assert evaluation.verdicts[0].decision == "hold"
    assert "was refused" in score.candidate.reason
    assert isinstance(pair.candidate.outcome.value, dict)  # which is all that anybody else gets
    alone = next(iter(experiment.scorers[0].score(pair)))
    assert alone.candidate == Unscored("objects are rebuilt by evaluate() alone", informative=False)


def test_the_function_must_be_importable():
    """Another process has to find it."""
    with pytest.raises(ArgumentError, match="outside any function"):
        PairScorer(metrics=(Metric(name="x"),), version="1", score_one=lambda o, p: {}, rebuild=True)
