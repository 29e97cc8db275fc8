"""The function calling loop without a framework."""

import pytest

from pipelines import orders, orders_no_writes


@pytest.fixture(autouse=True)
def _asks_this_server(server, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    orders._client.cache_clear()
    yield
    orders._client().close()
    orders._client.cache_clear()


def test_it_calls_what_the_model_asks_for_and_tells_it_the_result(server):
    """Two requests; the second one has the tool's result."""
    assert "K-1002: waits for payment" in orders.answer("Where is K-1002?")
    assert [path for path, _ in server.seen] == ["/v1/chat/completions"] * 2
    assert server.seen[1][1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": "K-1002: waits for payment",
    }


def test_the_candidate_has_no_tool_that_writes(server):
    """It is offered one tool only."""
    orders_no_writes.answer("Where is K-1002?")
    assert [each["function"]["name"] for each in server.seen[0][1]["tools"]] == ["look_up_order"]
    orders.answer("Where is K-1002?")
    assert [each["function"]["name"] for each in server.seen[2][1]["tools"]] == ["look_up_order", "cancel_order"]


def test_an_order_that_is_not_there_is_told_to_the_model(server):
    """The loop goes on."""
    assert "Error: LookupError" in orders.answer("Where is my parcel?")


def test_a_model_that_never_answers_is_an_error(server):
    """After some rounds."""
    call = {"id": "c", "type": "function", "function": {"name": "look_up_order", "arguments": '{"order": "K-1001"}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls"}
    server.answers += [{"id": "1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}] * 6
    with pytest.raises(RuntimeError, match="did not answer"):
        orders.answer("Where is K-1001?")
