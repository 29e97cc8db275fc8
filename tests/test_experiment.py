"""The one definition."""

from pathlib import Path

import pytest

from shadoweval import Experiment, Traffic, at_most, better, no_worse
from shadoweval.codec import decode_envelope
from shadoweval.errors import (
    ExperimentError,
    MissingMarginError,
    ShareError,
    TargetError,
    UnknownArgumentError,
    UnknownCandidateError,
    UnknownMetricError,
)
from shadoweval.scoring import latency, recall
from shadoweval.settings import Settings
from shadoweval.testing import FixedFlags, MemoryTransport


@pytest.fixture(name="make")
def _make(tmp_path):
    def make(**changes):
        given = {"name": "docs", "candidates": {"rerank": "app.rag:answer"}, "settings": Settings(home=str(tmp_path))}
        return Experiment(**{**given, **changes})

    return make


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"name": "a/b"}, ExperimentError, "can't be the name of an experiment"),
        ({"name": ""}, ExperimentError, "can't be the name of an experiment"),
        ({"name": "../x"}, ExperimentError, "can't be the name of an experiment"),
        ({"candidates": {}}, ExperimentError, "has no candidate"),
        ({"candidates": {"incumbent": "a:b"}}, ExperimentError, "neither 'incumbent' nor 'ALL'"),
        ({"candidates": {"x": "app.rag.answer"}}, TargetError, "module:attribute"),
        ({"incumbent": "app"}, TargetError, "module:attribute"),
        ({"name": "ALL"}, ExperimentError, "neither 'incumbent' nor 'ALL'"),
        ({"rerun": 1.5}, ShareError, "rerun must be a number from 0 to 1"),
        ({"rerun": "20%"}, ShareError, "not a percentage"),
        (
            {"scorers": [recall(5), recall(5)]},
            ExperimentError,
            r"two scorers for 'recall@5', but .* by its name alone. .* another name: scorer.named\('recall@5_2'\)",
        ),
        ({"gates": [better("recall@5", by=0.1)]}, UnknownMetricError, "They make: 'writes'"),
        ({"scorers": [recall(5)], "gates": [better("recal@5", by=0.1)]}, UnknownMetricError, "Did you mean 'recall@5'"),
    ],
)
def test_what_cannot_be_used_is_said_at_once(make, changes, error, complaint):
    """A wrong definition is an error where it is written, and says what is wrong and how to mend it."""
    with pytest.raises(error, match=complaint):
        make(**changes)


def test_a_budget_has_known_names():
    """Dollars are `usd`."""
    with pytest.raises(ExperimentError, match="calls, tokens, usd"):
        Traffic(budget={"dollars": 5})


@pytest.mark.parametrize(
    ("argument", "mend"),
    [
        ("stubs", r"sandbox=Sandbox\(stubs=\.\.\.\)"),
        ("budget", r"traffic=Traffic\(budget=\.\.\.\)"),
        ("judge", "rule='kayenta'"),
        ("candidate", "Did you mean 'candidates'"),
    ],
)
def test_an_argument_that_is_not_there_says_where_it_went(make, argument, mend):
    """Arguments of earlier versions, and misspelt ones."""
    with pytest.raises(UnknownArgumentError, match=f"no argument '{argument}'.*{mend}"):
        make(**{argument: None})


def test_a_gate_has_no_default_margin():
    """Forgetting the margin is an error that says what to write."""
    with pytest.raises(MissingMarginError, match=r"no_worse\('recall@5', by="):
        no_worse("recall@5")


@pytest.mark.parametrize("sample", [-0.1, 1.1, "0.1", True, None])
def test_a_sample_is_a_share(make, sample):
    """A percentage or a text is not taken for a share."""
    with pytest.raises(ShareError, match="sample"):
        make().mirror(sample)


def test_quantile_gates_belong_to_their_metric(make):
    """A gate over latency.p95 needs the scorer of latency."""
    experiment = make(scorers=[latency()], gates=[at_most("latency.p95", ratio=1.1)])

    assert list(experiment.metrics) == ["latency", "writes"]


def test_targets_by_name(make):
    """Arms have targets; an unknown one is met with the known ones."""
    experiment = make(incumbent="app.rag:old")

    assert experiment.target("rerank") == "app.rag:answer"
    assert experiment.target("incumbent") == "app.rag:old"
    with pytest.raises(UnknownCandidateError, match="Did you mean 'rerank'"):
        experiment.target("rerank2")
    with pytest.raises(ExperimentError, match="does not know its incumbent"):
        make().target("incumbent")


def test_defining_opens_nothing(make, tmp_path):
    """Neither the definition nor the decorator touches the file system."""

    @make().mirror(0.5)
    def answer(question):
        return question

    assert list(tmp_path.iterdir()) == []
    assert answer.__name__ == "answer"


def mirrored(experiment):
    @experiment.mirror(1.0, control=0.0)
    def answer(question):
        return question.upper()

    return answer


def test_a_mirrored_call_becomes_an_envelope(make):
    """The incumbent's answer is returned, and what happened is on its way."""
    transport = MemoryTransport()
    answer = mirrored(make(traffic=Traffic(transport=transport)))

    assert answer("why?") == "WHY?"

    (frame,) = transport.frames
    envelope = decode_envelope(frame)
    assert (envelope.experiment, envelope.query.text, envelope.served.outcome.answer) == ("docs", "why?", "WHY?")
    assert envelope.definition == make().definition


def test_a_definition_is_what_is_compared_and_by_what(make):
    """Not where it runs: each host may have limits, switches and settings of its own."""
    options = {"scorers": [recall(5)], "gates": [no_worse("recall@5", by=0.1)]}
    digest = make(**options).definition
    elsewhere = {"settings": Settings(home="elsewhere"), "traffic": Traffic(transport=MemoryTransport())}
    assert digest == make(**options, **elsewhere).definition
    others = [
        {"candidates": {"rerank": "app.rag:newest"}},
        {"gates": [no_worse("recall@5", by=0.2)]},
        {"scorers": [recall(5), latency()]},
        {"rerun": 0.5},
        {"incumbent": "app:old"},
    ]
    assert digest not in {make(**{**options, **each}).definition for each in others}


@pytest.mark.parametrize("flags", [FixedFlags(False), FixedFlags(RuntimeError("flag service gone"))])
def test_flags_that_say_no_or_break_mean_no(make, flags):
    """Nothing is mirrored, and the caller sees nothing of it."""
    transport = MemoryTransport()
    answer = mirrored(make(traffic=Traffic(transport=transport, flags=flags)))

    assert answer("why?") == "WHY?"
    assert transport.frames == []


def test_kill_stops_and_resume_starts(make):
    """The switch decides the very next call."""
    transport = MemoryTransport()
    experiment = make(traffic=Traffic(transport=transport))
    answer = mirrored(experiment)

    experiment.kill("bad answers")
    answer("one")
    assert transport.frames == []

    assert experiment.resume()
    answer("two")
    assert len(transport.frames) == 1


def test_a_process_has_one_way_out_for_a_home_and_a_name(tmp_path):
    """A script that runs again at each interaction makes an experiment each time, without files and processes."""
    folder = Path("/proc/self/fd")
    settings = Settings(home=str(tmp_path / "home"))

    def interaction(number):
        app = Experiment(name="app", candidates={"c": "x:y"}, settings=settings)
        assert app.mirror(control=0.0)(lambda question: question)(f"q{number}") == f"q{number}"
        return app

    kept = [interaction(0)]
    opened = len(list(folder.iterdir())) if folder.exists() else 0
    kept += [interaction(number) for number in range(1, 20)]
    assert len({id(app._opened_transport()) for app in kept}) == 1
    assert not folder.exists() or len(list(folder.iterdir())) <= opened + 1
    assert kept[-1]._outlet.counts()["mirrored"] == 20
    kept[0]._opened_transport().close()
