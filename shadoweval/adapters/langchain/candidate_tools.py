"""LangChain's tools in a candidate's process: each call is answered by the sandbox.

`BaseTool.run` and `arun` are wrapped to know the call's raw arguments and id, and the `_run` and `_arun` of each tool
class to answer it. Validation, callbacks, `content_and_artifact`, handled errors and messages stay LangChain's own.
"""

from __future__ import annotations

import contextlib
import contextvars
import functools
from collections.abc import Callable, Generator, Mapping, Sequence
from types import ModuleType
from typing import Any, Final, cast

import msgspec
from langchain_core.messages import ToolMessage
from langchain_core.tools import BaseTool, ToolException

from shadoweval import capture
from shadoweval.adapters.langchain.recorder_events import message_extras
from shadoweval.candidate.tools.replay import Normal
from shadoweval.candidate.tools.stubs import effect_of
from shadoweval.capture.beside import MESSAGE
from shadoweval.capture.interception import error_text
from shadoweval.errors import ToolRefusedError

__all__ = ["patch"]

_MARK: Final = "__shadoweval__"
_INJECTED: Final = ("run_manager", "config", "callbacks", "runtime", "state", "store")


class _Call(msgspec.Struct, frozen=True):
    """What `run` was given."""

    tool: Any
    arguments: dict[str, Any]
    call_id: str | None


_call: Final[contextvars.ContextVar[_Call | None]] = contextvars.ContextVar("shadoweval_tool_call", default=None)
_live: Final[contextvars.ContextVar[Any]] = contextvars.ContextVar("shadoweval_live_tool", default=None)
"""The tool whose real code is running: what it calls on itself is part of it."""


def patch(tools: ModuleType) -> None:
    """Have every call of a tool (of `langchain_core.tools.base`) answered by capture's interceptor."""
    base: Any = tools.BaseTool
    if hasattr(base.run, _MARK):
        return
    run, arun = base.run, base.arun

    @functools.wraps(run)
    def run_shadowed(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        call = _announced(self, tool_input, kwargs.get("tool_call_id"))
        with _during(_call, call):
            try:
                return run(self, tool_input, *args, **kwargs)
            except ToolRefusedError as error:
                return _refused(call, error)

    @functools.wraps(arun)
    async def arun_shadowed(self: BaseTool, tool_input: Any, *args: Any, **kwargs: Any) -> Any:
        call = _announced(self, tool_input, kwargs.get("tool_call_id"))
        with _during(_call, call):
            try:
                return await arun(self, tool_input, *args, **kwargs)
            except ToolRefusedError as error:
                return _refused(call, error)

    setattr(run_shadowed, _MARK, True)
    base.run, base.arun = run_shadowed, arun_shadowed


@contextlib.contextmanager
def _during(variable: contextvars.ContextVar[Any], value: Any) -> Generator[None]:
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def _announced(tool: BaseTool, tool_input: Any, call_id: str | None) -> _Call:
    """What `run` was given, for the method of the tool's class that it will call."""
    _shadow_class(type(tool))
    # The same dict that callbacks get: what the incumbent's record holds.
    visible: Any = getattr(tool, "_filter_injected_args", None)
    arguments: dict[str, Any] = {"input": tool_input}
    if isinstance(tool_input, dict):
        arguments = dict(visible(tool_input) if visible else tool_input)  # pyright: ignore[reportUnknownArgumentType] - any tool's
    return _Call(tool, arguments, call_id)


def _refused(call: _Call, error: ToolRefusedError) -> ToolMessage:
    """An agent reads of the refusal, as it does of any failing tool, and goes on; other callers get the exception."""
    if call.call_id is None:
        raise error
    return ToolMessage(content=str(error), tool_call_id=call.call_id, name=call.tool.name, status="error")


def _shadow_class(kind: type[BaseTool]) -> None:
    for owner in kind.__mro__:
        if owner is BaseTool:
            return
        for name, wrap in (("_run", _shadowed), ("_arun", _ashadowed)):
            method = owner.__dict__.get(name)
            if method is not None and not hasattr(method, _MARK):
                wrapped = wrap(method)
                setattr(wrapped, _MARK, True)
                setattr(owner, name, wrapped)


def _shadowed(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def run(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        if _live.get() is self:
            return method(self, *args, **kwargs)

        answer, effect = _Answer(_call_of(self, args, kwargs)), _effect(self)

        def live() -> Any:
            with _during(_live, self):
                return answer.noted(method(self, *args, **kwargs))

        try:
            return answer.shaped(
                capture.call_tool(self.name, answer.call.arguments, effect=effect, live=live, beside=answer.beside)
            )
        except Exception as error:  # noqa: BLE001 - raised again there
            return answer.failed(error)

    return run


def _ashadowed(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    async def run(self: BaseTool, *args: Any, **kwargs: Any) -> Any:
        if _live.get() is self:
            return await method(self, *args, **kwargs)

        answer, effect = _Answer(_call_of(self, args, kwargs)), _effect(self)

        async def live() -> Any:
            with _during(_live, self):
                return answer.noted(await method(self, *args, **kwargs))

        try:
            return answer.shaped(
                await capture.acall_tool(
                    self.name, answer.call.arguments, effect=effect, live=live, beside=answer.beside
                )
            )
        except Exception as error:  # noqa: BLE001 - raised again there
            return answer.failed(error)

    return run


def _call_of(tool: BaseTool, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
    """The call that `run` announced; `_run` called by hand has only what it was given."""
    call = _call.get()
    if call is not None and call.tool is tool:
        return call
    arguments = {name: value for name, value in kwargs.items() if name not in _INJECTED}
    return _Call(tool, {**({"input": args[0]} if args else {}), **arguments}, None)


class _Answer:
    """What answers one call, on its way to `run`, which wants it in the form that the tool has to return."""

    def __init__(self, call: _Call) -> None:
        self.call = call
        self.beside: dict[str, Any] = {}
        """See `capture.beside`."""
        self._own: tuple[Any, Any] | None = None
        """What the tool itself returned, and what is recorded of it."""

    @property
    def _pairs(self) -> bool:
        return self.call.tool.response_format == "content_and_artifact"

    def noted(self, result: Any) -> Any:
        """What is recorded of what the tool itself returned."""
        content, artifact = result if self._pairs and isinstance(result, tuple) and len(result) == 2 else (result, None)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType] - any tool's
        extras: dict[str, Any] = {}
        if isinstance(content, ToolMessage):
            extras = message_extras(content, self.call.tool.name)
            content = content.content
        elif artifact is not None and self.call.call_id is not None:
            extras = {"artifact": artifact}
        if extras:
            self.beside[MESSAGE] = extras
        self._own = result, content
        return content

    def shaped(self, result: Any) -> Any:
        """The result as the tool has to return it."""
        if self._own is not None and self._own[1] is result:
            return self._own[0]
        call_id, extras = self.call.call_id, self.beside.get(MESSAGE, {})
        if call_id is None:
            return (result, extras.get("artifact")) if self._pairs and not isinstance(result, tuple) else result
        _readdress(result, call_id)
        if extras:
            result = self._message(result, call_id)
        return (result, None) if self._pairs and not isinstance(result, tuple) else result

    def _message(self, content: Any, call_id: str) -> ToolMessage:
        extras = {"name": self.call.tool.name, "content": content, **self.beside[MESSAGE]}
        return ToolMessage(tool_call_id=call_id, **extras)

    def failed(self, error: Exception) -> Any:
        """A recorded failure that was a message is one again; of what the framework had turned into text it is told."""
        if not isinstance(error, ToolRefusedError) and MESSAGE in self.beside and self.call.call_id is not None:
            text = error.error if isinstance(error, capture.ToolFailedError) else error_text(error)
            message = self._message(text, self.call.call_id)
            return (message, None) if self._pairs else message
        if isinstance(error, capture.ToolFailedError):
            raise ToolException(error.error.removeprefix("ToolException: ")) from error
        raise error


def _effect(tool: BaseTool) -> Any:
    interception: Any = capture.interceptor()
    if interception is None:
        return effect_of(tool)
    if tool.name not in interception.normals:
        interception.normals[tool.name] = _normal(tool)
    return effect_of(tool, declared=interception.effects)


def _normal(tool: BaseTool) -> Normal:
    """Arguments validated as the tool does it, with its defaults and without what it ignores."""
    schema: Any = tool.tool_call_schema
    if isinstance(schema, dict):
        properties = cast("Mapping[str, Any]", schema.get("properties", {}))  # pyright: ignore[reportUnknownMemberType]
        defaults = {name: part["default"] for name, part in properties.items() if "default" in part}
        return lambda arguments: {**defaults, **arguments}
    if not hasattr(schema, "model_fields"):  # pydantic 1
        return lambda arguments: arguments
    fields: tuple[str, ...] = tuple(schema.model_fields)

    def normal(arguments: Mapping[str, Any]) -> Mapping[str, Any]:
        if set(arguments) == {"input"} and "input" not in fields and len(fields) == 1:
            arguments = {fields[0]: arguments["input"]}
        try:
            valid = schema.model_validate(dict(arguments))
        except Exception:  # noqa: BLE001 - validators are the user's; what they reject is compared as it is
            return arguments
        return {name: getattr(valid, name) for name in fields}

    return normal


def _readdress(result: Any, call_id: str) -> None:
    """Recorded messages, also of commands and in lists of them, answer the call that they are given for."""
    if isinstance(result, ToolMessage):
        result.tool_call_id = call_id
    elif isinstance(result, list | tuple):
        for part in cast("Sequence[Any]", result):
            _readdress(part, call_id)
    elif type(result).__name__ == "Command":
        update = result.update
        for part in cast("Mapping[str, Any]", update).values() if isinstance(update, Mapping) else (update,):
            _readdress(part, call_id)
