"""Starts a home's collector, by whichever process first misses one; three at once, then more and more seldom."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Final

from shadoweval.private import open_private
from shadoweval.transport.memory import watched

__all__ = ["Starter", "stalls"]

_RESTART: Final = 5_000_000_000
_RARELY: Final = 600_000_000_000
_AT_ONCE: Final = 3
"""Collectors that are started without a pause, one after another, before one has shown that it lives."""
_STARTING: Final = 5.0
"""Seconds after which one that another process started is not waited for any more."""
_PROGRAM: Final = "import sys; sys.path[:] = {path!r}; from shadoweval.transport.collector import main; main()"
_MARK: Final = b"from shadoweval.transport.collector import main"


class Starter:
    """Starts the collector of one home.

    Args:
        root: The home's folder of spools.
        folder: Its shared memory.
    """

    def __init__(self, root: Path, folder: Path) -> None:
        self._root, self._folder = root, folder
        self.child: int | None = None
        """The last collector that this process started, while it lives."""
        self.start_at = 0
        self.patience, self._at_once = _RESTART, _AT_ONCE

    def forgive(self) -> None:
        """One has shown that it lives."""
        self.patience, self._at_once = _RESTART, _AT_ONCE

    def start(self, now: int) -> bool:
        """Start one, unless somebody reads that memory, or one is just starting. True: one was started."""
        if self.child is not None and _died(self.child):
            self.child = None
            self._started()
            if self._at_once > 0:
                self.start_at = now
        if now < self.start_at or self.child is not None or watched(self._folder) or not self._first():
            return False
        self.child = _spawn(self._root)
        self._at_once -= 1
        self.start_at = now
        if self.child is None or self._at_once <= 0:
            self.start_at += self.patience
            self.patience = min(2 * self.patience, _RARELY)
        if self.child is None:
            self._started()
        return self.child is not None

    def _first(self) -> bool:
        """Whether no other process starts one just now."""
        stamp = self._folder / "starting"
        try:
            os.close(open_private(stamp, os.O_WRONLY | os.O_EXCL))
        except FileExistsError:
            with contextlib.suppress(OSError):
                if abs(time.time() - stamp.stat().st_mtime) > _STARTING:
                    self._started()
            return False
        except OSError:
            return False
        return True

    def _started(self) -> None:
        with contextlib.suppress(OSError):
            (self._folder / "starting").unlink()


def _died(collector: int) -> bool:
    """Whether a child is gone."""
    try:
        return os.waitpid(collector, os.WNOHANG)[0] != 0
    except ChildProcessError:  # the application reaped it, or ignores SIGCHLD
        pass
    try:
        os.kill(collector, 0)
    except OSError:
        return True
    return False


def stalls(collector: int) -> bool:
    """Whether a collector waits for its disk. A caller who wrote there would wait too: let the ring fill instead.

    One that was stopped (SIGSTOP) would never go on: it is ended, and the next one takes what is in the ring.
    """
    try:
        state = Path(f"/proc/{collector}/stat").read_bytes().rpartition(b")")[2].split()[0]
        if state == b"T" and _MARK in Path(f"/proc/{collector}/cmdline").read_bytes():
            os.kill(collector, signal.SIGKILL)
    except (OSError, IndexError):
        return False
    return state == b"D"


def _spawn(root: Path) -> int | None:
    here = str(Path(__file__).parent.parent.parent)
    path = [here, *(str(part) for part in sys.path)]
    command = [sys.executable, "-I", "-S", "-c", _PROGRAM.format(path=path), str(root)]
    nothing = os.devnull
    try:
        return os.posix_spawn(
            sys.executable,
            command,
            {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, nothing, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_OPEN, 1, nothing, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, nothing, os.O_WRONLY, 0),
            ],
            setsid=True,
            setsigmask=[],
            setsigdef=[signal.SIGPIPE, signal.SIGCHLD, signal.SIGTERM, signal.SIGINT],
        )
    except (OSError, NotImplementedError, TypeError):
        return None
