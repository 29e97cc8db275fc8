"""Attributes are read before any arm answers, and keep their gaps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from shadoweval.records import INCUMBENT, Failure, Observation, Outcome, Query
from shadoweval.verdict.attributes import attribute_columns, attributes_of, script_of

START = datetime(2026, 1, 1, tzinfo=UTC)


def test_attributes_are_read_before_any_answer() -> None:
    """Plain attributes, length and script of the text, and where the incumbent failed."""
    query = Query(
        id="q",
        text="Где мой заказ?",
        asked_at=START,
        attributes={"plan": "pro", "vip": True, "cart": [1, 2]},
    )
    served = Observation(
        query_id="q",
        arm=INCUMBENT,
        place="served",
        failure=Failure(kind="timeout", step="search"),
        started_at=START,
        duration=1.0,
    )
    expected = {"plan": "pro", "vip": "True", "length": "short", "script": "cyrillic", "incumbent failed": "search"}
    assert attributes_of(query, served) == expected
    answered = Observation(
        query_id="q", arm=INCUMBENT, place="served", outcome=Outcome(), started_at=START + timedelta(1), duration=1.0
    )
    assert "incumbent failed" not in attributes_of(query, answered)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("thread_id", "7"), ("session_id", "alpha"), ("conversation_id", "alpha"), ("conversationId", "alpha"),
        ("langgraph.thread_id", "x"), ("Request-ID", "x"), ("trace id", "x"),
        ("about", "0b5f5c54-2a2c-4a7e-9a39-4e8bb32f0b4e"), ("about", "chatcmpl-9kHqGx1t2v3w4x5y6z7A"),
        ("about", "d41d8cd98f00b204e9800998ecf8427e"), ("about", "1718900000123"),
    ],
)  # fmt: skip
def test_ids_make_no_slices(name, value) -> None:
    """By the attribute's name, or by the form of its value."""
    query = Query(id="q", text="Where?", asked_at=START, attributes={name: value, "plan": "pro"})
    served = Observation(query_id="q", arm=INCUMBENT, place="served", outcome=Outcome(), started_at=START, duration=1.0)
    assert attributes_of(query, served).keys() == {"length", "script", "plan"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("tenant_id", "acme"), ("customer", "12"), ("region", "eu-central-1"), ("model", "gpt-4o-mini-2024-07-18"),
        ("plan_id", "p1"), ("identity", "new"), ("thread", "main"), ("valid", "True"), ("zip", "10115"),
        ("topic", "internationalization"), ("build", "deadbeef"), ("day", "2026-03-01"),
    ],
)  # fmt: skip
def test_parts_of_the_traffic_do(name, value) -> None:
    """A tenant, a model and a date come again."""
    query = Query(id="q", text="Where?", asked_at=START, attributes={name: value})
    served = Observation(query_id="q", arm=INCUMBENT, place="served", outcome=Outcome(), started_at=START, duration=1.0)
    assert attributes_of(query, served)[name] == value


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("where is it", "latin"),
        ("订单在哪里", "cjk"),
        ("注文はどこ", "hiragana"),
        ("أين طلبي", "arabic"),
        ("123 !?", "none"),
        ("", "none"),
    ],
)
def test_a_text_is_in_the_script_of_most_of_its_letters(text, script) -> None:
    """Unicode's names decide; a text without letters has none."""
    assert script_of(text) == script


def test_columns_of_attributes_keep_gaps() -> None:
    """A pair without an attribute has no value, not an empty one."""
    columns = attribute_columns([{"plan": "pro"}, {}, {"plan": "free", "vip": "1"}])
    assert columns["plan"].codes.tolist() == [0, -1, 1]
    assert columns["plan"].values == ("pro", "free")
    assert columns["vip"].codes.tolist() == [-1, -1, 0]


def test_names_that_are_new_with_each_call_make_no_columns() -> None:
    """A thousand attributes are told apart; those that are derived come first, and every pair keeps its row."""
    pairs = [{"length": "short", f"call {n}": "1", "plan": "pro"} for n in range(1_200)]
    columns = attribute_columns(pairs)
    assert len(columns) == 1_000
    assert [*columns][:3] == ["length", "call 0", "plan"]
    assert {column.codes.size for column in columns.values()} == {1_200}
    assert columns["length"].codes.tolist() == columns["plan"].codes.tolist() == [0] * 1_200
