"""Is the support agent that reads the policy first better than the quick one?

Both refund, write e-mails and open tickets. The candidate's shop is a throw-away copy for each query, so that it reads
its own tickets, and the real one is never written.
"""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

from shadoweval import Experiment, Limits, Sandbox, SqliteWorld, Stubs, at_most, better, no_worse
from shadoweval.records import Envelope
from shadoweval.scoring import (
    answer_quality,
    errors,
    latency,
    task_success,
    tokens,
    tool_calls_f1,
    tool_success,
    trajectory,
    writes_f1,
)

__all__ = ["rewind", "support"]

_TABLES = {"R": "refunds", "T": "tickets", "E": "emails"}
_WRITTEN = tuple(_TABLES.values())
_SHOP_TOOLS = ("look_up_order", "list_orders", "get_ticket", "refund", "send_email", "open_ticket")


def rewind(shop: sqlite3.Connection, envelope: Envelope) -> None:
    """Take back what the incumbent wrote for this query, and what was written after it.

    Without this the candidate would find the order refunded already, by the very answer it is compared with.
    """
    for call in envelope.served.tool_calls:
        written = re.search(r"\b([RTE])-(\d+)\b", str(call.result)) if call.writes else None
        if written:
            shop.execute(f"DELETE FROM {_TABLES[written[1]]} WHERE rowid >= ?", (int(written[2]),))  # noqa: S608 - ours


support = Experiment(
    name="support",
    candidates={"policy-first": "pipelines.support_agent_policy_first:answer"},
    incumbent="pipelines.support_agent:answer",
    labels=Path(__file__).with_name("support.jsonl"),
    rerun=1.0,  # a few hundred queries in all: every one is needed to compare seconds like with like
    scorers=[
        writes_f1(),
        task_success(),
        trajectory("superset", against="reference"),
        tool_calls_f1(),
        tool_success(),
        answer_quality(),
        latency(),
        tokens(),
        errors(),
    ],
    gates=[
        better("writes_f1", by=0.05),
        no_worse("tool_success", by=0.02),
        no_worse("errors", by=0.02),
        at_most("latency.p95", ratio=2.0, critical=True),
    ],
    sandbox=Sandbox(
        stubs=Stubs(
            worlds=[SqliteWorld(env="SHOP_DATABASE", tools=_SHOP_TOOLS, rewind=rewind, watch=_WRITTEN)],
            live=["search_policy"],
        ),
        limits=Limits(seconds=20.0),
    ),
)
