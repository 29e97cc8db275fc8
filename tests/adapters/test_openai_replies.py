"""Forms in which OpenAI-compatible servers answer, streamed and whole, in both APIs.

The SDK is the independent source where it can read a form: `ChatCompletionStreamState` for chunks, `output_text` for
responses. Each form is read from plain JSON and from the SDK's objects.
"""

import json

import pytest
from openai._models import construct_type
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent

from shadoweval.adapters.openai import ModelFailedError, mirrored_client, reply_of, watch
from shadoweval.adapters.openai.replies import StreamedReply, read_reply
from shadoweval.capture import Recorder, recording, tool

OSLO, CET = '{"city": "Oslo"}', '{"tz": "CET"}'
WEATHER, TIME = ("weather", {"city": "Oslo"}), ("time", {"tz": "CET"})


def chunk(delta=None, finish=None, *, choice=0, **more):
    choices = [{"index": choice, "delta": delta, "finish_reason": finish}]
    base = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    return {**base, "choices": choices, **more}


def piece(name=None, arguments=None, **more):
    return {"function": {"name": name, "arguments": arguments}, **more}


def calls(*pieces):
    return chunk({"tool_calls": list(pieces)})


TWO_CALLS = {
    "as OpenAI": [
        calls(piece("weather", "", index=0, id="c1", type="function")),
        calls(piece(None, '{"city":', index=0)),
        calls(piece(None, ' "Oslo"}', index=0)),
        calls(piece("time", "", index=1, id="c2", type="function")),
        calls(piece(None, CET, index=1)),
    ],
    "pieces of both in turn": [
        calls(piece("weather", "", index=0, id="c1"), piece("time", "", index=1, id="c2")),
        calls(piece(None, OSLO[:5], index=0), piece(None, CET[:4], index=1)),
        calls(piece(None, OSLO[5:], index=0), piece(None, CET[4:], index=1)),
    ],
    "no index, whole calls": [
        calls(piece("weather", OSLO, id="c1")),
        calls(piece("time", CET, id="c2")),
    ],
    "no index, both in one chunk": [calls(piece("weather", OSLO, id="c1"), piece("time", CET, id="c2"))],
    "neither index nor id, both in one chunk": [calls(piece("weather", OSLO), piece("time", CET))],
    "neither index nor id, in pieces": [
        calls(piece("weather", "")),
        calls(piece(None, OSLO)),
        calls(piece("time", "")),
        calls(piece(None, CET)),
    ],
    "no index, id in each piece": [
        calls(piece("weather", "", id="c1")),
        calls(piece(None, OSLO[:6], id="c1")),
        calls(piece("time", CET[:6], id="c2")),
        calls(piece(None, OSLO[6:], id="c1")),
        calls(piece(None, CET[6:], id="c2")),
    ],
    "index null": [
        calls(piece("weather", OSLO, id="c1", index=None)),
        calls(piece("time", CET, id="c2", index=None)),
    ],
    "index as text": [
        calls(piece("weather", "", index="0", id="c1")),
        calls(piece("time", CET, index="1", id="c2")),
        calls(piece(None, OSLO, index="0")),
    ],
    "all at index 0 with ids": [
        calls(piece("weather", OSLO, index=0, id="c1")),
        calls(piece("time", CET, index=0, id="c2")),
    ],
    "all at index 0, in pieces": [
        calls(piece("weather", "", index=0, id="c1")),
        calls(piece(None, OSLO, index=0)),
        calls(piece("time", "", index=0, id="c2")),
        calls(piece(None, CET, index=0)),
    ],
    "all at index 0 without ids": [calls(piece("weather", OSLO, index=0)), calls(piece("time", CET, index=0))],
    "the second index first": [
        calls(piece("time", CET, index=1, id="c2")),
        calls(piece("weather", OSLO, index=0, id="c1")),
    ],
    "indexes from 1": [
        calls(piece("weather", OSLO, index=1, id="c1")),
        calls(piece("time", CET, index=2, id="c2")),
    ],
    "id and name repeated": [
        calls(piece("weather", OSLO[:4], index=0, id="c1")),
        calls(piece("weather", OSLO[4:], index=0, id="c1")),
        calls(piece("time", CET[:4], index=1, id="c2")),
        calls(piece("time", CET[4:], index=1, id="c2")),
    ],
    "a new id for each piece": [
        calls(piece("weather", "", index=0, id="r1")),
        calls(piece(None, OSLO, index=0, id="r2")),
        calls(piece("time", "", index=1, id="r3")),
        calls(piece(None, CET, index=1, id="r4")),
    ],
    "the name in pieces": [
        calls(piece("wea", None, index=0, id="c1")),
        calls(piece("ther", None, index=0)),
        calls(piece(None, OSLO, index=0)),
        calls(piece("ti", "", index=1, id="c2")),
        calls(piece("me", CET, index=1)),
    ],
    "arguments as objects": [
        calls(piece("weather", {"city": "Oslo"}, index=0, id="c1")),
        calls(piece("time", {"tz": "CET"}, index=1, id="c2")),
    ],
    "all of it again at the end": [
        calls(piece("weather", OSLO, index=0, id="c1"), piece("time", CET, index=1, id="c2")),
        calls(piece("weather", OSLO, index=0, id="c1"), piece("time", CET, index=1, id="c2")),
    ],
    "without the wrapper": [
        calls({"index": 0, "id": "c1", "name": "weather", "arguments": OSLO}),
        calls({"index": 1, "id": "c2", "name": "time", "arguments": CET}),
    ],
    "other choices beside it": [
        calls(piece("weather", OSLO, index=0, id="c1")),
        chunk({"tool_calls": [piece("other", "{}", index=0, id="c9")]}, choice=1),
        calls(piece("time", CET, index=1, id="c2")),
    ],
    "null deltas and empty lists between": [
        chunk(None),
        chunk({"tool_calls": []}),
        calls(piece("weather", OSLO, index=0, id="c1")),
        {**chunk(), "choices": []},
        chunk({"tool_calls": None, "content": None}),
        calls(piece("time", CET, index=1, id="c2")),
    ],
}


def streamed(chunks, as_object=ChatCompletionChunk):
    """The replies from plain JSON and from the SDK's objects, which must be the same."""
    plain, typed = StreamedReply(), StreamedReply()
    for each in chunks:
        plain.add(each)
        typed.add(construct_type(value=each, type_=as_object))
    assert plain.reply() == typed.reply()
    return plain.reply()


def asked(reply):
    return [(call.name, call.arguments) for call in reply.tool_calls]


@pytest.mark.parametrize("form", TWO_CALLS)
def test_streamed_tool_calls_stay_two(form):
    """Whatever a server makes of index, id and name: two calls with their own arguments, in order."""
    assert asked(streamed([*TWO_CALLS[form], chunk({}, "tool_calls")])) == [WEATHER, TIME]


@pytest.mark.parametrize("form", ["as OpenAI", "pieces of both in turn", "no index, both in one chunk"])
def test_the_same_tool_twice_stays_two(form):
    """Two calls of one name are told apart as two of different names are."""
    text = json.dumps(TWO_CALLS[form]).replace('"time"', '"weather"')
    assert asked(streamed(json.loads(text))) == [WEATHER, ("weather", {"tz": "CET"})]


def test_ids_are_as_the_server_sent_them_first():
    """An id that is repeated is no longer one; one that comes late is the call's."""
    late = [calls(piece("weather", OSLO[:3], index=0)), calls(piece(None, OSLO[3:], index=0, id="late"))]
    assert [call.id for call in streamed(late).tool_calls] == ["late"]
    assert [call.id for call in streamed(TWO_CALLS["id and name repeated"]).tool_calls] == ["c1", "c2"]


def test_a_function_call_of_the_first_kind_is_one():
    """`function_call`, whole and in pieces."""
    pieces = [
        chunk({"role": "assistant", "content": None, "function_call": {"name": "weather", "arguments": ""}}),
        chunk({"function_call": {"arguments": OSLO[:3]}}),
        chunk({"function_call": {"arguments": OSLO[3:]}}, "function_call"),
    ]
    message = {"content": None, "function_call": {"name": "weather", "arguments": OSLO}}
    for reply in (streamed(pieces), read_reply({"model": "m", "choices": [{"message": message}]})):
        assert (asked(reply), reply.text) == ([WEATHER], None)


TEXTS = {
    "plain": [{"role": "assistant", "content": ""}, {"content": "4"}, {"content": "2"}],
    "reasoning_content": [{"reasoning_content": "Count."}, {"content": "42"}],
    "reasoning": [{"reasoning": "Count."}, {"content": "", "reasoning": None}, {"content": "42"}],
    "both names of it": [{"reasoning": "Count.", "reasoning_content": "Count."}, {"content": "42"}],
    "parts": [
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Count."}]}]},
        {"content": [{"type": "text", "text": "4"}]},
        {"content": "2"},
    ],
    "null deltas": [None, {}, {"content": None}, {"content": "42"}, None],
}


@pytest.mark.parametrize("form", TEXTS)
def test_reasoning_is_no_part_of_the_answer(form):
    """The text is the answer alone; what the model thought stands beside it."""
    reply = streamed([*(chunk(delta) for delta in TEXTS[form]), chunk({}, "stop")])
    thought = None if form in {"plain", "null deltas"} else "Count."
    assert (reply.text, reply.reasoning, reply.finish_reason) == ("42", thought, "stop")


WHOLE = {
    "text": ({"content": "42"}, "42"),
    "no text": ({"content": None}, None),
    "empty text": ({"content": ""}, ""),
    "parts": ({"content": [{"type": "text", "text": "4"}, {"type": "text", "text": "2"}]}, "42"),
    "thinking parts": ({"content": [{"type": "thinking", "thinking": "Count."}, {"type": "text", "text": "42"}]}, "42"),
    "texts": ({"content": ["4", "2"]}, "42"),
    "reasoning_content": ({"content": "42", "reasoning_content": "Count."}, "42"),
    "reasoning": ({"content": "42", "reasoning": "Count."}, "42"),
    "refusal": ({"content": None, "refusal": "I can't."}, None),
    "audio": ({"content": None, "audio": {"id": "a", "transcript": "Forty-two", "data": "x"}}, None),
}


@pytest.mark.parametrize("form", WHOLE)
def test_the_text_of_a_whole_answer_is_the_content(form):
    """As the SDK gives it, and from its object as from JSON; refusals and transcripts stand beside it."""
    message, text = WHOLE[form]
    body = {"model": "m", "choices": [{"index": 0, "message": {"role": "assistant", **message}}]}
    reply = read_reply(body)
    assert reply == read_reply(construct_type(value=body, type_=ChatCompletion))
    assert reply.text == text
    if isinstance(message["content"], str | None):
        assert reply.text == construct_type(value=body, type_=ChatCompletion).choices[0].message.content
    assert reply.refusal == message.get("refusal")
    assert reply.transcript == (message.get("audio") or {}).get("transcript")


@pytest.mark.parametrize("form", ["as OpenAI", "pieces of both in turn", "the second index first"])
@pytest.mark.parametrize("text", [["4", "2"], []])
def test_what_the_sdk_can_put_together_comes_out_alike(form, text):
    """`ChatCompletionStreamState` is what users of `.stream()` get."""
    chunks = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": each}) for each in text)]
    if form != "the second index first":  # the SDK mixes those
        chunks += TWO_CALLS[form]
    state = ChatCompletionStreamState()
    for each in [*chunks, chunk({}, "stop")]:
        state.handle_chunk(ChatCompletionChunk.model_validate(each))
    theirs, ours = state.current_completion_snapshot, streamed([*chunks, chunk({}, "stop")])
    assert ours == read_reply(theirs)
    assert ours.text == theirs.choices[0].message.content


USAGE = {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
USAGES = {
    "in a last chunk without choices": [chunk({"content": "a"}), {**chunk(), "choices": [], "usage": USAGE}],
    "in the last chunk": [chunk({"content": "a"}), chunk({}, "stop", usage=USAGE)],
    "in each chunk": [
        chunk({"content": "a"}, usage={**USAGE, "completion_tokens": 1}),
        chunk({}, "stop", usage={**USAGE, "completion_tokens": 5}),
    ],
    "null but in the last": [chunk({"content": "a"}, usage=None), chunk({}, "stop", usage=USAGE)],
    "before the end": [chunk({"content": "a"}, usage=USAGE), chunk({}, "stop", usage=None)],
    "Groq": [chunk({"content": "a"}), chunk({}, "stop", x_groq={"id": "r", "usage": USAGE})],
    "Moonshot": [
        chunk({"content": "a"}),
        {"model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": USAGE}]},
    ],
}


@pytest.mark.parametrize("form", USAGES)
def test_tokens_are_read_wherever_they_come(form):
    """In the last chunk, in each, or elsewhere; where there are none they are unknown."""
    reply = streamed(USAGES[form])
    assert (reply.input_tokens, reply.output_tokens) == (7, 5)
    assert streamed([chunk({"content": "a"})]).input_tokens is None


def test_filters_early_ends_and_empty_chunks_of_a_stream():
    """Azure's first chunk has no choice, its filters no delta; a reason to end may come before the last text."""
    chunks = [
        {"id": "", "model": "", "choices": [], "prompt_filter_results": [{"prompt_index": 0}]},
        chunk({"role": "assistant", "content": ""}),
        {"model": "m", "choices": [{"index": 0, "finish_reason": None, "content_filter_results": {}}]},
        chunk({"content": "4"}, "stop"),
        chunk({"content": "2"}, None),
        chunk({"content": "other"}, choice=1),
        {"model": "m", "choices": None},
        {"model": "m"},
    ]
    reply = streamed(chunks)
    assert (reply.text, reply.finish_reason, reply.model) == ("42", "stop", "m")


RESPONSE = {"id": "r", "object": "response", "model": "m", "status": "completed", "tools": [], "error": None}
RESPONSE |= {"created_at": 1, "parallel_tool_calls": True, "tool_choice": "auto"}
REASONING = {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Count."}]}
SAID = {"type": "message", "id": "msg", "role": "assistant", "status": "completed"}


def message(*parts):
    return {**SAID, "content": list(parts)}


def output_text(text):
    return {"type": "output_text", "text": text, "annotations": []}


ITEMS = {
    "one text": ([message(output_text("42"))], "42"),
    "several texts": ([message(output_text("4"), output_text("2"))], "42"),
    "several messages": ([message(output_text("4")), message(output_text("2"))], "42"),
    "reasoning before it": ([REASONING, message(output_text("42"))], "42"),
    "reasoning as content": (
        [
            {**REASONING, "summary": [], "content": [{"type": "reasoning_text", "text": "Count."}]},
            message(output_text("42")),
        ],
        "42",
    ),
    "a refusal": ([message({"type": "refusal", "refusal": "I can't."})], None),
    "a call": ([{"type": "function_call", "id": "f", "call_id": "c", "name": "weather", "arguments": OSLO}], None),
    "searched before it": (
        [
            {"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search", "query": "x"}},
            {"type": "file_search_call", "id": "f", "status": "completed", "queries": ["x"], "results": None},
            message(output_text("42")),
        ],
        "42",
    ),
    "nothing": ([], None),
}


@pytest.mark.parametrize("form", ITEMS)
def test_the_text_of_a_response_is_the_sdks_output_text(form):
    """Reasoning, refusals and hosted tools are none of it."""
    output, text = ITEMS[form]
    body = {**RESPONSE, "output": output}
    typed = construct_type(value=body, type_=Response)
    reply = read_reply(body)
    assert reply == read_reply(typed)
    assert reply.text == text
    assert (reply.text or "") == typed.output_text
    assert reply.reasoning == ("Count." if form.startswith("reasoning") else None)
    assert reply.refusal == ("I can't." if form == "a refusal" else None)
    assert asked(reply) == ([WEATHER] if form == "a call" else [])


def test_calls_of_a_response_are_the_applications_or_the_providers():
    """What has a call id the application is to run; all else the provider has run, where nobody can stub it."""
    output = [
        {"type": "custom_tool_call", "id": "1", "call_id": "c1", "name": "sql", "input": "select 1"},
        {
            "type": "local_shell_call",
            "id": "2",
            "call_id": "c2",
            "action": {"type": "exec", "command": ["ls"], "env": {}},
        },
        {"type": "computer_call", "id": "3", "call_id": "c3", "action": {"type": "click", "x": 1, "y": 2}},
        {
            "type": "mcp_call",
            "id": "4",
            "server_label": "crm",
            "name": "close",
            "arguments": '{"id": 7}',
            "output": "ok",
        },
        {"type": "mcp_call", "id": "5", "server_label": "crm", "name": "close", "arguments": "{}", "error": "gone"},
        {
            "type": "code_interpreter_call",
            "id": "6",
            "code": "1+1",
            "container_id": "x",
            "outputs": [],
            "status": "completed",
        },
        {"type": "web_search_call", "id": "7", "status": "failed", "action": {"type": "search", "query": "x"}},
        {"type": "mcp_list_tools", "id": "8", "server_label": "crm", "tools": []},
    ]
    body = {**RESPONSE, "output": output}
    reply = read_reply(body)
    assert [call.name for call in reply.tool_calls] == ["sql", "local_shell", "computer"]
    assert reply.tool_calls[0].arguments == {"input": "select 1"}
    assert reply.tool_calls[1].arguments["command"] == ["ls"]
    hosted = [(call.name, call.effect, call.result, call.error) for call in reply.hosted]
    assert hosted == [
        ("close", "unknown", "ok", None),
        ("close", "unknown", None, "gone"),
        ("code_interpreter", "read", [], None),
        ("web_search", "read", None, "failed"),
    ]
    typed = read_reply(construct_type(value=body, type_=Response))
    assert [call.name for call in typed.tool_calls] == [call.name for call in reply.tool_calls]
    assert [(c.name, c.effect, c.error) for c in typed.hosted] == [(n, e, f) for n, e, _, f in hosted]


def event(kind, **more):
    return {"type": f"response.{kind}", "sequence_number": 0, **more}


TALK = [
    event("created", response={**RESPONSE, "status": "in_progress", "output": []}),
    event("output_item.added", output_index=0, item={"type": "reasoning", "id": "rs", "summary": []}),
    event("reasoning_summary_text.delta", output_index=0, item_id="rs", summary_index=0, delta="Count."),
    event("output_item.added", output_index=1, item={**SAID, "content": []}),
    event("output_text.delta", output_index=1, item_id="msg", content_index=0, delta="4", logprobs=[]),
    event("output_text.delta", output_index=1, item_id="msg", content_index=0, delta="2", logprobs=[]),
    event(
        "output_item.added",
        output_index=2,
        item={"type": "function_call", "id": "f1", "call_id": "c1", "name": "weather", "arguments": ""},
    ),
    event(
        "output_item.added",
        output_index=3,
        item={"type": "function_call", "id": "f2", "call_id": "c2", "name": "time", "arguments": ""},
    ),
    event("function_call_arguments.delta", output_index=2, item_id="f1", delta=OSLO[:4]),
    event("function_call_arguments.delta", output_index=3, item_id="f2", delta=CET[:4]),
    event("function_call_arguments.delta", output_index=2, item_id="f1", delta=OSLO[4:]),
    event("function_call_arguments.done", output_index=3, item_id="f2", arguments=CET, name="time"),
]
TALK_OUTPUT = [
    REASONING,
    message(output_text("42")),
    {"type": "function_call", "id": "f1", "call_id": "c1", "name": "weather", "arguments": OSLO},
    {"type": "function_call", "id": "f2", "call_id": "c2", "name": "time", "arguments": CET},
]
ENDS = {
    "completed": [event("completed", response={**RESPONSE, "output": TALK_OUTPUT})],
    "completed without output": [event("completed", response={**RESPONSE, "output": []})],
    "incomplete": [event("incomplete", response={**RESPONSE, "status": "incomplete", "output": TALK_OUTPUT})],
    "items only": [event("output_item.done", output_index=at, item=item) for at, item in enumerate(TALK_OUTPUT)],
    "cut": [],
}


@pytest.mark.parametrize("form", ENDS)
def test_a_streamed_response_is_what_it_would_be_whole(form):
    """From its last event, or from its items where that has none or never comes."""
    reply = streamed([*TALK, *ENDS[form]], ResponseStreamEvent)
    assert (reply.text, reply.reasoning, asked(reply)) == ("42", "Count.", [WEATHER, TIME])
    assert reply.error is None
    assert reply.finish_reason == {"incomplete": "incomplete", "items only": "in_progress", "cut": "in_progress"}.get(
        form, "completed"
    )


FAILURES = {
    "failed": event(
        "failed",
        response={**RESPONSE, "status": "failed", "output": [], "error": {"code": "server_error", "message": "down"}},
    ),
    "error": {"type": "error", "code": "server_error", "message": "down", "param": None, "sequence_number": 1},
    "failed, and does not say why": event("failed", response={**RESPONSE, "status": "failed", "output": []}),
}


@pytest.mark.parametrize("form", FAILURES)
def test_a_stream_that_says_that_it_failed_has_failed(form):
    """The SDK raises for none of these: what came before is no answer."""
    reply = streamed([*TALK, FAILURES[form]], ResponseStreamEvent)
    assert reply.error == ("the response is failed" if "not" in form else "server_error: down")


def test_an_answer_that_says_that_it_failed_is_a_failure(client, server, kept, mirror):
    """Of the incumbent as of a candidate that returns it: whole, streamed, and a body that is an error."""
    mirrored_client(client, mirror)
    failed = {**RESPONSE, "status": "failed", "output": [], "error": {"code": "server_error", "message": "down"}}
    server.answers += [failed, [event("failed", response=failed)], {"error": {"code": 502, "message": "no provider"}}]
    with pytest.raises(ModelFailedError, match="down"):
        reply_of(client.responses.create(model="m", input="a"))
    list(client.responses.create(model="m", input="b", stream=True))
    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "c"}])
    failures = [envelope.served.failure for envelope in kept.envelopes]
    assert [failure.error_type for failure in failures] == ["ModelFailedError"] * 3
    assert "no provider" in failures[2].message


def test_results_go_by_the_calls_id_never_by_its_name(client, server):
    """Four calls of one plain function are recorded as four with their own results; a declared one records itself."""

    @tool(effect="read")
    def look(city):
        return f"look {city}"

    asks = [
        {"id": f"c{n}", "type": "function", "function": {"name": "refund", "arguments": json.dumps({"n": n})}}
        for n in range(4)
    ]
    asks.append({"id": "c9", "type": "function", "function": {"name": "look", "arguments": OSLO}})
    answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    answer["choices"] = [{"index": 0, "message": {"role": "assistant", "content": None, "tool_calls": asks}}]
    server.answers.append(answer)
    watch(client)
    recorder = Recorder()
    with recording(recorder):
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "go"}])
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "something else"}])
        back = [{"role": "tool", "tool_call_id": f"c{n}", "content": f"done {n}"} for n in (2, 0, 3, 1)]
        back.append({"role": "tool", "tool_call_id": "c9", "content": look(city="Oslo")})
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "go"}, *back])
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": "go"}, *back])
    assert recorder.fault is None
    done = [(call.name, call.arguments, call.result) for call in recorder.parts().tool_calls]
    assert done == [("look", {"city": "Oslo"}, "look Oslo"), *(("refund", {"n": n}, f"done {n}") for n in range(4))]


BILLED = {
    "chat": (
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "prompt_tokens_details": {"cached_tokens": 60, "audio_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 7},
        },
        {"cached_input": 60, "audio_input": 5, "reasoning": 0, "audio_output": 7},
    ),
    "DeepSeek": ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_cache_hit_tokens": 4}, {"cached_input": 4}),
    "nothing": ({"prompt_tokens": 9, "completion_tokens": 1, "prompt_tokens_details": None}, {}),
    "what is no number": ({"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": "four"}}, {}),
}


@pytest.mark.parametrize("form", BILLED)
@pytest.mark.parametrize("streamed", [False, True])
def test_tokens_that_are_billed_apart(form, streamed):
    """As kinds; 0 is said too, and what nobody said is not there."""
    usage, kinds = BILLED[form]
    if streamed:
        reply = StreamedReply()
        for each in (chunk({"content": "a"}), {**chunk(), "choices": [], "usage": usage}):
            reply.add(construct_type(type_=ChatCompletionChunk, value=each))
        assert reply.reply().tokens == kinds
    else:
        choice = {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "a"}}
        whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}
        assert read_reply(construct_type(type_=ChatCompletion, value={**whole, "usage": usage})).tokens == kinds
        assert read_reply({**whole, "usage": usage}).tokens == kinds


def test_they_are_recorded_with_the_provider(client, server):
    """A step has them, and a run their sum; a host that is nobody's known is named as it is."""
    details = {"input_tokens_details": {"cached_tokens": 3}, "output_tokens_details": {"reasoning_tokens": 2}}
    message = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "a"}]}
    answer = {"id": "r", "object": "response", "model": "m", "status": "completed", "output": [message]}
    server.answers += [{**answer, "usage": {"input_tokens": 5, "output_tokens": 4, **details}}] * 2
    recorder = Recorder()
    with recording(recorder):
        for _ in range(2):
            watch(client).responses.create(model="m", input="q")
    parts = recorder.parts()
    assert [step.tokens for step in parts.steps] == [{"cached_input": 3, "reasoning": 2}] * 2
    assert parts.usage.tokens == {"cached_input": 6, "reasoning": 4}
    assert {step.provider for step in parts.steps} == {"127.0.0.1"}
