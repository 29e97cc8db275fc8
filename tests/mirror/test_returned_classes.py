"""Values whose class is not what its methods make one think: their caller gets them as without us."""

import asyncio
import concurrent.futures
import io
import threading
from dataclasses import dataclass
from typing import Any

import pytest

from shadoweval.capture.interception import installed
from tests.garbage import collect


@pytest.fixture(autouse=True)
def _no_call_is_left_open():
    before = installed.watching
    yield
    collect()
    assert installed.watching == before


class Unhashable(type):
    """Classes that compare by identity and, as Python has it, lose their hash with that."""

    def __eq__(cls, other):
        return cls is other


class Odd(metaclass=Unhashable):
    pass


@dataclass
class Holder:
    value: Any


HOLDING = {
    "itself": lambda value: value,
    "dict": lambda value: {"answer": value},
    "list": lambda value: [value],
    "tuple": lambda value: (value, 1),
    "record": Holder,
    "deep": lambda value: {"a": [{"b": value}]},
}


@pytest.mark.parametrize("holding", HOLDING)
def test_a_class_that_can_not_be_hashed_reaches_its_caller(holding, mirror, kept, counted):
    """Nothing is raised, the call is over and counted, and the next one is mirrored."""
    odd = Odd()

    @mirror
    def answer(question):
        return question if question == "next" else HOLDING[holding](odd)

    assert answer("q") == answer("q") == HOLDING[holding](odd)
    assert (answer("next"), len(kept.frames)) == ("next", 1)
    assert counted(mirror)["uncopyable"] == 2


@pytest.mark.asyncio
async def test_nor_of_a_coroutine_function(mirror, counted):
    """As above, and with a class of such an argument."""

    @mirror
    async def answer(question):
        return {"answer": Odd()}

    assert type((await answer("q"))["answer"]) is Odd
    assert type((await answer({"question": Odd()}))["answer"]) is Odd
    assert counted(mirror)["eligible"] == 2


class Tokens:
    """Begins to iterate when its first token is asked for, and keeps its iterator under a name that SDKs use too."""

    def __init__(self, source):
        self.source, self._iterator = source, None

    def __iter__(self):
        return self

    def __next__(self):
        if self._iterator is None:
            self._iterator = iter(self.source)
        return next(self._iterator)


class BegunTokens(Tokens):
    """Has the iterator from the start."""

    def __init__(self, source):
        super().__init__(source)
        self._iterator = (token for token in source)


class AwaitedTokens(Tokens):
    __next__ = None

    def __aiter__(self):
        return self

    async def __anext__(self):
        return super().__next__()


@pytest.mark.parametrize("kind", [Tokens, BegunTokens])
@pytest.mark.parametrize("holding", ["itself", "dict"])
def test_an_iterator_of_somebody_else_is_left_alone(kind, holding, mirror, kept, counted):
    """Nobody can watch it without changing it."""
    tokens = kind(["a", "b"])
    attributes = dict(vars(tokens))
    returned = mirror(lambda question: HOLDING[holding](tokens))("q")
    assert vars(tokens) == attributes
    assert list(returned["answer"] if holding == "dict" else returned) == ["a", "b"]
    assert (kept.frames, counted(mirror)) == ([], {"eligible": 1, "uncopyable": 1})


class ForeignFuture:
    """What dask, grpc and others call a future: it has the method, and nothing else of Python's own."""

    def __init__(self):
        self.callbacks = []

    def add_done_callback(self, callback):
        self.callbacks.append(callback)

    def cancelled(self):
        return False

    def result(self):
        return "because"


def test_a_future_of_somebody_else_is_left_alone(mirror, kept, counted):
    """It gets no callback of ours."""
    future = ForeignFuture()
    assert mirror(lambda question: future)("q") is future
    assert (future.callbacks, kept.frames, counted(mirror)) == ([], [], {"eligible": 1, "uncopyable": 1})


class UnreadableFuture(concurrent.futures.Future):
    """One whose state can't be read."""

    def cancelled(self):
        raise LookupError("no state")


def test_a_future_that_can_not_be_read_is_counted(mirror, kept, counted, caplog):
    """Whoever completes it sees nothing of ours, not even in a log of callbacks that raise."""
    future = UnreadableFuture()
    mirror(lambda question: future)("q")
    future.set_result("because")
    assert "exception calling callback" not in caplog.text
    assert (kept.frames, counted(mirror)) == ([], {"eligible": 1, "fault_outcome": 1})


@pytest.mark.asyncio
async def test_futures_of_python_are_watched(mirror, kept):
    """A gathering of tasks is one as well."""
    loop = asyncio.get_running_loop()
    gathered = mirror(lambda question: asyncio.gather(asyncio.sleep(0, "a"), asyncio.sleep(0, "b")))("q")
    assert await gathered == ["a", "b"]
    bare = mirror(lambda question: loop.create_future())("q")
    bare.set_result("c")
    assert await bare == "c"
    await asyncio.sleep(0)
    outcomes = [envelope.served.outcome for envelope in kept.envelopes]
    assert [outcome.value or outcome.answer for outcome in outcomes] == [["a", "b"], "c"]


class Body:
    """An iterable body that holds a connection."""

    def __init__(self):
        self.closed = 0

    def __iter__(self):
        yield b"beca"
        yield b"use"

    def close(self):
        self.closed += 1


def response_class():
    """As Werkzeug's responses are, whose class is known by its name."""

    class Response:
        status_code, is_streamed, direct_passthrough = 200, True, False

        def __init__(self, response):
            self.response, self.headers = response, {"content-type": "text/plain"}

        def get_data(self):
            raise RuntimeError("it is in direct passthrough mode")

        def close(self):
            self.response.close()

    Response.__module__, Response.__qualname__ = "werkzeug.sansio.response", "Response"
    return Response


@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_the_body_of_a_response_is_closed_as_without_us(chunks, mirror, counted):
    """Whether all of it was sent, a part, or nothing (HEAD)."""
    body = Body()
    response = mirror(lambda question: response_class()(body))("q")
    sent = [chunk for chunk, _ in zip(response.response, range(chunks), strict=False)] if chunks else []
    assert b"".join(sent) == b"because"[: 4 * chunks]
    response.close()
    assert body.closed == 1
    del response
    collect()
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}


@pytest.mark.parametrize("attributes", [{"direct_passthrough": True}, {"file_to_stream": io.BytesIO()}])
def test_a_file_that_the_server_sends_stays_what_it_is(attributes, mirror, kept, counted):
    """Servers send it by the descriptor, which a generator has not."""
    file = Body()
    response = response_class()(file)
    vars(response).update(attributes)
    assert mirror(lambda question: response)("q").response is file
    assert (kept.frames, counted(mirror)) == ([], {"eligible": 1, "uncopyable": 1})


async def tokens(question):
    first = "a"

    def later():
        return question, first

    for token in (first, "b"):
        yield token
    later()


@pytest.mark.parametrize("begun", [0, 1, 3])
def test_an_async_generator_that_was_begun_is_uncopyable(begun, mirror, counted):
    """Its first tokens are gone, in every version of Python."""

    async def take():
        stream = tokens("q")
        for _ in range(begun):
            await anext(stream, None)
        returned = mirror(lambda question: {"rest": stream})("q")
        return [token async for token in returned["rest"]]

    assert asyncio.run(take()) == ["a", "b"][begun:]
    assert counted(mirror) == {"eligible": 1, "uncopyable" if begun else "mirrored": 1}


class Result:
    """A class without declared fields."""

    def __init__(self, stream):
        self.stream = stream


class Slotted:
    __slots__ = ("stream", "unset")

    def __init__(self, stream):
        self.stream = stream


@pytest.mark.parametrize(
    "made",
    [
        lambda stream: Result(stream),
        lambda stream: Slotted(stream),
        lambda stream: {"result": Result(stream)},
        lambda stream: Result([stream]),
        lambda stream: Result(Slotted(stream)),
    ],
)
def test_a_stream_that_an_object_holds_is_no_answer_of_nothing(made, mirror, kept, counted):
    """The first time and when the class has been met before."""
    for _ in range(2):
        stream = (token for token in "ab")
        value = made(stream)
        assert mirror(lambda question, value=value: value)("q") is value
        assert list(stream) == ["a", "b"]
    assert (kept.frames, counted(mirror)) == ([], {"eligible": 2, "uncopyable": 2})


class Answer:
    def __init__(self):
        self.content, self.lock, self.stream = "because", threading.Lock(), iter(())


def test_what_an_answer_holds_beside_its_text_is_its_own(mirror, kept):
    """It is recorded by its text."""
    mirror(lambda question: Answer())("q")
    assert kept.only.served.outcome.answer == "because"


class Counting(list):
    """A list that counts how often it is gone through."""

    def __init__(self, *members):
        super().__init__(members)
        self.times = 0

    def __iter__(self):
        self.times += 1
        return super().__iter__()


def test_what_lies_beside_a_stream_is_looked_at_as_deep_as_a_stream_is_found(mirror, kept):
    """Documents beside it are not gone through, whatever their vectors weigh."""
    vectors = [Counting(0.1, 0.2) for _ in range(3)]

    def answer(question):
        return {"answer": (token for token in "ab"), "documents": [{"vector": vector} for vector in vectors]}

    value = mirror(answer)("q")
    assert [vector.times for vector in vectors] == [0, 0, 0]
    assert list(value["answer"]) == ["a", "b"]
    assert kept.only.served.outcome.answer == "ab"


@pytest.mark.parametrize("holding", ["list", "tuple", "record"])
def test_a_stream_beside_atoms_is_found(holding, mirror, kept):
    """A list that begins with one is no list of atoms."""

    def answer(question):
        return {"parts": HOLDING[holding](token for token in "ab"), "tokens": (token for token in "cd")}

    value = mirror(answer)("q")
    parts = value["parts"].value if holding == "record" else value["parts"][0]
    assert (list(parts), list(value["tokens"])) == (["a", "b"], ["c", "d"])
    assert kept.only.served.outcome.chunks == 4
