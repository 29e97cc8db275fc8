"""`@tool`: a function that an agent may call, whose calls are recorded, and answered by another in a shadow.

Outside a recording and without an interceptor a call costs one look into a context variable.
"""

from __future__ import annotations

import functools
import inspect
import sys
import time
import types
from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar, cast, overload

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import Pieces, argument_data
from shadoweval.capture.entries import Tool, unbound
from shadoweval.capture.generators import gathered
from shadoweval.capture.interception import UNFINISHED, answered_result, error_text, installed
from shadoweval.capture.recorder import current, inside
from shadoweval.capture.wire.rows import shallow_arguments
from shadoweval.capture.wrappers import observed
from shadoweval.checks import checked_choice, checked_function, checked_instance, checked_keywords
from shadoweval.errors import ArgumentError, ToolRefusedError
from shadoweval.protocols import StubAnswer
from shadoweval.records import Effect

if TYPE_CHECKING:
    from shadoweval.capture.failed_results import Judge
    from shadoweval.capture.failure_rules import Saying

__all__ = ["acall_tool", "call_tool", "tool"]

_F = TypeVar("_F", bound=Callable[..., Any])


class _Call:
    """One tool call from its arguments to its record. Our own faults stay here and on the recorder."""

    __slots__ = ("answer", "arguments", "beside", "effect", "given", "name", "outer", "recorder", "started")

    def __init__(self, name: str, arguments: dict[str, Any], effect: Effect, beside: dict[str, Any] | None) -> None:  # noqa: PLR0917
        self.name, self.given, self.beside = name, arguments, {} if beside is None else beside
        since = perf_counter()
        from shadoweval.capture.beside import watched  # noqa: PLC0415 - in shadows only

        self.arguments = watched(argument_data(arguments), arguments)
        self.effect: Effect = effect
        self.answer: StubAnswer | None = None
        self.recorder = current.get()
        if self.recorder is not None:
            self.recorder.spent(since)
        self.outer = inside.get()
        self.started = perf_counter()
        inside.set(self.started)
        if self.recorder is not None:
            self.recorder.under_way[self.started] = (self, self.arguments)

    def ended(self, result: Any, error: BaseException | None) -> None:
        inside.set(self.outer)
        recorder, answer = self.recorder, self.answer
        if recorder is None:
            return
        recorder.under_way.pop(self.started, None)
        failure = answer.error if answer is not None and answer.error is not None else None
        if failure is None and error is not None:
            failure = error_text(error)
        since = perf_counter()
        if error is not None:
            from shadoweval.capture.raised import chain_of, chained, raised  # noqa: PLC0415 - with the first failure

            chained(error, self.beside)
            result = raised(error)
            self.beside.update(chain_of(error))
        recorder.add_call(
            self.name,
            self.arguments,
            result,
            started=self.started,
            duration=since - self.started,
            error=failure,
            effect=self.effect,
            answered="live" if answer is None else answer.answered,
            beside=self.beside,
        )
        recorder.spent(since)

    def ask(self, live: Callable[[], Any], patience: Callable[[_Call, float], Any], *, unfit: bool) -> Any:
        """What the interceptor gives, or `live()` without one; `patience` where the recorded call has no end."""
        interceptor = installed.interceptor
        if interceptor is None or unfit:
            return live()
        shallow = shallow_arguments(self.arguments)
        if shallow != self.arguments:
            self.arguments = shallow
        answer = self.answer = interceptor.answer(self.name, codec.data(shallow), effect=self.effect, live=live)
        if answer.beside:
            self._left_again(answer)
        if answer.error == UNFINISHED and answer.answered != "refused":
            return patience(self, answer.result)
        return answered_result(self.name, self.effect, answer)

    def _left_again(self, answer: StubAnswer) -> None:
        """What the recorded call left beside its result, this one leaves too."""
        from shadoweval.capture.beside import CHANGED, changed_as  # noqa: PLC0415 - in shadows only

        self.beside.update((kind, parts) for kind, parts in answer.beside.items() if kind != CHANGED)
        if not changed_as(answer.beside, self.given):
            self.answer = msgspec.structs.replace(answer, answered="simulated")

    def given_up(self) -> NoReturn:
        """Nobody has cancelled it where the incumbent's was, so that a result is missing."""
        error = ToolRefusedError(self.name, self.effect)
        self.answer = StubAnswer(answered="refused", error=error_text(error))
        raise error


def _outlasted(call: _Call, seconds: float) -> NoReturn:
    """A recorded call of which nobody saw the end is under way for a while, and then refused."""
    time.sleep(seconds)
    call.given_up()


async def _aoutlasted(call: _Call, seconds: float) -> NoReturn:
    await sys.modules["asyncio"].sleep(seconds)
    call.given_up()


def call_tool(
    name: str,
    arguments: dict[str, Any],
    *,
    effect: Effect,
    live: Callable[[], Any],
    unfit: bool = False,
    beside: dict[str, Any] | None = None,
) -> Any:
    """Have a tool call answered by the interceptor, or by `live()` without one, and record it.

    `unfit`: `live()` does nothing but raise that the arguments are not the tool's. `beside`: gets what the recorded
    call left beside its result; what `live()` puts there is recorded (see `capture.beside`).
    """
    call = _Call(name, arguments, effect, beside)
    try:
        result = call.ask(live, _outlasted, unfit=unfit)
    except BaseException as error:
        call.ended(None, error)
        raise
    call.ended(result, None)
    return result


async def acall_tool(
    name: str,
    arguments: dict[str, Any],
    *,
    effect: Effect,
    live: Callable[[], Any],
    unfit: bool = False,
    beside: dict[str, Any] | None = None,
) -> Any:
    """`call_tool` for a tool whose `live()` may be awaited."""
    call = _Call(name, arguments, effect, beside)
    try:
        result = call.ask(live, _aoutlasted, unfit=unfit)
        if inspect.isawaitable(result):
            result = await result
    except BaseException as error:
        call.ended(None, error)
        raise
    call.ended(result, None)
    return result


def _judging(title: str, effect: Effect, function: Callable[..., Any], *, failed: Judge) -> Tool:
    """The entries of a tool whose results say whether it failed."""
    from shadoweval.capture.failed_results import JudgedTool, declared  # noqa: PLC0415 - for the few that have a judge

    declared[title] = failed
    return JudgedTool(title, effect, function, failed=failed)


def _observed(function: Callable[..., Any], title: str, effect: Effect, *, failed: Judge | None) -> Callable[..., Any]:
    entries = Tool(title, effect, function) if failed is None else _judging(title, effect, function, failed=failed)
    call = acall_tool if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function) else call_tool
    whole = gathered(function)

    def answered(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """By the interceptor; a coroutine for an async tool."""
        live, unfit = functools.partial(whole, *args, **kwargs), False
        try:
            arguments = entries.bind(*args, **kwargs)
        except TypeError:
            arguments, unfit = unbound(args, kwargs), not _fits(function, args, kwargs)
        return call(title, arguments, effect=effect, live=live, unfit=unfit)

    return observed(function, entries, answered, taking=lambda recorder: Pieces(recorder.left))


def _fits(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether calling it may do more than raise that the arguments are not its own; a decorator may add some."""
    if not isinstance(function, types.FunctionType):
        return True
    # What `__wrapped__` and `__signature__` say of its parameters is not what Python binds a call to.
    bare = types.FunctionType(function.__code__, {}, "", function.__defaults__, function.__closure__)
    bare.__kwdefaults__ = function.__kwdefaults__
    try:
        inspect.signature(bare).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


@overload
def tool(function: _F, /) -> _F: ...
@overload
def tool(
    *, effect: Effect = "unknown", name: str | None = None, failed: Saying | None = None
) -> Callable[[_F], _F]: ...
@checked_keywords()
def tool(
    function: _F | None = None,
    /,
    *,
    effect: Effect = "unknown",
    name: str | None = None,
    failed: Saying | None = None,
) -> _F | Callable[[_F], _F]:
    """Declare a function, sync or async, as a tool of an agent. The result of a generator is the list of its chunks.

    Args:
        function: The tool, when the decorator is used without parentheses.
        effect: What it does to the world; `unknown` counts as a write, which a candidate never executes.
        name: Name in records; the function's own by default.
        failed: When a call failed although it raised nothing. A function of its result that gives a truth, or a text
            that says why; a path into it where something stands, `"$.error"`; values at paths,
            `{"$.state": ["declined"]}`; or a pattern of its text, `re.compile("^DECLINED")`. A function takes the place
            of the rule of common forms, such as `{"error": ...}` (docs/stubs.md); the others stand beside it.

    Raises:
        ArgumentError: an effect that is none, or no function.
    """
    checked_choice("tool(effect)", effect, Effect)
    if name is not None:
        checked_instance("tool(name)", name, str)
    judge = None
    if failed is not None:
        from shadoweval.capture.failure_rules import checked_judge  # noqa: PLC0415 - for the few that have a judge

        judge = checked_judge("tool(failed)", failed)
    if function is not None and not callable(function):
        mend = "Write @tool(effect='read') above the function."
        raise ArgumentError("tool()", function, expected="a function or keywords", mend=mend)

    def declare(declared: _F) -> _F:
        checked_function("what @tool() declares", declared, awaited=True)
        title = name or getattr(declared, "__name__", type(declared).__name__)
        return cast("_F", _observed(declared, title, effect, failed=judge))

    return declare if function is None else declare(function)
