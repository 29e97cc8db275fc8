"""The end of a call whose incumbent ran somewhere else than where it began."""

from __future__ import annotations

from typing import Any

from shadoweval.capture.outcomes import Chunks
from shadoweval.mirror.call import Call

__all__ = ["finish"]


def finish(call: Call, value: Any = None, *, error: BaseException | None = None, chunks: Chunks | None = None) -> None:
    """Hand over what the incumbent did, in whichever context its end is told.

    Args:
        call: Begun, and never entered in the context of its incumbent's caller.
        value: What it returned.
        error: What it raised instead.
        chunks: What it streamed instead.
    """
    if call.over and call.recorder is not None:  # given up and counted meanwhile
        call.ended()
        return
    call.enter()  # `Call` leaves at the end what it entered
    if error is not None:
        call.raised(error)
    elif chunks is not None:
        call.streamed(chunks)
    else:
        call.returned(value)
