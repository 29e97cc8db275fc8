"""Every so often, one at a time, until told to stop."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Final

from shadoweval.errors import SettingsError

__all__ = ["alone", "repeat"]

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows
    fcntl = None

_NAME: Final = "evaluate.lock"


@contextlib.contextmanager
def alone(folder: Path, *, name: str = _NAME) -> Generator[None]:
    """Hold a lock for which no other process of this host can hold at the same time; it dies with the process.

    Raises:
        SettingsError: another process holds it; the message says which.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    with path.open("a+") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.seek(0)
                holder = file.read().strip() or "unknown"
                why = f"process {holder} is at it already; stop that one first, or wait for it"
                raise SettingsError("lock", str(path), why=why) from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield


def repeat(
    job: Callable[[], None],
    *,
    every: float,
    stop: threading.Event,
    clock: Callable[[], float] = time.monotonic,
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
