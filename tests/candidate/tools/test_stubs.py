import asyncio
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from candidate_rig import call, envelope

from shadoweval import EntityWorld, Live, Refuse, Replay, Simulate, Stubs, codec
from shadoweval.candidate.tools.session import Session
from shadoweval.candidate.tools.stubs import effect_of
from shadoweval.capture import Recorder, recording
from shadoweval.protocols import StubAnswer

DOCS = Path(__file__).parents[3] / "docs" / "stubs.md"
ORDER = {"order": "K-1"}
RECORDED = [call("look", ORDER, "recorded"), call("pay", ORDER, {"id": 7}, effect="write")]


def opened(tmp_path, *args, calls=RECORDED, **settings):
    return Session(Stubs(*args, **settings), envelope(calls=calls), scratch=tmp_path)


def how(session, name, arguments, effect="read", live=lambda: "live"):
    answer = session.answer(name, arguments, effect=effect, live=live)
    return answer.answered, answer.error or answer.result


def stand_in(order):
    return f"stand-in {order}"


def failing(order):
    raise LookupError(order)


def modelled(world, order):
    return f"modelled {order}"


def test_the_default_order(tmp_path):
    """The record, the function, worlds, allowed reads, simulated writes, refusal."""
    bare = opened(tmp_path)
    assert how(bare, "look", ORDER) == ("replayed", "recorded")
    assert how(bare, "look", {"order": "K-2"}) == ("refused", "'look' is refused in a shadow")
    assert how(bare, "pay", ORDER, "write") == ("replayed", {"id": 7})
    assert how(bare, "pay", {"order": "K-2"}, "write") == ("simulated", {"id": -1})
    assert how(bare, "mail", ORDER, "write")[0] == "refused"

    world = EntityWorld({"look": modelled, "list": modelled})
    full = opened(tmp_path, {"look": stand_in}, live=["list", "search"], worlds=[world])
    assert how(full, "look", ORDER) == ("replayed", "recorded")
    assert how(full, "look", {"order": "K-2"}) == ("stubbed", "stand-in K-2")
    assert how(full, "list", ORDER) == ("world", "modelled K-1")
    assert how(full, "search", ORDER) == ("live", "live")
    assert how(full, "browse", ORDER)[0] == "refused"


def test_a_sequence_is_the_whole_order_of_its_tool(tmp_path):
    """Neither record nor simulation is asked where a tool has an order of its own; refusal ends it."""
    session = opened(tmp_path, {"look": [Live()], "pay": [Refuse()]})

    assert how(session, "look", ORDER) == ("live", "live")
    assert how(session, "pay", ORDER, "write")[0] == "refused"


def test_a_default_replaces_the_order_of_all_other_tools(tmp_path):
    """A function still comes first where it is given."""
    session = opened(tmp_path, {"mail": stand_in}, default=[Simulate(effects=("read", "write"))])

    assert how(session, "look", {"order": "K-9"}) == ("simulated", "recorded")
    assert how(session, "mail", ORDER, "write") == ("stubbed", "stand-in K-1")


def test_a_failing_stand_in_is_a_failing_tool(tmp_path):
    """What it raises is what the candidate sees the tool fail with."""
    assert how(opened(tmp_path, {"mail": failing}), "mail", ORDER, "write") == ("stubbed", "LookupError: K-1")


@pytest.mark.parametrize("effect", ["write", "unknown"])
@pytest.mark.parametrize("live", [True, ["pay", "mail"]])
def test_no_setting_runs_a_write(tmp_path, effect, live):
    """Not even one that names it."""

    def run():
        raise AssertionError("it ran")

    session = opened(tmp_path, {"mail": [Live(("mail",)), Live()]}, live=live)
    for name in ("pay", "mail"):
        for arguments in (ORDER, {"order": "K-2"}):
            assert how(session, name, arguments, effect, run)[0] != "live"
    assert session.live_writes == 0


class Dishonest:
    def answer(self, request):
        return StubAnswer(answered="live", result="I ran it")


def test_a_policy_that_lets_a_write_through_is_counted(tmp_path):
    """The counter of live writes is not a constant."""
    session = opened(tmp_path, {"pay": [Dishonest()]})
    how(session, "pay", ORDER, "write")

    assert session.live_writes == 1


def test_a_policy_never_gets_the_real_write(tmp_path):
    """What a user's policy is given to run is None for everything that is not a declared read."""
    seen = {}

    class Curious:
        def answer(self, request):
            seen[request.effect] = request.live

    session = opened(tmp_path, default=[Curious()])
    for effect in ("read", "write", "unknown"):
        how(session, "look", ORDER, effect)

    assert seen["read"] is not None
    assert seen["write"] is seen["unknown"] is None


def test_refusals_and_writes_are_counted(tmp_path):
    """Each refused tool with its number; each write with its arguments as they were."""
    session = opened(tmp_path)
    arguments = {"to": ["a"]}
    for _ in range(2):
        how(session, "mail", arguments, "write")
    arguments["to"].append("changed later")

    assert [(r.kind, r.detail, r.count) for r in session.refusals()] == [("tool", "mail", 2)]
    assert [w.arguments for w in session.writes()] == [{"to": ["a"]}] * 2


def test_stubs_travel(tmp_path):
    """Packed and unpacked, they answer alike."""
    stubs = Stubs({"look": [Replay(), Live()]}, live=True, effects={"x": "read"}, schemas={"y": {"type": "null"}})
    unpacked, functions = codec.thaw(stubs.packed())

    assert functions == ()
    assert vars(unpacked) == vars(stubs)


def test_the_documentation_runs():
    """Every block of the page on stubs is code that works."""
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 5
    for block in blocks:
        space = {}
        exec(compile(block, str(DOCS), "exec"), space)
        assert isinstance(space["stubs"], Stubs)


HINTS = SimpleNamespace(readOnlyHint=True, destructiveHint=None)


@pytest.mark.parametrize(
    ("facts", "effect"),
    [
        ({}, "unknown"),
        ({"metadata": None, "tags": None}, "unknown"),
        ({"metadata": {"effect": "read"}}, "read"),
        ({"metadata": {"effect": "write"}}, "write"),
        ({"metadata": {"effect": "harmless"}}, "unknown"),
        ({"tags": ["search", "read"]}, "read"),
        ({"tags": ["write"]}, "write"),
        ({"tags": ["read", "write"]}, "write"),
        ({"metadata": {"readOnlyHint": True}}, "read"),
        ({"metadata": {"readOnlyHint": False}}, "write"),
        ({"metadata": {"annotations": {"readOnlyHint": True}}}, "read"),
        ({"metadata": {"annotations": {"readOnlyHint": True, "destructiveHint": True}}}, "write"),
        ({"annotations": HINTS}, "read"),
        ({"metadata": {"effect": "read"}, "tags": ["write"]}, "write"),
    ],
)
def test_a_tool_s_effect_is_what_it_declares(facts, effect):
    """metadata, tags and MCP's hints are read; a contradiction is a write, silence is unknown."""
    assert effect_of(SimpleNamespace(name="t", **facts)) == effect


def test_the_experiment_s_word_wins():
    """A declared effect overrides whatever the tool says of itself."""
    tool = SimpleNamespace(name="t", metadata={"effect": "write"}, tags=[])

    assert effect_of(tool, declared={"t": "read"}) == "read"


@pytest.mark.parametrize(
    ("facts", "effect"), [({"tags": ["read"]}, "read"), ({"metadata": {"readOnlyHint": True}}, "read")]
)
def test_the_record_and_the_shadow_read_a_tool_alike(facts, effect):
    """What the incumbent's calls are recorded as is what the candidate's are answered as."""
    from langchain_core.tools import StructuredTool

    def look(order: str) -> str:
        """Look it up."""
        return order

    tool = StructuredTool.from_function(look, **facts)
    recorder = Recorder()
    with recording(recorder):
        tool.invoke({"order": "K-1"})

    assert [call.effect for call in recorder.parts().tool_calls] == [effect]
    assert effect_of(tool) == effect


REFUNDED = call("refund", {"order": "K-1", "cents": 990}, {"refund_id": "R-7", "date": "2026-11-30"}, effect="write")
LIVE_READS = {
    "about what was written": ("look", {"order": "K-1"}, {"total": 990}, True),
    "about something else": ("look", {"order": "K-2"}, {"total": 990, "date": "2026-11-30"}, False),
    "whose result names what was written": ("orders", {"customer": "ada"}, ["K-1", "K-2"], True),
    "whose result names what the write gave out": ("refunds", {}, {"list": [{"id": "R-7"}]}, True),
    "whose result names it in a text": ("orders", {"customer": "ada"}, "K-1: refunded. K-2: open", True),
    "whose result names a longer one": ("orders", {"customer": "ada"}, "K-11, XK-1", False),
    "of what nobody writes": ("policy", {"about": "refunds"}, "within 30 days", False),
}


def live_read(opened, name, arguments, result, *, waits):
    async def later():
        return result

    answer = opened.answer(name, arguments, effect="read", live=later if waits else lambda: result)
    if waits and answer.answered == "live":
        assert asyncio.run(answer.result) == result
    return answer


@pytest.mark.parametrize("waits", [False, True], ids=["sync", "async"])
@pytest.mark.parametrize("row", LIVE_READS)
def test_live_reads_of_what_the_incumbent_wrote_are_marked(row, waits, tmp_path):
    """They show its write, which this candidate has not made."""
    name, arguments, result, altered = LIVE_READS[row]
    opened = Session(Stubs(live=True), envelope(calls=[REFUNDED]), scratch=tmp_path)

    assert live_read(opened, name, arguments, result, waits=waits).answered == "live"
    assert opened.record.marked(call(name, arguments)) == altered


def test_a_live_read_after_the_same_write_is_faithful(tmp_path):
    """Production shows what the candidate has done too."""
    opened = Session(Stubs(live=True), envelope(calls=[REFUNDED]), scratch=tmp_path)
    opened.answer("refund", REFUNDED.arguments, effect="write", live=None)
    live_read(opened, "look", {"order": "K-1"}, {"total": 0}, waits=False)

    assert not opened.record.marked(call("look", {"order": "K-1"}))


@pytest.mark.parametrize(("row", "waits"), [(row, False) for row in LIVE_READS] + [("about what was written", True)])
def test_live_reads_of_what_the_incumbent_wrote_may_be_refused(row, waits, tmp_path):
    """A policy of one's own says so."""
    name, arguments, result, altered = LIVE_READS[row]
    stubs = Stubs(default=[Live(altered="refused")])
    opened = Session(stubs, envelope(calls=[REFUNDED]), scratch=tmp_path)

    assert live_read(opened, name, arguments, result, waits=waits).answered == ("refused" if altered else "live")
