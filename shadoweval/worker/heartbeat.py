"""A worker's sign of life: a small file that it writes every few seconds, for `shadoweval status` and monitors."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Generator
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.clock import Clock, utc_now
from shadoweval.experiment import Experiment
from shadoweval.private import write_private

__all__ = ["Beat", "Heart", "heart_of", "is_alive", "read_beat"]

_BEAT: Final = 5.0
"""Seconds between two signs."""
_REMEMBERED: Final = 10


class Beat(msgspec.Struct, frozen=True, kw_only=True):
    """The last sign that a worker gave, and how those before it ended."""

    host: str
    process: int
    began_at: datetime
    beat_at: datetime
    progress_at: datetime | None = None
    """When it last took a frame in or finished a run; None: it did not yet."""
    done: int = 0
    """How many of both."""
    trouble: str = ""
    """What it waits for to pass: a store that is gone, a full disk."""
    ended_at: datetime | None = None
    """None: it runs, or it was killed."""
    error: str = ""
    """What ended it; empty: it was stopped, or nothing was left to do."""
    failures: tuple[datetime, ...] = ()
    """When workers of this home died or were ended by an error, the last ten."""

    @property
    def dead(self) -> bool:
        """Whether its process is gone without a word, as far as this host can know."""
        return self.ended_at is None and self.host == socket.gethostname() and not is_alive(self.process)


class Heart:
    """Gives a worker's signs of life. A home that can't be written costs the sign, not the worker."""

    def __init__(self, folder: Path, name: str, *, clock: Clock = utc_now) -> None:
        self._path, self._clock = _path(folder, name), clock
        before, now = read_beat(folder, name), clock()
        failures = before.failures if before else ()
        if before and before.ended_at is None:
            failures = (*failures, before.beat_at)
        self._beat = Beat(
            host=socket.gethostname(),
            process=os.getpid(),
            began_at=now,
            beat_at=now,
            failures=failures[-_REMEMBERED:],
        )
        self._write()

    def beat(self, done: int = 0, trouble: str = "") -> None:
        """One sign: how much was done since the worker began, and what it waits for."""
        now = self._clock()
        progress_at = now if done != self._beat.done else self._beat.progress_at
        self._set(beat_at=now, progress_at=progress_at, done=done, trouble=trouble)

    async def beat_on(self, how: Callable[[], tuple[int, str]]) -> None:
        """Give signs until cancelled; `how` gives what `beat` takes."""
        while True:
            self.beat(*how())
            await asyncio.sleep(_BEAT)

    def end(self, error: str = "") -> None:
        """The last sign; `error` is what ended the worker, if anything did."""
        now = self._clock()
        failures = (*self._beat.failures, now)[-_REMEMBERED:] if error else self._beat.failures
        self._set(beat_at=now, ended_at=now, error=error, trouble="", failures=failures)

    def _set(self, **changes: object) -> None:
        self._beat = msgspec.structs.replace(self._beat, **changes)
        self._write()

    def _write(self) -> None:
        fresh = self._path.with_suffix(".new")
        with contextlib.suppress(OSError):
            write_private(fresh, msgspec.json.encode(self._beat))
            fresh.replace(self._path)


@contextlib.contextmanager
def heart_of(experiment: Experiment) -> Generator[Heart]:
    """The signs of life of one worker, the last one included, however it ends."""
    heart = Heart(experiment.settings.folder, experiment.name)
    try:
        yield heart
    except BaseException as error:
        heart.end(f"{type(error).__name__}: {error}")
        raise
    heart.end()


def read_beat(folder: Path, name: str) -> Beat | None:
    """The last sign of this home's worker; None where there never was one, or it can't be read."""
    try:
        return msgspec.json.decode(_path(folder, name).read_bytes(), type=Beat)
    except (OSError, msgspec.DecodeError):
        return None


def is_alive(process: int) -> bool:
    """Whether a process of this host is there."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        return True
    return True


def _path(folder: Path, name: str) -> Path:
    return folder / f"heartbeat-{name}.json"
