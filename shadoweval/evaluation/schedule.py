"""Every so often, one at a time, until stopped."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable

from shadoweval.clock import Seconds

__all__ = ["repeat"]


def repeat(
    job: Callable[[], None], *, every: float, stop: threading.Event, clock: Seconds = time.monotonic
) -> Counter[str]:
    """Run `job` at once and then at each multiple of `every` seconds, until `stop`.

    A job that takes longer than `every` makes the times it ran over be missed, not queued. What it raises passes.

    Returns:
        `runs`, and `missed` times.
    """
    counts: Counter[str] = Counter()
    began = clock()
    due = 0
    while not stop.is_set():
        job()
        counts["runs"] += 1
        passed = int((clock() - began) // every)
        counts["missed"] += max(0, passed - due)
        due = max(passed, due) + 1
        stop.wait(max(0.0, began + due * every - clock()))
    return counts
