import asyncio
import hashlib
import json
import sqlite3
from collections import Counter
from contextlib import closing

import pytest
from candidate_rig import call, envelope, pool_of, run_one

from shadoweval import Limits, SqliteWorld, Stubs
from shadoweval.candidate.pool import CandidatePool

PLAN = [
    ["send_email", {"body": "hello"}],
    ["look", {"order": "K-1"}],
    ["look", {"order": "K-1", "fields": 3, "invented": True}],
    ["picky", {"order": "K-9"}],
    ["pay", {"body": "bill"}],
    ["charge", {"body": "card"}],
    ["remember", {"body": "milk"}],
    ["parcel", {"number": 1}],
    ["express", {"number": 2}],
]
RECORDED = [
    call("look", {"order": "K-1", "fields": 3}, '{"order": "K-1"}'),
    call("look", {"order": "K-1"}, '{"order": "K-1", "again": true}', occurrence=2),
    call("picky", {"order": "K-9"}, error="no such order, as recorded"),
    call("pay", {"body": "bill"}, "paid the bill", effect="write"),
]
WAYS = ("synchronous", "asynchronous", "in_a_loop", "parallel", "nested")


@pytest.fixture(scope="module")
def agent_runs():
    """One run of each way, in one pool, since importing the agents takes seconds."""
    question = json.dumps(PLAN)

    async def run():
        async with pool_of("ways", module="agent_candidates", limits=Limits(seconds=60)) as pool:
            given = {way: envelope(question, args=(way, question), calls=RECORDED) for way in WAYS}
            return {way: await pool.run(one, arm="new") for way, one in given.items()}

    return asyncio.run(run())


@pytest.mark.parametrize("way", WAYS)
def test_no_write_of_an_agent_runs(agent_runs, way):
    """ToolNode, nested graph, closure, raw thread, coroutine and bare `_run`: every call is answered by the stubs."""
    observation = agent_runs[way]

    assert observation.failure is None
    assert observation.live_writes == 0
    assert {c.answered for c in observation.tool_calls} <= {"replayed", "refused", "simulated"}
    assert "for real" not in observation.outcome.answer
    called = Counter(c.name for c in observation.tool_calls)
    times = 5 if way == "parallel" else 1
    assert all(called[name] >= times for name in ("send_email", "charge", "pay", "remember", "parcel", "express"))


@pytest.mark.parametrize("way", ["synchronous", "asynchronous", "in_a_loop"])
def test_an_agent_sees_recorded_results_and_goes_on_after_a_refusal(agent_runs, way):
    """Replays keep defaults, content_and_artifact, handled errors; refusals are tool errors in the agent's words."""
    observation = agent_runs[way]
    messages = observation.outcome.answer.split("; ")

    assert messages[0].startswith("error:Tool 'send_email' (effect 'unknown') was refused")
    assert messages[1] == 'success:{"order": "K-1"}'
    assert messages[2] == 'success:{"order": "K-1", "again": true}'
    assert messages[3] == "error:no such order, as recorded"
    assert messages[4] == "success:paid the bill"
    answered = [(c.name, c.answered) for c in observation.tool_calls]
    assert answered[:5] == [
        ("send_email", "refused"),
        ("look", "replayed"),
        ("look", "replayed"),
        ("picky", "replayed"),
        ("pay", "replayed"),
    ]
    assert {r.detail for r in observation.refusals} == {"send_email", "charge", "remember", "parcel", "express"}
    assert observation.usage.input_tokens == 10 * (len(PLAN) + 1)


def test_what_is_called_outside_a_tool_node_is_refused_too(agent_runs):
    """The nodes that call tools by closure, in a thread, awaited and by hand each got the refusal."""
    ends = agent_runs["nested"].outcome.answer.split(" | ")[-4:]

    assert ends == ["ToolRefusedError"] * 4
    bodies = [c.arguments.get("body") for c in agent_runs["nested"].tool_calls]
    assert {"from a closure", "from a thread", "awaited"} <= set(bodies)


def test_retrievers_stay_live(agent_runs):
    """A retriever is no tool: the candidate's own retrieval is what is being compared."""
    assert [hit.id for hit in agent_runs["synchronous"].hits] == ["d1", "d2"]


def test_writes_are_kept_as_what_they_would_have_been(agent_runs):
    """The write set holds each write's tool and arguments, whoever answered it, and no read."""
    writes = agent_runs["synchronous"].writes

    assert [w.tool for w in writes] == ["send_email", "pay", "charge", "remember", "parcel", "express"]
    assert writes[0].arguments == {"body": "hello"}


def test_plain_tools_are_answered_in_every_thread():
    """`@tool` functions, sync and async, called directly, in executors, threads and loops."""
    recorded = [call("look_up", {"order": "K-1", "fields": "all"}, {"order": "K-1", "recorded": True})]
    observation = run_one("use_tools", envelope(calls=recorded))
    answers = observation.outcome.value

    assert answers[0] == {"order": "K-1", "recorded": True}
    assert all(str(answer).startswith("ToolRefusedError") for answer in answers[1:])
    assert len(answers) == 6
    assert [c.name for c in observation.tool_calls] == ["look_up", "look_up", "refund", "mystery", "post", "refund"]
    assert [(w.tool, w.arguments) for w in observation.writes] == [
        ("refund", {"order": "K-1", "amount": 5}),
        ("mystery", {"value": 1}),
        ("post", {"text": "hello"}),
        ("refund", {"order": "K-1", "amount": 7}),
    ]
    assert observation.live_writes == 0


def test_live_runs_declared_reads_and_nothing_else():
    """With live=True a read that the record does not have runs; writes and unknown tools never do."""
    observation = run_one("use_tools", stubs=Stubs(live=True))
    answered = {(c.name, c.answered) for c in observation.tool_calls}

    assert observation.outcome.value[1] == {"order": "K-2", "fields": "few", "live": True}
    assert answered == {("look_up", "live"), ("refund", "refused"), ("mystery", "refused"), ("post", "refused")}
    assert observation.live_writes == 0


def test_the_experiment_s_word_on_effects_wins():
    """A tool that the experiment calls a write is not run, whatever its decorator says; the record shows it."""
    observation = run_one("use_tools", stubs=Stubs(live=True, effects={"look_up": "write"}))

    assert {c.answered for c in observation.tool_calls} == {"refused"}
    assert {c.effect for c in observation.tool_calls if c.name == "look_up"} == {"write"}


def test_a_left_over_thread_cannot_write_in_the_next_run():
    """Its calls belong to the run that began it, which is over."""

    async def run():
        async with pool_of("leaves_a_thread_that_writes") as pool:
            return [await pool.run(envelope(text), arm="new") for text in ("leave", "wait")]

    left, waited = asyncio.run(run())

    assert left.outcome.answer == "left"
    assert waited.outcome.answer == "done"
    assert waited.writes == ()
    assert waited.tool_calls == ()


def test_tools_outside_any_run_only_read():
    """A warm hook may read for real; a write at import time is refused."""
    assert run_one("answer", warm="plain_candidates:reads_at_import").failure is None


@pytest.fixture
def shop(tmp_path, monkeypatch):
    from pipelines import shop

    path = shop.create_shop(tmp_path / "shop.sqlite", customers=20)
    monkeypatch.setenv("SHOP_DATABASE", str(path))
    return path


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_refund_in_a_shadow_changes_no_byte_of_the_shop(shop, tmp_path):
    """The support agent, shadowed, refunds an order in a throw-away copy and is refused the e-mail about it."""
    with closing(sqlite3.connect(f"file:{shop}?mode=ro", uri=True)) as db:
        query = "SELECT order_id, customer FROM orders WHERE status = 'processing' LIMIT 1"
        order, customer = db.execute(query).fetchone()
    given = envelope(args=(f"Please cancel my order {order}.", customer))
    before = digest(shop)
    world = SqliteWorld(env="SHOP_DATABASE", tools=("look_up_order", "list_orders", "refund", "open_ticket"))
    targets = {"new": "pipelines.support_agent:answer"}

    async def run():
        stubs = Stubs(worlds=[world])
        async with CandidatePool(targets, stubs=stubs, limits=Limits(seconds=60), scratch=tmp_path) as pool:
            return await pool.run(given, arm="new")

    observation = asyncio.run(run())

    assert digest(shop) == before
    answered = [(c.name, c.answered) for c in observation.tool_calls]
    assert answered == [("look_up_order", "world"), ("refund", "world"), ("send_email", "refused")]
    assert [w.arguments["order_id"] for w in observation.writes if w.tool == "refund"] == [order]
    assert observation.live_writes == 0
