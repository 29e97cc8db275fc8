"""Whatever is wrong with one call, one run or one score costs that one; what came with it goes on.

Through both stores, with what users write in every place that a database searches.
"""

import os
import random
import subprocess
import sys
from datetime import UTC, datetime

import msgspec
import pytest

from shadoweval.codec import encode_envelope
from shadoweval.errors import StoreError, UnstorableError
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.experiment import Experiment
from shadoweval.protocols import WindowStart
from shadoweval.records import (
    Annotation,
    Envelope,
    Labels,
    PairScore,
    Query,
    Refusal,
    Scored,
    Unscored,
)
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import MemoryTransport, make_observation, make_query
from shadoweval.worker.ingestion import Ingestion
from shadoweval.worker.parts import add_in_parts

LONG = "".join(random.Random(1).choices("abcdefghijklmnopqrstuvwxyz0123456789", k=9000))
"""No index row of PostgreSQL holds it, packed or not."""
ODD = {"a NUL": "ann\0", "long": LONG, "long, of wide characters": "語" * 3000, "control": "\x01\x7f\u2028\ufeff"}


@pytest.fixture(name="store")
def _store(url):
    with SqlStore(url) as store:
        yield store


@pytest.fixture(name="experiment")
def _experiment(tmp_path):
    return Experiment(name="docs", candidates={"new": "app:new"}, rerun=0.0, settings=Settings(home=tmp_path / "home"))


def envelope(number, **fields):
    query = make_query(number, entry="app:old", **fields)
    return Envelope(experiment="docs", query=query, served=make_observation(query))


@pytest.mark.parametrize("odd", ODD.values(), ids=ODD)
def test_what_users_write_is_kept_and_found_again(store, odd):
    """Units, keys, versions, refusals, failures, reasons, labels, marks and audit hold it; erasing finds the user."""
    mine, other = envelope(1, unit=odd, identity=odd, attributes={odd: odd}, salt=odd), envelope(2, unit=odd + "2")
    assert store.add_envelopes([mine, other], arms={"q-1": ["new"], "q-2": ["new"]}) == 2
    for task in store.lease("docs", limit=9, seconds=60, owner=odd):
        refusal = Refusal(kind="socket", detail=odd, layer="audit", count=2**70)
        ran = make_observation(task.envelope.query, "new", place="shadow", versions={odd: odd}, refusals=(refusal,))
        assert store.add_observation(msgspec.structs.replace(ran, live_writes=2**40))
    assert store.reopen("docs", odd) == 0
    scores = [
        PairScore(metric=odd, query_id="q-1", scorer_version=odd, incumbent=Unscored(odd), candidate=Scored(1.0)),
        PairScore(metric="fine", query_id="q-1", incumbent=Scored(0.5), candidate=Unscored(odd, informative=False)),
    ]
    store.add_scores("docs", "new", scores)
    assert [store.add_labels({odd: Labels(reference=odd)}) for _ in range(2)] == [1, 0]
    mark = Annotation(arm="new", mark="correct", annotator=f"x{odd}")
    assert store.add_annotations("docs", [("q-1", mark)]) == (1, [])
    store.audit(who=odd, what=odd, old=odd, new=odd, reason=odd)
    now = datetime.now(UTC)
    store.add_window("docs", WindowStart(since=now, at=now, who=odd, why=odd, candidate=odd))
    store.add_counters("docs", odd, {odd: 2**80, "fine": 2**62})
    store.add_counters("docs", "another", {"fine": 2**62})
    store.set_aside("docs", b"\0", odd)

    pairs = {pair.id: pair for pair in store.pairs("docs", "new")}
    assert pairs["q-1"].query == mine.query
    assert pairs["q-1"].candidate.versions == {odd: odd}
    assert pairs["q-1"].labels.reference == odd
    assert len(list(store.scores("docs", "new"))) == 2
    assert len(store.audits()) == len(store.windows("docs")) == 1
    assert store.funnel("docs", "new").paired == 2
    assert store.erase(odd) == 1
    assert [pair.id for pair in store.pairs("docs", "new")] == ["q-2"]


def test_what_a_candidate_reports_stops_no_evaluation(store, experiment):
    """A count that no integer of a file holds; the next look takes up what this one left."""
    envelopes = [envelope(number) for number in range(1, 4)]
    store.add_envelopes(envelopes, arms={each.id: ["new"] for each in envelopes})
    refusal = Refusal(kind="socket", detail="example:1", count=2**100)
    for each in envelopes:
        store.add_observation(make_observation(each.query, "new", place="shadow", refusals=(refusal,)))
    for _ in range(2):
        shown = evaluate(experiment, store=store, closed=True).refusals["new"]
        assert shown[0].count == 3 * 2**31


REFUSED = {
    "a day before the first one": {"asked_at": "0001-01-01T00:00:00+14:00"},
    "a day without a time zone": {"asked_at": "2026-01-01T00:00:00"},
    "an id with NUL": {"id": "q\0"},
    "a long id": {"id": LONG},
}


def changed(frame, **fields):
    """The frame with other fields of its query, as another version might have written them."""
    experiment, query, *rest = msgspec.msgpack.decode(frame[3:])
    for name, value in fields.items():
        query[Query.__struct_fields__.index(name)] = value
    return frame[:3] + msgspec.msgpack.encode([experiment, query, *rest])


@pytest.mark.parametrize("fields", REFUSED.values(), ids=REFUSED)
def test_a_refused_call_is_set_aside_and_the_others_are_kept(store, experiment, fields):
    """Once, with its reason and its bytes as they came; it does not come again, and the funnel adds up."""
    transport = MemoryTransport()
    for number in range(1, 31):
        refused = (
            {"text": f"question {number}", **fields} if number in {1, 13, 14} else {}
        )  # the same bytes are one call
        transport.offer(changed(encode_envelope(envelope(number)), **refused))
    ingestion = Ingestion(experiment, store=store, receiver=transport)

    assert ingestion.drain() == 30
    assert ingestion.drain() == 0
    assert (ingestion.counts["envelopes"], ingestion.counts["set_aside"]) == (27, 3)
    funnel = store.funnel("docs", "new")
    assert (funnel.mirrored, funnel.failed["set_aside"], funnel.waiting) == (30, 3, 27)


def test_a_call_that_breaks_our_own_code_costs_itself(store, experiment, monkeypatch):
    """Whatever is raised while one call is read."""
    transport = MemoryTransport()
    for number in range(1, 6):
        transport.offer(encode_envelope(envelope(number)))
    look = Ingestion._look_at_query

    def breaks(self, each):
        if each.id == "q-3":
            raise ZeroDivisionError("odd")
        look(self, each)

    monkeypatch.setattr(Ingestion, "_look_at_query", breaks)
    ingestion = Ingestion(experiment, store=store, receiver=transport)
    assert ingestion.drain() == 5
    assert (ingestion.counts["envelopes"], ingestion.counts["set_aside"]) == (4, 1)


def test_frames_are_stored_as_they_came(store, experiment):
    """Byte for byte: nothing that this version does not know is lost on the way."""
    transport = MemoryTransport()
    query = make_query(1, entry="app:old", attributes={"later": {"unknown": (1, 2)}})
    frame = encode_envelope(Envelope(experiment="docs", query=query, served=make_observation(query)))
    frame = frame[:3] + msgspec.msgpack.encode([*msgspec.msgpack.decode(frame[3:]), "a field of a later version"])
    transport.offer(frame)
    Ingestion(experiment, store=store, receiver=transport).drain()
    with store._engine.connect() as connection:
        stored = connection.exec_driver_sql("SELECT frame FROM shadow_envelope").scalar()
    assert bytes(stored) == frame


def test_a_store_that_is_gone_sets_nothing_aside():
    """A fault of the store is no fault of what it was given: it is raised, and the batch comes again."""
    refused = []

    def gone(_items):
        raise StoreError("no server")

    with pytest.raises(StoreError):
        add_in_parts([1, 2, 3], gone, refused=lambda item, why: refused.append((item, why)))
    assert refused == []


def test_few_tries_find_the_refused_ones():
    """One among 512 is found with 18 further transactions."""
    tries, kept, refused = [], [], []

    def add(items):
        tries.append(len(items))
        if 77 in items:
            raise UnstorableError("no 77")
        kept.extend(items)

    add_in_parts(list(range(512)), add, refused=lambda item, why: refused.append((item, why)))
    assert len(tries) == 1 + 18
    assert refused == [(77, "UnstorableError: no 77")]
    assert kept == [number for number in range(512) if number != 77]


APP = """
import os
from shadoweval import Experiment, Sandbox, Settings, no_worse
from shadoweval.protocols import Metric
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.verdict.rules import Rules

def old(question): return question
def new(question): return question.upper()
def quoting(observation, pair):
    raise ValueError("odd: \\0 " + pair.query.text)

odd = Experiment(name="odd", candidates={"new": "oddapp:new"}, incumbent="oddapp:old", rerun=0.0,
    scorers=[PairScorer(metrics=(Metric(name="quoted"),), version="1", score_one=quoting)],
    gates=[no_worse("quoted", by=0.1)], rules=Rules(min_hours=0.0), sandbox=Sandbox(guard=False),
    settings=Settings(home="home", store=os.environ["ODD_STORE"]))
served = odd.mirror(1.0, control=0.0, unit=lambda question: question)(old)
if __name__ == "__main__":
    import oddapp
    for question in ("plain", "nul \\0", "x" * 9000, "half \\ud800"): oddapp.served(question)
"""


def test_worker_and_evaluate_go_through_odd_calls(tmp_path, url):
    """As typed: calls whose unit no index holds, and a scorer whose error quotes a NUL."""
    (tmp_path / "oddapp.py").write_text(APP, encoding="utf-8")
    environment = {**os.environ, "ODD_STORE": url, "PYTHONPATH": "."}

    def typed(*words):
        return subprocess.run(
            [sys.executable, *words],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert typed("oddapp.py").returncode == 0
    worker = typed("-m", "shadoweval", "worker", "--until-idle", "oddapp:odd")
    assert worker.returncode == 0, worker.stderr
    evaluated = typed("-m", "shadoweval", "evaluate", "oddapp:odd")
    assert evaluated.returncode in {2, 3}, evaluated.stderr
    with SqlStore(url) as store:
        assert store.funnel("odd", "new").paired == 4
        reasons = [score.candidate.reason for score in store.scores("odd", "new") if score.metric == "quoted"]
    assert len(reasons) == 4
    assert all(reason.startswith("ValueError: odd: \ufffd") for reason in reasons)
