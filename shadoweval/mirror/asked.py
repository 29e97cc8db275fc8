"""Which mirrored query this code belongs to, so that what people say of its answer later can name it."""

from __future__ import annotations

from shadoweval.buckets import ids
from shadoweval.capture.recorder import current
from shadoweval.mirror.call import alone, last

__all__ = ["current_query"]


def current_query() -> str | None:
    """The id of the mirrored query that this code belongs to; None: it was not mirrored.

    Inside a mirrored call it is that call's; inside a nested one, in its tasks and in threads that it starts, that of
    the outermost. After the call, in the task, thread or context that made it, it stays until the next mirrored
    function is called there. None: the call was left out of the sample, is a control call, or mirroring is off.
    """
    recorder = current.get()
    if recorder is not None and recorder.number and (not recorder.closed or last.get() is None):
        return f"{ids.prefix}{recorder.number}"
    control = alone.get()
    asked = None if control is not None and not control.done else last.get()
    return None if asked is None else f"{asked[0]}{asked[1]}"
