import asyncio

import openai
import pytest
from openai import AsyncStream, Stream
from openai.types.chat import ChatCompletion

from shadoweval import codec, current_query
from shadoweval.adapters.openai import mirrored_client, reply_of, watch
from shadoweval.capture import Recorder, recording, tool
from shadoweval.capture.interception import installed
from tests.garbage import collect

ASK = {"model": "m", "messages": [{"role": "user", "content": "what is a list"}]}
TOOLS = [
    {
        "type": "function",
        "function": {"name": "search", "parameters": {"type": "object", "properties": {"query": {"type": "string"}}}},
    }
]


def text_of(stream):
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


def recorded(run):
    recorder = Recorder()
    with recording(recorder):
        value = run()
    assert recorder.fault is None
    return value, recorder.parts()


def test_a_watched_client_is_itself_and_gives_the_same(client):
    """Watching changes neither the client nor what it returns, inside a recording or outside."""
    plain = client.chat.completions.create(**ASK)
    assert watch(client) is client
    value, parts = recorded(lambda: client.chat.completions.create(**ASK))
    assert type(value) is ChatCompletion
    assert value == plain == client.chat.completions.create(**ASK)
    (step,) = parts.steps
    assert (step.kind, step.name, step.input_tokens, step.output_tokens) == ("model", "m", 7, 5)
    assert parts.usage.input_tokens == 7


def test_a_stream_stays_a_stream_and_tells_its_tokens_and_first_chunk(client):
    """A stream is the SDK's own object; its tokens and the time to its first chunk are recorded at its end."""
    watch(client)

    def run():
        stream = client.chat.completions.create(**ASK, stream=True, stream_options={"include_usage": True})
        assert type(stream) is Stream
        return text_of(stream)

    value, parts = recorded(run)
    assert value == "echo: what is a list"
    (step,) = parts.steps
    assert (step.input_tokens, step.output_tokens) == (7, 5)
    assert 0 < step.first_chunk <= step.duration


@pytest.mark.parametrize("how", ["close", "with", "drop"])
def test_a_stream_left_early_is_recorded_without_an_error(client, how):
    """Reading on is the app's decision: closed, left or dropped, a stream is one model call without an error."""
    watch(client)

    def run():
        stream = client.chat.completions.create(**ASK, stream=True)
        if how == "with":
            with stream:
                next(stream)
        else:
            next(stream)
            if how == "close":
                stream.close()
        assert how == "drop" or stream.response.is_closed
        del stream
        collect()  # the SDK's streams refer to themselves

    _, parts = recorded(run)
    (step,) = parts.steps
    assert step.error is None
    assert step.first_chunk is not None


def test_the_streaming_helper_and_responses_are_recorded(client):
    """`.stream()` helpers, responses and their streams pass the same place as `create`."""
    watch(client)
    chat = client.chat if hasattr(client.chat.completions, "stream") else client.beta.chat  # before openai 1.92

    def run():
        with chat.completions.stream(**ASK) as stream:
            final = stream.get_final_completion()
        answer = client.responses.create(model="m", input="hello")
        events = list(client.responses.create(model="m", input="hello", stream=True))
        vectors = client.embeddings.create(model="e", input=["a"], encoding_format="float")
        return final.choices[0].message.content, answer.output_text, events[-1].type, len(vectors.data)

    value, parts = recorded(run)
    assert value == ("echo: what is a list", "echo: hello", "response.completed", 1)
    assert [step.name for step in parts.steps] == ["m", "m", "m", "e"]
    assert [step.input_tokens for step in parts.steps] == [None, 5, 5, 4]


def test_raw_responses_and_copies_are_recorded(client):
    """`with_raw_response`, a raw stream, `with_streaming_response` and `with_options` are recorded like others."""
    watch(client)

    def run():
        raw = client.chat.completions.with_raw_response.create(**ASK)
        stream = client.chat.completions.with_raw_response.create(**ASK, stream=True).parse()
        with client.chat.completions.with_streaming_response.create(**ASK) as streaming:
            late = streaming.parse()
        copy = client.with_options(timeout=9).copy(max_retries=0).chat.completions.create(**ASK)
        return raw.parse() == copy == late, text_of(stream)

    value, parts = recorded(run)
    assert value == (True, "echo: what is a list")
    assert [step.output_tokens for step in parts.steps] == [5, 5, 5, None]


def test_a_refused_request_is_recorded_and_raised_as_it_is(client, server):
    """An error of the API reaches the caller as the same exception, and the record with its status."""
    watch(client)
    server.faults.append(429)
    recorder = Recorder()
    with recording(recorder), pytest.raises(openai.RateLimitError, match="injected 429"):
        client.chat.completions.create(**ASK)
    (step,) = recorder.parts().steps
    assert step.error.startswith("RateLimitError: Error code: 429")


def converse(client, call):
    messages = list(ASK["messages"])
    first = client.chat.completions.create(model="m", messages=messages, tools=TOOLS)
    asked = first.choices[0].message
    messages.append(asked.model_dump(exclude_none=True))
    for wanted in asked.tool_calls:
        messages.append({"role": "tool", "tool_call_id": wanted.id, "content": call(query="what is a list")})
    return client.chat.completions.create(model="m", messages=messages).choices[0].message.content


def test_a_tool_call_is_recorded_with_the_result_that_comes_back(client):
    """A plain function that the model asked for is recorded with its arguments and result, once."""
    watch(client)
    value, parts = recorded(lambda: converse(client, lambda query: f"found {query}"))
    assert value == "echo: found what is a list"
    (call,) = parts.tool_calls
    assert (call.name, call.arguments, call.result) == ("search", {"query": "what is a list"}, "found what is a list")
    assert (call.effect, call.occurrence) == ("unknown", 1)


def test_a_declared_tool_records_itself(client):
    """A `@tool` function that the model asked for is recorded by itself, and not a second time."""

    @tool(effect="read")
    def search(query):
        return f"found {query}"

    watch(client)
    _, parts = recorded(lambda: converse(client, search))
    (call,) = parts.tool_calls
    assert (call.effect, call.occurrence, call.result) == ("read", 1, "found what is a list")


def test_function_calls_of_responses_are_recorded(client):
    """The responses API's calls and outputs are matched by their id."""
    watch(client)
    tools = [{"type": "function", "name": "search", "parameters": {"type": "object", "properties": {}}}]

    def run():
        first = client.responses.create(model="m", input="lists", tools=tools)
        back = {"type": "function_call_output", "call_id": first.output[0].call_id, "output": "found"}
        return client.responses.create(model="m", input=[back], previous_response_id=first.id).output_text

    value, parts = recorded(run)
    assert value == "echo: found"
    assert [(c.name, c.arguments, c.result) for c in parts.tool_calls] == [("search", {"query": "lists"}, "found")]


def test_async_clients_are_recorded_task_by_task(aclient):
    """Concurrent recordings on one async client keep their calls apart; streams close early without an error."""

    async def one(client, number):
        recorder = Recorder()
        with recording(recorder):
            stream = await client.chat.completions.create(
                model=f"m{number}", messages=[{"role": "user", "content": "x " * number}], stream=True
            )
            assert type(stream) is AsyncStream
            async for _ in stream:
                if number % 2:
                    break
            await stream.close()
            await client.responses.create(model=f"m{number}", input="a")
        return recorder

    async def main():
        client = watch(aclient())
        found = await asyncio.gather(*(one(client, number) for number in range(8)))
        await client.close()
        return found

    for number, recorder in enumerate(asyncio.run(main())):
        steps = recorder.parts().steps
        assert [(step.name, step.error) for step in steps] == [(f"m{number}", None)] * 2


def test_each_request_of_a_mirrored_client_is_a_query(client, kept, mirror_with, counted):
    """A chat completion, a response, a stream and a failed request make one query each; embeddings make none."""
    mirror = mirror_with()
    assert mirrored_client(client, mirror) is client
    plain = client.chat.completions.create(**ASK)
    assert plain.choices[0].message.content == "echo: what is a list"
    assert text_of(client.chat.completions.create(**ASK, stream=True)) == "echo: what is a list"
    client.responses.create(model="m", input="hello")
    client.embeddings.create(model="e", input="a", encoding_format="float")
    chat, stream, response = kept.envelopes
    args, kwargs = codec.thaw(chat.query.inputs)
    assert (args, kwargs, chat.query.text) == ((), ASK, "what is a list")
    assert chat.served.outcome.answer == "echo: what is a list"
    assert (chat.served.outcome.chunks, chat.served.usage.output_tokens) == (None, 5)
    assert codec.thaw(stream.query.inputs)[1] == {**ASK, "stream": True}
    assert stream.served.outcome.answer == chat.served.outcome.answer
    assert stream.served.outcome.chunks == 7
    assert stream.served.first_chunk is not None
    assert (response.query.text, response.served.outcome.answer) == ("hello", "echo: hello")
    assert counted(mirror) == {"eligible": 3, "mirrored": 3}


def test_tool_calls_failures_and_abandoned_streams_of_a_mirrored_client(client, server, kept, mirror):
    """What the model asks for is part of its answer, and was not done; an error is a failure; left early is aborted."""
    mirrored_client(client, mirror)
    client.chat.completions.create(**ASK, tools=TOOLS)
    server.faults.append(500)
    with pytest.raises(openai.InternalServerError):
        client.chat.completions.create(**ASK)
    stream = client.chat.completions.create(**ASK, stream=True)
    next(stream)
    stream.close()
    asked, failed, left = (envelope.served for envelope in kept.envelopes)
    assert asked.outcome.value["tool_calls"] == [{"name": "search", "arguments": {"query": "what is a list"}}]
    assert asked.outcome.tool_calls == ()  # nobody has run it: a candidate's answer asks in the same way
    assert (asked.outcome.answer, asked.outcome.value["finish_reason"]) == (None, "tool_calls")
    assert (failed.failure.kind, failed.failure.error_type) == ("error", "InternalServerError")
    assert failed.failure.step == "m"
    assert left.failure.kind == "aborted"


def test_the_mirror_sees_a_reply_as_a_candidate_may_return_it(client, kept, mirror_with):
    """`outcome=` gets the reply as data, in the form that `reply_of` gives a candidate's own response."""
    seen = []
    mirrored_client(client, mirror_with(outcome=lambda reply: seen.append(reply) or reply["content"].upper()))
    response = client.chat.completions.create(**ASK)
    assert seen == [reply_of(response)]
    assert kept.only.served.outcome.answer == "ECHO: WHAT IS A LIST"


def test_a_mirrored_async_client_counts_every_call(aclient, kept, mirror, counted):
    """Concurrent calls of one async client are one query each, with their own inputs."""

    async def main():
        client = mirrored_client(aclient(), mirror)
        await asyncio.gather(*(client.responses.create(model="m", input=f"q{n}") for n in range(10)))
        await client.close()

    asyncio.run(main())
    assert {e.query.text: e.served.outcome.answer for e in kept.envelopes} == {
        f"q{n}": f"echo: q{n}" for n in range(10)
    }
    assert counted(mirror) == {"eligible": 10, "mirrored": 10}


def test_a_request_inside_another_pipeline_belongs_to_it(client, kept, mirror):
    """A mirrored function that uses a mirrored client is one query, with the client's call as its step."""
    watch(mirrored_client(client, mirror))

    @mirror
    def answer(question):
        return client.responses.create(model="m", input=question).output_text

    assert answer("hello") == "echo: hello"
    envelope = kept.only
    assert envelope.query.entry.endswith("answer")
    assert [step.name for step in envelope.served.steps] == ["m"]


def test_a_fault_of_the_capture_is_kept_from_the_caller(client, kept, mirror, counted, monkeypatch):
    """What goes wrong in reading a reply reaches nobody; the call is counted as a fault."""

    def broken(response):
        raise LookupError("broken")

    monkeypatch.setattr("shadoweval.adapters.openai.recording.read_reply", broken)
    mirrored_client(client, mirror)
    assert client.responses.create(model="m", input="hello").output_text == "echo: hello"
    assert not kept.frames
    assert counted(mirror) == {"eligible": 1, "fault_snapshot": 1}


@pytest.mark.parametrize("raw", [False, True])
def test_a_stream_that_nobody_reads_is_aborted(client, kept, mirror, counted, raw):
    """Dropped before its first chunk: the call is counted, and nobody watches tools for it any more."""
    watching = installed.watching
    completions = mirrored_client(client, mirror).chat.completions
    stream = (completions.with_raw_response if raw else completions).create(**ASK, stream=True)
    (stream.http_response if raw else stream.response).close()
    del stream
    collect()
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}
    assert kept.only.served.failure.kind == "aborted"
    assert installed.watching == watching


def test_a_mirrored_completion_knows_its_query(client, kept, mirror):
    """Streamed or whole, its caller can name it once it is there."""
    completions = mirrored_client(client, mirror).chat.completions
    completions.create(**ASK)
    first = current_query()
    for _ in completions.create(**ASK, stream=True):
        pass
    assert [first, current_query()] == [envelope.id for envelope in kept.envelopes]
