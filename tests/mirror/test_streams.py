"""Random programs driven at random: the mirrored stream can't be told from the bare one, and is counted once.

A program is what an incumbent does at each of its steps, and what it makes of exceptions thrown in. A drive is what its
consumer does. What both see is written into one trace, which must be that of the bare function in every state of the
mirror. Hypothesis looks for the shortest that is not.
"""

import asyncio
import contextlib
import contextvars
import gc
import inspect
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from shadoweval import codec
from shadoweval.capture import Recorder, recording, retriever, tool
from shadoweval.capture import step as step_of
from shadoweval.mirror import Mirror
from shadoweval.protocols import Transport
from tests.garbage import collect

STATES: dict[str, tuple[dict[str, Any], str]] = {
    "mirrored": ({}, "mirrored"),
    "control": ({"control": 1.0}, "control"),
    "not sampled": ({"sample": 5e-324}, "not_sampled"),
    "off": ({"sample": 0.0}, "off"),
    "killed": ({"decide": lambda unit, attributes: "killed"}, "killed"),
    "transport raises": ({}, "fault_offer"),
}
PARTS: dict[str, Callable[..., Any]] = {"tool": tool(effect="read"), "step": step_of("model"), "retriever": retriever}
"""Parts of a pipeline are streams too, in the middle of a recording."""
ERRORS = {
    "key": KeyError,
    "value": ValueError,
    "exit": GeneratorExit,
    "stop": StopIteration,
    "astop": StopAsyncIteration,
    "cancelled": asyncio.CancelledError,
    "interrupt": KeyboardInterrupt,
}
# What a step does, and what it makes of an exception and of GeneratorExit thrown in.
PLAIN = [*["yield"] * 6, *["echo"] * 4, *["pause"] * 3, "raise", "stop", "return"]
STEPS = st.tuples(
    st.sampled_from(PLAIN),
    st.sampled_from(["pass", "swallow", "answer", "replace", "return"]),
    st.sampled_from(["pass", "pass", "swallow", "answer", "replace", "return"]),
)
PROGRAMS = st.tuples(
    st.lists(STEPS, max_size=6), st.sampled_from(["falls off", "raises", "cleans up", "fails to clean up"])
)
ACTS = st.one_of(
    st.tuples(st.just("send"), st.sampled_from([None, None, 1, "two"])),
    st.tuples(st.just("throw"), st.sampled_from(sorted(ERRORS))),
    st.tuples(st.sampled_from(["close", "look"]), st.none()),
)
AACTS = st.one_of(
    ACTS,
    st.tuples(st.sampled_from(["cancel", "send in a task", "close in a task", "two at once"]), st.none()),
)


def drives(acts: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    """What a consumer does; most begin with the first chunk."""
    rest = st.lists(acts, max_size=9)
    begun = rest.map(lambda more: [("send", None), *more])
    return st.one_of(begun, begun, rest)


class Sink(Transport):
    """A transport in memory, or one that raises."""

    def __init__(self, *, fails: bool = False) -> None:
        self.frames: list[bytes] = []
        self.fails = fails

    def offer(self, frame: bytes) -> str | None:
        if self.fails:
            raise OSError("no disk")
        self.frames.append(frame)
        return None

    def close(self) -> None:
        """Nothing to let go of."""


Trace = list[Any]
Program = tuple[list[tuple[str, str, str]], str]
THROWN_IN = (KeyError, ValueError, GeneratorExit, asyncio.CancelledError)


def shown(error: BaseException | None, known: BaseException | None = None) -> Any:
    """An exception as a trace holds it: which, whether it is the one thrown in, and what it came of."""
    if error is None:
        return None
    if error is known:
        return "that one"
    came_of = shown(error.__cause__ or error.__context__, known)
    return (type(error).__name__, str(error), getattr(error, "value", None), came_of)


def met(n: int, step: tuple[str, str, str], error: BaseException) -> str:
    """What step n makes of an exception thrown in."""
    how = step[2] if isinstance(error, GeneratorExit) else step[1]
    if how == "replace":
        raise LookupError(n)
    return how


def before(n: int, does: str) -> None:
    if does == "raise":
        raise ArithmeticError(n)
    if does == "stop":
        raise StopIteration(n)


def incumbent(program: Program, trace: Trace) -> Callable[..., Any]:
    """A generator function that does what the program says."""
    steps, end = program

    def stream(question):
        trace.append(("began", question))
        try:
            for n, step in enumerate(steps):
                try:
                    before(n, step[0])
                    if step[0] == "return":
                        return n
                    trace.append(("gives", n))
                    got = yield (question, n)
                    trace.append(("got", got))
                    if step[0] == "echo":
                        trace.append(("gives", n))
                        yield got
                except THROWN_IN as error:
                    trace.append(("met", type(error).__name__))
                    how = met(n, step, error)
                    if how == "pass":
                        raise
                    if how == "return":
                        return error.args
                    if how == "answer":
                        trace.append(("gives", n))
                        yield ("met", n)
            if end == "raises":
                raise ArithmeticError("at the end")
            return "done"
        finally:
            trace.append(("ended", shown(sys.exception())))
            if end == "fails to clean up":
                raise OSError("cleaning up")

    return stream


def aincumbent(program: Program, trace: Trace) -> Callable[..., Any]:
    """The same, async: it awaits, and so may its cleanup."""
    steps, end = program

    async def stream(question):
        trace.append(("began", question))
        try:
            for n, step in enumerate(steps):
                try:
                    before(n, step[0])
                    if step[0] == "return":
                        return
                    if step[0] == "pause":
                        await asyncio.sleep(0)
                        trace.append(("paused", n))
                    trace.append(("gives", n))
                    got = yield (question, n)
                    trace.append(("got", got))
                    if step[0] == "echo":
                        trace.append(("gives", n))
                        yield got
                except THROWN_IN as error:
                    trace.append(("met", type(error).__name__))
                    how = met(n, step, error)
                    if how == "pass":
                        raise
                    if how == "return":
                        return
                    if how == "answer":
                        trace.append(("gives", n))
                        yield ("met", n)
            if end == "raises":
                raise ArithmeticError("at the end")
        finally:
            trace.append(("ended", shown(sys.exception())))
            if end != "falls off":
                await asyncio.sleep(0)
                trace.append(("cleaned up", None))
            if end == "fails to clean up":
                raise OSError("cleaning up")

    return stream


def drive(function: Callable[..., Any], acts: list[tuple[str, Any]], ending: str, trace: Trace) -> Any:
    """A consumer; gives the stream back where it is left as it is."""
    made = function("q")
    for act, what in acts:
        known: BaseException | None = None
        got: Any = None
        try:
            match act:
                case "send":
                    got = made.send(what)
                case "throw":
                    known = ERRORS[what](what)
                    got = made.throw(known)
                case "close":
                    got = made.close()
                case _:
                    got = inspect.getgeneratorstate(made)
        except BaseException as error:
            trace.append((act, shown(error, known)))
        else:
            trace.append((act, got))
    known = None
    trace.append((ending, None))
    if ending == "drop":
        del made
        collect(0)
        return None
    with contextlib.suppress(Exception):
        trace.extend(("rest", chunk) for chunk in made)
    return made


async def step(awaited: Any) -> Any:
    return await awaited


async def act_on(made: Any, act: str, what: Any, known: BaseException | None) -> Any:
    """One act of an async consumer; "in a task" says where."""
    if act.endswith(" in a task"):
        return await asyncio.create_task(act_on(made, act.removesuffix(" in a task"), what, known))
    if act in {"send", "throw", "close"}:
        made_by = {"send": lambda: made.asend(what), "throw": lambda: made.athrow(known), "close": made.aclose}
        return await made_by[act]()
    if act == "look":
        return made.ag_running
    task = asyncio.create_task(step(made.asend(what)))
    if act == "cancel":
        await asyncio.sleep(0)
        task.cancel()
        return await task
    both = await asyncio.gather(task, step(made.aclose()), return_exceptions=True)
    return [shown(one) if isinstance(one, BaseException) else one for one in both]


async def adrive(function: Callable[..., Any], acts: list[tuple[str, Any]], ending: str, trace: Trace) -> Any:
    """The same, async; "leave" leaves it to the loop's shutdown."""
    made = function("q")
    for act, what in acts:
        known = ERRORS[what](what) if act == "throw" else None
        try:
            got = await act_on(made, act, what, known)
        except BaseException as error:
            trace.append((act, shown(error, known)))
        else:
            trace.append((act, got))
    known = None
    trace.append((ending, None))
    if ending == "rest":
        with contextlib.suppress(Exception):
            async for chunk in made:
                trace.append(("rest", chunk))
    if ending == "drop":
        del made
        collect(0)
        for _ in range(9):
            await asyncio.sleep(0)
        return None
    return made


def seen(function: Callable[..., Any], acts: list[tuple[str, Any]], ending: str, trace: Trace) -> Trace:
    """The trace of one drive; what nobody could catch, and context variables that are left set, are part of it."""
    hook, context = sys.unraisablehook, contextvars.copy_context()
    sys.unraisablehook = lambda told: trace.append(("unraisable", shown(told.exc_value)))
    before = dict(context)
    gc.disable()  # an exception's traceback may hold a stream: it comes when it is called, and takes no older one along
    try:
        if inspect.isasyncgenfunction(function):
            with asyncio.Runner() as runner:
                runner.get_loop().set_exception_handler(
                    lambda _, told: trace.append((told["message"].split(" <")[0], shown(told.get("exception"))))
                )
                left = [runner.run(adrive(function, acts, ending, trace), context=context)]
        else:
            left = [context.run(drive, function, acts, ending, trace)]
        told = trace[:]
        context.run(left.clear)
        context.run(collect, 0)
        return [*told, ("left set", [variable.name for variable in context if variable not in before])]
    finally:
        gc.enable()
        sys.unraisablehook = hook


def apart(*drive_: Any) -> Trace:
    """The trace of one drive; a stream left open may be collected anywhere, so no context is shared with others."""
    return contextvars.copy_context().run(seen, *drive_)


def stubborn(trace: Trace) -> int | None:
    """Where a trace ends that left a stream open, or whose cleanup nobody waited for.

    From there on, it is the interpreter's affair how often it is closed.
    """
    names = {entry[0] for entry in trace}
    if "began" not in names or ("ended" in names and "unraisable" not in names):
        return None
    return next(n for n, entry in enumerate(trace) if entry[0] in {"drop", "leave", "rest"})


def check_count(mirror: Mirror, reasons: set[str | None], trace: Trace) -> None:
    """A call that began is counted once, as what became of it; None: or not at all, since it never ended."""
    counts = mirror.outlet.ledger.main.snapshot()
    if not any(entry[0] == "began" for entry in trace):
        assert counts == {}
    else:
        assert counts in [{"eligible": 1, reason: 1} if reason else {} for reason in reasons]


def check_record(sink: Sink, trace: Trace) -> None:
    """What was mirrored is what the incumbent did."""
    served = codec.decode_envelope(sink.frames[0]).served
    names = [entry[0] for entry in trace]
    given = [n for n, name in enumerate(names) if name == "gives"]
    left = [n for n, entry in enumerate(trace) if entry == ("met", "GeneratorExit")]
    aborted = bool(left) and left[-1] > max(given)
    raised = dict(trace[: names.index("ended") + 1])["ended"] is not None
    if served.failure is None:
        assert not raised
        assert not aborted
        assert served.outcome.chunks == len(given)
    else:
        event(f"recorded as {served.failure.kind}")


def compare(make: Callable[..., Any], program: Program, acts: list[tuple[str, Any]], ending: str) -> None:
    """The bare function's trace is that of the mirrored one, in every state."""
    bare = apart(make(program, trace := []), acts, ending, trace)
    end = stubborn(bare)
    names = {entry[0] for entry in bare}
    event("left open" if end is not None else "begun and ended" if "began" in names else "never begun")
    for name, what in bare:
        event(f"{name}: {what[0]}" if isinstance(what, tuple) and len(what) == len(shown(KeyError())) else name)
    for state, (options, reason) in STATES.items():
        sink = Sink(fails=state == "transport raises")
        mirror = Mirror("x", sink, **{"control": 0.0, **options})
        trace = []
        found = apart(mirror(make(program, trace)), acts, ending, trace)
        assert (state, found[:end]) == (state, bare[:end])
        check_count(mirror, {reason} if end is None else {reason, None}, found)
        if sink.frames and end is None:
            check_record(sink, found)
    for name, decorate in PARTS.items():
        trace = []
        with recording(Recorder()):
            found = apart(decorate(make(program, trace)), acts, ending, trace)
        assert (name, found[:end]) == (name, bare[:end])


@settings(max_examples=300, deadline=None)
@given(program=PROGRAMS, acts=drives(ACTS), ending=st.sampled_from(["rest", "drop"]))
def test_a_generator_answers_every_driver_as_the_bare_one(program: Program, acts: list[Any], ending: str) -> None:
    """Any interleaving of next, send, throw and close."""
    compare(incumbent, program, acts, ending)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@settings(max_examples=300, deadline=None)
@given(program=PROGRAMS, acts=drives(AACTS), ending=st.sampled_from(["rest", "drop", "leave"]))
def test_an_async_generator_answers_every_driver_as_the_bare_one(
    program: Program, acts: list[Any], ending: str
) -> None:
    """Any interleaving of anext, asend, athrow and aclose, of several tasks, with cancellation and the loop's end."""
    compare(aincumbent, program, acts, ending)
