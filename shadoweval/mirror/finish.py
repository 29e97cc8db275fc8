"""The end of a call whose incumbent ran somewhere else than where it began."""

from __future__ import annotations

from typing import Any

from shadoweval.capture.outcomes import Chunks
from shadoweval.mirror.call import Call

__all__ = ["finish"]


def finish(
    call: Call,
    value: Any = None,
    *,
    error: BaseException | None = None,
    chunks: Chunks | None = None,
    at: float = 0.0,
) -> None:
    """Hand over what the incumbent did, in whichever context its end is told.

    Args:
        call: Begun, and never entered in the context of its incumbent's caller.
        value: What it returned.
        error: What it raised instead.
        chunks: What it streamed instead.
        at: When it ended, by `time.perf_counter()`; what came since is our own work. 0: just now.
    """
    if call.over and call.recorder is not None:  # given up and counted meanwhile
        call.given_up(at)
        return
    call.enter()  # `Call` leaves at the end what it entered
    if error is not None:
        call.raised(error, at)
    elif chunks is not None:
        call.streamed(chunks, at)
    else:
        call.returned(value, at)
