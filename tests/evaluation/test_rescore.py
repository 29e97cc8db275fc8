"""Scoring again what is stored."""

import pytest

from shadoweval import Experiment, Rules, evaluate, no_worse
from shadoweval.cli.parser import main
from shadoweval.errors import UnknownCandidateError, UnknownMetricError
from shadoweval.evaluation.rescore import rescore
from shadoweval.records import Envelope, Labels
from shadoweval.scoring import exact_match, per_arm
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_query

PAIRS = 60
EXPERIMENT = """
from shadoweval import Experiment, no_worse
from shadoweval.scoring import per_arm
from shadoweval.settings import Settings

@per_arm
def brevity(answer):
    return {body}

here = Experiment(name="here", candidates={{"new": "app:new"}}, scorers=[brevity], gates=[no_worse("brevity", by=0.1)],
                  settings=Settings(home={home!r}, store={store!r}))
"""


def scorer(version, value, asked):
    def polite(answer):
        asked.append(answer)
        return value(answer)

    return per_arm(name="polite", version=version)(polite)


def experiment_of(tmp_path, *scorers):
    return Experiment(
        name="e",
        candidates={"new": "app:new"},
        scorers=scorers,
        gates=[no_worse("polite", by=0.1)],
        rules=Rules(min_hours=0),
        settings=Settings(home=str(tmp_path / "home")),
    )


def filled(store, name="e", pairs=PAIRS):
    for number in range(pairs):
        query = make_query(number)
        store.add_envelopes(
            [Envelope(experiment=name, query=query, served=make_observation(query))], arms={query.id: ["new"]}
        )
        store.add_observation(make_observation(query, "new", answer="please" if number % 2 else "no"))
    store.add_counters(name, "spool", {"eligible": pairs, "mirrored": pairs})


@pytest.fixture(name="clock")
def _clock():
    clock = FixedClock()
    clock.tick(3600)
    return clock


@pytest.fixture(name="store")
def _store(tmp_path, clock):
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock) as store:
        filled(store)
        yield store


def test_only_what_another_version_scores_is_made_again(tmp_path, store, clock):
    """The other scorer is not asked; what changed is counted, and the next evaluation goes by it."""
    first, second, other = [], [], []
    kept = per_arm(name="kept", version="1")(lambda answer: other.append(answer) or 1.0)
    old = scorer("polite/1", lambda _: 1.0, first)
    evaluate(experiment_of(tmp_path, old, kept), store=store, clock=clock)
    asked = len(other)
    experiment = experiment_of(tmp_path, scorer("polite/2", lambda answer: "no" not in answer, second), kept)

    changes = {each.metric: each for each in rescore(experiment, store=store)}

    assert len(other) == asked
    polite, held = changes["polite"], changes["kept"]
    assert (polite.pairs, polite.changed, polite.new, polite.failed) == (PAIRS, PAIRS // 2, 0, 0)
    assert (held.pairs, held.changed, held.new) == (PAIRS, 0, 0)
    text = f"new / polite: {PAIRS} pairs, {PAIRS // 2} as before, {PAIRS // 2} changed, 0 new; by polite/2, before by "
    assert str(polite) == f"{text}polite/1; the candidate's mean moved by -0.5"
    asked = len(second)
    verdict = evaluate(experiment, store=store, clock=clock).verdicts[0]
    assert len(second) == asked
    assert (verdict.gates[0].incumbent, verdict.gates[0].candidate) == (1.0, 0.5)


def test_what_is_named_is_scored_again_whatever_its_version_says(tmp_path, store, clock):
    """A change that the version does not see; an earlier look's state does not stand in the way."""
    right = {"value": 1.0}
    experiment = experiment_of(tmp_path, scorer("polite/1", lambda _: right["value"], []))
    evaluate(experiment, store=store, clock=clock)
    right["value"] = 0.25

    assert [each.changed for each in rescore(experiment, store=store) if each.metric == "polite"] == [0]
    (polite,) = [each for each in rescore(experiment, metrics=["polite"], store=store) if each.metric == "polite"]
    assert (polite.changed, polite.moved / polite.compared) == (PAIRS, -0.75)
    assert evaluate(experiment, store=store, clock=clock).verdicts[0].gates[0].candidate == 0.25
    assert sum(each.changed for each in rescore(experiment, everything=True, store=store)) == 0


def test_new_labels_are_new_scores(tmp_path, store, clock):
    """A reference that came later gives scores where there were reasons."""
    experiment = experiment_of(tmp_path, scorer("polite/1", lambda _: 1.0, []), exact_match())
    evaluate(experiment, store=store, clock=clock)
    store.add_labels({"q-1": Labels(reference="please"), "q-2": Labels(reference="please")})

    (exact,) = [each for each in rescore(experiment, store=store) if each.metric == "exact_match"]

    assert (exact.pairs, exact.changed) == (PAIRS, 2)


def test_a_scorer_that_fails_is_said_and_tried_again(tmp_path, store, clock):
    """It costs its own scores alone."""
    broken = [True]

    def value(answer):
        if broken and answer == "no":
            raise ValueError("boom")
        return 1.0

    experiment = experiment_of(tmp_path, scorer("polite/1", value, []))
    (polite,) = [each for each in rescore(experiment, store=store) if each.metric == "polite"]
    assert (polite.failed, polite.new) == (PAIRS // 2, PAIRS)
    assert "the scorer failed at 30: ValueError: boom" in str(polite)
    broken.clear()
    (polite,) = [each for each in rescore(experiment, store=store) if each.metric == "polite"]
    assert (polite.failed, polite.changed) == (0, PAIRS // 2)


def test_unknown_names_are_errors(tmp_path, store):
    """With what was meant."""
    experiment = experiment_of(tmp_path, scorer("polite/1", lambda _: 1.0, []))
    with pytest.raises(UnknownMetricError, match="'polite'"):
        rescore(experiment, metrics=["polit"], store=store)
    with pytest.raises(UnknownCandidateError):
        rescore(experiment, candidates=["old"], store=store)


def test_as_typed(tmp_path, monkeypatch, capsys):
    """The command says what changed, and its exit code whether all went well; the source is the version."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    url = f"sqlite:///{tmp_path / 's.db'}"

    def rescored(body, name):
        text = EXPERIMENT.format(body=body, home=str(tmp_path / "home"), store=url)
        (tmp_path / f"{name}.py").write_text(text, encoding="utf-8")
        return main(["rescore", f"{name}:here"]), capsys.readouterr().out

    assert rescored("1.0", "first")[0] == 3
    with SqlStore(url) as store:
        filled(store, "here")
    code, said = rescored("1.0", "second")
    assert (code, "new / brevity: 60 pairs, 0 as before, 0 changed, 60 new" in said) == (0, True), said
    code, said = rescored("len(answer) == 2", "third")
    assert (code, "60 pairs, 0 as before, 60 changed, 0 new; by brevity/" in said) == (0, True), said
    assert "shadoweval evaluate third:here" in said
    code, said = rescored("1 / 0", "fourth")
    assert (code, "the scorer failed at 60: ZeroDivisionError" in said) == (2, True), said
    assert main(["rescore", "fourth:here", "--metric", "brevitty"]) == 4
