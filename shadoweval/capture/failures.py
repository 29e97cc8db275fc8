"""What counts as a failure, by one rule for both arms; the experiment's own `failures=` comes before it.

Raising is not always failing. A view that raises its framework's 404 has answered, as has an app that sends one; a task
that is to be run again, a graph that waits for a person and a caller that went away say nothing about the pipeline
(`aborted`: such a pair is not scored). Classes are known by package and name, so none is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

from shadoweval.capture.interception import message_of
from shadoweval.capture.recorder import Parts
from shadoweval.errors import ToolRefusedError
from shadoweval.records import Failure, FailureKind

__all__ = ["Failures", "answered_by", "failed_by", "failure_of"]

Failures = Callable[[Any], bool | str | None]
"""An experiment's own word on what a run returned or raised: True or a message: failed; False: not; None: the usual."""


class FailedError(Exception):
    """A run that an experiment's own `failures` calls a failure, though nothing was raised."""


_MESSAGE_CAP: Final = 2_000
_SERVER_FAILED: Final = 500

_STATUSES: Final[Mapping[tuple[str, str], str | int]] = {
    ("starlette", "HTTPException"): "status_code",
    ("litestar", "HTTPException"): "status_code",
    ("rest_framework", "APIException"): "status_code",
    ("tornado", "HTTPError"): "status_code",
    ("werkzeug", "HTTPException"): "code",
    ("aiohttp", "HTTPException"): "status",
    ("django", "Http404"): 404,
    ("django", "PermissionDenied"): 403,
    ("django", "SuspiciousOperation"): 400,
}
"""Exceptions with which a view answers: the attribute with their status, or the status itself."""
_SIGNALS: Final = frozenset(
    {
        ("celery", "TaskPredicate"),  # Retry, Ignore and Reject
        ("dramatiq", "Retry"),
        ("huey", "RetryTask"),
        ("huey", "CancelExecution"),
        ("arq", "Retry"),
        ("arq", "RetryJob"),
        ("langgraph", "GraphBubbleUp"),  # interrupts, and commands to a graph above
        ("streamlit", "StopException"),
        ("streamlit", "RerunException"),
        ("starlette", "ClientDisconnect"),
        ("starlette", "WebSocketDisconnect"),
        ("builtins", "StopIteration"),
        ("builtins", "StopAsyncIteration"),
    }
)
"""Exceptions that steer whoever called the pipeline, and say nothing about it."""


def _names(kind: type) -> tuple[tuple[str, str], ...]:
    return tuple((base.__module__.partition(".")[0], base.__qualname__) for base in kind.__mro__)


def _is_cancellation(error: BaseException) -> bool:
    loaded = sys.modules.get("asyncio")  # who has not loaded it has nothing that it could cancel
    return loaded is not None and isinstance(error, loaded.CancelledError)


def failure_kind(error: BaseException) -> FailureKind:
    """The kind of failure that an exception of a run is."""
    if isinstance(error, GeneratorExit | KeyboardInterrupt) or _is_cancellation(error):
        return "aborted"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, MemoryError):
        return "out_of_memory"
    if isinstance(error, ToolRefusedError):
        return "refused"
    return "error" if _SIGNALS.isdisjoint(_names(type(error))) else "aborted"


def failure_of(error: BaseException, parts: Parts | None = None) -> Failure:
    """The failure of a run that raised `error`."""
    return Failure(
        kind=failure_kind(error),
        error_type=type(error).__name__,
        message=message_of(error)[:_MESSAGE_CAP],
        step=parts.failed_step if parts else "",
    )


def answered_by(error: BaseException, failures: Failures | None) -> dict[str, Any] | None:
    """What a run answered by raising `error`, as the returned value of a run that did not raise; None: it failed.

    Raises:
        Exception: whatever `failures` raises.
    """
    if isinstance(error, FailedError):  # `failures` has spoken already: of what was returned
        return None
    said = None if failures is None else failures(error)
    if said is False:
        return {"raised": type(error).__name__, "answer": message_of(error)}
    status = None if said else _status(error)
    if status is None or status >= _SERVER_FAILED:
        return None
    detail = getattr(error, "detail", None) or getattr(error, "description", None) or message_of(error)
    answer = detail if isinstance(detail, str) else None
    return {"status": status, "content_type": "", "body": detail, "answer": answer}


def _status(error: BaseException) -> int | None:
    for name in _names(type(error)):
        known = _STATUSES.get(name)
        if known is not None:
            status = known if isinstance(known, int) else getattr(error, known, None)
            return status if isinstance(status, int) else None
    return None


def failed_by(value: Any, failures: Failures | None) -> FailedError | None:
    """The failure that an experiment's own `failures` sees in a returned value; None: there is none.

    Raises:
        Exception: whatever `failures` raises.
    """
    said = None if failures is None else failures(value)
    return FailedError(said if isinstance(said, str) else "failures= says so") if said else None
