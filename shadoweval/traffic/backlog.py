"""How far the worker is behind, for the breaker: told by the worker in a file of a few bytes, read by mirrors."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

__all__ = ["Backlog"]

_THREE: Final = struct.Struct("<ddd")


class Backlog:
    """Age of the oldest waiting query, and how full the spool is; shared by the processes of a host.

    The mirror never looks at the spool itself: its disk may be what is slow. A worker that does not run says nothing,
    and what it said a minute ago counts no more: then the spool fills, and that is seen as losses.

    Args:
        experiment: Name of the experiment.
        home: Folder of settings `home`.
        clock: Seconds since 1970, the same for all processes.
    """

    _STALE: Final = 60.0

    def __init__(self, experiment: str, *, home: Path, clock: Callable[[], float] = time.time) -> None:
        self._file = os.fspath(home.absolute() / "backlog" / experiment)
        self._clock = clock

    def tell(self, *, age: float, fill: float) -> None:
        """Say how far behind the worker is.

        Raises:
            OSError: the file can't be written.
        """
        Path(self._file).parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            os.write(descriptor, _THREE.pack(self._clock(), age, fill))
        finally:
            os.close(descriptor)

    def age(self) -> float:
        """Seconds for which the oldest query waits.

        Raises:
            OSError, ValueError: the file can't be read, or is none of ours.
        """
        return self._told()[0]

    def fill(self) -> float:
        """Share of the spool's cap that is taken.

        Raises:
            OSError, ValueError: the file can't be read, or is none of ours.
        """
        return self._told()[1]

    def _told(self) -> tuple[float, float]:
        try:
            descriptor = os.open(self._file, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return 0.0, 0.0
        try:
            content = os.read(descriptor, _THREE.size)
        finally:
            os.close(descriptor)
        if not content:  # made this moment
            return 0.0, 0.0
        if len(content) != _THREE.size:
            raise ValueError(f"{len(content)} bytes where {_THREE.size} belong")
        when, age, fill = _THREE.unpack(content)
        return (age, fill) if 0.0 <= self._clock() - when <= self._STALE else (0.0, 0.0)
