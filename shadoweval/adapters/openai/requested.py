"""Tool calls that a model asks for, until a later request brings their results; and those that its provider makes."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any, Final, NamedTuple

from shadoweval.adapters.openai.replies import HostedCall, RequestedCall, results_in
from shadoweval.capture.copying import argument_data
from shadoweval.capture.interception import installed
from shadoweval.capture.recorder import Recorder

__all__ = ["expect_results", "record_hosted", "record_results"]

_lock: Final = threading.Lock()
"""Of every recorder's `requested`: models answer in several threads of a run."""


class _PendingCall(NamedTuple):
    """A tool call that the model asked for, whose result a later request may bring."""

    call: RequestedCall
    log_length: int
    """Of the recorder when the model asked."""
    since: float


def expect_results(recorder: Recorder, calls: Iterable[RequestedCall]) -> None:
    """The model has asked for these calls."""
    now, length = perf_counter(), len(recorder.log)
    with _lock:
        pending: list[_PendingCall] = getattr(recorder, "requested", None) or []
        recorder.requested = [*pending, *(_PendingCall(call, length, now) for call in calls)]


def record_results(recorder: Recorder, body: Mapping[str, Any]) -> None:
    """Record the pending calls whose results came back, but for those that the tools themselves have recorded."""
    if not getattr(recorder, "requested", None):
        return
    results = results_in(body)
    with _lock:
        back = _taken(recorder, results) if results else []
    for entry, result in _unrecorded(recorder, back) if back else ():
        duration = perf_counter() - entry.since
        recorder.add_call(entry.call.name, entry.call.arguments, result, started=entry.since, duration=duration)


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
