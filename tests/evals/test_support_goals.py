"""The goals of the support cases are what the right calls leave in the shop."""

import json

import pytest

from evals.support_cases import CASES
from evals.support_goals import goal_of
from pipelines import shop

LINES = [json.loads(line) for line in CASES.read_text("utf-8").splitlines()]
WRITES = {"refund": shop.add_refund, "open_ticket": shop.add_ticket, "send_email": shop.add_email}
WRITING = [case for case in LINES if case["goal"]]


def test_most_cases_want_something_written_and_some_want_nothing():
    """An agent that writes nothing, or always something, does not pass."""
    assert 0.3 < len(WRITING) / len(LINES) < 0.9


@pytest.mark.parametrize("case", WRITING[::20], ids=lambda case: case["id"])
def test_the_right_calls_leave_the_rows_of_the_goal(case, tmp_path, monkeypatch):
    """Made for real in a shop of one's own."""
    path = shop.create_shop(tmp_path / "shop.sqlite")
    monkeypatch.setenv("SHOP_DATABASE", str(path))
    before = shop.writes(path)
    for call in case["expected_calls"]:
        if call["effect"] == "write":
            WRITES[call["name"]](*call["arguments"].values())
    written = [row for row in shop.writes(path) if row not in before]

    wanted = [(table, row) for table, rows in goal_of(case["expected_calls"]).items() for row in rows]
    assert len(written) == len(wanted)
    for table, row in wanted:
        assert any(each["table"] == table and row.items() <= each.items() for each in written)
