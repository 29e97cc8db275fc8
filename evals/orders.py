"""Is a function calling loop without the tool that cancels as good as the one with it?

The smallest of the three examples. It asks a real model where `OPENAI_API_KEY` is set, and any OpenAI-compatible server
where `OPENAI_BASE_URL` names one: `pytest evals/test_orders.py`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from shadoweval import Experiment, Limits, Sandbox, Stubs, no_worse
from shadoweval.scoring import errors, latency, per_arm, tokens, tool_success

__all__ = ["CASES", "orders"]

CASES: Final = Path(__file__).with_name("orders.jsonl")


def _endpoint() -> str:
    """`host:port` of the model's server, the only one that candidates may reach."""
    url = urlsplit(os.environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1")
    return f"{url.hostname}:{url.port or (443 if url.scheme == 'https' else 80)}"


@per_arm(low=0.0, high=1.0)
def says_the_state(answer: str, reference: str) -> bool:
    """Whether the answer says the order's state, as the shop has it."""
    return reference.casefold() in answer.casefold()


orders = Experiment(
    name="orders",
    candidates={"no-writes": "pipelines.orders_no_writes:answer"},
    incumbent="pipelines.orders:answer",
    labels=CASES,
    rerun=1.0,
    scorers=[says_the_state, tool_success(), tokens(), latency(), errors()],
    gates=[no_worse("says_the_state", by=0.1), no_worse("tool_success", by=0.1), no_worse("errors", by=0.1)],
    sandbox=Sandbox(
        stubs=Stubs(live=["look_up_order"]),
        limits=Limits(seconds=60.0, prices={"gpt-4.1-mini": {"input": 0.4, "cached_input": 0.1, "output": 1.6}}),
        allow=[_endpoint()],
    ),
)
