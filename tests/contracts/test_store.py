"""What every `protocols.Store` promises, run against each implementation.

A further implementation joins by a parameter of `make`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from sqlalchemy import create_engine, text

from shadoweval.errors import StoreError
from shadoweval.protocols import Attempt, WindowStart
from shadoweval.records import (
    INCUMBENT,
    Annotation,
    Envelope,
    Evaluation,
    Example,
    Failure,
    Hit,
    Labels,
    Observation,
    Outcome,
    PairScore,
    Query,
    Scored,
    Unscored,
)
from shadoweval.store import SqlStore, engine, erasure

START = datetime(2026, 1, 1, tzinfo=UTC)


class Clock:
    """Time that moves when it is told to."""

    def __init__(self) -> None:
        self.now = START + timedelta(days=1)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(url, clock) -> Iterator[Callable[[], SqlStore]]:
    """Opens the same store again and again, as processes would."""
    opened: list[SqlStore] = []

    def open_store() -> SqlStore:
        opened.append(SqlStore(url, clock=clock))
        return opened[-1]

    yield open_store
    for store in opened:
        store.close()


@pytest.fixture
def store(make):
    return make()


def query(number: int, *, text: str = "", unit: str = "") -> Query:
    return Query(
        id=f"q{number:04}",
        text=text or f"question {number}",
        unit=unit,
        asked_at=START + timedelta(seconds=number),
        attributes={"plan": "pro"},
    )


def observation(asked: Query, arm: str = INCUMBENT, *, place="served", failure: Failure | None = None) -> Observation:
    outcome = None if failure else Outcome(answer="yes", hits=(Hit(id="a", rank=1),), value=("a", {"b": (1, 2)}))
    return Observation(
        query_id=asked.id,
        arm=arm,
        place=place,
        outcome=outcome,
        failure=failure,
        started_at=asked.asked_at,
        duration=0.25,
    )


def envelope(number: int, **kwargs) -> Envelope:
    asked = query(number, **kwargs)
    served = observation(asked)
    served = Observation(
        query_id=asked.id,
        arm=INCUMBENT,
        place="served",
        outcome=Outcome(answer="yes"),
        started_at=served.started_at,
        duration=0.1,
    )
    return Envelope(experiment="support", query=asked, served=served)


def fill(store, count: int, *, arms=("rerank",)) -> list[Envelope]:
    envelopes = [envelope(n) for n in range(count)]
    store.add_envelopes(envelopes, arms={e.id: arms for e in envelopes})
    return envelopes


def run(store, number: int, arm: str = "rerank", **kwargs) -> bool:
    return store.add_observation(observation(query(number), arm, place="shadow", **kwargs))


def ids(store, candidate: str = "rerank", **window) -> list[str]:
    return [pair.id for pair in store.pairs("support", candidate, **window)]


def test_adding_an_envelope_twice_is_adding_it_once(store) -> None:
    """A frame that comes again after a crash changes nothing, and opens no second task."""
    first = [envelope(n) for n in range(3)]
    arms = {e.id: ("rerank", INCUMBENT) for e in first}
    assert store.add_envelopes(first, arms=arms) == 3
    assert store.add_envelopes([*first, first[0]], arms=arms) == 0
    assert store.add_envelopes([*first, envelope(3)], arms=arms) == 1
    assert len(store.lease("support", limit=100, seconds=60, owner="w")) == 6


def test_an_envelope_twice_in_one_batch_is_one(store) -> None:
    """Both copies may come in one batch."""
    assert store.add_envelopes([envelope(1), envelope(1)], arms={"q0001": ("rerank",)}) == 1
    assert len(store.lease("support", limit=10, seconds=60, owner="w")) == 1


def test_what_went_in_comes_out(store) -> None:
    """Envelope, observations and labels come back equal, to the types inside returned values."""
    put = fill(store, 1, arms=("rerank", INCUMBENT))[0]
    run(store, 0)
    run(store, 0, INCUMBENT)
    store.add_labels({"q0000": Labels(relevant={"a": 1})})
    (pair,) = store.pairs("support", "rerank")
    assert pair.query == put.query
    assert pair.served == put.served
    assert pair.candidate == observation(put.query, "rerank", place="shadow")
    assert pair.rerun == observation(put.query, INCUMBENT, place="shadow")
    assert pair.labels == Labels(relevant={"a": 1})


def test_tasks_go_out_oldest_query_first_and_once(store) -> None:
    """Two leases in a row never give the same task; queries leave in the order in which they were asked."""
    fill(store, 10)
    first = store.lease("support", limit=4, seconds=60, owner="a")
    second = store.lease("support", limit=100, seconds=60, owner="b")
    assert [task.envelope.id for task in [*first, *second]] == [f"q{n:04}" for n in range(10)]
    assert {task.attempt for task in first} == {1}
    assert store.lease("support", limit=1, seconds=60, owner="c") == []
    assert store.lease("other", limit=1, seconds=60, owner="c") == []


def test_no_arm_always_runs_first(store) -> None:
    """The arms of a query are drawn in random order: over 60 queries both come first at times."""
    fill(store, 60, arms=("rerank", INCUMBENT))
    tasks = store.lease("support", limit=200, seconds=60, owner="w")
    firsts = {tasks[i].arm for i in range(0, 120, 2)}
    assert firsts == {"rerank", INCUMBENT}


def test_a_lease_that_ran_out_is_open_again(store, clock) -> None:
    """A worker that died gives its task back when its lease ends, with a higher attempt."""
    fill(store, 1)
    assert store.lease("support", limit=1, seconds=60, owner="dead")[0].attempt == 1
    clock.now += timedelta(seconds=59)
    assert store.lease("support", limit=1, seconds=60, owner="w") == []
    clock.now += timedelta(seconds=2)
    assert store.lease("support", limit=1, seconds=60, owner="w")[0].attempt == 2


def test_a_poisonous_query_is_given_up_and_scored_as_a_crash(store, clock) -> None:
    """A task that kills three workers is closed with a failure, and no longer holds the others back."""
    fill(store, 2)
    run(store, 1)
    for attempt in (1, 2, 3):
        assert [t.attempt for t in store.lease("support", limit=1, seconds=60, owner="w")] == [attempt]
        assert ids(store) == []
        clock.now += timedelta(seconds=61)
    assert store.lease("support", limit=10, seconds=60, owner="w") == []
    first, _second = store.pairs("support", "rerank")
    assert first.candidate.failure is not None
    assert first.candidate.failure.kind == "crash"
    assert "3 workers" in first.candidate.failure.message
    assert run(store, 0) is False, "a late result changes nothing"


def test_a_task_given_back_unrun_is_open_again_and_not_counted(store) -> None:
    """A worker that stops in time gives its tasks back at once; the try does not bring them closer to giving up."""
    fill(store, 1)
    for _ in range(5):
        (task,) = store.lease("support", limit=1, seconds=600, owner="w")
        assert task.attempt == 1
        store.release(task)
    assert store.owners("support") == set()


def test_giving_back_late_takes_nothing_from_the_next_worker(store, clock) -> None:
    """A worker whose lease ran out can't open a task that another one runs by now."""
    fill(store, 1)
    (late,) = store.lease("support", limit=1, seconds=60, owner="slow")
    clock.now += timedelta(seconds=61)
    (again,) = store.lease("support", limit=1, seconds=60, owner="next")
    store.release(late)
    assert store.owners("support") == {"next"}
    assert store.lease("support", limit=1, seconds=60, owner="third") == []
    assert again.attempt == 2


def test_what_a_dead_worker_held_can_be_taken_at_once(store) -> None:
    """Leases of an owner that is known to be gone are opened without waiting; those of others stay."""
    fill(store, 4)
    store.lease("support", limit=3, seconds=600, owner="dead")
    store.lease("support", limit=1, seconds=600, owner="alive")
    assert set(store.owners("support")) == {"dead", "alive"}
    assert store.reopen("support", "dead") == 3
    assert set(store.owners("support")) == {"alive"}
    assert [task.attempt for task in store.lease("support", limit=9, seconds=60, owner="w")] == [2, 2, 2]


def test_an_observation_counts_once(store, clock) -> None:
    """The first result stays; a second worker's result of the same task changes nothing."""
    fill(store, 1)
    assert run(store, 0) is True
    assert run(store, 0, failure=Failure(kind="timeout")) is False
    (pair,) = store.pairs("support", "rerank")
    assert pair.candidate.failure is None
    clock.now += timedelta(days=1)
    assert store.lease("support", limit=1, seconds=60, owner="w") == []


def test_pairs_stop_at_the_first_open_query(store) -> None:
    """Pairs come in query order, never in order of completion, so that slow runs can't be left out."""
    fill(store, 6)
    for number in (5, 1, 0, 3):
        run(store, number)
    assert ids(store) == ["q0000", "q0001"]
    run(store, 2)
    assert ids(store) == ["q0000", "q0001", "q0002", "q0003"]
    assert ids(store, watermark=False) == ["q0000", "q0001", "q0002", "q0003", "q0005"]


def test_an_open_rerun_holds_its_pair_back(store) -> None:
    """The incumbent's re-run is awaited too: without its slow ones the incumbent would look fast."""
    fill(store, 2, arms=("rerank", INCUMBENT))
    run(store, 0)
    run(store, 1)
    run(store, 1, INCUMBENT)
    assert ids(store) == []
    run(store, 0, INCUMBENT)
    assert [pair.rerun is not None for pair in store.pairs("support", "rerank")] == [True, True]


def test_one_candidate_does_not_hold_another_back(store) -> None:
    """Each candidate has its own watermark."""
    fill(store, 2, arms=("rerank", "hyde"))
    run(store, 0)
    run(store, 1)
    assert ids(store) == ["q0000", "q0001"]
    assert ids(store, "hyde") == []


def test_a_window_is_half_open(store) -> None:
    """`since` is inside and `until` outside, so neighbouring windows share no pair."""
    fill(store, 5)
    for number in range(5):
        run(store, number)
    middle = START + timedelta(seconds=2)
    assert ids(store, until=middle) == ["q0000", "q0001"]
    assert ids(store, since=middle) == ["q0002", "q0003", "q0004"]


def test_pages_neither_lose_nor_repeat(store) -> None:
    """More pairs than a page come once each and in order, even while others write."""
    fill(store, 601)
    for number in range(601):
        run(store, number)
    seen = []
    for pair in store.pairs("support", "rerank"):
        seen.append(pair.id)
        if len(seen) % 200 == 0:
            store.set_aside("support", b"x", "while reading")
    assert seen == [f"q{n:04}" for n in range(601)]


def test_labels_merge_and_may_come_late(store) -> None:
    """Labels by key reach all queries of that text, labels by id add to them; unchanged ones are not counted."""
    fill(store, 2)
    run(store, 0)
    run(store, 1)
    key = query(0).key
    assert store.add_labels({key: Labels(relevant={"a": 1}), "q0001": Labels(reference="no")}) == 2
    assert store.add_labels({key: Labels(relevant={"a": 1})}) == 0
    assert store.add_labels({"q0000": Labels(relevant={"b": 0})}) == 1
    first, second = store.pairs("support", "rerank")
    assert first.labels == Labels(relevant={"a": 1, "b": 0})
    assert second.labels == Labels(reference="no")


def said(mark, *, arm="rerank", annotator="ann", **changes):
    return Annotation(arm=arm, mark=mark, annotator=annotator, **changes)


def marks(store):
    return [[each.mark for each in pair.labels.annotations] for pair in store.pairs("support", "rerank")]


def test_marks_are_kept_in_order_of_time_once(store) -> None:
    """Whoever sends them again, or late: all that was said stands there, once, beside other labels."""
    fill(store, 2)
    run(store, 0)
    run(store, 1)
    first, second = said("incorrect", at=START), said("correct", at=START + timedelta(hours=1))
    assert store.add_annotations("support", [("q0000", second), ("q0001", said("tie", over=INCUMBENT))]) == (2, [])
    assert store.add_annotations("support", [("q0000", first), ("q0000", second)]) == (1, [])
    store.add_labels({"q0000": Labels(reference="yes")})
    assert store.add_annotations("support", [("q0000", first), ("q0000", second)]) == (0, [])
    assert marks(store) == [["incorrect", "correct"], ["tie"]]
    assert next(iter(store.pairs("support", "rerank"))).labels.reference == "yes"


def test_a_mark_without_a_time_is_said_now_unless_it_was_the_last_word(store, clock) -> None:
    """Saying the same again is nothing new; saying something else, and then the first again, is."""
    fill(store, 1)
    run(store, 0)
    for mark, new in (("correct", 1), ("correct", 0), ("incorrect", 1), ("correct", 1)):
        clock.now += timedelta(hours=1)
        assert store.add_annotations("support", [("q0000", said(mark))]) == (new, [])
    assert marks(store) == [["correct", "incorrect", "correct"]]
    assert store.add_annotations("support", [("q0000", said("correct", annotator="ben"))] * 2) == (1, [])


def test_a_mark_for_an_answer_that_is_not_there_is_left_out(store) -> None:
    """An unknown query, another experiment's, a candidate that has not run: told by place; the others are kept."""
    fill(store, 2)
    run(store, 0)
    asked = [("q0009", said("correct")), ("q0000", said("correct")), ("q0001", said("correct"))]
    assert store.add_annotations("support", asked) == (1, [0, 2])
    assert store.add_annotations("other", [("q0000", said("correct"))]) == (0, [0])
    assert store.add_annotations("support", [("q0001", said("correct", arm=INCUMBENT))]) == (1, [])
    assert store.add_annotations("support", [("q0000", said("preferred", arm=INCUMBENT, over="hyde"))]) == (0, [0])
    run(store, 1)
    assert store.add_annotations("support", asked) == (1, [0])


def test_marks_are_erased_with_the_query(store) -> None:
    """They may quote the user."""
    store.add_envelopes([envelope(1, unit="ann")], arms={"q0001": ("rerank",)})
    run(store, 1)
    store.add_annotations("support", [("q0001", said("correct"))])
    store.erase("ann")
    assert store.add_annotations("support", [("q0001", said("incorrect"))]) == (0, [0])


def look(store, **options):
    return store.look("support", "rerank", purpose="count", **options)


def test_a_look_takes_up_where_the_last_one_ended(store, make) -> None:
    """What a look left comes back, in any process, with only the pairs that came since and the whole funnel."""
    fill(store, 4)
    for number in (0, 1, 3):
        run(store, number)
    first = look(store)
    assert (first.saved, [pair.id for pair in first.pairs]) == (None, ["q0000", "q0001"])
    assert first.save(b"two", purpose="count")
    run(store, 2)
    second = look(make())
    assert (second.saved, [pair.id for pair in second.pairs]) == (b"two", ["q0002", "q0003"])
    assert (first.coverage.paired, first.coverage.waiting) == (2, 2)
    assert (second.coverage.paired, second.coverage.mirrored, second.coverage.gap) == (4, 4, 0)


def test_parts_of_a_state_are_shared_and_go_with_the_last_one(store, make) -> None:
    """One whose name is there is not written again; one that no state has any more is gone, as all are by erasure."""
    fill(store, 5)
    run(store, 0)
    first = look(store)
    assert (list(first.segments), len(list(first.pairs))) == ([], 1)
    assert first.save(b"one", purpose="count", segments={"day-1": b"old", "day-2": b"today"})
    run(store, 1)
    second = look(make())
    assert second.segments == {"day-1": b"old", "day-2": b"today"}
    assert len(list(second.pairs)) == 1
    assert second.save(b"two", purpose="count", segments={"day-1": b"never written", "day-2b": b"today, later"})
    third = look(make())
    assert third.saved == b"two"
    assert third.segments == {"day-1": b"old", "day-2b": b"today, later"}
    assert third.save(b"three", purpose="count")
    assert look(store).segments == {}
    assert look(store).save(b"four", purpose="count", segments={"day-3": b"a digest of somebody"})
    store.purge(START + timedelta(seconds=1))
    assert (look(store).saved, look(store).segments) == (None, {})


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda store: store.add_labels({"q0001": Labels(reference="yes")}), id="label by id"),
        pytest.param(lambda store: store.add_labels({query(1).key: Labels(reference="yes")}), id="label by text"),
        pytest.param(lambda store: store.add_annotations("support", [("q0001", said("correct"))]), id="mark"),
        pytest.param(lambda store: store.erase("ann"), id="erasure"),
        pytest.param(lambda store: store.purge(START + timedelta(seconds=2)), id="purge"),
        pytest.param(lambda store: run(store, 1, INCUMBENT), id="re-run"),
        pytest.param(lambda store: store.add_envelopes([envelope(2)], arms={}), id="late query"),
    ],
)
@pytest.mark.parametrize("during", [False, True])
def test_a_change_behind_a_look_takes_away_what_it_left(store, change, during) -> None:
    """After a look, or while it reads: the next one begins at the beginning."""
    asked = [envelope(1, unit="ann"), envelope(3)]
    store.add_envelopes(asked, arms={e.id: ("rerank",) for e in asked})
    run(store, 1)
    run(store, 3)
    first = look(store)
    if during:
        change(store)
        assert not first.save(b"stale", purpose="count")
    else:
        assert first.save(b"stale", purpose="count")
        change(store)
    assert look(store).saved is None


def test_a_look_leaves_nothing_for_another_purpose_or_window(store) -> None:
    """Evidence gathered for one question, or from one moment on, answers no other."""
    fill(store, 2)
    run(store, 0)
    assert look(store).save(b"one", purpose="count")
    assert store.look("support", "rerank", purpose="other").saved is None
    assert look(store, since=START).saved is None
    assert look(store, anew=True).saved is None
    assert store.look("support", "rerank").saved is None
    run(store, 1)
    store.add_labels({"q0001": Labels(reference="yes")})  # beyond what the look saw
    assert look(store).saved == b"one"


def test_what_is_set_aside_again_is_kept_once(store) -> None:
    """A killed reader's frames come again; the same damage in another place, or of another experiment, is another."""
    for _ in range(2):
        store.set_aside("support", b"x", "corrupt")
        store.set_aside("support", b"x", "corrupt", place="byte 7")
        store.set_aside("support", b"y", "corrupt")
        store.set_aside("docs", b"x", "corrupt")
    assert store.funnel("support", "rerank").failed == {"set_aside": 3}
    assert store.funnel("docs", "rerank").failed == {"set_aside": 1}


def test_a_call_that_the_caller_left_is_not_judged_but_counted(store) -> None:
    """An aborted served call and a run stopped from outside make no pair; the funnel says how many there were."""
    asked = query(0)
    left = observation(asked, failure=Failure(kind="aborted"))
    store.add_envelopes([Envelope(experiment="support", query=asked, served=left)], arms={asked.id: ("rerank",)})
    run(store, 0)
    more = [envelope(n) for n in (1, 2, 3, 4)]
    store.add_envelopes(more, arms={e.id: ("rerank",) for e in more[:3]})
    run(store, 1, failure=Failure(kind="killed"))
    run(store, 2, failure=Failure(kind="timeout"))
    store.set_aside("support", b"SE\x01damaged", "corrupt")
    funnel = store.funnel("support", "rerank")
    assert ids(store) == ["q0002"]
    assert (funnel.mirrored, funnel.paired, funnel.waiting) == (6, 1, 1)
    assert funnel.failed == {"aborted": 1, "killed": 1, "not_run": 1, "set_aside": 1}
    assert funnel.gap == 0


def test_the_funnel_adds_up_with_the_mirrors_counters(store) -> None:
    """Eligible = not mirrored + mirrored; what is still on its way counts as waiting."""
    fill(store, 3)
    for number in range(3):
        run(store, number)
    store.add_counters("support", "host-1", {"eligible": 50, "not_sampled": 44, "mirrored": 5, "full": 1})
    store.add_counters("support", "host-1", {"eligible": 60, "not_sampled": 53, "mirrored": 6, "full": 1})
    store.add_counters("support", "host-2", {"eligible": 10, "not_sampled": 10})
    funnel = store.funnel("support", "rerank")
    assert (funnel.eligible, funnel.mirrored, funnel.waiting, funnel.paired) == (70, 6, 3, 3)
    assert funnel.not_mirrored == {"not_sampled": 63, "full": 1}
    assert (funnel.gap, funnel.distinct) == (0, 3)


def test_homes_add_up_and_a_copy_takes_no_name_over(store) -> None:
    """Counters come under the token of the last time; whoever knows an older one only changes nothing."""

    def keep(source, eligible, *, token, known):
        return store.replace_counters("support", source, {"eligible": eligible}, token=token, known=known)

    store.add_counters("support", "spool", {"eligible": 7})  # as earlier versions did, for any home
    assert keep("one", 10, token="a", known=["a"])
    assert keep("two", 5, token="a", known=["a"])
    assert keep("one", 20, token="b", known=["a", "b"])
    assert keep("one", 30, token="c", known=["x", "b"])
    assert not keep("one", 1, token="d", known=["a", "b", "d"])
    assert store.funnel("support", "rerank").eligible == 35


def test_a_frame_of_an_erased_user_is_counted_once_however_often_it_comes(store) -> None:
    """A frame that comes again after a crash, of a query that was erased or was dropped for it, is one query."""
    mine, late = envelope(1, unit="ann"), envelope(2, unit="ann")
    store.add_counters("support", "home", {"eligible": 3, "mirrored": 3})
    store.add_envelopes([mine, envelope(3)], arms={})
    store.erase("ann")
    for _ in range(3):
        assert store.add_envelopes([mine, late], arms={}) == 0

    funnel = store.funnel("support", "rerank")

    assert (funnel.eligible, funnel.mirrored, funnel.waiting, funnel.gap) == (1, 1, 0, 0)


def test_an_evaluation_shows_no_query_that_was_erased_meanwhile(store) -> None:
    """A look that began before the erasure and ends after it brings no text back; nor do its scores."""
    put = envelope(1, unit="ann", text="my illness")
    store.add_envelopes([put, envelope(2)], arms=dict.fromkeys(("q0001", "q0002"), ("rerank",)))
    examples = tuple(
        Example(query_id=query_id, text=text, incumbent=put.served, candidate=observation(put.query, "rerank"))
        for query_id, text in (("q0001", "my illness"), ("q0002", "question 2"))
    )
    store.erase("ann")
    store.add_evaluation(Evaluation(id="e1", experiment="support", created_at=START, examples={"rerank": examples}))
    score = PairScore(metric="recall@5", query_id="q0001", incumbent=Scored(1.0), candidate=Scored(0.5))
    store.add_scores("support", "rerank", [score, msgspec.structs.replace(score, query_id="q0002")])

    (shown,) = store.evaluations("support")

    assert [example.text for example in shown.examples["rerank"]] == ["question 2"]
    assert store.dropped == 1


def test_an_erasure_that_was_broken_off_goes_on(store, monkeypatch) -> None:
    """After the first portion nothing of the user comes in, and the next try deletes the rest of it."""
    monkeypatch.setattr(erasure, "_PORTION", 2)
    store.add_envelopes([envelope(n, unit="ann") for n in range(5)], arms={})
    with monkeypatch.context() as broken:
        broken.setattr(erasure.time, "sleep", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.erase("ann")
    assert store.funnel("support", "rerank").mirrored == 3
    assert store.add_envelopes([envelope(6, unit="ann")], arms={}) == 0

    assert store.erase("ann") == 3

    assert store.funnel("support", "rerank").mirrored == 0


def _interrupt(_seconds):
    raise KeyboardInterrupt


def test_what_gives_way_is_tried_again(url, store, make) -> None:
    """A session that locks in an order of its own costs a writer some time, and no error (PostgreSQL)."""
    if not url.startswith("postgresql"):
        pytest.skip("SQLite lets one write at a time")
    fill(store, 2)
    other = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    touch = "UPDATE shadow_task SET draw = draw WHERE query_id = '{}'"
    done: list[bool] = []
    with other.connect() as session:
        session.execute(text("SET deadlock_timeout = '60s'"))  # the writer finds the deadlock, and gives way
        session.execute(text(touch.format("q0000")))
        session.execute(text("LOCK TABLE shadow_observation IN ACCESS EXCLUSIVE MODE"))
        writing = threading.Thread(target=lambda: done.append(run(make(), 1)))
        writing.start()
        while not session.execute(text("SELECT 1 FROM pg_locks WHERE NOT granted LIMIT 1")).first():
            time.sleep(0.01)
        session.execute(text(touch.format("q0001")))  # which the writer has locked
        session.commit()
        writing.join(timeout=60)
    other.dispose()
    assert done == [True]


def test_a_windows_funnel_begins_with_what_is_stored(store) -> None:
    """Counters know no times: a window's funnel counts its own queries only, and still adds up."""
    fill(store, 5)
    for number in range(3):
        run(store, number)
    store.add_counters("support", "host", {"eligible": 500, "not_sampled": 400, "mirrored": 100})
    funnel = store.funnel("support", "rerank", since=START + timedelta(seconds=1), until=START + timedelta(seconds=4))
    assert (funnel.eligible, funnel.mirrored, funnel.paired, funnel.waiting) == (3, 3, 2, 1)
    assert funnel.gap == 0


def test_scores_come_back_in_query_order_and_the_last_version_wins(store, clock) -> None:
    """Values and reasons survive; a new scorer version replaces the old one for the reader, not in the table."""
    fill(store, 2)
    run(store, 0)
    run(store, 1)

    def score(number: int, value: float, version: str) -> PairScore:
        return PairScore(
            metric="recall@5",
            query_id=f"q{number:04}",
            incumbent=Scored(value),
            candidate=Unscored("no hits"),
            noise=Scored(0.5),
            scorer_version=version,
        )

    store.add_scores("support", "rerank", [score(1, 0.1, "1"), score(0, 0.2, "1"), score(7, 0.9, "1")])
    clock.now += timedelta(seconds=1)
    store.add_scores("support", "rerank", [score(0, 0.3, "2")])
    assert list(store.scores("support", "rerank")) == [score(0, 0.3, "2"), score(1, 0.1, "1")]


def test_scores_are_looked_up_as_they_were_kept(store, clock) -> None:
    """By query, of each metric the last: with what it rests on, and whether what is missing may lie in the answer."""
    store.add_envelopes([envelope(0), envelope(1)], arms={})
    kept = [
        PairScore(
            metric=metric,
            query_id="q0000",
            incumbent=Unscored("no label", informative=False),
            candidate=Unscored("no text"),
            noise=noise,
            scorer_version="1",
            basis="b",
        )
        for metric, noise in (("recall@5", None), ("errors", Unscored("busy", informative=False)))
    ]
    store.add_scores("support", "rerank", kept)
    clock.now += timedelta(seconds=1)
    newer = msgspec.structs.replace(kept[0], scorer_version="0", candidate=Scored(0.5))
    store.add_scores("support", "rerank", [newer])
    found = store.look("support", "rerank").scores(["q0000", "q0001", "q0002"])
    assert {query_id: {each.metric: each for each in scores} for query_id, scores in found.items()} == {
        "q0000": {"recall@5": newer, "errors": kept[1]}
    }
    assert store.look("support", "other").scores(["q0000"]) == {}


def test_evaluations_come_newest_first(store) -> None:
    """The newest come first, each whole; the same id is one evaluation."""
    for number in range(3):
        made = Evaluation(id=f"e{number}", experiment="support", created_at=START + timedelta(hours=number))
        store.add_evaluation(made)
        store.add_evaluation(made)
    assert [e.id for e in store.evaluations("support", limit=2)] == ["e2", "e1"]
    assert len(store.evaluations("support", limit=9)) == 3
    assert store.evaluations("other") == []


def test_two_openers_at_once_both_find_the_schema(make) -> None:
    """Workers that start together on an empty database don't make its tables twice."""
    failures: list[BaseException] = []

    def open_and_write(number: int) -> None:
        try:
            make().add_envelopes([envelope(number)], arms={})
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=open_and_write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert failures == []
    assert make().funnel("support", "rerank").mirrored == 4


def test_many_workers_take_each_task_once(make) -> None:
    """Four workers with connections of their own lease 200 tasks: none twice, none left."""
    fill(make(), 200)
    taken: list[str] = []
    failures: list[BaseException] = []

    def work(owner: str) -> None:
        try:
            store = make()
            while tasks := store.lease("support", limit=7, seconds=600, owner=owner):
                for task in tasks:
                    store.add_observation(observation(task.envelope.query, task.arm, place="shadow"))
                    taken.append(task.envelope.id)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=120)
    assert failures == []
    assert sorted(taken) == [f"q{n:04}" for n in range(200)]


def test_what_judges_said_goes_with_its_query(store, make) -> None:
    """It is kept once, read by all processes, and erased with the query; of a query that is gone nothing is kept."""
    fill(store, 2)
    for query_id, record in (("q0000", b"said"), ("q0000", b"said again"), ("q0001", b"other"), ("gone", b"late")):
        store.add_judgement(f"key of {query_id}", record, query_id=query_id)
    keys = [f"key of {query_id}" for query_id in ("q0000", "q0001", "gone")]

    assert make().judgements(keys) == {keys[0]: b"said", keys[1]: b"other"}
    store.purge(START + timedelta(seconds=1))
    assert store.judgements(keys) == {keys[1]: b"other"}


def test_what_is_spent_on_judges_is_added_up_over_processes(store, make) -> None:
    """By experiment, judge and period, however many add at the same time; asking alone adds nothing."""
    spent = {"calls": 1, "input_tokens": 10, "output_tokens": 2, "micro_usd": 5}
    stores = [make() for _ in range(2)]
    threads = [
        threading.Thread(target=lambda each=each: [each.spend("support", "m", "day", spent=spent) for _ in range(20)])
        for each in stores
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    store.spend("support", "other", "day", spent=spent)

    nothing = dict.fromkeys(spent, 0)
    assert store.spend("support", "m", "day", spent=nothing) == {name: 40 * value for name, value in spent.items()}
    assert store.spend("support", "m", "tomorrow", spent=nothing) == nothing


def test_a_result_of_an_erased_query_is_not_kept(store) -> None:
    """A run that ends after its user was erased leaves nothing behind."""
    store.add_envelopes([envelope(0, unit="ann")], arms={"q0000": ("rerank",)})
    assert store.erase("ann") == 1
    assert run(store, 0) is False
    assert ids(store) == []


def test_what_an_erased_user_asked_before_is_not_kept_when_it_comes_later(store, clock) -> None:
    """An envelope that was on its way during the erasure is dropped; what the user asks afterwards is kept."""
    early, other = envelope(1, unit="ann"), envelope(2, unit="bob")
    assert store.erase("ann") == 0
    late = envelope(int(timedelta(days=2).total_seconds()), unit="ann")

    added = store.add_envelopes([early, other, late], arms={e.id: ("rerank",) for e in (early, other, late)})

    assert added == 2
    leased = store.lease("support", limit=9, seconds=60, owner="w")
    assert [task.envelope.id for task in leased] == [other.id, late.id]
    clock.now += timedelta(days=3)
    assert store.erase("ann") == 1
    assert store.add_envelopes([late], arms={}) == 0, "the later erasure counts"


def test_an_erased_query_is_not_waited_for(store) -> None:
    """Mirrors' counters still know what was erased or purged, before or after it came; the funnel does not."""
    store.add_counters("support", "spool", {"eligible": 7, "mirrored": 6, "full": 1})
    store.add_envelopes([envelope(1, unit="ann"), envelope(2), envelope(3)], arms={})
    store.erase("ann")
    store.add_envelopes([envelope(4, unit="ann")], arms={})
    store.purge(START + timedelta(seconds=3))
    store.add_envelopes([envelope(5), envelope(6)], arms={})

    funnel = store.funnel("support", "rerank")

    assert (funnel.eligible, funnel.mirrored, funnel.waiting, funnel.gap) == (4, 3, 0, 0)


def test_others_write_while_much_is_purged(make) -> None:
    """Old queries go in small transactions: another process's envelopes are stored between two of them."""
    store, other = make(), make()
    fill(store, 6_000)
    during = []

    def purge() -> None:
        during.append(store.purge(START + timedelta(seconds=6_000)))

    purging = threading.Thread(target=purge)
    purging.start()
    added = []
    while purging.is_alive():
        number = 10_000 + len(added)
        other.add_envelopes([envelope(number)], arms={})
        added.append(purging.is_alive())
    purging.join()

    assert during == [6_000]
    assert sum(added) >= 3
    assert store.purge(START + timedelta(seconds=6_000)) == 0


def test_nobody_waits_for_ever_for_what_somebody_locked(url, make, monkeypatch) -> None:
    """A table or file that another session has locked is a passing error after the lock's time-out."""
    monkeypatch.setattr(engine, "_TIMEOUTS", {"lock_timeout": 300, "statement_timeout": 60_000})
    monkeypatch.setattr(engine, "BUSY_MS", 300)
    store = make()
    blocker = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    lock = (
        "LOCK TABLE shadow_envelope" if "postgresql" in url else "INSERT INTO shadow_counter VALUES ('a', 'b', 'c', 1)"
    )
    with blocker.connect() as holding:
        holding.execute(text(lock))
        began = time.monotonic()
        with pytest.raises(StoreError, match="lock") as refused:
            store.add_envelopes([envelope(1)], arms={})
        assert time.monotonic() - began < 30
    blocker.dispose()

    assert refused.value.passing
    assert store.add_envelopes([envelope(1)], arms={}) == 1


def test_beginnings_of_windows_come_back_newest_first(store) -> None:
    """With who, when and why, as they were written; the one written last comes first, whatever its time."""
    first = WindowStart(since=START + timedelta(days=2), at=START, who="ann", why="a new index")
    second = WindowStart(since=START, at=START, who="bob", why="", candidate="rerank")
    store.add_window("support", first)
    store.add_window("support", second)
    store.add_window("other", first)
    assert list(store.windows("support")) == [second, first]
    assert list(store.windows("nobody")) == []


def test_what_was_tried_comes_back_once_for_each_window(store) -> None:
    """The same text for the same candidate and window replaces; another window is another attempt."""
    first = Attempt(candidate="rerank", since=None, tried="abc", at=START, until=START, number=1)
    later = Attempt(candidate="rerank", since=START, tried="abc", at=START + timedelta(days=1), until=START, number=2)
    longer = Attempt(candidate="rerank", since=None, tried="abc", at=START, until=START + timedelta(hours=1), number=1)
    store.add_attempts("support", [later, first])
    store.add_attempts("support", [longer])
    assert list(store.attempts("support")) == [longer, later]
    assert list(store.attempts("other")) == []
