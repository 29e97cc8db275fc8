"""Functions that are tools by the experiment's word alone."""

import asyncio
import json

import pytest
from candidate_rig import call, envelope, pool_of, run_one

from shadoweval import Stubs
from shadoweval.errors import TargetError

MODULE = "function_candidates"
FUNCTIONS = {
    **{name: f"{MODULE}:{name}" for name in ("get_order", "describe", "cancel", "notify", "charge")},
    "close": f"{MODULE}:Desk.close",
}
EFFECTS = {"get_order": "read", "describe": "read", "cancel": "write"}
PLAN = [
    ["get_order", {"order_id": "K-1"}],
    ["get_order", {"order_id": "K-2"}],
    ["describe", {"order_id": "K-1"}],
    ["cancel", {"order_id": "K-1", "reason": "late"}],
    ["notify", {"address": "a@b.example"}],
    ["charge", {"order_id": "K-1"}],
    ["close", {"ticket": "T-1"}],
]
TEXT = '{"order_id": "K-1", "recorded": true}'
RECORDED = [
    call("get_order", {"order_id": "K-1", "fields": "all"}, TEXT),  # as an OpenAI loop tells it to the model
    call("describe", {"order_id": "K-1"}, TEXT),
    call("cancel", {"order_id": "K-1", "reason": "late"}, '{"done": true}', effect="unknown"),
]


def test_plain_functions_are_answered_without_a_change_to_them():
    """Whoever holds them: a table, a partial, a bound method; sync, async and closures; writes never run."""
    observation = run_one(
        "loop",
        envelope(json.dumps(PLAN), calls=RECORDED),
        module=MODULE,
        stubs=Stubs(functions=FUNCTIONS, effects=EFFECTS, live=["get_order"]),
    )

    assert observation.failure is None
    assert json.loads(observation.outcome.answer) == [
        {"order_id": "K-1", "recorded": True},
        {"order_id": "K-2", "live": True, "fields": "all"},
        TEXT,
        {"done": True},
        *["ToolRefusedError"] * 3,
    ]
    assert [(c.name, c.answered) for c in observation.tool_calls] == [
        ("get_order", "replayed"),
        ("get_order", "live"),
        ("describe", "replayed"),
        ("cancel", "replayed"),
        ("notify", "refused"),
        ("charge", "refused"),
        ("close", "refused"),
    ]
    assert [(w.tool, w.arguments) for w in observation.writes] == [
        ("cancel", {"order_id": "K-1", "reason": "late"}),
        ("notify", {"address": "a@b.example"}),
        ("charge", {"order_id": "K-1", "amount": 7}),
        ("close", {"ticket": "T-1"}),
    ]
    assert observation.live_writes == 0
    assert observation.outcome.value["signature"] == "(order_id: str, *, reason: str = 'none')"


def test_a_warm_hook_writes_nothing_either():
    """Functions are redirected before anything but imports runs."""
    with pytest.raises(TargetError, match="ToolRefusedError"):
        run_one("loop", module=MODULE, stubs=Stubs(functions=FUNCTIONS), warm=f"{MODULE}:warmed")


@pytest.mark.parametrize(
    ("place", "why"),
    [(f"{MODULE}:nothing", "no attribute"), (f"{MODULE}:desk", "is a Desk"), ("nowhere:f", "No module named")],
)
def test_a_name_that_is_no_function_is_told_at_the_start(place, why):
    """A function that is not covered must not go unnoticed."""

    async def run():
        async with pool_of("loop", module=MODULE, stubs=Stubs(functions={"f": place})):
            pass

    with pytest.raises(TargetError, match=why):
        asyncio.run(run())
