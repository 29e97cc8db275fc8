"""Which pairs a report lists, and that the store's erasures and its own evaluations know nothing of them."""

import json
import re
import shutil

import pytest

from shadoweval import Experiment, Rules, better, no_worse
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.evaluation.queries import with_queries
from shadoweval.records import Envelope, Failure
from shadoweval.reporting.html import render
from shadoweval.scoring import errors, recall
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_query

COUNT = 220
LOSSES = range(7, COUNT, 30)


@pytest.fixture(name="folder", scope="module")
def _folder(tmp_path_factory):
    return tmp_path_factory.mktemp("queries")


@pytest.fixture(name="experiment", scope="module")
def _experiment(folder):
    labels = folder / "labels.jsonl"
    lines = [json.dumps({"query": f"question number {n}", "relevant": {"right": 1}}) for n in range(1, COUNT + 1)]
    labels.write_text("\n".join(lines), encoding="utf-8")
    return Experiment(
        name="docs",
        candidates={"new": "app:new"},
        scorers=[recall(1), errors()],
        gates=[better("recall@1", by=0.02), no_worse("errors", by=0.05, critical=True)],
        labels=labels,
        rules=Rules(min_hours=0),
        settings=Settings(home=str(folder / "home")),
    )


@pytest.fixture(name="file", scope="module")
def _file(folder, experiment):
    """A store with pairs that were judged once."""
    with opened(folder / "filled.db") as store:
        filled(store)
        evaluate(experiment, store=store, clock=store._clock)
    return folder / "filled.db"


@pytest.fixture(name="store")
def _store(file, tmp_path):
    shutil.copy(file, tmp_path / "s.db")
    with opened(tmp_path / "s.db") as store:
        yield store


def opened(path):
    clock = FixedClock()
    clock.tick(3600)
    return SqlStore(f"sqlite:///{path}", clock=clock)


def filled(store):
    """Pairs of which every thirtieth fails with the candidate alone, and every fifth finds worse documents."""
    mirrored, runs = [], []
    for number in range(1, COUNT + 1):
        query = make_query(number, unit="ann" if number == 7 else "")
        failure = Failure(kind="timeout", message="late") if number in LOSSES else None
        served = make_observation(query, answer="old", hits=["right"])
        ran = make_observation(
            query, "new", answer="new", hits=["wrong" if number % 5 == 0 else "right"], failure=failure
        )
        mirrored.append(Envelope(experiment="docs", query=query, served=served))
        runs.append(ran)
    store.add_envelopes(mirrored, arms={each.id: ["new"] for each in mirrored})
    for ran in runs:
        store.add_observation(ran)


def test_all_pairs_are_listed_and_hundreds_of_them_whole(experiment, store):
    """With scores, beginnings of texts, how they failed and where the arms part; the worst ones stand first."""
    evaluation = with_queries(*store.evaluations("docs"), experiment, store=store)
    table = evaluation.queries["new"]

    assert (len(table.rows), table.pairs, table.critical) == (COUNT, COUNT, len(LOSSES))
    assert len(table.details) >= 200
    by_id = {row.id: row for row in table.rows}
    assert len(by_id) == COUNT
    assert by_id["q-7"].failures == ("", "timeout (candidate's)")
    assert {row.id for row in table.rows if row.critical} == {f"q-{n}" for n in LOSSES}
    assert by_id["q-5"].parts == "other documents"
    first = table.rows[0]
    assert first.scores["recall@1"][1].value < first.scores["recall@1"][0].value
    assert not re.search(r"shown \d", render(evaluation).partition("<script")[0])


def test_of_very_many_pairs_all_losses_on_critical_gates_are_listed_and_a_sample(experiment, store):
    """The sample goes by a hash of the id: two reports show the same pairs."""
    (evaluation,) = store.evaluations("docs")
    table = with_queries(evaluation, experiment, store=store, limit=70).queries["new"]
    again = with_queries(evaluation, experiment, store=store, limit=70).queries["new"]

    assert (len(table.rows), table.pairs) == (70, COUNT)
    assert {f"q-{n}" for n in LOSSES} <= {row.id for row in table.rows}
    assert table == again


def test_what_was_erased_is_in_no_later_report_and_evaluations_are_stored_without(experiment, store):
    """The store keeps no second copy of any text for reports."""
    evaluation = with_queries(*store.evaluations("docs"), experiment, store=store)
    assert len(evaluation.queries["new"].rows) == COUNT
    store.add_evaluation(evaluation)
    store.erase("ann")

    (kept,) = store.evaluations("docs")
    assert kept.queries == {}
    later = with_queries(kept, experiment, store=store).queries["new"]
    assert len(later.rows) == COUNT - 1
    assert "q-7" not in {row.id for row in later.rows} | {each.query_id for each in later.details}
