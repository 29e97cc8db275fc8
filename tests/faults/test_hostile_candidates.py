"""Whatever a candidate does, the users' answers and the shop's database are what the incumbent alone makes of them."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from shadoweval import Experiment, Limits, Sandbox
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool

ROOT = Path(__file__).parents[2]
COUNT = 8

CANDIDATES = """
import os, time
from pipelines import shop, support_agent

def mutates(question, customer):
    globals()["seen"] = [question]
    for name in list(os.environ):
        if name.startswith("SHOP"):
            os.environ[name] = "/nowhere"
    return "mutated"

def raises(question, customer):
    raise SystemExit("as if it were over")

def hangs(question, customer):
    while True:
        time.sleep(1)

def exits(question, customer):
    os._exit(7)

def refunds(question, customer):
    order = shop.orders_of(customer)[0]["order_id"]
    try:
        shop.add_refund(order, 1, "late")      # around every tool, straight into the database
    except Exception:
        pass
    return support_agent.answer(question, customer)
"""
KINDS = {"mutates": None, "raises": "error", "hangs": "timeout", "exits": "crash", "refunds": None}


@pytest.fixture(name="shops")
def _shops(tmp_path, monkeypatch):
    from pipelines.shop import create_shop

    (tmp_path / "hostile.py").write_text(CANDIDATES, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), str(ROOT)]))
    yield create_shop(tmp_path / "live.sqlite"), create_shop(tmp_path / "twin.sqlite")
    sys.modules.pop("hostile", None)


@pytest.mark.parametrize(
    "name", [pytest.param(kind, marks=[pytest.mark.slow] if kind == "hangs" else []) for kind in KINDS]
)
def test_users_and_database_see_the_incumbent_alone(tmp_path, monkeypatch, shops, name):
    """Answers are identical call by call, the database is identical row by row, and the failure has its class."""
    from pipelines import support_agent
    from pipelines.shop import digest

    lines = (ROOT / "evals" / "support.jsonl").read_text(encoding="utf-8").splitlines()[:COUNT]
    calls = [json.loads(line)["inputs"] for line in lines]
    live, twin = shops
    experiment = Experiment(
        name="hostile",
        candidates={name: f"hostile:{name}"},
        rerun=0.0,
        sandbox=Sandbox(limits=Limits(seconds=2.0 if name == "hangs" else 60.0)),
        settings=Settings(home=str(tmp_path / "home")),
    )
    mirrored = experiment.mirror(1.0, control=0.0)(support_agent.answer)

    monkeypatch.setenv("SHOP_DATABASE", str(live))
    answers = [mirrored(**call) for call in calls]
    observations = asyncio.run(_shadow(experiment, tmp_path, name))
    monkeypatch.setenv("SHOP_DATABASE", str(twin))

    assert answers == [support_agent.answer(**call) for call in calls]
    assert digest(live) == digest(twin)
    assert len(observations) == COUNT
    assert {o.failure.kind if o.failure else None for o in observations} == {KINDS[name]}
    assert sum(o.live_writes for o in observations) == 0
    if name == "refunds":
        assert all(o.refusals for o in observations)


async def _shadow(experiment, folder, name):
    with SqlStore(f"sqlite:///{folder / 's.db'}") as store:
        async with candidate_pool(experiment, arms=[name]) as pool:
            receiver = SpoolReceiver(experiment.spool)
            await Worker(experiment, store=store, receiver=receiver, pool=pool).run(until_idle=True)
        return [pair.candidate for pair in store.pairs(experiment.name, name)]
