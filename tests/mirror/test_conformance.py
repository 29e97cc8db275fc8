"""The table of promises: each row, in each shape of a call and each state of the mirror, is as without us.

A row is a check: it puts an incumbent in its place in a program, drives it, and returns what its caller and it saw.
What must be seen stands beside it; the bare incumbent comes first. `test_a_check_can_fail` runs each over decorators as
people write them, and wants one that fails.
"""

import asyncio
import contextlib
import contextvars
import copy
import functools
import gc
import inspect
import selectors
import sys
import threading
import traceback
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from shadoweval import codec
from shadoweval.mirror import Mirror
from shadoweval.mirror.redaction.redactor import redact_secrets
from tests.garbage import collect

KINDS = FUNCTION, COROUTINE, GENERATOR, ASYNC_GENERATOR = ("function", "coroutine", "generator", "async generator")
STREAMS = (GENERATOR, ASYNC_GENERATOR)

seen = contextvars.ContextVar("seen", default="nobody")


class Broken(Exception):
    """Raised by incumbents of these tests."""


class Stop(BaseException):
    """As KeyboardInterrupt is, but no event loop makes anything of it."""


# Shapes: where the incumbent stands, and what its caller has in hand.


def named(incumbent: Callable[..., Any], first: str) -> Callable[..., Any]:
    """The same function, its first parameter named otherwise; all incumbents here are written with `tenant`."""
    code = incumbent.__code__.replace(co_varnames=(first, *incumbent.__code__.co_varnames[1:]))
    again = types.FunctionType(code, globals(), incumbent.__name__, incumbent.__defaults__, incumbent.__closure__)
    again.__qualname__, again.__doc__ = incumbent.__qualname__, incumbent.__doc__
    again.__annotations__ = incumbent.__annotations__
    return again


def attribute(value: Any, name: str = "answer") -> Any:
    """An object of a class that has it."""
    return type("Bot", (), {name: value})()


# The name of the incumbent's first parameter, and what the program has of it.
SHAPES: dict[str, tuple[str, Callable[..., Any]]] = {
    "function": ("tenant", lambda decorate, f: decorate(f)),
    "method": ("self", lambda decorate, f: attribute(decorate(f)).answer),
    "bound method": ("self", lambda decorate, f: decorate(attribute(f).answer)),
    "@staticmethod above": ("tenant", lambda decorate, f: attribute(staticmethod(decorate(f))).answer),
    "@staticmethod below": ("tenant", lambda decorate, f: attribute(decorate(staticmethod(f))).answer),
    "@classmethod above": ("cls", lambda decorate, f: attribute(classmethod(decorate(f))).answer),
    "@classmethod below": ("cls", lambda decorate, f: attribute(decorate(classmethod(f))).answer),
    "callable object": ("self", lambda decorate, f: decorate(attribute(f, "__call__"))),
    "partial": ("tenant", lambda decorate, f: decorate(functools.partial(f, "acme"))),
    "partial of it": ("tenant", lambda decorate, f: functools.partial(decorate(f), "acme")),
}
NAMED = tuple(shape for shape in SHAPES if "partial" not in shape and "object" not in shape)


class Place:
    """Where a check puts its incumbent; called with it, gives what asks it."""

    def __init__(self, decorate: Callable[..., Any], shape: str = "function") -> None:
        self.decorate, self.shape = decorate, shape
        self.lead = ("acme",) if shape == "function" or "static" in shape else ()

    def holding(self, incumbent: Callable[..., Any]) -> Any:
        """The callable itself, to be looked at."""
        first, put = SHAPES[self.shape]
        return put(self.decorate, named(incumbent, first))

    def __call__(self, incumbent: Callable[..., Any]) -> Callable[..., Any]:
        return functools.partial(self.holding(incumbent), *self.lead)


# States of the mirror: the options that bring it there, and what a call is counted as.


def fails(*_: Any, **__: Any) -> Any:
    raise Broken("ours, not the incumbent's")


STATES: dict[str, tuple[dict[str, Any], str]] = {
    "mirrored": ({}, "mirrored"),
    "redacted": ({"redact": redact_secrets}, "mirrored"),
    "control": ({"control": 1.0}, "control"),
    "not sampled": ({"sample": 5e-324}, "not_sampled"),
    "unit not sampled": ({"sample": 0.5, "unit": lambda *_, **__: "user-1"}, "not_sampled"),
    "off": ({"sample": 0.0}, "off"),
    "killed": ({"decide": lambda unit, attributes: "killed"}, "killed"),
    "nested": ({}, "nested"),
    "decision raises": ({"decide": fails}, "fault_decide"),
    "snapshot raises": ({"text": fails}, "fault_snapshot"),
    "redaction raises": ({"redact": fails}, "fault_redact"),
    "transport full": ({}, "full"),
}


class Row(NamedTuple):
    """A promise."""

    check: Callable[[Place, str], Any]
    kind: str
    expected: Any
    calls: int
    shapes: tuple[str, ...]

    def seen(self, decorate: Callable[..., Any], shape: str = "function") -> Any:
        return contextvars.copy_context().run(self.check, Place(decorate, shape), self.kind)

    def __str__(self) -> str:
        return f"{self.check.__name__}-{self.kind}"


ROWS: list[Row] = []


def row(*kinds: str, expected: Any, calls: int = 1, shapes: tuple[str, ...] = tuple(SHAPES)) -> Callable[..., Any]:
    """A check of these kinds; what is expected may differ by kind; so many of its calls begin."""

    def noted(check: Callable[..., Any]) -> Callable[..., Any]:
        for kind in kinds:
            told = expected[kind] if isinstance(expected, dict) else expected
            ROWS.append(Row(check, kind, told, calls, shapes))
        return check

    return noted


# How incumbents are driven.


class Impatient(selectors.DefaultSelector):
    """An event loop that has nothing more to wait for says so, where another would hang."""

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise Broken("nothing is left that could happen")
        return super().select(timeout)


def run(main: Any, trouble: list[str] | None = None) -> Any:
    """A coroutine's value; what the event loop has to complain of goes to `trouble`."""
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(Impatient())) as runner:
        if trouble is not None:
            runner.get_loop().set_exception_handler(lambda _, told: trouble.append(told["message"]))
        return runner.run(main)


@contextlib.contextmanager
def unraisable(trouble: list[str]) -> Iterator[None]:
    """What is raised where nobody can catch it goes to `trouble`; the collector comes when it is told to."""
    before = sys.unraisablehook
    sys.unraisablehook = lambda told: trouble.append(repr(told.exc_value))
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        sys.unraisablehook = before


def whole(made: Any, see: Callable[[Any], Any] = lambda chunk: None) -> list[Any]:
    """All that comes of a call, to its end; `see` gets each chunk as it comes."""
    chunks: list[Any] = []

    def take(chunk: Any) -> None:
        see(chunk)
        chunks.append(chunk)

    async def collect() -> None:
        if inspect.iscoroutine(made):
            take(await made)
        else:
            async for chunk in made:
                take(chunk)

    if inspect.isasyncgen(made) or inspect.iscoroutine(made):
        run(collect())
    elif inspect.isgenerator(made):
        for chunk in made:
            take(chunk)
    else:
        take(made)
    return chunks


def told(error: BaseException | None) -> Any:
    return error if error is None else f"{type(error).__name__}: {error}"


def raised(act: Callable[..., Any], *args: Any) -> BaseException:
    try:
        got = act(*args)
    except BaseException as error:
        return error
    raise AssertionError(f"returned {got!r}")


async def araised(awaited: Any) -> BaseException:
    try:
        got = await awaited
    except BaseException as error:
        return error
    raise AssertionError(f"returned {got!r}")


async def ticks(until: Callable[[], Any], most: int = 50) -> None:
    """Let the loop turn until something is so, or often enough for it to have become so."""
    for _ in range(most):
        if until():
            return
        await asyncio.sleep(0)


def by_kind(kind: str, *incumbents: Callable[..., Any]) -> Callable[..., Any]:
    """That of four incumbents, or two streams."""
    return dict(zip(KINDS if len(incumbents) == 4 else STREAMS, incumbents, strict=True))[kind]


def answer(tenant, question: str, k: int = 3):
    """What the bare one says of itself."""
    return f"{question}/{k}"


async def aanswer(tenant, question: str, k: int = 3):
    """What the bare one says of itself."""
    return f"{question}/{k}"


def stream(tenant, question: str, k: int = 3):
    """What the bare one says of itself."""
    yield from question


async def astream(tenant, question: str, k: int = 3):
    """What the bare one says of itself."""
    for chunk in question:
        yield chunk


BARE = (answer, aanswer, stream, astream)

# The table.


@row(
    *KINDS,
    calls=0,
    expected={
        FUNCTION: (False, False, False, False),
        COROUTINE: (False, False, True, True),
        GENERATOR: (False, True, False, False),
        ASYNC_GENERATOR: (True, False, False, False),
    },
)
def the_kind_of_function_is_kept(place: Place, kind: str) -> Any:
    """FastAPI and LangChain look at it; at a callable object's `__call__`, they do."""
    called = place.holding(by_kind(kind, *BARE))
    looks = (
        inspect.isasyncgenfunction,
        inspect.isgeneratorfunction,
        inspect.iscoroutinefunction,
        asyncio.iscoroutinefunction,
    )
    return tuple(look(called) or look(called.__call__) for look in looks)


@row(*KINDS, calls=0, expected="(question: str, k: int = 3)")
def the_signature_is_kept(place: Place, kind: str) -> Any:
    """Frameworks bind by it."""
    return str(inspect.signature(place.holding(by_kind(kind, *BARE)))).replace("tenant, ", "")


@row(
    *KINDS,
    calls=0,
    shapes=NAMED,
    expected={
        kind: (one.__name__, one.__name__, __name__, "What the bare one says of itself.", ["question", "k"])
        for kind, one in zip(KINDS, BARE, strict=True)
    },
)
def the_names_are_kept(place: Place, kind: str) -> Any:
    """Routes, tools and schemas are named by them."""
    called = place.holding(by_kind(kind, *BARE))
    hints = {name: hint for name, hint in inspect.get_annotations(called).items() if hint in {str, int}}
    return called.__name__, called.__qualname__, called.__module__, inspect.getdoc(called), list(hints)


@row(
    *KINDS[1:],
    calls=0,
    expected={
        COROUTINE: types.CoroutineType,
        GENERATOR: types.GeneratorType,
        ASYNC_GENERATOR: types.AsyncGeneratorType,
    },
)
def what_a_call_makes_is_kept(place: Place, kind: str) -> Any:
    """A generator is a generator, not something that can be iterated."""
    made = place(by_kind(kind, *BARE))("q")
    made.aclose() if kind == ASYNC_GENERATOR else made.close()
    return type(made)


@row(*STREAMS, expected=["made 1", "got 1", "made 2", "got 2", "ended"])
def the_first_chunk_passes_before_the_second_is_made(place: Place, kind: str) -> Any:
    """A stream stays a stream."""
    log: list[str] = []

    def incumbent(tenant, question):
        for n in (1, 2):
            log.append(f"made {n}")
            yield n
        log.append("ended")

    async def aincumbent(tenant, question):
        for n in (1, 2):
            log.append(f"made {n}")
            yield n
            await asyncio.sleep(0)
        log.append("ended")

    whole(place(by_kind(kind, incumbent, aincumbent))("q"), lambda n: log.append(f"got {n}"))
    return log


@row(*STREAMS, expected=["finally", "freed", "closed", "ended"])
def closing_early_runs_the_finally(place: Place, kind: str) -> Any:
    """What the stream holds is free when `close` or `aclose` returns, and nothing comes after."""
    log: list[str] = []

    def incumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append("finally")
            log.append("freed")

    async def aincumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append("finally")
            await asyncio.sleep(0)
            log.append("freed")

    async def leave(made: Any) -> None:
        await anext(made)
        await made.aclose()
        log.append("closed")
        log.append("ended" if [chunk async for chunk in made] == [] else "goes on")

    made = place(by_kind(kind, incumbent, aincumbent))("q")
    if kind == ASYNC_GENERATOR:
        run(leave(made))
    else:
        next(made)
        made.close()
        log.append("closed")
        log.append("ended" if list(made) == [] else "goes on")
    return log


@row(ASYNC_GENERATOR, expected=["finally in the closer", "freed in the closer", "None"])
def closing_from_another_task_runs_the_finally(place: Place, kind: str) -> Any:
    """A client disconnects: Starlette closes the stream from another task, or another context at least."""
    log: list[str] = []

    async def incumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append(f"finally in {asyncio.current_task().get_name()}")
            await asyncio.sleep(0)
            log.append(f"freed in {asyncio.current_task().get_name()}")

    async def client() -> None:
        made = place(incumbent)("q")
        await asyncio.create_task(anext(made), name="the reader")
        closer = asyncio.create_task(made.aclose(), name="the closer")
        await asyncio.wait([closer])
        log.append(str(closer.exception()))

    run(client())
    return log


@row(GENERATOR, expected=["finally in the closer"])
def closing_from_another_thread_runs_the_finally(place: Place, kind: str) -> Any:
    """A server's thread pool reads a stream in one thread and closes it in another."""
    log: list[str] = []

    def incumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append(f"finally in {threading.current_thread().name}")

    made = place(incumbent)("q")
    next(made)
    closer = threading.Thread(target=made.close, name="the closer")
    closer.start()
    closer.join()
    return log


@row(*STREAMS, expected=["q", "got a", "got b", "got None"])
def what_is_sent_is_delivered(place: Place, kind: str) -> Any:
    """`send` and `asend` are the incumbent's."""

    def incumbent(tenant, question):
        got = yield question
        for _ in range(9):
            got = yield f"got {got}"

    async def aincumbent(tenant, question):
        got = yield question
        for _ in range(9):
            await asyncio.sleep(0)
            got = yield f"got {got}"

    async def asked(made: Any) -> list[str]:
        chunks = [await anext(made), await made.asend("a"), await made.asend("b"), await made.asend(None)]
        await made.aclose()
        return chunks

    made = place(by_kind(kind, incumbent, aincumbent))("q")
    if kind == ASYNC_GENERATOR:
        return run(asked(made))
    chunks = [next(made), made.send("a"), made.send("b"), made.send(None)]
    made.close()
    return chunks


@row(GENERATOR, calls=2, expected=["q", "sent", "returned", "returned"])
def a_generators_return_value_is_kept(place: Place, kind: str) -> Any:
    """In StopIteration, and through `yield from`."""

    def incumbent(tenant, question):
        got = yield question
        if got is not None:
            yield got
        return "returned"

    ask = place(incumbent)

    def outer() -> Iterator[Any]:
        value = yield from ask("q")
        yield value

    through = outer()
    made = ask("q")
    next(made)
    return [next(through), through.send("sent"), next(through), raised(next, made).value]


@row(*KINDS, expected=(True, True, True, ["noted"], ["incumbent", "broken"]))
def an_exception_is_kept(place: Place, kind: str) -> Any:
    """The same object with its cause, notes and traceback, in the middle of a stream too; no context of ours."""
    error, cause = Broken("it"), ValueError("why")
    error.add_note("noted")

    def broken() -> None:
        raise error from cause

    def incumbent(tenant, question):
        broken()

    incumbents = [incumbent]

    async def incumbent(tenant, question):
        await asyncio.sleep(0)
        broken()

    incumbents.append(incumbent)

    def incumbent(tenant, question):
        yield question
        broken()

    incumbents.append(incumbent)

    async def incumbent(tenant, question):
        yield question
        broken()

    ask = place(by_kind(kind, *incumbents, incumbent))
    caught = raised(lambda: whole(ask("q")))
    frames = [frame.name for frame in traceback.extract_tb(caught.__traceback__)]
    return caught is error, caught.__cause__ is cause, caught.__context__ is None, caught.__notes__, frames[-2:]


@row(COROUTINE, ASYNC_GENERATOR, expected=["cancelled ('enough',)", "finally", "('enough',)", "True"])
def cancellation_reaches_the_incumbent(place: Place, kind: str) -> Any:
    """With its message; its cleanup is waited for, and the task is cancelled."""
    log: list[str] = []
    begun = asyncio.Event()

    async def long() -> None:
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError as error:
            log.append(f"cancelled {error.args}")
            raise
        finally:
            await asyncio.sleep(0)
            log.append("finally")

    async def incumbent(tenant, question):
        await long()

    async def aincumbent(tenant, question):
        yield 1
        await long()

    async def client() -> None:
        made = place(incumbent if kind == COROUTINE else aincumbent)("q")
        if kind == ASYNC_GENERATOR:
            await anext(made)
        task = asyncio.create_task(made if kind == COROUTINE else anext(made))
        await begun.wait()
        task.cancel("enough")
        log.append(str((await araised(task)).args))
        log.append(str(task.cancelled()))

    run(client())
    return log


@row(COROUTINE, ASYNC_GENERATOR, expected=("stayed", False, 1))
def cancellation_may_be_declined(place: Place, kind: str) -> Any:
    """An incumbent that catches it goes on."""
    begun = asyncio.Event()

    async def long() -> str:
        with contextlib.suppress(asyncio.CancelledError):
            begun.set()
            await asyncio.Event().wait()
        return "stayed"

    async def incumbent(tenant, question):
        return await long()

    async def aincumbent(tenant, question):
        yield await long()

    async def client() -> Any:
        made = place(incumbent if kind == COROUTINE else aincumbent)("q")
        task = asyncio.create_task(made if kind == COROUTINE else anext(made))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        stayed = task.result(), task.cancelled(), task.cancelling()
        if kind == ASYNC_GENERATOR:
            await made.aclose()
        return stayed

    return run(client())


@row(*KINDS, expected={kind: [True, True, 1 if kind in KINDS[:2] else 2] for kind in KINDS})
def objects_pass_as_they_are(place: Place, kind: str) -> Any:
    """Arguments, chunks and values are the same objects, not copies."""
    given, made, got = {"a": [1]}, [{"n": 1}, {"n": 2}], []

    def incumbent(tenant, question):
        got.append(question)
        return made[0]

    async def aincumbent(tenant, question):
        return incumbent(tenant, question)

    def streaming(tenant, question):
        got.append(question)
        yield from made

    async def astreaming(tenant, question):
        got.append(question)
        for chunk in made:
            yield chunk

    chunks = whole(place(by_kind(kind, incumbent, aincumbent, streaming, astreaming))(question=given))
    return [got[0] is given, all(one is other for one, other in zip(chunks, made, strict=False)), len(chunks)]


# What surrounds a call: contexts, timeouts, groups, interruptions, endings.


@row(
    *KINDS,
    expected={
        FUNCTION: ["caller", "incumbent"],
        COROUTINE: ["caller", "incumbent"],
        GENERATOR: ["caller", "consumer", "incumbent"],
        ASYNC_GENERATOR: ["caller", "consumer", "incumbent"],
    },
)
def context_variables_pass_both_ways(place: Place, kind: str) -> Any:
    """The incumbent sees what its caller set and its caller what it set, chunk by chunk."""

    def incumbent(tenant, question):
        before = seen.get()
        seen.set("incumbent")
        return before

    async def aincumbent(tenant, question):
        await asyncio.sleep(0)
        return incumbent(tenant, question)

    def streaming(tenant, question):
        yield seen.get()
        yield incumbent(tenant, question)

    async def astreaming(tenant, question):
        yield seen.get()
        await asyncio.sleep(0)
        yield incumbent(tenant, question)

    ask = place(by_kind(kind, incumbent, aincumbent, streaming, astreaming))

    async def asked() -> list[str]:
        if kind == COROUTINE:
            return [await ask("q"), seen.get()]
        made, chunks = ask("q"), []
        async for chunk in made:
            chunks.append(chunk)
            if len(chunks) == 1:
                seen.set("consumer")
        return [*chunks, seen.get()]

    seen.set("caller")
    if kind == FUNCTION:
        return [ask("q"), seen.get()]
    if kind != GENERATOR:
        return run(asked())
    made = ask("q")
    chunks = [next(made)]
    seen.set("consumer")
    return [*chunks, *made, seen.get()]


@row(*KINDS[1:], expected={kind: ["first", "first" if kind == COROUTINE else "second"] for kind in KINDS[1:]})
def each_step_runs_in_the_context_of_its_driver(place: Place, kind: str) -> Any:
    """Tasks, thread pools and frameworks that drive a step at a time; a task keeps its own."""
    contexts = [contextvars.copy_context() for _ in range(2)]
    for context, name in zip(contexts, ("first", "second"), strict=True):
        context.run(seen.set, name)
    log: list[str] = []

    def incumbent(tenant, question):
        log.append(seen.get())
        yield 1
        log.append(seen.get())

    async def aincumbent(tenant, question):
        log.append(seen.get())
        yield 1
        log.append(seen.get())

    async def waiting(tenant, question):
        log.append(seen.get())
        await asyncio.sleep(0)
        log.append(seen.get())

    async def asked(made: Any) -> None:
        if kind == COROUTINE:
            await asyncio.create_task(made, context=contexts[0])
        else:
            for context in contexts:
                await asyncio.wait([asyncio.create_task(made.__anext__(), context=context)])

    made = place(waiting if kind == COROUTINE else by_kind(kind, incumbent, aincumbent))("q")
    if kind == GENERATOR:
        for context in contexts:
            context.run(next, made, None)
    else:
        run(asked(made))
    return log


@row(COROUTINE, expected=["value"])
def a_coroutine_may_be_driven_in_changing_contexts(place: Place, kind: str) -> Any:
    """A step in one context, the next in another: a token can't be given back there (opentelemetry-python#2606)."""

    async def incumbent(tenant, question):
        await asyncio.sleep(0)
        return "value"

    made = place(incumbent)("q")
    contextvars.copy_context().run(made.send, None)
    return [contextvars.copy_context().run(raised, made.send, None).value]


@row(COROUTINE, ASYNC_GENERATOR, expected=["cancelled", "TimeoutError: "])
def a_timeout_around_it_is_its_callers(place: Place, kind: str) -> Any:
    """asyncio.timeout cancels the incumbent, and raises TimeoutError in the caller."""
    log: list[str] = []

    async def incumbent(tenant, question):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def aincumbent(tenant, question):
        yield await incumbent(tenant, question)

    async def limited(made: Any) -> None:
        async with asyncio.timeout(0):
            await (made if kind == COROUTINE else anext(made))

    made = place(incumbent if kind == COROUTINE else aincumbent)("q")
    log.append(told(run(araised(limited(made)))))
    return log


@row(COROUTINE, ASYNC_GENERATOR, expected=["late"])
def a_timeout_inside_it_is_its_own(place: Place, kind: str) -> Any:
    """Also one that lies across a `yield`."""

    async def late(across: Callable[[], Any]) -> str:
        return "late"

    async def incumbent(tenant, question):
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "late"

    async def aincumbent(tenant, question):
        try:
            async with asyncio.timeout(None) as limit:
                yield "early"
                limit.reschedule(0)
                await asyncio.Event().wait()
        except TimeoutError:
            yield "late"

    return whole(place(incumbent if kind == COROUTINE else aincumbent)("q"))[-1:]


@row(COROUTINE, ASYNC_GENERATOR, expected=["cancelled", True])
def a_group_cancels_it_when_a_sibling_fails(place: Place, kind: str) -> Any:
    """TaskGroup: the group's error is the sibling's alone."""
    log: list[Any] = []
    error = Broken("sibling")

    async def incumbent(tenant, question):
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            log.append("cancelled")
            raise

    async def aincumbent(tenant, question):
        yield await incumbent(tenant, question)

    async def reading(made: Any) -> None:
        await (made if kind == COROUTINE else anext(made))

    async def sibling() -> None:
        await asyncio.sleep(0)
        raise error

    async def both() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(reading(place(incumbent if kind == COROUTINE else aincumbent)("q")))
            group.create_task(sibling())

    log.append(run(araised(both())).exceptions == (error,))
    return log


@row(COROUTINE, ASYNC_GENERATOR, expected=[["child"], True])
def a_group_inside_it_is_its_own(place: Place, kind: str) -> Any:
    """A child's error cancels the incumbent's own wait, and is its to catch."""
    error = Broken("child")

    async def child() -> None:
        raise error

    async def incumbent(tenant, question):
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(child())
                await asyncio.Event().wait()
        except* Broken as caught:
            kept = [str(one) for one in caught.exceptions], caught.exceptions[0] is error
        return kept

    async def aincumbent(tenant, question):
        yield await incumbent(tenant, question)

    return list(whole(place(incumbent if kind == COROUTINE else aincumbent)("q"))[0])


@row(*STREAMS, calls=3, expected=["caught", "LookupError: instead", True, True, True])
def what_is_thrown_in_is_the_incumbents(place: Place, kind: str) -> Any:
    """`throw` and `athrow`: it catches, replaces or passes the very exception."""
    caught: list[BaseException] = []

    def incumbent(tenant, how):
        try:
            yield 1
        except KeyError as error:
            caught.append(error)
            if how == "catch":
                yield "caught"
            if how == "replace":
                raise LookupError("instead") from None
            raise

    async def aincumbent(tenant, how):
        for chunk in (made := incumbent(tenant, how)):
            try:
                yield chunk
            except KeyError as error:
                yield made.throw(error)

    async def athrown(how: str, error: BaseException) -> Any:
        made = ask(how)
        await anext(made)
        try:
            return await made.athrow(error)
        except LookupError as raised_:
            return raised_
        finally:
            await made.aclose()

    def thrown(how: str, error: BaseException) -> Any:
        made = ask(how)
        next(made)
        try:
            return made.throw(error)
        except LookupError as raised_:
            return raised_
        finally:
            made.close()

    ask = place(by_kind(kind, incumbent, aincumbent))
    errors = [KeyError(n) for n in range(3)]
    got = [
        thrown(how, error) if kind == GENERATOR else run(athrown(how, error))
        for how, error in zip(("catch", "replace", "pass"), errors, strict=True)
    ]
    same = all(one is other for one, other in zip(caught, errors, strict=True))
    return [got[0], told(got[1]), got[1].__context__ is errors[1], got[2] is errors[2], same]


@row(
    *STREAMS,
    expected={
        GENERATOR: ["no", "RuntimeError: generator ignored GeneratorExit", "last", "StopIteration: "],
        ASYNC_GENERATOR: [
            "no",
            "RuntimeError: async generator ignored GeneratorExit",
            "last",
            "StopAsyncIteration: ",
        ],
    },
)
def an_incumbent_may_be_stubborn(place: Place, kind: str) -> Any:
    """GeneratorExit swallowed is a chunk to who throws it and a RuntimeError to who closes."""

    def incumbent(tenant, question):
        for answer_ in ("no", "never"):
            try:
                yield question
            except GeneratorExit:
                yield answer_
        yield "last"

    async def aincumbent(tenant, question):
        for answer_ in ("no", "never"):
            try:
                yield question
            except GeneratorExit:
                yield answer_
        yield "last"

    async def asked(made: Any) -> list[Any]:
        await anext(made)
        log = [await made.athrow(GeneratorExit)]
        await anext(made)
        return [*log, told(await araised(made.aclose())), await anext(made), told(await araised(anext(made)))]

    made = place(by_kind(kind, incumbent, aincumbent))("q")
    if kind == ASYNC_GENERATOR:
        return run(asked(made))
    next(made)
    log = [made.throw(GeneratorExit)]
    next(made)
    return [*log, told(raised(made.close)), next(made), told(raised(next, made))]


@row(
    *KINDS,
    expected={
        kind: "StopIteration: it" if kind == FUNCTION else f"RuntimeError: {kind} raised StopIteration from True"
        for kind in KINDS
    },
)
def stop_iteration_inside_is_an_error(place: Place, kind: str) -> Any:
    """What Python makes of it (PEP 479), and no end of the stream."""
    stop = StopIteration("it")

    def incumbent(tenant, question):
        raise stop

    async def aincumbent(tenant, question):
        raise stop

    def streaming(tenant, question):
        yield 1
        raise stop

    async def astreaming(tenant, question):
        yield 1
        raise stop

    ask = place(by_kind(kind, incumbent, aincumbent, streaming, astreaming))
    error = raised(lambda: whole(ask("q")))
    return told(error) if error is stop else f"{told(error)} from {error.__cause__ is stop}"


@row(*KINDS, expected=["Stop: now", True])
def what_no_exception_is_passes_too(place: Place, kind: str) -> Any:
    """KeyboardInterrupt and SystemExit are BaseException alone."""
    stop = Stop("now")

    def incumbent(tenant, question):
        raise stop

    async def aincumbent(tenant, question):
        raise stop

    def streaming(tenant, question):
        yield 1
        raise stop

    async def astreaming(tenant, question):
        yield 1
        raise stop

    made = place(by_kind(kind, incumbent, aincumbent, streaming, astreaming))
    if kind == COROUTINE:
        error = raised(made("q").send, None)
    elif kind == ASYNC_GENERATOR:
        stepped = made("q")
        raised(stepped.asend(None).send, None)
        error = raised(stepped.asend(None).send, None)
    else:
        error = raised(lambda: whole(made("q")))
    return [told(error), error is stop]


@row(
    *STREAMS,
    expected={
        GENERATOR: "ValueError: generator already executing",
        ASYNC_GENERATOR: "RuntimeError: anext(): asynchronous generator is already running",
    },
)
def a_stream_that_runs_can_not_be_resumed(place: Place, kind: str) -> Any:
    """Neither by itself nor by a second consumer."""
    log: list[Any] = []

    def incumbent(tenant, question):
        log.append(told(raised(next, made)))
        yield 1

    async def aincumbent(tenant, question):
        await asyncio.sleep(0)
        yield 1

    async def two(made: Any) -> None:
        answers = await asyncio.gather(anext(made), anext(made), return_exceptions=True)
        log.extend(told(one) for one in answers if one != 1)
        await made.aclose()

    made = place(by_kind(kind, incumbent, aincumbent))("q")
    if kind == ASYNC_GENERATOR:
        run(two(made))
    else:
        whole(made)
    return log[0]


@row(COROUTINE, calls=3, expected=["value", "caught thrown", "finally", "None"])
def a_coroutine_may_be_driven_by_hand(place: Place, kind: str) -> Any:
    """`send`, `throw` and `close`, as event loops of other makes do."""
    log: list[Any] = []

    @types.coroutine
    def pause() -> Iterator[Any]:
        return (yield "pause")

    async def incumbent(tenant, question):
        try:
            return await pause()
        except Broken as error:
            return f"caught {error}"
        except GeneratorExit:
            log.append("finally")
            raise

    ask = place(incumbent)
    for end in (
        lambda made: raised(made.send, "value").value,
        lambda made: raised(made.throw, Broken("thrown")).value,
        lambda made: str(made.close()),
    ):
        made = ask("q")
        assert made.send(None) == "pause"
        log.append(end(made))
    return log


@row(*KINDS[1:], calls=0, expected=[])
def what_is_never_begun_never_runs(place: Place, kind: str) -> Any:
    """Made and closed, or thrown into: not a line of the incumbent, and no call is counted."""
    log: list[str] = []

    async def incumbent(tenant, question):
        log.append("ran")

    def streaming(tenant, question):
        log.append("ran")
        yield 1

    async def astreaming(tenant, question):
        log.append("ran")
        yield 1

    ask = place(dict(zip(KINDS[1:], (incumbent, streaming, astreaming), strict=True))[kind])
    if kind == ASYNC_GENERATOR:
        run(ask("q").aclose())
        log.append(told(run(araised(ask("q").athrow(Broken("in"))))))
    else:
        ask("q").close()
        log.append(told(raised(ask("q").throw, Broken("in"))))
    return [line for line in log if line != "Broken: in"]


@row(*STREAMS, expected=["finally", "freed"])
def a_stream_that_is_dropped_is_closed(place: Place, kind: str) -> Any:
    """Its finally runs when the last reference goes, or when its loop comes to it, and nobody complains."""
    log: list[str] = []

    def incumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append("finally")
            log.append("freed")

    async def aincumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append("finally")
            await asyncio.sleep(0)
            log.append("freed")

    async def leave(made: list[Any]) -> None:
        await anext(made[0])
        made.clear()
        await ticks(lambda: "freed" in log)

    with unraisable(log):
        made = [place(by_kind(kind, incumbent, aincumbent))("q")]
        if kind == ASYNC_GENERATOR:
            run(leave(made), log)
        else:
            next(made[0])
            made.clear()
    return log


@row(*STREAMS, expected=["finally", "freed"])
def a_stream_in_a_cycle_is_closed_by_the_collector(place: Place, kind: str) -> Any:
    """Once, whichever of its parts the collector comes to first, and nobody complains."""
    log: list[str] = []

    def incumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append("finally")
            log.append("freed")

    async def aincumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append("finally")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append("freed")

    def knot(made: list[Any]) -> None:
        made.append(made[:])
        made[1].append(made[1])
        made.clear()
        collect(0)

    async def leave(made: list[Any]) -> None:
        await anext(made[0])
        knot(made)
        await ticks(lambda: "freed" in log)
        await ticks(lambda: False)

    with unraisable(log):
        made = [place(by_kind(kind, incumbent, aincumbent))("q")]
        if kind == ASYNC_GENERATOR:
            run(leave(made), log)
        else:
            next(made[0])
            knot(made)
        collect(0)
    return log


@row(ASYNC_GENERATOR, expected=["finally", "freed"])
def a_loop_that_shuts_down_closes_its_streams(place: Place, kind: str) -> Any:
    """`shutdown_asyncgens` waits for the incumbent's cleanup; the loop has no error to tell of."""
    log: list[str] = []

    async def incumbent(tenant, question):
        try:
            yield 1
            yield 2
        finally:
            log.append("finally")
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            log.append("freed")

    async def leave(made: Any) -> None:
        await anext(made)

    made = place(incumbent)("q")
    with unraisable(log):
        run(leave(made), log)
    return log


class Thing:
    """Something that can be seen to go."""


@row(*KINDS, expected=["raised", "gone", "gone"])
def what_the_incumbent_held_goes_with_it(place: Place, kind: str) -> Any:
    """Memory is free once an exception's handler is done; it does not wait for the collector. So is the exception."""
    things: list[Any] = []

    def hold() -> None:
        thing = Thing()
        things.append(weakref.ref(thing))
        raise Broken

    def incumbent(tenant, question):
        hold()

    async def aincumbent(tenant, question):
        hold()

    def streaming(tenant, question):
        try:
            yield 1
        except KeyError:
            hold()

    async def astreaming(tenant, question):
        try:
            yield 1
        except KeyError:
            hold()

    ask = place(by_kind(kind, incumbent, aincumbent, streaming, astreaming))
    log: list[str] = []

    def drive() -> None:
        made = None
        try:
            if kind == FUNCTION:
                ask("q")
            elif kind == GENERATOR:
                made = ask("q")
                next(made)
                made.throw(KeyError("in"))
            elif kind == COROUTINE:
                ask("q").send(None)
            else:
                made = ask("q")
                raised(made.asend(None).send, None)
                made.athrow(KeyError("in")).send(None)
        except Broken as error:
            log.append("raised")
            things.append(weakref.ref(error))

    with unraisable(log):
        drive()
        log.extend("gone" if thing() is None else "kept" for thing in things)
    return log


@row(*STREAMS, expected=["gone"])
def an_exception_thrown_in_goes_with_its_handler(place: Place, kind: str) -> Any:
    """Also where the incumbent swallowed it and went on, or ended."""
    log: list[str] = []

    def incumbent(tenant, question):
        with contextlib.suppress(Broken):
            yield 1

    async def aincumbent(tenant, question):
        with contextlib.suppress(Broken):
            yield 1

    def drive(error: Broken) -> weakref.ref[Broken]:
        made = place(by_kind(kind, incumbent, aincumbent))("q")
        if kind == GENERATOR:
            next(made)
            raised(made.throw, error)
        else:
            raised(made.asend(None).send, None)
            raised(made.athrow(error).send, None)
        return weakref.ref(error)

    with unraisable(log):
        log.append("gone" if drive(Broken("in"))() is None else "kept")
    return log


@row(
    *KINDS,
    expected={kind: ["TypeError", "named", "call" if kind == FUNCTION else "call or first step"] for kind in KINDS},
)
def wrong_arguments_are_a_type_error(place: Place, kind: str) -> Any:
    """In the bare function's words.

    Of all but a function it may come with the first step, where the bare one's comes with the call. In `await f()` and
    `for _ in f()` that is the same moment.
    """
    ask = place(by_kind(kind, *BARE))
    moment = "call"
    try:
        made = ask("q", none=2)
        moment = "first step"
        whole(made)
    except TypeError as error:
        named_ = "got an unexpected keyword argument 'none'" in str(error)
        name = by_kind(kind, *BARE).__name__
        return [
            "TypeError",
            "named" if named_ and name in str(error) else str(error),
            moment if kind == FUNCTION else "call or first step",
        ]
    return []


# The tests.


CASES = [pytest.param(one, shape, id=f"{one}-{shape}") for one in ROWS for shape in one.shapes]


@pytest.mark.parametrize("one", ROWS, ids=str)
def test_a_check_holds_for_the_bare_function(one: Row) -> None:
    """In every shape; so the table says what Python does, and not what we do."""
    assert {shape: one.seen(lambda bare: bare, shape) for shape in one.shapes} == dict.fromkeys(
        one.shapes, one.expected
    )


@pytest.mark.parametrize(("one", "shape"), CASES)
def test_a_mirrored_call_is_as_the_bare_one(one: Row, shape: str, kept: Any, counted: Any) -> None:
    """In every state of the mirror, and each call that begins is counted once, as what became of it."""
    found, counts, frames = {}, {}, {}
    for state, (options, reason) in STATES.items():
        sink = type(kept)("full" if reason == "full" else None)
        mirror = Mirror("support", sink, **{"control": 0.0, **options})
        if state == "nested":
            outer = Mirror("outer", kept, control=0.0)
            outer(lambda: found.update({state: one.seen(mirror, shape)}))()  # noqa: B023 - called here and now
        else:
            found[state] = one.seen(mirror, shape)
        counts[state] = counted(mirror)
        frames[state] = len(sink.frames)
    assert found == dict.fromkeys(STATES, one.expected)
    assert counts == {
        state: {"eligible": one.calls, reason: one.calls} if one.calls else {} for state, (_, reason) in STATES.items()
    }
    assert frames == {state: one.calls if reason == "mirrored" else 0 for state, (_, reason) in STATES.items()}


# Decorators as people write them; each breaks some promise.


def kind_of(function: Callable[..., Any]) -> str:
    looks = {
        COROUTINE: inspect.iscoroutinefunction,
        GENERATOR: inspect.isgeneratorfunction,
        ASYNC_GENERATOR: inspect.isasyncgenfunction,
    }
    return next((kind for kind, look in looks.items() if look(function)), FUNCTION)


def wrapped(function: Callable[..., Any], /, **wrappers: Callable[..., Any]) -> Callable[..., Any]:
    """The wrapper for its kind, by the kind's name without a space; itself, where there is none."""
    wrapper = wrappers.get(kind_of(function).replace(" ", "_"))
    return function if wrapper is None else functools.wraps(function)(wrapper)


def unnamed(function: Callable[..., Any]) -> Callable[..., Any]:
    """Forgets `functools.wraps`."""
    return lambda *args, **kwargs: function(*args, **kwargs)


def always_async(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a coroutine function of a function."""

    async def wrapper(*args, **kwargs):
        return function(*args, **kwargs)

    return wrapped(function, function=wrapper)


def of_each_kind(around: Callable[[Callable[[], Any]], Any], aaround: Callable[[Callable[[], Any]], Any]) -> Any:
    """A decorator that makes its calls through `around`, awaits and chunks through `aaround` or `around`."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args, **kwargs):
            return around(lambda: function(*args, **kwargs))

        async def awrapper(*args, **kwargs):
            return await aaround(lambda: function(*args, **kwargs))

        def streaming(*args, **kwargs):
            made = function(*args, **kwargs)
            with contextlib.suppress(StopIteration):
                while True:
                    yield around(lambda: next(made))

        async def astreaming(*args, **kwargs):
            made = function(*args, **kwargs)
            with contextlib.suppress(StopAsyncIteration):
                while True:
                    yield await aaround(lambda: anext(made))

        return wrapped(function, function=wrapper, coroutine=awrapper, generator=streaming, async_generator=astreaming)

    return decorate


def rewrapped() -> Callable[..., Any]:
    """Raises an error of its own with the message of the incumbent's."""

    def around(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except (StopIteration, GeneratorExit):
            raise
        except BaseException as error:
            raise RuntimeError(str(error)) from error

    async def aaround(act: Callable[[], Any]) -> Any:
        try:
            return await act()
        except (StopAsyncIteration, GeneratorExit):
            raise
        except BaseException as error:
            raise RuntimeError(str(error)) from error

    return of_each_kind(around, aaround)


def remembering() -> Callable[..., Any]:
    """Keeps what was raised, to tell of it later."""
    errors: list[BaseException] = []

    def around(act: Callable[[], Any]) -> Any:
        try:
            return act()
        except BaseException as error:
            errors.append(error)
            raise

    async def aaround(act: Callable[[], Any]) -> Any:
        try:
            return await act()
        except BaseException as error:
            errors.append(error)
            raise

    return of_each_kind(around, aaround)


def copying() -> Callable[..., Any]:
    """Gives copies, for fear of changes."""

    async def aaround(act: Callable[[], Any]) -> Any:
        return copy.deepcopy(await act())

    return of_each_kind(lambda act: copy.deepcopy(act()), aaround)


async def awaited(act: Callable[[], Any]) -> Any:
    return await act()


def elsewhere() -> Callable[..., Any]:
    """Runs the incumbent in a context, or task, of its own."""

    async def task(act: Callable[[], Any]) -> Any:
        return await asyncio.create_task(awaited(act))

    return of_each_kind(lambda act: contextvars.copy_context().run(act), task)


def shielding() -> Callable[..., Any]:
    """Lets the incumbent finish whatever its caller does."""

    async def shielded(act: Callable[[], Any]) -> Any:
        return await asyncio.shield(asyncio.create_task(awaited(act)))

    return of_each_kind(lambda act: act(), shielded)


def spanning(function: Callable[..., Any]) -> Callable[..., Any]:
    """Sets a context variable around the whole call, `yield` and all."""
    span: contextvars.ContextVar[int] = contextvars.ContextVar("span")

    @contextlib.contextmanager
    def current() -> Iterator[None]:
        token = span.set(1)
        yield
        span.reset(token)

    def streaming(*args, **kwargs):
        with current():
            return (yield from function(*args, **kwargs))

    async def astreaming(*args, **kwargs):
        with current():
            async for chunk in function(*args, **kwargs):
                yield chunk

    async def awrapper(*args, **kwargs):
        with current():
            return await function(*args, **kwargs)

    return wrapped(function, coroutine=awrapper, generator=streaming, async_generator=astreaming)


def collecting(function: Callable[..., Any]) -> Callable[..., Any]:
    """Has the whole stream before its first chunk."""

    def streaming(*args, **kwargs):
        yield from list(function(*args, **kwargs))

    async def astreaming(*args, **kwargs):
        for chunk in [chunk async for chunk in function(*args, **kwargs)]:
            yield chunk

    return wrapped(function, generator=streaming, async_generator=astreaming)


class Iterated:
    """An iterator around a stream: begins it at the call, keeps no generator's methods."""

    def __init__(self, made: Any) -> None:
        self.made, self.first = made, None
        if inspect.isgenerator(made):
            self.first = next(made)

    def __iter__(self) -> Iterator[Any]:
        yield self.first
        yield from self.made

    def __aiter__(self) -> Any:
        return self.made.__aiter__()


def iterated(function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns an iterator of its own."""

    def wrapper(*args, **kwargs):
        return Iterated(function(*args, **kwargs))

    return wrapped(function, generator=wrapper, async_generator=wrapper)


def scheduled(function: Callable[..., Any]) -> Callable[..., Any]:
    """Begins a coroutine at the call."""

    def wrapper(*args, **kwargs):
        return asyncio.create_task(function(*args, **kwargs))

    return wrapped(function, coroutine=wrapper)


def hoarding() -> Callable[..., Any]:
    """Keeps the streams that are open."""
    kept: list[Any] = []

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args, **kwargs):
            kept.append(function(*args, **kwargs))
            return kept[-1]

        return wrapped(function, generator=wrapper, async_generator=wrapper)

    return decorate


def delegating(function: Callable[..., Any]) -> Callable[..., Any]:
    """Passes on all that is sent and thrown; the loop gets to know both streams."""

    async def astreaming(*args, **kwargs):
        made = function(*args, **kwargs)
        step = made.asend(None)
        with contextlib.suppress(StopAsyncIteration):
            while True:
                chunk = await step
                try:
                    step = made.asend((yield chunk))
                except BaseException as error:
                    step = made.athrow(error)

    return wrapped(function, async_generator=astreaming)


def lenient(function: Callable[..., Any]) -> Callable[..., Any]:
    """Passes on the arguments that it knows."""
    known = inspect.signature(function).parameters

    def wrapper(*args, **kwargs):
        return function(*args, **{name: value for name, value in kwargs.items() if name in known})

    return functools.wraps(function)(wrapper)


WRONG = (
    unnamed,
    always_async,
    rewrapped(),
    remembering(),
    copying(),
    elsewhere(),
    shielding(),
    spanning,
    collecting,
    iterated,
    scheduled,
    hoarding(),
    delegating,
    lenient,
)


def differs(one: Row, decorate: Callable[..., Any]) -> bool:
    try:
        return one.seen(decorate) != one.expected
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | pytest.fail.Exception):
            raise
        return True


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("one", ROWS, ids=str)
def test_a_check_can_fail(one: Row) -> None:
    """Some decorator that people write does not pass it."""
    with unraisable([]):
        assert any(differs(one, decorate) for decorate in WRONG)
        collect(0)


@pytest.mark.parametrize(
    "one",
    [
        one
        for one in ROWS
        if one.check in {the_signature_is_kept, closing_from_another_task_runs_the_finally, what_is_sent_is_delivered}
    ],
    ids=str,
)
def test_langsmiths_decorator_is_told_from_the_bare_function(one: Row) -> None:
    """A tracer in wide use does not pass these, measured here, nothing sent: the table asks for more than is usual."""
    langsmith = pytest.importorskip("langsmith")
    client = langsmith.Client(api_url="http://127.0.0.1:9", api_key="none", auto_batch_tracing=False)
    with unraisable([]), langsmith.tracing_context(enabled="local", client=client):
        assert one.seen(lambda bare: bare) == one.expected
        assert differs(one, langsmith.traceable(client=client))


# What is mirrored of a call, in each shape.


def incumbents() -> tuple[Callable[..., Any], ...]:
    """Of each kind; what comes of them is changed afterwards."""
    changed = {"text": "a"}

    def incumbent(tenant, question):
        return f"{question}a"

    async def aincumbent(tenant, question):
        return f"{question}a"

    def streaming(tenant, question):
        yield question
        yield changed
        changed["text"] = "b"
        yield changed

    async def astreaming(tenant, question):
        for chunk in streaming(tenant, question):
            yield chunk

    return incumbent, aincumbent, streaming, astreaming


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_mirrored_is_what_was_asked_and_given(kind: str, shape: str, mirror: Mirror, kept: Any) -> None:
    """The arguments but for `self` and `cls`; the value, or all chunks as they were when they passed."""
    place = Place(mirror, shape)
    whole(place(by_kind(kind, *incumbents()))("q"))
    given = (*place.lead, "q") if shape != "partial of it" else ("acme", "q")
    assert codec.thaw(kept.only.query.inputs) == (given, {})
    served = kept.only.served
    if kind in STREAMS:
        assert (served.outcome.answer, served.outcome.chunks) == ("qab", 3)
        assert served.outcome.value == ["q", {"text": "a"}, {"text": "b"}]
        assert 0 <= served.first_chunk <= served.duration
    else:
        assert (served.outcome.answer, served.outcome.chunks, served.first_chunk) == ("qa", None, None)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", STREAMS)
def test_a_long_stream_is_cut_in_the_record_only(
    kind: str, shape: str, mirror_with: Callable[..., Mirror], kept: Any
) -> None:
    """The consumer has all of it; the record is whole up to its cap, and says that it was cut."""
    place = Place(mirror_with(max_bytes=1000), shape)
    text = "0123456789" * 300
    assert "".join(whole(place(by_kind(kind, stream, astream))(text[:900]))) == text[:900]
    assert "".join(whole(place(by_kind(kind, long, along))("q"))) == text
    short, cut = (envelope.served.outcome for envelope in kept.envelopes)
    assert (short.answer, short.chunks, short.truncated) == (text[:900], 900, False)
    assert (cut.answer, cut.chunks, cut.truncated) == (text[:1000], 300, True)


def long(tenant, question):
    yield from ["0123456789"] * 300


async def along(tenant, question):
    for chunk in ["0123456789"] * 300:
        yield chunk


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", STREAMS)
def test_a_consumer_that_goes_away_is_recorded_as_such(kind: str, shape: str, mirror: Mirror, kept: Any) -> None:
    """As aborted; unless the incumbent did not heed it, and was heard to its end."""

    def incumbent(tenant, heeds):
        try:
            yield "a"
        except GeneratorExit:
            if heeds:
                return
            yield "b"
        yield "c"

    async def aincumbent(tenant, heeds):
        try:
            yield "a"
        except GeneratorExit:
            if heeds:
                return
            yield "b"
        yield "c"

    async def leave(made: Any) -> None:
        await anext(made)
        with contextlib.suppress(StopAsyncIteration):
            await made.athrow(GeneratorExit)
        async for _ in made:
            pass

    for heeds in (True, False):
        made = Place(mirror, shape)(by_kind(kind, incumbent, aincumbent))(heeds)
        if kind == ASYNC_GENERATOR:
            run(leave(made))
        else:
            next(made)
            with contextlib.suppress(StopIteration):
                made.throw(GeneratorExit)
            whole(made)
    went, stayed = (envelope.served for envelope in kept.envelopes)
    assert (went.failure.kind, went.outcome) == ("aborted", None)
    assert (stayed.failure, stayed.outcome.answer) == (None, "abc")


@pytest.mark.parametrize("kind", STREAMS)
def test_what_a_consumer_asks_between_chunks_is_a_query_of_its_own(
    kind: str, mirror: Mirror, kept: Any, counted: Any
) -> None:
    """Nothing of ours is set across a `yield`: its calls are not taken for the incumbent's."""
    asked = Place(mirror)(answer)
    whole(Place(mirror)(by_kind(kind, stream, astream))("abc"), asked)
    assert counted(mirror) == {"eligible": 4, "mirrored": 4}
    assert [envelope.served.outcome.answer for envelope in kept.envelopes] == ["a/3", "b/3", "c/3", "abc"]
