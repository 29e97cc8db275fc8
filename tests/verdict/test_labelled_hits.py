"""From a mirrored call to the sentence that a person reads: which document was it?"""

import json
import uuid
from typing import Any

import pytest

from shadoweval import Experiment, Settings, Traffic, evaluate, no_worse, record_hits, retriever
from shadoweval.capture.outcomes import outcome_of
from shadoweval.capture.recorder import Recorder, recording
from shadoweval.codec import decode_envelope
from shadoweval.scoring import errors, overlap, recall
from shadoweval.store import SqlStore
from shadoweval.testing import MemoryTransport, make_observation
from shadoweval.verdict.labelled_hits import LabelledHits
from shadoweval.verdict.rules import Rules

CASES = 120


def known(query: str) -> list[dict[str, str]]:
    return [{"id": query.replace("q", "doc-"), "text": "t"}]


@retriever
def right(query: str) -> list[dict[str, str]]:
    return known(query)


@retriever
def wrong(query: str) -> list[dict[str, str]]:
    return known(f"q{(int(query[1:]) + 1) % CASES}")


@retriever
def random_ids(query: str) -> list[dict[str, str]]:
    return [{"id": str(uuid.uuid4()), "text": query}]


@retriever
def texts(query: str) -> list[str]:
    return [f"the text of {query}"]


@retriever
def places(query: str) -> list[dict[str, float]]:
    return [{"index": 3, "relevance_score": 0.9}]


@retriever
def nothing(query: str) -> list[Any]:
    return []


def unwatched(query: str) -> list[Any]:
    return known(query)


def emptied(query: str) -> None:
    record_hits([])


@pytest.fixture
def judged(tmp_path):
    """The verdict and evaluation of a candidate's search against the incumbent's, the whole way but the process."""
    labels = tmp_path / "labels.jsonl"
    labels.write_text(
        "\n".join(json.dumps({"query": f"q{n}", "relevant": {f"doc-{n}": 1}}) for n in range(CASES)), encoding="utf-8"
    )

    def run(incumbent: Any, candidate: Any) -> Any:
        transport = MemoryTransport()
        experiment = Experiment(
            name="support",
            candidates={"new": "m:f"},
            scorers=[recall(k=5), overlap(k=5), errors()],
            gates=[no_worse("recall@5", by=0.2), no_worse("errors", by=0.2)],
            labels=labels,
            rerun=0.0,
            rules=Rules(min_hours=0.0),
            settings=Settings(home=tmp_path),
            traffic=Traffic(transport=transport),
        )
        mirrored = experiment.mirror(control=0.0)(lambda query: incumbent(query) and "found")
        for number in range(CASES):
            mirrored(f"q{number}")
        envelopes = [decode_envelope(frame) for frame in transport.frames]
        with SqlStore(f"sqlite:///{tmp_path}/shadow.db") as store:
            store.add_envelopes(envelopes, arms={envelope.id: ["new"] for envelope in envelopes})
            for envelope in envelopes:
                recorder = Recorder()
                with recording(recorder):
                    candidate(envelope.query.text)
                parts = recorder.parts()
                outcome = outcome_of("found", parts=parts)
                changes = {"outcome": outcome, "steps": parts.steps, "place": "shadow"}
                store.add_observation(make_observation(envelope.query, "new", **changes))
            store.add_counters("support", "spool", {"eligible": CASES, "mirrored": CASES})
            return evaluate(experiment, store=store, once=True).verdicts[0]

    return run


@pytest.mark.parametrize(
    ("incumbent", "candidate", "sentence"),
    [
        (unwatched, unwatched, "no retrieval was recorded; put @retriever above"),
        (unwatched, right, "no retrieval was recorded; put @retriever above"),
        (right, unwatched, "no retrieval was recorded; put @retriever above"),
        (random_ids, random_ids, "120 rankings of the incumbent is named by any label: labels say 'doc-0'"),
        (right, random_ids, "120 rankings of the candidate is named by any label"),
        (random_ids, right, "120 rankings of the incumbent is named by any label"),
        (texts, texts, "the hits have no id, only texts"),
        (places, places, "can't be told from a dict; say it by hit_id="),
    ],
)
def test_what_can_not_be_told_is_held_and_named(judged, incumbent, candidate, sentence):
    """Never 0 against 0, and never a rollback for documents that nobody could name."""
    verdict = judged(incumbent, candidate)

    assert verdict.decision == "hold"
    assert sentence in str(verdict)


@pytest.mark.parametrize("candidate", [wrong, nothing, emptied])
def test_a_search_that_finds_the_wrong_documents_is_worse(judged, candidate):
    """Or none at all."""
    assert judged(right, candidate).decision == "rollback"


def test_equal_searches_have_nothing_wrong_with_them(judged):
    """Whatever is still to be proven."""
    verdict = judged(right, right)

    assert verdict.why != "error"
    assert verdict.gates[0].difference == 0.0


def test_batches_add_up_and_are_taken_up():
    """In whatever portions pairs come, what is known is the same."""
    pairs = [((f"doc-{n}",), {"incumbent": (f"doc-{n + 3}",), "candidate": (f"x-{n}",)}) for n in range(9)]
    whole, merged = LabelledHits(), LabelledHits()
    for judged_ids, hits in pairs:
        whole.count(judged_ids, hits)
        part = LabelledHits()
        part.count(judged_ids, hits)
        merged.merge(part)
    restored = LabelledHits()
    restored.restore(merged.to_state())

    assert [arm for arm, _ in whole.unknown()] == ["candidate"]
    assert list(whole.unknown()) == list(merged.unknown()) == list(restored.unknown())
