"""Pipelines over OpenAI's SDK, whose server is a function; forms of answers as other servers send them."""

import json

import httpx2
from aa_rows import add
from openai import AsyncOpenAI, OpenAI

from shadoweval import tool
from shadoweval.adapters.openai import reply_of, watch

ORDERS = ("o-1", "o-2", "o-3")


def _answer(request):
    """Asks for the three orders at once, then sums up what it got; streamed where that was asked for."""
    body = json.loads(request.content)
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    names = ("look_up", "look_up", "refund")
    calls = [
        {"id": f"c{n}", "type": "function", "function": {"name": name, "arguments": json.dumps({"order": order})}}
        for n, (name, order) in enumerate(zip(names, ORDERS, strict=True))
    ]
    message = {"content": " ".join(results)} if results else {"content": None, "tool_calls": calls}
    base = {"id": "1", "created": 1, "model": "m"}
    usage = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    if not body.get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", **message}, "finish_reason": "stop"}
        return httpx2.Response(200, json={**base, "object": "chat.completion", "choices": [choice], "usage": usage})
    deltas = [{"reasoning_content": "I think."}, message] if results else [{"tool_calls": [each]} for each in calls]
    chunks = [{**base, "object": "chat.completion.chunk", "choices": [{"delta": delta}]} for delta in deltas]
    lines = "".join(
        f"data: {json.dumps(chunk)}\n\n" for chunk in [*chunks, {**chunks[0], "choices": [], "usage": usage}]
    )
    headers = {"content-type": "text/event-stream"}
    return httpx2.Response(200, headers=headers, content=f"{lines}data: [DONE]\n\n".encode())


def _respond(request):
    searched = {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "x"}}
    closed = {"type": "mcp_call", "id": "x", "server_label": "crm", "name": "close", "arguments": '{"id": 7}'}
    said = {"type": "message", "id": "m", "role": "assistant", "status": "completed"}
    said["content"] = [{"type": "output_text", "text": "because", "annotations": []}]
    thought = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "I think."}]}
    output = [thought, searched, {**closed, "output": None, "error": "closed before"}, said]
    base = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed", "tools": []}
    return httpx2.Response(200, json={**base, "parallel_tool_calls": True, "tool_choice": "auto", "output": output})


def _client(answer, made=OpenAI, http=httpx2.Client):
    return watch(
        made(api_key="k", base_url="http://model.test/v1", http_client=http(transport=httpx2.MockTransport(answer)))
    )


@tool(effect="read")
def look_up(order):
    return f"{order} costs 5"


def refund(order):
    """Plain: what the model asked for is recorded when its result goes back."""
    return f"{order} refunded"


RUN = {"look_up": look_up, "refund": refund}


def _conversation(question, calls):
    asked = [{"id": c["id"], "type": "function", "function": c["function"]} for c in calls]
    results = [
        {
            "role": "tool",
            "tool_call_id": c["id"],
            "content": RUN[c["function"]["name"]](**json.loads(c["function"]["arguments"])),
        }
        for c in calls
    ]
    return [{"role": "user", "content": question}, {"role": "assistant", "tool_calls": asked}, *results]


def whole(question):
    client = _client(_answer)
    first = client.chat.completions.create(model="m", messages=[{"role": "user", "content": question}])
    calls = [c.model_dump() for c in first.choices[0].message.tool_calls]
    return reply_of(client.chat.completions.create(model="m", messages=_conversation(question, calls)))


def streamed(question):
    client = _client(_answer)
    asked = client.chat.completions.create(model="m", messages=[{"role": "user", "content": question}], stream=True)
    calls = [c.model_dump() for chunk in asked for choice in chunk.choices for c in choice.delta.tool_calls]
    for chunk in client.chat.completions.create(model="m", messages=_conversation(question, calls), stream=True):
        for choice in chunk.choices:
            if choice.delta.content:
                yield choice.delta.content


async def asynchronous(question):
    client = _client(_answer, AsyncOpenAI, httpx2.AsyncClient)
    first = await client.chat.completions.create(model="m", messages=[{"role": "user", "content": question}])
    calls = [c.model_dump() for c in first.choices[0].message.tool_calls]
    last = await client.chat.completions.create(model="m", messages=_conversation(question, calls))
    return last.choices[0].message.content


def hosted(question):
    return _client(_respond).responses.create(model="m", input=question, tools=[{"type": "web_search"}]).output_text


for name in ("whole", "streamed", "asynchronous", "hosted"):
    add(__name__, name, globals()[name])
