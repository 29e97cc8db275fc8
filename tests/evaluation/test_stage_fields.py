"""What a stage saw, as kinds by path."""

from msgspec import structs

from shadoweval.codec import freeze
from shadoweval.evaluation.stage_fields import Seen
from shadoweval.records import Failure, Hit, ToolCall
from shadoweval.testing import make_observation, make_query


def kinds_of(*, value=None, **changes):
    run = make_observation(make_query(1), **changes)
    return Seen.of_run(structs.replace(run, outcome=structs.replace(run.outcome, value=value))).kinds


def test_inputs_are_known_by_place_or_name():
    """And attributes by name."""
    inputs = freeze((("why?",), {"k": 3, "user": {"plan": None}}))
    seen = Seen.of_query(make_query(1, inputs=inputs, attributes={"lang": "en"}))
    assert seen.kinds == {
        "inputs.0": "text",
        "inputs.k": "a number",
        "inputs.user": "an object",
        "inputs.user.plan": "none",
        "attributes.lang": "text",
    }


def test_damaged_inputs_have_no_fields():
    """They are no reason to end a look."""
    assert Seen.of_query(make_query(1, inputs=b"\xc1")).kinds == {}


def test_rows_of_a_tools_result_have_fields():
    """By the tool's name; what one row has counts."""
    rows = [{"price": None}, {"price": 3.5, "name": ""}]
    kinds = kinds_of(calls=[ToolCall(name="search", arguments={"q": "x"}, result={"rows": rows}, effect="read")])
    assert kinds["tools.search.arguments.q"] == "text"
    assert kinds["tools.search.result.rows[].price"] == "a number"
    assert kinds["tools.search.result.rows[].name"] == "empty text"


def test_results_of_failed_and_made_up_calls_are_not_looked_at():
    """They say nothing about the tool."""
    failed = ToolCall(name="search", error="TimeoutError: gone")
    refused = ToolCall(name="mail", result=None, answered="refused")
    assert not [path for path in kinds_of(calls=[failed, refused]) if "result" in path]


def test_hits_without_texts_are_empty():
    """A context that is none."""
    assert kinds_of(hits=[Hit(id="d", rank=1, text="")])["hits[].text"] == "empty text"
    assert kinds_of(hits=[])["hits"] == "an empty list"


def test_structured_answers_have_fields():
    """Of the value that was returned."""
    assert kinds_of(value={"title": "x", "tags": []})["value.tags"] == "an empty list"


def test_names_that_may_be_users_words_are_not_kept():
    """Mail addresses, ids, sentences; and of an object by ids none is told apart."""
    ids = {f"key{chr(97 + n % 26)}{chr(97 + n // 26)}": 1 for n in range(40)}
    seen = kinds_of(value={"ada@example.org": 1, "a b": 2, "0a9f3311": 3, "by_id": ids})
    assert set(seen) == {"answer", "value", "hits", "value.*", "value.by_id", "value.by_id.*"}


def test_a_deep_or_wide_value_is_bounded():
    """However much is in it."""
    value = {f"a{chr(97 + n)}": {f"b{chr(97 + m)}": {"c": {"d": {"e": 1}}} for m in range(20)} for n in range(20)}
    kinds = kinds_of(value=value)
    assert len(kinds) <= 102
    assert not [path for path in kinds if path.endswith(".e")]


def test_a_failed_run_saw_nothing():
    """That can be told."""
    assert Seen.of_run(make_observation(make_query(1), failure=Failure(kind="crash"))) is None
