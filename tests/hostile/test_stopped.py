"""Runs that were stopped from outside are the shadow's failures: counted, shown, never the candidate's."""

import asyncio

from shadoweval import Rules, at_most, no_worse
from shadoweval.scoring import errors, latency
from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from shadoweval.worker.ingestion import Ingestion
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool
from tests.waiting import until

from .conftest import ARM, Row, Shadowed


def test_what_three_workers_lost_is_missing_evidence(tmp_path):
    """Workers that are killed over slow tasks make no crash of the candidate's out of them."""
    shadowed = Shadowed(Row(candidate="same", decision="hold"), tmp_path)
    shadowed.serve()
    with SqlStore(f"sqlite:///{tmp_path}/shadow.db") as store:
        receiver, counts = SpoolReceiver(shadowed.experiment.spool), {"envelopes": 0}
        ingestion = Ingestion(shadowed.experiment, store=store, receiver=receiver, counts=counts)

        def all_stored():
            ingestion.step()
            return counts["envelopes"] == 60

        until(all_stored)
        receiver.close()
        for _ in range(3):  # three workers took the oldest fifteen and were killed
            assert len(store.lease("hostile", limit=15, seconds=-1, owner="killed")) == 15

    (verdict,) = shadowed.judged(serve=False).verdicts

    assert verdict.decision == "hold"
    assert "ended 15 of 60 runs: 3 workers ended, or lost their lease, in mid-run (15)" in str(verdict)
    assert "SIGTERM" in str(verdict)


def test_a_kill_in_mid_run_costs_no_evidence(tmp_path):
    """What was in flight is run again after the kill is taken back."""
    shadowed = Shadowed(Row(candidate="takes_a_moment", decision="promote", calls=40), tmp_path)
    shadowed.serve()

    async def work(store):
        async with candidate_pool(shadowed.experiment, arms=[ARM]) as pool:
            receiver = SpoolReceiver(shadowed.experiment.spool)
            worker = Worker(shadowed.experiment, store=store, receiver=receiver, pool=pool)
            working = asyncio.create_task(worker.run(until_idle=False))
            while worker.counts["observations"] < 5:
                await asyncio.sleep(0.01)
            switch = shadowed.experiment.admission.switch
            switch.kill("a test")
            while not worker.counts["killed"]:
                await asyncio.sleep(0.01)
            switch.resume("it is over")
            while worker.counts["observations"] < 40:
                await asyncio.sleep(0.01)
            worker.stop()
            await working

    with SqlStore(f"sqlite:///{tmp_path}/shadow.db") as store:
        asyncio.run(work(store))

    (verdict,) = shadowed.judged(serve=False).verdicts

    assert verdict.promotes, verdict
    assert "The shadow" not in str(verdict)


def test_an_incumbent_that_cannot_be_run_again_is_said_and_not_scored(tmp_path):
    """A re-run that never was is no failure that costs thirty seconds."""
    row = Row(
        candidate="same",
        decision="hold",
        experiment={
            "incumbent": None,
            "rerun": 1.0,
            "scorers": [errors(), latency()],
            "gates": [no_worse("errors", by=0.2), at_most("latency.p50", ratio=5.0)],
            "rules": Rules(min_hours=0, min_units=20),
        },
    )
    shadowed = Shadowed(row, tmp_path)
    shadowed.mirrored(lambda q: f"done {q}")

    (verdict,) = shadowed.judged(serve=False).verdicts

    assert verdict.decision == "hold", verdict
    assert "The shadow ended 60 of 60 re-runs of the incumbent" in str(verdict)
