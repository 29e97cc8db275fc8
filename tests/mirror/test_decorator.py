"""The decorator against the bare function: whatever a caller can do or see is the same."""

import asyncio
import contextvars
import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from shadoweval import codec
from shadoweval.mirror import Mirror

seen = contextvars.ContextVar("seen", default="outside")


class Broken(Exception):
    """Raised by incumbents of these tests."""


def plain(question: str, k: int = 3, *, tone: str = "dry") -> str:
    """The bare function's docstring."""
    return f"{question}/{k}/{tone}"


async def coroutine(question: str, k: int = 3) -> str:
    await asyncio.sleep(0)
    return f"{question}/{k}"


def generator(question: str):
    """Echoes what is sent."""
    got = yield question
    try:
        while got is not None:
            got = yield got
    except KeyError as error:
        yield f"caught {error}"
    finally:
        seen.set("closed")
    return "returned"


async def async_generator(question: str):
    got = yield question
    try:
        while got is not None:
            got = yield got
    except KeyError as error:
        yield f"caught {error}"


KINDS = [plain, coroutine, generator, async_generator]


@pytest.mark.parametrize("function", KINDS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "look",
    [
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isasyncgenfunction,
        asyncio.iscoroutinefunction,
        inspect.signature,
        inspect.getdoc,
        lambda f: (f.__name__, f.__qualname__, f.__module__, f.__annotations__),
    ],
)
def test_kind_and_signature_are_kept(mirror: Mirror, function: Callable[..., Any], look: Callable[..., Any]) -> None:
    """Frameworks that look at the function (FastAPI, LangChain) see the same thing."""
    assert look(mirror(function)) == look(function)


def send(function: Callable[..., Any]) -> Any:
    made = function("q")
    out = [next(made), made.send("x")]
    try:
        made.send(None)
    except StopIteration as stop:
        out.append(stop.value)
    return out


def throw(function: Callable[..., Any]) -> Any:
    made = function("q")
    return [next(made), made.send("a"), made.throw(KeyError("k"))]


def throw_through(function: Callable[..., Any]) -> Any:
    made = function("q")
    next(made)
    error = Broken("thrown in")
    try:
        made.throw(error)
    except Broken as raised:
        return raised is error


def close(function: Callable[..., Any]) -> Any:
    made = function("q")
    next(made)
    made.send("a")
    made.close()
    return seen.get(), list(made)


def ignore_close(function: Callable[..., Any]) -> Any:
    """A generator that goes on after GeneratorExit is a RuntimeError to close, a chunk to throw."""

    def stubborn():
        for n in range(9):
            try:
                yield n
            except GeneratorExit:
                yield "no"

    made = stubborn() if function is generator else function.__mirror__(stubborn)()
    next(made)
    out: list[Any] = [made.throw(GeneratorExit())]
    try:
        made.close()
    except RuntimeError as error:
        out.append(str(error))
    return out


def unused(function: Callable[..., Any]) -> Any:
    made = function("q")
    made.close()
    return list(made)


def delegated(function: Callable[..., Any]) -> Any:
    def outer():
        value = yield from function("q")
        yield value

    made = outer()
    return [next(made), made.send("1"), made.send(None)]


@pytest.mark.parametrize("script", [send, throw, throw_through, close, ignore_close, unused, delegated])
def test_a_generator_is_driven_the_same(mirror: Mirror, script: Callable[..., Any]) -> None:
    """send, throw, close and yield from reach the incumbent, and its return value comes back."""
    mirrored = mirror(generator)
    mirrored.__mirror__ = mirror
    assert contextvars.copy_context().run(script, mirrored) == contextvars.copy_context().run(script, generator)


async def asend(function: Callable[..., Any]) -> Any:
    made = function("q")
    out = [await anext(made), await made.asend("x")]
    out += [chunk async for chunk in made]
    return out


async def athrow(function: Callable[..., Any]) -> Any:
    made = function("q")
    return [await anext(made), await made.asend("a"), await made.athrow(KeyError("k"))]


async def aclose(function: Callable[..., Any]) -> Any:
    made = function("q")
    await anext(made)
    await made.aclose()
    return [chunk async for chunk in made]


async def aclose_in_another_task(function: Callable[..., Any]) -> Any:
    """A client's disconnect: Starlette closes the stream from another task."""
    made = function("q")
    await asyncio.create_task(made.__anext__())
    await asyncio.create_task(made.aclose())
    return [chunk async for chunk in made]


async def chunks_in_different_tasks(function: Callable[..., Any]) -> Any:
    made = function("q")
    return [await asyncio.create_task(made.asend(x)) for x in (None, "a", "b")]


@pytest.mark.parametrize("script", [asend, athrow, aclose, aclose_in_another_task, chunks_in_different_tasks])
def test_an_async_generator_is_driven_the_same(mirror: Mirror, script: Callable[..., Any]) -> None:
    """asend, athrow and aclose reach the incumbent, also from other tasks."""
    assert asyncio.run(script(mirror(async_generator))) == asyncio.run(script(async_generator))


def test_closing_from_another_task_runs_the_incumbents_finally(mirror: Mirror) -> None:
    """A disconnected client frees what the stream holds."""
    freed = []

    @mirror
    async def stream(question: str):
        try:
            while True:
                yield question
                await asyncio.sleep(0)
        finally:
            freed.append(question)

    async def client() -> None:
        made = stream("q")
        await anext(made)
        await asyncio.create_task(made.aclose())

    asyncio.run(client())
    assert freed == ["q"]


def test_the_first_chunk_passes_before_the_second_is_made(mirror: Mirror) -> None:
    """A stream stays a stream."""
    made = []

    @mirror
    def stream(question: str):
        for n in range(3):
            made.append(n)
            yield n

    for n in stream("q"):
        assert made[-1] == n


@pytest.mark.parametrize("function", [plain, coroutine])
def test_wrong_arguments_are_the_incumbents_error(mirror: Mirror, function: Callable[..., Any]) -> None:
    """A TypeError of the call says what the bare function's says."""

    def message(called: Callable[..., Any]) -> str:
        with pytest.raises(TypeError) as caught:
            drive(functools.partial(called, k=1, none=2))
        return str(caught.value)

    assert message(mirror(function)) == message(function)


def test_an_exception_is_the_same_object_with_its_traceback(mirror: Mirror) -> None:
    """Identity, cause, context and the incumbent's own frames are kept."""
    error, cause = Broken("it"), ValueError("why")

    def fails(question: str) -> None:
        raise error from cause

    with pytest.raises(Broken) as caught:
        mirror(fails)("q")
    assert caught.value is error
    assert error.__cause__ is cause
    assert traceback.extract_tb(error.__traceback__)[-1].name == "fails"
    assert error.__context__ is None


def test_cancellation_reaches_the_incumbent(mirror: Mirror, kept: Any) -> None:
    """A cancelled task runs the incumbent's cleanup and is seen as aborted, not as an error."""
    cleaned = []

    @mirror
    async def slow(question: str) -> str:
        try:
            await asyncio.sleep(60)
        finally:
            cleaned.append(question)
        return question

    async def client() -> None:
        task = asyncio.create_task(slow("q"))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(client())
    assert cleaned == ["q"]
    assert kept.only.served.failure.kind == "aborted"


@pytest.mark.parametrize("function", KINDS, ids=lambda f: f.__name__)
def test_context_variables_pass_in_both_directions(mirror: Mirror, function: Callable[..., Any]) -> None:
    """What the incumbent reads and sets in the context is what it would be without us."""
    look = mirror_kind(function)

    def told(called: Callable[..., Any]) -> Any:
        def run() -> Any:
            seen.set("caller")
            inside = drive(called)
            return inside, seen.get()

        return contextvars.copy_context().run(run)

    assert told(mirror(look)) == told(look)


def mirror_kind(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function of the same kind that reads the context variable and sets it."""
    if inspect.isasyncgenfunction(function):

        async def ag(question: str):
            before = seen.get()
            seen.set("incumbent")
            yield before
            yield seen.get()

        return ag
    if inspect.isgeneratorfunction(function):

        def g(question: str):
            before = seen.get()
            seen.set("incumbent")
            yield before
            yield seen.get()

        return g
    if inspect.iscoroutinefunction(function):

        async def c(question: str) -> str:
            before = seen.get()
            seen.set("incumbent")
            return before

        return c

    def f(question: str) -> str:
        before = seen.get()
        seen.set("incumbent")
        return before

    return f


def drive(called: Callable[..., Any]) -> Any:
    """Runs any kind to its end."""
    made = called("q")
    if inspect.isasyncgen(made):

        async def collect() -> list[Any]:
            return [chunk async for chunk in made]

        return asyncio.run(collect())
    if inspect.isgenerator(made):
        return list(made)
    return asyncio.run(made) if inspect.iscoroutine(made) else made


class Support:
    """A pipeline in a class, mirrored above and below the descriptors."""

    def __init__(self, name: str) -> None:
        self.name = name

    def answer(self, question: str) -> str:
        return f"{self.name}: {question}"

    @classmethod
    def of_class(cls, question: str) -> str:
        return f"{cls.__name__}: {question}"

    @staticmethod
    def static(question: str) -> str:
        return question


def test_methods_are_mirrored_without_self(mirror: Mirror, kept: Any) -> None:
    """Instance, class and static methods, decorated above or below; self and cls are no part of the input."""

    class Mirrored(Support):
        answer = mirror(Support.answer)
        above_class = mirror(Support.__dict__["of_class"])
        below_class = classmethod(mirror(Support.__dict__["of_class"].__func__))
        above_static = mirror(Support.__dict__["static"])
        below_static = staticmethod(mirror(Support.static))

    one = Mirrored("bot")
    assert one.answer("a") == "bot: a"
    assert one.above_class("b") == Mirrored.below_class("b") == "Mirrored: b"
    assert one.above_static("c") == Mirrored.below_static("c") == "c"
    assert [codec.thaw(envelope.query.inputs) for envelope in kept.envelopes] == [
        ((q,), {}) for q in ("a", "b", "b", "c", "c")
    ]
    assert [envelope.query.text for envelope in kept.envelopes] == ["a", "b", "b", "c", "c"]


def test_bound_methods_callable_objects_and_partials(mirror: Mirror, kept: Any) -> None:
    """What can be called can be mirrored; an object is of the kind of its `__call__`."""

    class Callable_:
        def __call__(self, question: str) -> str:
            return f"object: {question}"

    class Async_:
        async def __call__(self, question: str) -> str:
            return f"async object: {question}"

    assert mirror(Support("bot").answer)("a") == "bot: a"
    assert mirror(Callable_())("b") == "object: b"
    assert asyncio.run(mirror(Async_())("c")) == "async object: c"
    partial = functools.partial(plain, k=9)
    assert mirror(partial)("d") == "d/9/dry"
    assert inspect.signature(mirror(partial)) == inspect.signature(partial)
    assert asyncio.run(mirror(functools.partial(coroutine, k=9))("e")) == "e/9"
    assert [envelope.query.text for envelope in kept.envelopes] == list("abcde")


def test_the_entry_names_the_incumbent(mirror: Mirror, mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """A worker finds the incumbent again by module and name, or by the name given."""
    mirror(plain)("q")
    mirror_with(entry="app:answer")(plain)("q")
    assert [envelope.query.entry for envelope in kept.envelopes] == [f"{__name__}:plain", "app:answer"]


def test_nested_calls_are_one_query(mirror: Mirror, kept: Any, counted: Any) -> None:
    """A mirrored pipeline that calls another, or itself, is one query; the inner calls are counted as nested."""

    @mirror
    def inner(question: str) -> str:
        return question

    @mirror
    def outer(question: str, depth: int) -> str:
        return outer(question, depth - 1) if depth else inner(question)

    assert outer("q", 3) == "q"
    assert len(kept.frames) == 1
    assert counted(mirror) == {"eligible": 5, "nested": 4, "mirrored": 1}


def test_concurrent_calls_do_not_mix(mirror: Mirror, kept: Any) -> None:
    """Tasks of one loop record into their own query."""
    from shadoweval.capture import tool

    @tool(effect="read")
    async def look(question: str) -> str:
        await asyncio.sleep(0)
        return question

    @mirror
    async def answer(question: str) -> str:
        for _ in range(3):
            await look(question)
        return question

    async def crowd() -> None:
        await asyncio.gather(*(answer(str(n)) for n in range(20)))

    asyncio.run(crowd())
    assert len(kept.frames) == 20
    for envelope in kept.envelopes:
        calls = envelope.served.tool_calls
        assert [call.arguments for call in calls] == [{"question": envelope.query.text}] * 3
        assert [call.occurrence for call in calls] == [1, 2, 3]
