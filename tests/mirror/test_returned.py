"""What an incumbent returns and its caller consumes later: watched on the way, never consumed or changed by us."""

import asyncio
import concurrent.futures
import copy
import inspect
import io
import itertools
import logging
import types
from typing import Any, NamedTuple

import pytest
from starlette.responses import JSONResponse, StreamingResponse

from shadoweval.capture import tool
from shadoweval.capture.interception import installed
from shadoweval.mirror import Mirror
from tests.garbage import collect


@tool(effect="read")
def look_up(question):
    return f"found {question}"


def pieces(question):
    yield "because "
    yield look_up(question)


async def awaited_pieces(question):
    for piece in pieces(question):
        yield piece


async def gathered(chunks):
    return [chunk async for chunk in chunks]


async def sent(response):
    """The body of a response, as a server sends it."""
    body = b""

    async def receive():
        await asyncio.Event().wait()

    async def send(message):
        nonlocal body
        body += message.get("body", b"")

    await response({"type": "http", "asgi": {"spec_version": "2.4"}, "headers": []}, receive, send)
    return body


def streaming(body, media_type):
    return StreamingResponse(iter([body]), media_type=media_type)


class Pair(NamedTuple):
    answer: Any
    sources: Any


WHOLE = "because found q"
WATCHED = {
    "generator": (lambda: pieces("q"), list),
    "async generator": (lambda: awaited_pieces("q"), lambda chunks: asyncio.run(gathered(chunks))),
    "map": (lambda: map(str, pieces("q")), list),
    "filter": (lambda: filter(None, pieces("q")), list),
    "chain": (lambda: itertools.chain(["because "], [look_up("q")]), list),
    "islice": (lambda: itertools.islice(pieces("q"), 5), list),
    "mapping": (lambda: {"answer": pieces("q"), "n": 1}, lambda value: list(value["answer"])),
    "namedtuple": (lambda: Pair(pieces("q"), []), lambda value: list(value.answer)),
    "response": (lambda: StreamingResponse(awaited_pieces("q")), lambda value: asyncio.run(sent(value))),
    "coroutine": (lambda: asyncio.sleep(0, WHOLE), asyncio.run),
    "future": (
        lambda: concurrent.futures.ThreadPoolExecutor(1).submit(lambda: WHOLE),
        lambda future: (future.result(), concurrent.futures.wait([future])),
    ),
}


@pytest.fixture(autouse=True)
def _no_call_is_left_open():
    before = installed.watching
    yield
    collect()
    assert installed.watching == before


@pytest.mark.parametrize("kind", WATCHED)
def test_the_answer_is_recorded_when_its_caller_has_consumed_it(kind, mirror, kept, counted):
    """What comes back is of the same type, and nothing is recorded before the last chunk is taken."""
    make, consume = WATCHED[kind]
    value = mirror(lambda question: make())("q")
    assert type(value) is type(make_and_drop(make))
    if kind != "future":
        assert kept.frames == []
    consume(value)
    outcome = kept.only.served.outcome
    assert WHOLE in (outcome.answer, *(outcome.value if kind == "namedtuple" else ()))
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}


def make_and_drop(make):
    """Another of its kind, only to look at."""
    value = make()
    if inspect.iscoroutine(value):
        value.close()
    return value


@pytest.mark.parametrize("kind", WATCHED)
def test_a_control_call_passes_it_on_as_well(kind, mirror_with, counted):
    """It is timed until its end, and leaves no record."""
    make, consume = WATCHED[kind]
    mirror = mirror_with(control=1.0)
    consume(mirror(lambda question: make())("q"))
    assert counted(mirror) == {"eligible": 1, "control": 1}


def test_what_runs_while_it_is_consumed_is_part_of_the_call(mirror, kept):
    """Tool calls of a lazy body belong to it; its time lasts until the last chunk."""
    list(mirror(pieces_later)("q"))
    served = kept.only.served
    assert [call.name for call in served.tool_calls] == ["look_up"]
    assert served.outcome.chunks == 2
    assert served.first_chunk <= served.duration


def pieces_later(question):
    return pieces(question)


def test_a_failure_on_the_way_is_the_incumbents(mirror, kept):
    """The caller gets it, the record has it."""

    def broken(question):
        yield question
        raise RuntimeError("down")

    stream = mirror(lambda question: broken(question))("q")
    assert next(stream) == "q"
    with pytest.raises(RuntimeError, match="down"):
        next(stream)
    assert kept.only.served.failure.error_type == "RuntimeError"


@pytest.mark.parametrize("take", [0, 1])
def test_one_that_is_dropped_is_aborted(take, mirror, kept, counted):
    """Its caller went away, before the first chunk or after it."""
    stream = mirror(pieces_later)("q")
    for _ in range(take):
        next(stream)
    del stream
    assert kept.only.served.failure.kind == "aborted"
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}


UNWATCHED = {
    "zip": lambda: zip("ab", "cd", strict=True),
    "iterator": lambda: iter([1, 2]),
    "begun": lambda: begun(),
    "file": lambda: io.BytesIO(b"x"),
    "deep inside": lambda: {"a": [{"b": (pieces("q"),)}]},
}


def begun():
    stream = pieces("q")
    next(stream)
    return stream


@pytest.mark.parametrize("kind", UNWATCHED)
def test_what_nobody_can_watch_is_uncopyable(kind, mirror, kept, counted):
    """The caller gets the very object, and no record says that nothing was answered."""
    value = UNWATCHED[kind]()
    assert mirror(lambda question: value)("q") is value
    assert (kept.frames, counted(mirror)) == ([], {"eligible": 1, "uncopyable": 1})


def test_the_reason_names_what_was_returned(kept, caplog):
    """Once a minute, in words with a way out."""
    value = zip("ab", "cd", strict=True)
    with caplog.at_level(logging.WARNING):
        Mirror("a name of its own", kept, control=0.0)(lambda question: value)("q")
    assert "its caller consumes the zip later" in caplog.text
    assert "mirror the generator that makes its chunks" in caplog.text


def test_manners_of_a_generator_stay(mirror):
    """Name, what is sent, what is thrown, what it returns."""

    def talk(question):
        got = yield question
        try:
            yield got
        except KeyError:
            yield "caught"
        return 7

    stream = mirror(lambda question: talk(question))("q")
    assert (stream.__name__, type(stream)) == ("talk", types.GeneratorType)
    assert (next(stream), stream.send("more"), stream.throw(KeyError())) == ("q", "more", "caught")
    with pytest.raises(StopIteration) as stop:
        next(stream)
    assert stop.value.value == 7


def test_a_response_stays_the_same_object(mirror, kept):
    """Its body passes through byte by byte; status and type are recorded."""
    response = StreamingResponse(awaited_pieces("q"), media_type="text/plain")
    assert mirror(lambda question: response)("q") is response
    assert asyncio.run(sent(response)) == WHOLE.encode()
    assert kept.only.served.outcome.value == {
        "status": 200, "content_type": "text/plain; charset=utf-8", "body": WHOLE, "answer": WHOLE,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("response", "error_type"),
    [
        (JSONResponse({"detail": "no"}, status_code=503), "StatusError"),
        (StreamingResponse(iter(['event: error\ndata: "down"\n\n']), media_type="text/event-stream"), "StreamedError"),
        (
            StreamingResponse(iter(['data: {"error": {"code": 1}}\n\n']), media_type="text/event-stream"),
            "StreamedError",
        ),
        (StreamingResponse(iter(['{"a": 1}\n{"error": "x"}\n']), media_type="application/x-ndjson"), "StreamedError"),
        (StreamingResponse(iter(['{"a": ']), media_type="application/json"), "BrokenBodyError"),
    ],
)
def test_a_response_that_says_that_it_failed_is_a_failure(response, error_type, mirror, kept):
    """Nothing was raised, and the user got no answer all the same."""
    asyncio.run(sent(mirror(lambda question: response)("q")))
    assert kept.only.served.failure.error_type == error_type


def test_a_task_is_told_of_when_it_is_done(mirror, kept):
    """The same task goes to the caller; its failure stays one that is never retrieved."""

    async def answer(question):
        await asyncio.sleep(0)
        return look_up(question)

    async def fails(question):
        raise LookupError(question)

    async def served(pipeline):
        task = mirror(lambda question: asyncio.get_running_loop().create_task(pipeline(question)))("q")
        assert type(task) is asyncio.Task
        try:
            return await task
        finally:
            await asyncio.sleep(0)

    assert asyncio.run(served(answer)) == "found q"
    with pytest.raises(LookupError):
        asyncio.run(served(fails))
    first, second = (envelope.served for envelope in kept.envelopes)
    assert (first.outcome.answer, [call.name for call in first.tool_calls]) == ("found q", ["look_up"])
    assert second.failure.error_type == "LookupError"


def test_the_record_of_a_container_is_as_it_was_returned(mirror, kept):
    """What its caller makes of it afterwards is not in the record."""
    reply = mirror(lambda question: {"answer": pieces(question), "sources": ["a"]})("q")
    reply["sources"] = copy.copy(reply["sources"])
    reply["mine"] = list(reply["answer"])
    assert kept.only.served.outcome.value == {"answer": WHOLE, "sources": ["a"]}
