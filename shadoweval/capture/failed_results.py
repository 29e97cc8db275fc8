"""Tool calls that failed although nothing was raised: their result says so."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Final, cast

import msgspec

from shadoweval.capture.entries import Tool
from shadoweval.capture.interception import error_text
from shadoweval.capture.recorder import Recorder
from shadoweval.records import Effect, ToolCall

__all__ = ["Judge", "JudgedTool", "declared", "failure_in", "judged"]

Judge = Callable[[Any], Any]
"""Given a result, whether it is a failure; a text is the reason."""

declared: Final[dict[str, Judge]] = {}
"""Tool -> what `@tool(failed=...)` said of it, in this process."""

_CLIENT_ERROR: Final = 400
_STATUS: Final = ("status_code", "statusCode", "status")
_BEGINNINGS: Final = ("error:", "error executing tool", "error invoking tool", "traceback (most recent call last)")
_LONGEST: Final = 100_000
"""Characters of a text that is looked into for JSON."""


def failure_in(result: Any, judge: Judge | None = None) -> str:
    """Why a result is a failure; empty: it is none. Without a `judge` by the default rule (docs/stubs.md)."""
    if judge is None:
        return _by_default(result)
    try:
        verdict = judge(result)
    except Exception as error:  # noqa: BLE001 - a user's function; what it can't take is no success
        return f"failed= raised {error_text(error)}"
    return verdict if isinstance(verdict, str) else "failed= says so" if verdict else ""


def judged(call: ToolCall, judges: Mapping[str, Judge]) -> ToolCall:
    """The call, with whether its result is a failure: by `judges`, else as its record says, else as its tool says."""
    judge = judges.get(call.name)
    if call.error is not None or (judge is None and call.failed is not None):
        return call
    failed = failure_in(call.result, judge or declared.get(call.name))
    return call if failed == call.failed else msgspec.structs.replace(call, failed=failed)


def _by_default(result: Any) -> str:
    if isinstance(result, str):
        return _of_text(result)
    if isinstance(result, BaseException):
        return type(result).__name__
    if result is None or isinstance(result, int | float | bytes | list | tuple | set | frozenset):
        return ""
    if isinstance(result, Mapping):
        return _of_fields(cast("Mapping[str, Any]", result).get)
    return _of_fields(lambda name: getattr(result, name, None), own=False)


def _of_text(text: str) -> str:
    if len(text) <= _LONGEST and text.lstrip().startswith("{"):
        try:
            return _by_default(json.loads(text))
        except (ValueError, RecursionError):
            return ""
    beginning = text[:40].lstrip().casefold()
    return next((f"its text begins with {start!r}" for start in _BEGINNINGS if beginning.startswith(start)), "")


def _of_fields(get: Callable[[str], Any], *, own: bool = True) -> str:
    """By its fields; `own`: it is a mapping, whose every name its author chose."""
    if get("isError") is True or get("is_error") is True:  # MCP's CallToolResult, Anthropic's tool_result
        return "isError"
    if get("status") == "error":  # LangChain's ToolMessage
        return "status 'error'"
    if not own:
        return ""
    if get("error"):
        return "error"
    denied = [f"{name} is false" for name in ("ok", "success") if get(name) is False]
    statuses = [(name, get(name)) for name in _STATUS]
    denied += [f"{name} {status}" for name, status in statuses if type(status) is int and status >= _CLIENT_ERROR]
    return denied[0] if denied else ""


class JudgedTool(Tool):
    """A tool whose results say whether it failed.

    Args:
        name, effect, function: As of `Tool`.
        failed: Given a result, whether it is a failure.
    """

    def __init__(self, name: str, effect: Effect, function: Callable[..., Any], *, failed: Judge) -> None:
        super().__init__(name, effect, function)
        self.failed_by = failed

    def ended(self, recorder: Recorder, arguments: bytes, started: float, result: Any) -> None:  # noqa: PLR0917 - see `Entries`
        """See `Entries`."""
        ended = perf_counter()
        duration = ended - started
        try:
            failed = failure_in(result, self.failed_by)
            recorder.add_call(
                self.name, arguments, result, started=started, duration=duration, effect=self.effect, failed=failed
            )
        except Exception as fault:  # noqa: BLE001 - see `Tool.arguments`
            recorder.fault = fault
        recorder.spent(ended)
