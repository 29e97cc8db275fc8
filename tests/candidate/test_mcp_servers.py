"""MCP servers over stdio: the pool starts them under a guard, and what is no read never reaches them."""

import asyncio
import json
import shlex
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp.server.mcpserver", reason="version 2 of MCP's SDK is not installed")

from candidate_rig import envelope

from shadoweval import Limits, Sandbox, Stubs
from shadoweval.candidate.guard import GuardPolicy
from shadoweval.candidate.pool import CandidatePool
from shadoweval.errors import ArgumentError

FOLDER = Path(__file__).parent
SHOP = FOLDER.parent / "aa" / "shapes" / "mcp_shop.py"
LIVE = Stubs(live=["look_up", "fail", "reach_out"])


def observed(target, tool, argument, *, stubs=LIVE, seconds=20.0, guard=True, mcp=None, words=()):
    """What became of one query of a candidate that calls one tool of the shop's server."""
    command = [sys.executable, str(SHOP), *words]
    question = json.dumps([command, tool, argument])

    async def run():
        async with CandidatePool(
            {"new": f"stdio_candidates:{target}"},
            stubs=stubs,
            limits=Limits(seconds=seconds, grace=0.1),
            guard=GuardPolicy(scratch="") if guard else None,
            mcp={"shop": shlex.join(command)} if mcp is None else mcp,
        ) as pool:
            return await pool.run(envelope(question), arm="new")

    return asyncio.run(run())


@pytest.fixture(autouse=True)
def _targets(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER / "targets"))


@pytest.mark.parametrize("guard", [True, False])
def test_a_read_that_is_allowed_runs_for_real(guard):
    """The candidate starts the server as in production, and gets one that the pool has started."""
    seen = observed("answer", "look_up", "o-1", guard=guard)
    assert seen.failure is None
    assert seen.outcome.answer == "o-1 costs 5"
    assert [(call.name, call.effect, call.answered) for call in seen.tool_calls] == [("look_up", "read", "live")]


@pytest.mark.parametrize("target", ["answer", "bypassing"])
def test_a_write_never_reaches_the_server(target, tmp_path):
    """Refused as any tool; and around what answers tools the pool does not pass it on. Here no guard would stop it."""
    file = tmp_path / "refunds"
    seen = observed(target, "refund", "o-1", guard=False, words=[str(file)])
    assert not file.exists()
    assert seen.owner == "shadow"
    assert "refused" in seen.failure.cause
    stubbed = observed("answer", "refund", "o-1", guard=False, words=[str(file)], stubs=Stubs({"refund": said}))
    assert stubbed.outcome.answer == "stubbed"
    assert not file.exists()


def said(order):
    """Stands in for the tool."""
    return "stubbed"


def test_a_read_that_writes_is_held_by_the_guard(tmp_path):
    """The server's own process may write nowhere but in its scratch folder."""
    file = tmp_path / "written"
    seen = observed("answer", "reach_out", str(file))
    assert not file.exists()
    assert seen.tool_calls[0].failed == "isError"


FAULTS = {
    "dies": "the MCP server 'shop' ended (exit status 3)",
    "hangs": "the MCP server 'shop' gave no answer within 2 s",
    "floods": "the MCP server 'shop' said more than 8 MiB in a line",
}


@pytest.mark.parametrize("how", FAULTS)
def test_a_server_that_fails_is_the_shadows_failure(how):
    """It dies, hangs or floods: counted by its cause, and no word on the candidate."""
    seen = observed("answer", "fail", how, seconds=4.0)
    assert seen.owner == "shadow"
    assert seen.failure.cause == FAULTS[how]


def test_a_candidate_may_survive_it():
    """What it answers then is its answer."""
    assert observed("catching", "fail", "dies").outcome.answer == "sorry"


def test_a_command_that_is_not_declared_says_what_to_write():
    """A candidate can start no process."""
    seen = observed("answer", "look_up", "o-1", mcp={})
    assert seen.owner == "shadow"
    assert "is a process, which no candidate may start" in seen.failure.cause
    assert seen.failure.mend.startswith("Sandbox(mcp={'NAME': ")


def test_a_server_that_can_not_be_started_is_said():
    """A command that is not there."""
    seen = observed("answer", "look_up", "o-1", mcp={"shop": shlex.join([sys.executable, str(SHOP)])[:-3] + "txt"})
    assert seen.owner == "shadow"


@pytest.mark.parametrize("wrong", [{"shop": ""}, {"shop": 5}, ["shop"]])
def test_commands_are_checked_where_they_are_written(wrong):
    """By name, and not empty."""
    with pytest.raises(ArgumentError, match="mcp"):
        Sandbox(mcp=wrong)
