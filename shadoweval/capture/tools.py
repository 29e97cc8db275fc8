"""`@tool`: a function that an agent may call, whose calls are recorded, and answered by another in a shadow.

Outside a recording and without an interceptor a call costs one look into a context variable.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, TypeVar, cast, overload

import msgspec

from shadoweval.capture.copying import argument_plain, encode_sorted, weigh
from shadoweval.capture.interception import error_text, given, installed
from shadoweval.capture.recorder import Fixed, Recorder, current
from shadoweval.protocols import StubAnswer
from shadoweval.records import Effect

__all__ = ["acall_tool", "call_tool", "tool"]

_F = TypeVar("_F", bound=Callable[..., Any])
_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_ARGUMENT_CAP: Final = 1 << 20
_P = inspect.Parameter


def _binder(function: Callable[..., Any]) -> Callable[[tuple[Any, ...], dict[str, Any]], dict[str, Any]]:
    """Arguments by name with defaults. What can be known of the signature is worked out here, once."""
    signature = inspect.signature(function)
    parameters = signature.parameters.values()
    names = [p.name for p in parameters if p.kind in {_P.POSITIONAL_OR_KEYWORD, _P.POSITIONAL_ONLY}]
    starred = next((p.name for p in parameters if p.kind is _P.VAR_POSITIONAL), None)
    defaults = {p.name: p.default for p in parameters if p.default is not _P.empty}
    skipped = names[0] if names and names[0] in {"self", "cls"} else None
    many = len(names)

    def bind(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = {**defaults, **dict(zip(names, args, strict=False)), **kwargs}
        if starred is not None:
            bound[starred] = list(args[many:])
        if skipped is not None:
            bound.pop(skipped, None)
        return bound

    def bind_plain(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        bound = dict(zip(names, args, strict=False))
        if kwargs:
            bound.update(kwargs)
        return bound

    return bind if defaults or starred or skipped else bind_plain


def _fixed(arguments: dict[str, Any]) -> Fixed:
    """Arguments that nobody can change any more: the dict itself where it holds atoms only, else bytes."""
    if _ATOMS.issuperset(map(type, arguments.values())):
        return arguments
    try:
        if 0 <= weigh(arguments) <= _ARGUMENT_CAP:
            return encode_sorted(arguments)
    except (OverflowError, RecursionError):
        pass
    plain = {name: argument_plain(value, max_bytes=_ARGUMENT_CAP) for name, value in arguments.items()}
    return msgspec.Raw(encode_sorted(plain))


def _visible(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments as the interceptor sees them: what can't be copied is named by its type, as in the record."""
    visible: dict[str, Any] = {}
    for name, value in arguments.items():
        plain = argument_plain(value, max_bytes=_ARGUMENT_CAP)
        visible[name] = plain if type(plain) is dict and type(value) is not dict else value
    return visible


class _Call:
    """One tool call from its arguments to its record. Our own faults stay here and on the recorder."""

    __slots__ = ("answer", "arguments", "effect", "fixed", "name", "recorder", "started")

    def __init__(self, name: str, arguments: dict[str, Any], effect: Effect) -> None:
        self.name, self.arguments = name, arguments
        self.effect: Effect = effect
        self.answer: StubAnswer | None = None
        self.recorder = current.get()
        self.fixed: Fixed = _fixed(arguments) if self.recorder is not None else {}
        self.started = perf_counter()

    def ended(self, result: Any, error: BaseException | None) -> None:
        recorder, answer = self.recorder, self.answer
        if recorder is None:
            return
        told = answer.error if answer is not None and answer.error is not None else None
        if told is None and error is not None:
            told = error_text(error)
        recorder.add_call(
            self.name,
            self.fixed,
            result,
            started=self.started,
            duration=perf_counter() - self.started,
            error=told,
            effect=self.effect,
            answered="live" if answer is None else answer.answered,
        )

    def ask(self, live: Callable[[], Any]) -> Any:
        """What the interceptor gives, or `live()` without one."""
        asked = installed.interceptor
        if asked is None:
            return live()
        self.answer = asked.answer(self.name, _visible(self.arguments), effect=self.effect, live=live)
        return given(self.name, self.effect, self.answer)


def call_tool(name: str, arguments: dict[str, Any], *, effect: Effect, live: Callable[[], Any]) -> Any:
    """Have a tool call answered by the interceptor, or by `live()` without one, and record it."""
    call = _Call(name, arguments, effect)
    try:
        result = call.ask(live)
    except BaseException as error:
        call.ended(None, error)
        raise
    call.ended(result, None)
    return result


async def acall_tool(name: str, arguments: dict[str, Any], *, effect: Effect, live: Callable[[], Any]) -> Any:
    """`call_tool` for a tool whose `live()` may be awaited."""
    call = _Call(name, arguments, effect)
    try:
        result = call.ask(live)
        if inspect.isawaitable(result):
            result = await result
    except BaseException as error:
        call.ended(None, error)
        raise
    call.ended(result, None)
    return result


def _declared_tool(function: Callable[..., Any], effect: Effect, name: str | None) -> Callable[..., Any]:
    title = name or getattr(function, "__name__", type(function).__name__)
    bind = _binder(function)

    if inspect.iscoroutinefunction(function):

        @functools.wraps(function)
        async def acalled(*args: Any, **kwargs: Any) -> Any:
            recorder = current.get()
            if installed.interceptor is not None:
                return await acall_tool(
                    title, bind(args, kwargs), effect=effect, live=lambda: function(*args, **kwargs)
                )
            if recorder is None:
                return await function(*args, **kwargs)
            fixed = _begun(recorder, bind, (args, kwargs))
            started = perf_counter()
            try:
                result = await function(*args, **kwargs)
            except BaseException as error:
                _failed(recorder, title, effect, fixed=fixed, started=started, error=error)
                raise
            _ended(recorder, title, effect, fixed=fixed, result=result, started=started)
            return result

        return acalled

    @functools.wraps(function)
    def called(*args: Any, **kwargs: Any) -> Any:
        recorder = current.get()
        if installed.interceptor is not None:
            return call_tool(title, bind(args, kwargs), effect=effect, live=lambda: function(*args, **kwargs))
        if recorder is None:
            return function(*args, **kwargs)
        fixed = _begun(recorder, bind, (args, kwargs))
        started = perf_counter()
        try:
            result = function(*args, **kwargs)
        except BaseException as error:
            _failed(recorder, title, effect, fixed=fixed, started=started, error=error)
            raise
        _ended(recorder, title, effect, fixed=fixed, result=result, started=started)
        return result

    return called


def _begun(
    recorder: Recorder, bind: Callable[..., dict[str, Any]], call: tuple[tuple[Any, ...], dict[str, Any]]
) -> Fixed:
    try:
        return _fixed(bind(*call))
    except Exception as error:  # noqa: BLE001 - a fault of ours must not reach the tool's caller; the mirror counts it
        recorder.fault = error
        return {}


def _ended(recorder: Recorder, title: str, effect: Effect, *, fixed: Any, result: Any, started: float) -> None:
    duration = perf_counter() - started
    try:
        recorder.add_call(title, fixed, result, started=started, duration=duration, effect=effect)
    except Exception as error:  # noqa: BLE001 - as in _begun
        recorder.fault = error


def _failed(
    recorder: Recorder, title: str, effect: Effect, *, fixed: Any, started: float, error: BaseException
) -> None:
    duration = perf_counter() - started
    try:
        text = error_text(error)
        recorder.add_call(title, fixed, None, started=started, duration=duration, error=text, effect=effect)
    except Exception as fault:  # noqa: BLE001 - as in _begun
        recorder.fault = fault


@overload
def tool(function: _F, /) -> _F: ...
@overload
def tool(*, effect: Effect = "unknown", name: str | None = None) -> Callable[[_F], _F]: ...
def tool(
    function: _F | None = None, /, *, effect: Effect = "unknown", name: str | None = None
) -> _F | Callable[[_F], _F]:
    """Declare a function, sync or async, as a tool of an agent.

    Args:
        function: The tool, when the decorator is used without parentheses.
        effect: What it does to the world; `unknown` counts as a write, which a candidate never executes.
        name: Name in records; the function's own by default.
    """

    def declare(declared: _F) -> _F:
        return cast("_F", _declared_tool(declared, effect, name))

    return declare if function is None else declare(function)
