"""From a decorator to the sentence about writes: who writes otherwise is not promoted, who writes the same can be."""

import asyncio
import json
import sys
from pathlib import Path

import msgspec
import pytest

sys.path.insert(0, str(Path(__file__).parent / "targets"))

import wrong_writers as shop

from shadoweval import Experiment, InstanceWorld, Rules, Sandbox, Settings, Stubs, evaluate, no_worse
from shadoweval.records import INCUMBENT
from shadoweval.reporting.html import report
from shadoweval.reporting.markdown import markdown
from shadoweval.scoring import errors, writes
from shadoweval.store import SqlStore
from shadoweval.transport import SpoolReceiver
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool

COUNT = 100
WRONG = {
    "hundredfold": "refund with another cents",
    "another_order": "refund with another order",
    "another_customer": "send_mail with another to",
    "twice": "refund more often",
    "never": "refund left out",
    "spam": "send_mail although the incumbent made no such call",
    "wrong_order": "close_order before refund",
    "writes_where_it_should_read": "refund although the incumbent made no such call",
}
STANDING_IN = Stubs(
    {"look_up": shop.looked_up, "refund": shop.refunded, "close_order": shop.closed, "send_mail": shop.sent}
)
IN_A_WORLD = Stubs(worlds=[InstanceWorld(shop.Desk, tools=["refund", "close_order", "send_mail"])], live=["look_up"])
GATES = [no_worse("errors", by=0.2), no_worse("writes", by=0.2)]


def experiment_of(folder, *candidates, stubs=None, gates=GATES, **options):
    options = {"scorers": [errors()], "rerun": 0.0, "rules": Rules(min_hours=0, min_units=50), **options}
    return Experiment(
        name="shop",
        candidates={name: f"wrong_writers:{name}" for name in candidates},
        incumbent="wrong_writers:served",
        gates=gates,
        sandbox=Sandbox(stubs=stubs or Stubs()),
        settings=Settings(home=str(folder / "home")),
        **options,
    )


def serve(experiment, count=COUNT):
    """What was served, and every candidate's run of it, in a store."""
    mirrored = experiment.mirror(control=0.0)(shop.served)
    for number in range(count):
        mirrored(f"{('refund', 'where')[number % 4 == 0]} K-{number}")

    async def work(store):
        arms = [*experiment.candidates, *([INCUMBENT] if experiment.rerun else [])]
        async with candidate_pool(experiment, arms=arms) as pool:
            receiver = SpoolReceiver(experiment.spool)
            await Worker(experiment, store=store, receiver=receiver, pool=pool).run(until_idle=True)

    store = SqlStore(f"sqlite:///{experiment.settings.home}/shadow.db")
    asyncio.run(work(store))
    return store


def verdicts_of(experiment, store):
    return {verdict.candidate: verdict for verdict in evaluate(experiment, store=store, closed=True).verdicts}


@pytest.mark.parametrize("stubs", [STANDING_IN, None, IN_A_WORLD], ids=["stand-ins", "defaults", "world"])
def test_wrong_writes_are_not_promoted_and_the_same_are(tmp_path, stubs):
    """Gated, every wrong candidate is stopped and its fault is named; who writes the same is promoted."""
    experiment = experiment_of(tmp_path, *WRONG, "same", stubs=stubs)
    with serve(experiment) as store:
        verdicts = verdicts_of(experiment, store)
        for name, fault in WRONG.items():
            verdict = verdicts[name]
            assert not verdict.promotes, verdict
            assert "WRITES DIFFER" in str(verdict), verdict
            assert fault in str(verdict), verdict
        assert verdicts["same"].promotes, verdicts["same"]
        assert "WRITES" not in str(verdicts["same"])


def test_ungated_writes_hold_and_say_what_to_add(tmp_path):
    """Neither gated nor waived: held, in text, report, Markdown and JSON; waived: promoted, and still said."""
    plain = [no_worse("errors", by=0.2)]
    experiment = experiment_of(tmp_path, "same", "hundredfold", stubs=STANDING_IN, gates=plain)
    with serve(experiment, 100) as store:
        evaluation = evaluate(experiment, store=store, closed=True)
        for verdict in evaluation.verdicts:
            assert (verdict.decision, verdict.why) == ("hold", "error"), verdict
            assert "Add no_worse('writes', by=0.01), or say Rules(writes='waived')" in str(verdict)
        page = report(evaluation, tmp_path / "r.html").read_text(encoding="utf-8")
        for text in (page, markdown(evaluation), json.dumps(msgspec.to_builtins(evaluation))):
            assert "WRITES DIFFER in 75 of the 75 pairs" in text
            assert "refund with another cents" in text
        assert evaluation.write_sets["hundredfold"]["changed"] == 75

        rules = Rules(min_hours=0, min_units=50, writes="waived")
        experiment = experiment_of(tmp_path, "same", "hundredfold", stubs=STANDING_IN, gates=plain, rules=rules)
        waived = verdicts_of(experiment, store)
        assert waived["same"].promotes, waived["same"]
        assert waived["hundredfold"].promotes, waived["hundredfold"]
        assert "waived by Rules(writes='waived')" in str(waived["hundredfold"])


def test_a_dry_run_judges_nothing(tmp_path):
    """A gate over writes that decides nothing is no gate over writes."""
    gates = [no_worse("errors", by=0.2), no_worse("writes", by=0.15, dry_run=True)]
    experiment = experiment_of(tmp_path, "hundredfold", stubs=STANDING_IN, gates=gates)
    with serve(experiment, 60) as store:
        assert verdicts_of(experiment, store)["hundredfold"].holds


@pytest.mark.parametrize("compare", [None, {"send_mail": ["to"]}])
def test_free_text_is_compared_by_the_arguments_that_count(tmp_path, compare):
    """A mail worded otherwise is another write, unless the body is said not to count; then it is replayed too."""
    experiment = experiment_of(tmp_path, "other_words", stubs=Stubs(compare=compare))
    with serve(experiment) as store:
        verdict = verdicts_of(experiment, store)["other_words"]

    assert verdict.promotes == (compare is not None), verdict
    assert ("send_mail with another body" in str(verdict)) == (compare is None)
    assert ("simulated" in verdict.fidelity) == (compare is None)


def test_few_writes_among_many_queries_are_seen(tmp_path):
    """A gate over all queries would let a candidate through whose every write is wrong, where few queries write."""
    gates = [no_worse("errors", by=0.2), no_worse("writes", by=0.9)]
    experiment = experiment_of(tmp_path, "hundredfold", stubs=STANDING_IN, gates=gates)
    with serve(experiment, 60) as store:
        verdict = verdicts_of(experiment, store)["hundredfold"]

    assert (verdict.decision, verdict.why) == ("hold", "error"), verdict
    words = "In 45 of the 45 pairs in which an arm wrote and both came to their end, the candidate wrote otherwise"
    assert words in str(verdict)


def test_live_reads_that_show_the_incumbents_writes_are_not_faithful(tmp_path):
    """Read again after the incumbent's refund: marked, counted, and held where it is more than a few."""
    experiment = experiment_of(tmp_path, "looks_twice", stubs=Stubs(live=["look_up"]))
    with serve(experiment) as store:
        verdict = verdicts_of(experiment, store)["looks_twice"]

    assert (verdict.fidelity["altered"], verdict.fidelity["live"]) == (75, 25)
    assert (verdict.decision, verdict.why) == ("hold", "error"), verdict
    assert "simulated, refused or altered" in str(verdict)


def test_the_scorer_may_be_named(tmp_path):
    """`scorers=[writes()]` is the same as saying nothing."""
    experiment = experiment_of(
        tmp_path, "same", scorers=[errors(), writes()], stubs=Stubs(compare={"refund": ["order"]})
    )

    assert list(experiment.metrics) == ["errors", "writes"]
    assert experiment.scorers[1] is experiment.writes
    assert experiment_of(tmp_path, "same").scorers[1].version != experiment.writes.version
