"""Random drivers of generators: the mirrored one can't be told from the bare one."""

import asyncio
import contextlib
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.mirror import Mirror

ACTIONS = st.lists(
    st.one_of(
        st.just(("next",)),
        st.tuples(st.just("send"), st.integers(0, 5)),
        st.tuples(st.just("throw"), st.sampled_from(["key", "value", "exit", "stop"])),
        st.just(("close",)),
    ),
    max_size=9,
)
# What the incumbent does at each resumption that throws, and when it ends.
PLANS = st.tuples(st.integers(0, 5), st.sampled_from(["pass", "swallow", "replace", "return"]), st.booleans())
ERRORS = {"key": KeyError, "value": ValueError, "exit": GeneratorExit, "stop": StopIteration}


def incumbent(plan: tuple[int, str, bool]):
    """A generator function that obeys the plan."""
    length, on_error, fails = plan

    def stream(question: str):
        for n in range(length):
            try:
                got = yield (question, n)
                if got is not None:
                    yield ("got", got)
            except GeneratorExit:
                if on_error == "return":
                    return "closed"
                if on_error == "swallow" and n < 2:
                    yield "not yet"
                    continue
                raise
            except (KeyError, ValueError):
                if on_error == "pass":
                    raise
                if on_error == "replace":
                    raise LookupError(n) from None
                if on_error == "return":
                    return "stopped"
                yield "swallowed"
        if fails:
            raise ArithmeticError("at the end")
        return "done"

    return stream


def async_incumbent(plan: tuple[int, str, bool]):
    """The same, async; its return values are left out, since async generators have none."""
    length, on_error, fails = plan

    async def stream(question: str):
        for n in range(length):
            try:
                await asyncio.sleep(0)
                got = yield (question, n)
                if got is not None:
                    yield ("got", got)
            except GeneratorExit:
                if on_error == "return":
                    return
                raise
            except (KeyError, ValueError):
                if on_error == "pass":
                    raise
                if on_error == "replace":
                    raise LookupError(n) from None
                if on_error == "return":
                    return
                yield "swallowed"
        if fails:
            raise ArithmeticError("at the end")

    return stream


def told(error: BaseException) -> tuple[str, str, Any]:
    return (type(error).__name__, str(error), getattr(error, "value", None))


def drive(function: Any, actions: list[tuple[Any, ...]]) -> list[Any]:
    made = function("q")
    out: list[Any] = []
    for action in actions:
        try:
            match action:
                case ("next",):
                    out.append(next(made))
                case ("send", value):
                    out.append(made.send(value))
                case ("throw", name):
                    out.append(made.throw(ERRORS[name]("thrown")))
                case _:
                    out.append(("closed", made.close()))
        except BaseException as error:
            out.append(told(error))
    for _ in range(3):  # the stubborn give in at the third time
        with contextlib.suppress(RuntimeError):
            made.close()
    return out


async def adrive(function: Any, actions: list[tuple[Any, ...]]) -> list[Any]:
    made = function("q")
    out: list[Any] = []
    for action in actions:
        try:
            match action:
                case ("next",):
                    out.append(await anext(made))
                case ("send", value):
                    out.append(await made.asend(value))
                case ("throw", name):
                    out.append(await made.athrow(ERRORS[name]("thrown")))
                case _:
                    out.append(("closed", await made.aclose()))
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            out.append(told(error))
    await made.aclose()
    return out


class Sink:
    def __init__(self) -> None:
        self.count = 0

    def offer(self, frame: bytes) -> str | None:
        self.count += 1

    def close(self) -> None:
        """Nothing to let go of."""


@settings(max_examples=300, deadline=None)
@given(actions=ACTIONS, plan=PLANS)
def test_a_generator_answers_every_driver_as_the_bare_one(actions: list[Any], plan: Any) -> None:
    """Any interleaving of next, send, throw and close has the same results and exceptions."""
    sink = Sink()
    mirror = Mirror("x", sink, control=0.0)
    function = incumbent(plan)
    assert drive(mirror(function), actions) == drive(function, actions)
    counts = mirror.lane.tally.main.snapshot()
    assert counts.get("mirrored", 0) == counts.get("eligible", 0) == sink.count


@settings(max_examples=200, deadline=None)
@given(actions=ACTIONS.filter(lambda acts: ("throw", "stop") not in acts), plan=PLANS)
def test_an_async_generator_answers_every_driver_as_the_bare_one(actions: list[Any], plan: Any) -> None:
    """The same for anext, asend, athrow and aclose."""
    mirror = Mirror("x", Sink(), control=0.0)
    function = async_incumbent(plan)
    with asyncio.Runner() as runner:
        assert runner.run(adrive(mirror(function), actions)) == runner.run(adrive(function, actions))


@settings(max_examples=50, deadline=None)
@given(actions=ACTIONS, plan=PLANS)
def test_unmirrored_generators_too(actions: list[Any], plan: Any) -> None:
    """Calls that are not mirrored pass by another road, which is no different."""
    function = incumbent(plan)
    off = Mirror("x", Sink(), sample=0.0)
    control = Mirror("x", Sink(), control=1.0)
    assert drive(off(function), actions) == drive(function, actions) == drive(control(function), actions)
