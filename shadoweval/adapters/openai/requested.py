"""Tool calls that a model asks for, until a later request brings their results; and those that its provider makes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any, Final, NamedTuple

import msgspec

from shadoweval.adapters.openai.fields import items, part
from shadoweval.adapters.openai.replies import HostedCall, RequestedCall, results_in
from shadoweval.capture.copying import argument_data
from shadoweval.capture.interception import installed
from shadoweval.capture.misfits import UNFIT, UNKNOWN_TOOL, unfit
from shadoweval.capture.recorder import Recorder

__all__ = ["expect_results", "record_hosted", "record_results"]

_MORE: Final = frozenset({"namespace", "tool_search"})
"""Tools by which a model has functions that the request does not name."""
_lock: Final = threading.Lock()
"""Of every recorder's `requested`: models answer in several threads of a run."""


class _PendingCall(NamedTuple):
    """A tool call that the model asked for, whose result a later request may bring."""

    call: RequestedCall
    log_length: int
    """Of the recorder when the model asked."""
    since: float


def expect_results(recorder: Recorder, calls: Iterable[RequestedCall], body: Mapping[str, Any]) -> None:
    """The model has asked for these calls, when the request's `body` offered it tools.

    Those that no tool can take, since there is none or nobody can read them, are recorded as failed at once.
    """
    now, length = perf_counter(), len(recorder.log)
    offered = _offered(body)
    calls = [_checked(call, offered) for call in calls]
    lost = [call for call in calls if call.problem and not call.problem.startswith(UNFIT)]
    for call in lost:
        recorder.add_call(call.name, call.arguments, None, started=now, duration=0.0, error=call.problem)
    calls = [call for call in calls if call not in lost]
    with _lock:
        pending: list[_PendingCall] = getattr(recorder, "requested", None) or []
        recorder.requested = [*pending, *(_PendingCall(call, length, now) for call in calls)]


def _offered(body: Mapping[str, Any]) -> dict[str, Any]:
    """Name of each function that the model may call -> schema of its parameters; empty: it is not known which."""
    tools = [*items(body.get("tools")), *items(body.get("functions"))]
    if any(part(tool, "type") in _MORE for tool in tools):
        return {}
    functions = [part(tool, "function") or tool for tool in tools]
    return {str(name): part(tool, "parameters") for tool in functions if (name := part(tool, "name"))}


def _checked(call: RequestedCall, offered: Mapping[str, Any]) -> RequestedCall:
    """The call with what is wrong with it, as far as the tools that were offered say it."""
    if call.problem or not offered or not call.function:
        return call
    unknown = f"{UNKNOWN_TOOL}{call.name!r} was not offered to the model"
    problem = unfit(call.arguments, offered[call.name]) if call.name in offered else unknown
    return msgspec.structs.replace(call, problem=problem)


def record_results(recorder: Recorder, body: Mapping[str, Any]) -> None:
    """Record the pending calls whose results came back, but for those that the tools themselves have recorded."""
    if not getattr(recorder, "requested", None):
        return
    results = results_in(body)
    with _lock:
        back = _taken(recorder, results) if results else []
    for entry, result in _unrecorded(recorder, back) if back else ():
        duration = perf_counter() - entry.since
        recorder.add_call(
            entry.call.name,
            entry.call.arguments,
            result,
            started=entry.since,
            duration=duration,
            error=entry.call.problem or None,
        )


def _taken(recorder: Recorder, results: Mapping[str, list[Any]]) -> list[tuple[_PendingCall, Any]]:
    """The calls whose results came back, which nobody waits for any more."""
    back: list[tuple[_PendingCall, Any]] = []
    waiting: list[_PendingCall] = []
    for entry in reversed(recorder.requested):  # the last results of an id are those of the last calls that had it
        same = results.get(entry.call.id)
        if same:
            back.append((entry, same.pop()))
        else:
            waiting.append(entry)
    recorder.requested = waiting[::-1]
    return back[::-1]


def _unrecorded(recorder: Recorder, back: list[tuple[_PendingCall, Any]]) -> list[tuple[_PendingCall, Any]]:
    """Those that no `@tool` function of that name has recorded: first come calls with the same arguments."""
    own = recorder.own_calls(min(entry.log_length for entry, _ in back))
    for alike in (True, False):
        rest: list[tuple[_PendingCall, Any]] = []
        for entry, result in back:
            sent = argument_data(entry.call.arguments) if alike else b""
            match = next((one for one in own if one[1] == entry.call.name and (not sent or one[2] == sent)), None)
            if match is None:
                rest.append((entry, result))
            else:
                own.remove(match)
        back = rest
    return back


def record_hosted(recorder: Recorder, calls: Iterable[HostedCall]) -> None:
    """Record what the provider's own tools did, which nobody here can answer for a candidate."""
    now, interceptor = perf_counter(), installed.interceptor
    for call in calls:
        if interceptor is not None and call.error is None:
            interceptor.happened(call.name, call.arguments, effect=call.effect)
        recorder.add_call(
            call.name, call.arguments, call.result, started=now, duration=0.0, error=call.error, effect=call.effect
        )
