"""The production application and the demo's traffic."""

import random
from collections import Counter

import pytest

from evals.documentation import documentation
from evals.support import rewind, support
from pipelines import demo, service
from pipelines.shop import add_email, add_refund, add_ticket, create_shop, digest
from shadoweval.records import Envelope, ToolCall
from shadoweval.testing import make_observation, make_query


def test_the_experiments_know_their_metrics_and_cases():
    """Both definitions are whole: every gate has its scorer, and the case files are there."""
    for experiment in (documentation, support):
        assert {gate.base for gate in experiment.gates} <= set(experiment.metrics)
        assert experiment.labels.exists()
        assert experiment.target("incumbent").startswith("pipelines.")


def test_the_traffic_asks_every_case_and_repeats():
    """Every case is asked once, some questions twice, in an order that a seed decides."""
    calls = {name: demo._traffic(name, random.Random(1)) for name in ("documentation", "support")}
    asked = Counter(arguments["question"] for arguments in calls["documentation"])

    assert {name: len(listed) for name, listed in calls.items()} == {
        "documentation": 430 + demo.REPEATS,
        "support": 439,
    }
    assert sum(n == 2 for n in asked.values()) == demo.REPEATS
    for name, listed in calls.items():
        assert listed == demo._traffic(name, random.Random(1))
        assert listed != demo._traffic(name, random.Random(2))


@pytest.mark.parametrize(
    ("question", "shape"),
    [
        ("How do I sort?", {"kind": "how", "length": "short"}),
        ("sort " * 20, {"kind": "other", "length": "long"}),
        ("", {"kind": "other", "length": "short"}),
    ],
)
def test_questions_have_a_shape(question, shape):
    """Attributes come from the question alone."""
    assert service._shape(question) == shape


def test_requests_are_classed_by_their_wish():
    """One wish is named, several are several."""
    assert service._request("Please cancel K-10001.", "c")["wish"] == "cancel"
    assert service._request("Cancel K-10001. And have a manager call me about it.", "c")["wish"] == "several"


def test_the_shop_is_rewound_to_the_query(tmp_path, monkeypatch):
    """What the incumbent wrote for a query, and what came after, is taken back; what was before stays."""
    shop = create_shop(tmp_path / "shop.sqlite")
    monkeypatch.setenv("SHOP_DATABASE", str(shop))
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(shop)) as db:
        order = db.execute("SELECT order_id FROM orders LIMIT 1").fetchone()[0]
    add_ticket(order, "before")
    before = digest(shop)
    results = {
        "refund": add_refund(order, 1, "late"),
        "open_ticket": add_ticket(order, "mine"),
        "send_email": add_email("a@b.example", "s", "t"),
    }
    add_ticket(order, "after")
    calls = [ToolCall(name=name, result=str(result), effect="write") for name, result in results.items()]
    query = make_query()
    envelope = Envelope(experiment="support", query=query, served=make_observation(query, calls=calls))

    with closing(sqlite3.connect(shop)) as db:
        rewind(db, envelope)
        db.commit()

    assert digest(shop) == before
