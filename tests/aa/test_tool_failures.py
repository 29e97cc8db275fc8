"""Tools that fail without an exception are counted exactly, the whole way: decorator, worker, store, verdict."""

import asyncio
import sys

import pytest

pytest.importorskip("mcp.server.mcpserver", reason="version 2 of MCP's SDK is not installed")

from shadoweval import Experiment, Sandbox, Settings, Stubs, evaluate, no_worse
from shadoweval.records import Scored
from shadoweval.scoring import argument_validity, tool_success
from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from shadoweval.transport.waiting import waiting
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool
from tests.waiting import until

from .conftest import SHAPES, as_a_caller

if SHAPES not in sys.path:
    sys.path.insert(0, SHAPES)

import tool_failures

ROUTES = {
    "functions": (tool_failures.functions, "failing_functions", {7}),
    "agent": (tool_failures.agent, "failing_agent", {4, 5, 6}),
    "parcels": (tool_failures.parcels, "failing_parcels", {6, 7}),
}
QUESTIONS = [f"question {number}" for number in range(tool_failures.WAYS)]


def evaluated(folder, incumbent, candidate):
    """Serve the questions, run the candidate on them, and evaluate."""
    failed = {"pay_state": tool_failures.DECLINED, "trace": tool_failures.DECLINED}
    experiment = Experiment(
        name="failures",
        candidates={"failing": f"tool_failures:{candidate}"},
        incumbent=f"tool_failures:{incumbent.__name__}",
        scorers=[tool_success(), argument_validity()],
        gates=[no_worse("tool_success", by=0.05)],
        sandbox=Sandbox(stubs=Stubs(live=True, failed=failed, effects={"fnid": "read", "tarce": "read"})),
        settings=Settings(home=str(folder / "home")),
    )
    mirrored = experiment.mirror(control=0.0)(incumbent)
    for question in QUESTIONS:
        asyncio.run(as_a_caller(_later(mirrored(question))))
    until(lambda: waiting(experiment.spool).frames >= len(QUESTIONS))

    async def work(store):
        async with candidate_pool(experiment, arms=["failing"]) as pool:
            receiver = SpoolReceiver(experiment.spool)
            await Worker(experiment, store=store, receiver=receiver, pool=pool).run(until_idle=True)

    with SqlStore(f"sqlite:///{folder}/shadow.db") as store:
        asyncio.run(work(store))
        evaluation = evaluate(experiment, store=store)
        return {pair.query.text: pair for pair in store.pairs("failures", "failing")}, evaluation


async def _later(value):
    return await value if asyncio.iscoroutine(value) else value


@pytest.mark.parametrize("route", ROUTES)
def test_a_fifth_of_the_calls_that_fails_in_eight_ways_is_scored_exactly(route, tmp_path):
    """Each question's score is 0.8 in whichever way its fifth call fails; the incumbent's is 1."""
    incumbent, candidate, misfits = ROUTES[route]
    pairs, evaluation = evaluated(tmp_path, incumbent, candidate)
    assert sorted(pairs) == QUESTIONS
    shown = {example.query_id: example for example in evaluation.examples["failing"]}
    for question, pair in pairs.items():
        scores = shown[pair.id].scores
        way = tool_failures.way_of(question)
        assert scores["tool_success"] == (Scored(1.0), Scored(0.8)), (way, pair.candidate.tool_calls)
        assert scores["argument_validity"] == (Scored(1.0), Scored(0.8 if way in misfits else 1.0)), way
    (verdict,) = evaluation.verdicts
    (gate,) = verdict.gates
    assert (gate.incumbent, gate.candidate) == (pytest.approx(1.0), pytest.approx(0.8))
    assert "UNDECLARED" not in str(verdict)
