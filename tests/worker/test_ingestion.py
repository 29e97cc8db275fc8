"""From a mirrored call to the sentence that a person reads: which question was it?"""

import json
from typing import Any

import pytest

from shadoweval import Experiment, Settings, Traffic, evaluate, no_worse
from shadoweval.cli.status import status_lines
from shadoweval.codec import decode_envelope
from shadoweval.records import Envelope
from shadoweval.scoring import recall, token_f1
from shadoweval.store import SqlStore
from shadoweval.testing import MemoryTransport, make_observation
from shadoweval.transport import SpoolReceiver, SpoolTransport
from shadoweval.verdict.rules import Rules
from shadoweval.worker.ingestion import Ingestion


@pytest.fixture
def store(tmp_path):
    with SqlStore(f"sqlite:///{tmp_path}/shadow.db") as opened:
        yield opened


def experiment_of(tmp_path: Any, **options: Any) -> Experiment:
    return Experiment(
        name="support",
        candidates={"new": "m:f"},
        scorers=options.pop("scorers", [token_f1()]),
        gates=[no_worse("token_f1", by=0.1)],
        settings=Settings(home=tmp_path),
        rules=Rules(min_hours=0.0),
        rerun=0.0,
        **options,
    )


def answered(experiment: Experiment, store: SqlStore, envelopes: list[Envelope]) -> None:
    """The candidate answers as the incumbent did."""
    store.add_envelopes(envelopes, arms={envelope.id: ["new"] for envelope in envelopes})
    for envelope in envelopes:
        answer = envelope.served.outcome.answer if envelope.served.outcome else ""
        store.add_observation(make_observation(envelope.query, "new", answer=answer or "", place="shadow"))
    store.add_counters(experiment.name, "spool", {"eligible": len(envelopes), "mirrored": len(envelopes)})


def test_labels_find_questions_wherever_they_stand(tmp_path, store):
    """A case file's texts join calls with a user beside the question; of cases that share a text the inputs decide."""
    cases = [
        {"query": "How?", "reference": "so"},
        {"query": "how?", "reference": "thus"},
        {"query": "quote", "inputs": {"user_id": "u-0", "question": "quote"}, "reference": "first"},
        {"query": "quote", "inputs": {"user_id": "u-1", "question": "quote"}, "reference": "second"},
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, cases)), encoding="utf-8")
    transport = MemoryTransport()
    experiment = experiment_of(tmp_path, labels=tmp_path / "labels.jsonl", traffic=Traffic(transport=transport))

    @experiment.mirror(control=0.0)
    def answer(user_id, question):
        return {"How?": "so", "how?": "thus"}.get(question, {"u-0": "first", "u-1": "second"}.get(user_id))

    for number in range(2):
        for question in ("How?", "how?", "quote", "unlabelled"):
            answer(f"u-{number}", question=question)
    answered(experiment, store, [decode_envelope(frame) for frame in transport.frames])
    evaluation = evaluate(experiment, store=store, closed=True)

    assert evaluation.verdicts[0].gates[0].n == 6
    assert evaluation.verdicts[0].gates[0].incumbent == 1.0


def test_calls_that_all_count_as_one_are_said_loudly(tmp_path, store, caplog):
    """By the worker when it takes them in, by status, and in the verdict, which holds for it."""
    experiment = experiment_of(tmp_path, traffic=Traffic(transport=SpoolTransport(tmp_path / "support")))

    @experiment.mirror(control=0.0)
    def view():
        return "read from the request"

    for _ in range(30):
        view()
    receiver = SpoolReceiver(tmp_path / "support")
    Ingestion(experiment, store=store, receiver=receiver).drain()
    assert "all 30 calls are one query" in caplog.text
    assert "mirror(key=...)" in caplog.text

    for task in store.lease("support", limit=100, seconds=60, owner="w"):
        store.add_observation(make_observation(task.envelope.query, "new", place="shadow"))
    lines = "\n".join(status_lines(experiment, store=store, receiver=receiver))
    assert "ALARM: all 30 calls are one query" in lines
    verdict = evaluate(experiment, store=store, closed=True).verdicts[0]
    assert verdict.decision == "hold"
    assert "All 30 calls are one query" in str(verdict)


def test_calls_that_all_read_the_same_are_said_loudly(tmp_path, store, caplog):
    """They differ, but people and labels can't tell them apart."""
    experiment = experiment_of(tmp_path, traffic=Traffic(transport=SpoolTransport(tmp_path / "support")))

    @experiment.mirror(control=0.0, text=lambda customer, query: "question")
    def answer(customer, query):
        return "x"

    for number in range(30):
        answer("c", f"q{number}")
    receiver = SpoolReceiver(tmp_path / "support")
    Ingestion(experiment, store=store, receiver=receiver).drain()
    assert "all 30 calls read the same" in caplog.text

    for task in store.lease("support", limit=100, seconds=60, owner="w"):
        store.add_observation(make_observation(task.envelope.query, "new", place="shadow"))
    assert "ALARM: all 30 calls read the same" in "\n".join(status_lines(experiment, store=store, receiver=receiver))
    evaluation = evaluate(experiment, store=store, closed=True)
    assert any("mirror(text=...)" in note for note in evaluation.notes)


def test_answers_without_any_retrieval_are_said_loudly(tmp_path, store, caplog):
    """Where recall is scored and nobody records what was found, the first calls say so, not the verdict weeks later."""
    experiment = experiment_of(
        tmp_path,
        scorers=[recall(k=5), token_f1()],
        traffic=Traffic(transport=SpoolTransport(tmp_path / "support")),
    )
    answer = experiment.mirror(control=0.0)(lambda query: "x")
    for number in range(30):
        answer(f"q{number}")
    Ingestion(experiment, store=store, receiver=SpoolReceiver(tmp_path / "support")).drain()

    assert "none of the first 30 calls recorded a retrieval" in caplog.text
    assert "@retriever" in caplog.text
