"""Who answers a tool call: the tool itself in production, an interceptor in a shadow. And whose work calls it."""

from __future__ import annotations

import builtins
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final, Protocol

from shadoweval.capture import third_party
from shadoweval.errors import ToolFailedError, ToolRefusedError
from shadoweval.protocols import StubAnswer
from shadoweval.records import Effect
from shadoweval.records.keys import as_text

__all__ = [
    "INTERRUPTED",
    "LOST",
    "UNFINISHED",
    "ToolFailedError",
    "answered_result",
    "error_text",
    "hands",
    "interceptor",
    "interruption",
    "message_of",
    "named_error",
    "off_the_clock",
    "set_interceptor",
    "thread_hands",
]


LOST: Final = "shadoweval.lost"
"""Key of the line by which the pool tells a candidate's process why a server of tools that it had started is gone."""
INTERRUPTED: Final = "interrupted: "
"""How the error of a tool call begins that hands over control and has not failed: it waits for an answer, and its
result is what was asked; or another part of the graph goes on, and its result is the command."""
UNFINISHED: Final = "unfinished: nobody waited for its end"
"""The error of a tool call that was cancelled, or still under way when its run was over: nobody knows its result."""


class Interceptor(Protocol):
    """Answers every tool call of this process."""

    def answer(self, name: str, arguments: dict[str, Any], *, effect: Effect, live: Callable[[], Any]) -> StubAnswer:
        """The answer. `live()` runs the tool for real (a coroutine for an async tool: give it as the result)."""
        ...

    def happened(self, name: str, arguments: Mapping[str, Any], *, effect: Effect) -> None:
        """A tool has run where nobody could have answered for it: at a model's provider."""
        ...


class _Installed:
    """Who looks at calls of tools and steps.

    Attributes:
        interceptor: Answers tools.
        watching: How many look: the interceptor, and each recording or control call that is under way. At 0 a call
            concerns nobody in the whole process. What never ends keeps it above 0: a look into a context variable more.
    """

    __slots__ = ("interceptor", "watching")

    def __init__(self) -> None:
        self.interceptor: Interceptor | None = None
        # Without a global interpreter lock `+=` may lose one: there it never comes down to 0.
        self.watching = 0 if getattr(sys, "_is_gil_enabled", lambda: True)() else 1 << 32


installed = _Installed()
"""One attribute read on every call of a tool or step."""


def set_interceptor(interceptor: Interceptor | None) -> Interceptor | None:
    """Let `interceptor` answer every tool call of this process; None: the tools themselves. Returns the one before."""
    before, installed.interceptor = installed.interceptor, interceptor
    installed.watching += (interceptor is not None) - (before is not None)
    return before


def interceptor() -> Interceptor | None:
    """The interceptor of this process."""
    return installed.interceptor


def off_the_clock() -> AbstractContextManager[object]:
    """A context whose seconds are not the run's, in a shadow: what only the evaluation needs is done in it."""
    return getattr(installed.interceptor, "off_the_clock", nullcontext[None])()


def message_of(error: Any) -> str:
    """Its message as a text that can be encoded, whatever its class makes of it; of any other value, how it reads."""
    try:
        return as_text(str(error))
    except Exception:  # noqa: BLE001 - a failure without a message is recorded all the same
        return "(its message can't be read)" if isinstance(error, BaseException) else "(it can't be read)"


def interruption(error: BaseException | None) -> tuple[Any] | None:
    """What a call asked of a person who is to answer before it goes on: it raised to wait, and did not fail.

    LangGraph's `interrupt`, which runs the tool again from its beginning when the answer is there; or the command of a
    call that raised to hand over to another part of the graph (`ParentCommand`).
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if "GraphBubbleUp" not in kinds:
        return None
    asked: Any = error.args[0] if error is not None and error.args else ()
    if "GraphInterrupt" not in kinds:
        return (asked or None,)
    return (getattr(asked[0], "value", None) if asked else None,)


def error_text(error: BaseException) -> str:
    """`TypeName: message`, as records hold it; `answered_result` reads it. What interrupts or cancels is named so."""
    if interruption(error) is not None:
        return f"{INTERRUPTED}it waits for an answer"
    asyncio = sys.modules.get("asyncio")
    if asyncio is not None and isinstance(error, asyncio.CancelledError):
        return UNFINISHED
    return f"{type(error).__name__}: {message_of(error)}"


def answered_result(name: str, effect: Effect, answer: StubAnswer) -> Any:
    """What the caller of an answered tool gets back.

    Raises:
        ToolRefusedError: it was refused.
        BaseException: the answer is a failure: the exception that is its result, else the builtin one that its text
            names, else ToolFailedError.
    """
    if answer.answered == "refused":
        raise ToolRefusedError(name, effect)
    if answer.error is not None and answer.error.startswith(INTERRUPTED):
        return third_party.interrupt(answer.result)
    if answer.error is not None:
        raise answer.result if isinstance(answer.result, BaseException) else named_error(name, answer.error)
    return answer.result


def named_error(name: str, text: str) -> Exception:
    """The builtin exception that an `error_text` names, else ToolFailedError."""
    kind_name, _, message = text.partition(": ")
    kind = getattr(builtins, kind_name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            return kind(message)
        except TypeError:  # UnicodeDecodeError and its like want more than a message
            pass
    return ToolFailedError(name, text)


class _Hands(threading.local):
    moments: tuple[float, ...] = ()
    task: Callable[[], tuple[float, ...]] | None = None


thread_hands: Final = _Hands()
"""When this thread's work was handed over, as `hands`; and who says it of the task that runs now, where there are any.

No context variables: who hands work over makes the context in which it runs, and may look into it later.
"""


def hands() -> tuple[float, ...]:
    """When this work was handed to a task or thread, and before that the work that did so, by `time.perf_counter()`.

    The first time comes first; empty: it never was. What tells of the task goes on where the thread's ended, or the
    other way round.
    """
    in_thread = thread_hands.moments
    in_task = () if thread_hands.task is None else thread_hands.task()
    return in_thread if len(in_thread) >= len(in_task) else in_task
