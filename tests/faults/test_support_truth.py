"""The support agents side by side: what a shadow reports is what really happens, and the shop never notices.

The truth is made without any of ours: each query goes plainly to both agents over databases of their own, and rows and
calls are counted here.
"""

import asyncio
import json
import re
import shutil
import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from shadoweval import Experiment, Limits, Sandbox, evaluate
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool

ROOT = Path(__file__).parents[2]
ARM = "policy-first"
TABLES = {"refunds": "order_id, amount, reason", "tickets": "order_id, summary", "emails": "recipient, subject, body"}
WRITES = {"refund": "refunds", "open_ticket": "tickets", "send_email": "emails"}


class Calls(BaseCallbackHandler):
    """Tool calls as LangChain tells them."""

    def __init__(self):
        self.made = []

    def on_tool_start(self, serialized, _text, *, inputs=None, **_facts):
        self.made.append((serialized["name"], json.dumps(inputs, sort_keys=True)))


def messages(count, shop):
    """Each case of the case file, then the same messages about other customers' orders."""
    lines = (ROOT / "evals" / "support.jsonl").read_text(encoding="utf-8").splitlines()
    cases = [json.loads(line)["inputs"] for line in lines]
    with closing(sqlite3.connect(shop)) as db:
        orders = db.execute("SELECT order_id, customer FROM orders ORDER BY order_id").fetchall()
    step = 7
    for number, case in enumerate(cases):
        order, customer = orders[number * step % len(orders)]
        if customer != case["customer"] and re.search(r"K-\d{5}", case["question"]):
            cases.append({"question": re.sub(r"K-\d{5}", order, case["question"]), "customer": customer})
        if len(cases) >= count:
            break
    return cases[:count] if count >= len(lines) else cases[:: len(lines) // count][:count]


def rows(path):
    with closing(sqlite3.connect(path)) as db:
        return {
            table: db.execute(f"SELECT rowid, {columns} FROM {table} ORDER BY rowid").fetchall()
            for table, columns in TABLES.items()
        }


def added(before, after):
    """What was written in between, without row numbers, which are another's in another database."""
    last = {table: max((row[0] for row in before[table]), default=0) for table in TABLES}
    return Counter((table, *row[1:]) for table in TABLES for row in after[table] if row[0] > last[table])


def plainly(agent, case, shop, monkeypatch):
    """Ask an agent over a database, with nothing of ours in between: calls made, rows written."""
    monkeypatch.setenv("SHOP_DATABASE", str(shop))
    calls, before = Calls(), rows(shop)
    said = f"Customer: {case['customer']}\n{case['question']}"
    agent.invoke({"messages": [("user", said)]}, config={"callbacks": [calls]})
    return calls.made, added(before, rows(shop))


def compared(incumbent, candidate):
    """Same, missing, extra, duplicated writes of one query, from rows."""
    found = Counter()
    for row in incumbent.keys() | candidate.keys():
        ours, theirs = incumbent[row], candidate[row]
        found["same"] += min(ours, theirs)
        found["missing"] += max(0, ours - theirs)
        found["extra"] += ours == 0
        found["duplicated"] += max(0, theirs - max(ours, 1))
    return found


def answered(incumbent, candidate):
    """How each of the candidate's calls should have been answered.

    Reads of the incumbent's are replayed until the candidate writes; the shop's own tools run in its copy otherwise;
    the policies are read for real.
    """
    wrote_at = next((i for i, (name, _) in enumerate(incumbent) if name in WRITES), len(incumbent))
    left, wrote, found = Counter(incumbent[:wrote_at]), False, Counter()
    policies = Counter(call for call in incumbent if call[0] == "search_policy")
    for call in candidate:
        wrote = wrote or call[0] in WRITES
        record = policies if call[0] == "search_policy" else left
        if record[call] > 0 and (call[0] == "search_policy" or not wrote):
            record[call] -= 1
            found["replayed"] += 1
        else:
            found["live" if call[0] == "search_policy" else "world"] += 1
    return found


async def shadowed(experiment, store):
    async with candidate_pool(experiment, arms=[ARM], processes=2) as pool:
        receiver = SpoolReceiver(experiment.spool)
        return await Worker(experiment, store=store, receiver=receiver, pool=pool).run(until_idle=True)


def experiment_of(folder):
    from evals.support import support

    return Experiment(
        name="support",
        candidates={ARM: support.candidates[ARM]},
        rerun=0.0,
        scorers=support.scorers,
        gates=(),
        sandbox=Sandbox(stubs=support.sandbox.stubs, limits=Limits(seconds=20.0)),
        settings=Settings(home=str(folder / "home")),
    )


@pytest.mark.parametrize("count", [40, pytest.param(500, marks=pytest.mark.marathon)])
def test_what_is_reported_is_what_happens(tmp_path, monkeypatch, count):
    """Database bit-identical, own tickets read back, write sets and fidelity equal to an independent count."""
    from pipelines import support_agent, support_agent_policy_first
    from pipelines.shop import create_shop, digest

    live, twin = create_shop(tmp_path / "live.sqlite"), create_shop(tmp_path / "twin.sqlite")
    cases = messages(count, live)
    assert len(cases) == count

    experiment = experiment_of(tmp_path)
    mirrored = experiment.mirror(1.0, control=0.0)(support_agent.answer)
    monkeypatch.setenv("SHOP_DATABASE", str(live))
    for case in cases:
        mirrored(**case)

    store = SqlStore(f"sqlite:///{tmp_path / 's.db'}")
    counts = asyncio.run(shadowed(experiment, store))
    pairs = list(store.pairs("support", ARM))
    evaluation = evaluate(experiment, closed=True, store=store)
    store.close()

    assert (counts["observations"], counts["failed"], len(pairs)) == (count, 0, count)
    writes, fidelity, tickets, differing = Counter(), Counter(), 0, 0
    for case, pair in zip(cases, pairs, strict=True):
        copy = tmp_path / "candidate.sqlite"
        shutil.copy(twin, copy)
        theirs, their_rows = plainly(support_agent_policy_first.agent(), case, copy, monkeypatch)
        ours, our_rows = plainly(support_agent.agent(), case, twin, monkeypatch)
        expected = answered(ours, theirs)
        assert dict(pair.candidate.fidelity) == +expected, case
        assert Counter(name for name, _ in theirs) == Counter(c.name for c in pair.candidate.tool_calls)
        assert Counter(WRITES[w.tool] for w in pair.candidate.writes) == Counter(
            row[0] for row in their_rows.elements()
        )
        writes += compared(our_rows, their_rows)
        fidelity += expected
        tickets += read_back(pair.candidate.tool_calls)
        differing += our_rows != their_rows

    counted = evaluation.write_sets[ARM]
    assert counted["same"] == writes["same"]
    assert counted["missing"] + counted["changed"] == writes["missing"]
    more = counted["changed"] + counted["extra"] + counted["duplicated"]
    assert more == writes["extra"] + writes["duplicated"]
    assert evaluation.verdicts[0].fidelity == dict(fidelity)
    assert evaluation.verdicts[0].live_writes == 0
    assert evaluation.containment[ARM]["landlock"] == "in force in all runs"
    assert digest(live) == digest(twin)
    assert live.read_bytes() == twin.read_bytes()
    assert differing > count // 4
    assert tickets > count // 20


def read_back(calls):
    """How many tickets the candidate opened and found again; each must be the one that it wrote."""
    found = 0
    for call in calls:
        if call.name != "get_ticket":
            continue
        number = call.arguments["ticket_id"]
        opened = next(c for c in calls if c.name == "open_ticket" and told(c)["ticket_id"] == number)
        assert call.answered == "world"
        assert {**opened.arguments, "ticket_id": number, "status": "open"} == told(call)
        found += 1
    return found


def told(call):
    return json.loads(call.result) if isinstance(call.result, str) else call.result
