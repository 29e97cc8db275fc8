"""The one way in which tests wait: for a condition, with a bound that a busy machine keeps."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

SECONDS = 180.0
"""Far beyond what anything here takes; below the 300 s after which pytest ends a test."""


Seen = TypeVar("Seen")


def until(
    met: Callable[[], Seen], *, seconds: float = SECONDS, every: float = 0.01, said: Callable[[], object] | None = None
) -> Seen:
    """What `met` returns once that is true. If it never is, the test fails and shows what `said` returns."""
    end = time.monotonic() + seconds
    while not (seen := met()):
        assert time.monotonic() < end, f"waited {seconds:g} s in vain: {said() if said else met}"
        time.sleep(every)
    return seen


def gone(pid: int | str) -> bool:
    """Whether this process has ended, waited for or not."""
    pid = int(pid)
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] in {"Z", "X"}
    except (ProcessLookupError, FileNotFoundError):
        return True
