"""What a run leaves behind in its process, and whether the next run may have that process all the same.

A process is given up for what acts after its run, or what the next run would meet: a thread that works on, a tool that
is called late, a process, another working folder. Threads that sleep (a progress bar's monitor, an exporter between two
exports, an executor's idle workers) cost nobody anything, and loading a model again would.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import threading
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import thread as executor_threads
from pathlib import Path
from typing import Any, Final

__all__ = ["ProcessState", "Scratch"]

_LOOK: Final = 1e-3
"""Seconds for which a new thread is watched: does it work, or sleep? Twice as long at each further look."""
_LOOKS: Final = 6
_FREE: Final = 0.02
"""Seconds of a processor's time that a sleeping thread may take to be woken, and to find nothing to do."""
_TICKS: Final = 100_000_000
"""Nanoseconds, several times the longest tick (10 ms)."""
_SHARE: Final = 0.02
"""The same as a share of the time: tqdm's monitor takes a ten-thousandth, OpenTelemetry's exporters a thousandth."""
_THREADS: Final = 64
"""More threads than this are a leak, which the next run would pay for."""


class ProcessState:
    """What a candidate's process looks like between its runs.

    What its first run adds (environment variables, threads) came with loading and stays; what later runs change is
    theirs.
    """

    def __init__(self) -> None:
        self._folder, self._environment = _folder(), dict(_environment())
        self._own = set(threading.enumerate())
        """Threads that were there before any run: they are nobody's leftovers."""
        self._left: dict[threading.Thread, tuple[float, float]] = {}
        """Threads that runs left: seconds of a processor's time, and when they were looked at."""
        self._loaded = False
        self._cpu = self._own_cpu = self._at = 0.0
        self._idle = self._idle_cpu = 0.0
        self.rest()

    def rest(self) -> None:
        """A run is over, and none is in flight."""
        self._cpu, self._own_cpu, self._at = time.process_time(), time.thread_time(), time.perf_counter()

    def begin(self) -> None:
        """A run begins where none was in flight: what other threads did since the last one's end was not asked for."""
        own = time.thread_time() - self._own_cpu
        self._idle_cpu += time.process_time() - self._cpu - own
        self._idle += time.perf_counter() - self._at

    @property
    def leftovers(self) -> bool:
        """Whether threads that runs have left are still there."""
        return bool(self._left)

    def left_behind(self) -> str:
        """Why the next run can't have this process, with what to do about it; empty: it can."""
        why = _processes() or self._moved() or self._set() or self._working()
        self._loaded = True
        return why

    def _moved(self) -> str:
        if _folder() == self._folder:
            return ""
        return "the run left another working folder; use absolute paths, or contextlib.chdir"

    def _set(self) -> str:
        environment = _environment()
        if environment == self._environment:
            return ""
        changed = {name for name, value in self._environment.items() if environment.get(name) != value}
        if not self._loaded and not changed:
            self._environment = dict(environment)
            return ""
        changed |= environment.keys() - self._environment.keys()
        names = ", ".join(sorted(map(os.fsdecode, changed)))
        return f"the run left other environment variables ({names}); set them at import or in Sandbox(warm=...)"

    def _working(self) -> str:
        """Which thread worked on after its run."""
        if threading.active_count() > 1 and (why := self._busy_threads()):
            return why
        allowed = _FREE + _SHARE * self._idle
        if self._idle_cpu > allowed and len(self._own) == 1:
            return f"threads worked on after their run ({self._idle_cpu:.2f} s of a processor); {_MEND}"
        return ""

    def _busy_threads(self) -> str:
        threads = [thread for thread in threading.enumerate() if thread not in self._own and not _is_worker(thread)]
        if len(threads) > _THREADS:
            return f"runs left {len(threads)} threads ({threads[-1].name}, ...); {_MEND}"
        working = _working([thread for thread in threads if thread not in self._left])
        now, left = time.perf_counter(), dict[threading.Thread, tuple[float, float]]()
        for thread in threads:
            seconds = _thread_seconds(thread)
            before, at = left[thread] = self._left.get(thread, (seconds, now))
            if thread in working or seconds - before > _FREE + _SHARE * (now - at):
                return f"thread {thread.name!r} worked on after its run; {_MEND}"
        self._left = left
        return ""


_MEND: Final = "end it before the call returns, or start it at import"


def _working(threads: list[threading.Thread]) -> list[threading.Thread]:
    """Those that do not go to sleep soon; a thread that has just been started has something to do first."""
    for look in range(_LOOKS):
        if not threads:
            break
        before = [_thread_seconds(thread) for thread in threads]
        time.sleep(_LOOK * 2**look)
        after = [_thread_seconds(thread) for thread in threads]
        looked_at = zip(threads, before, after, strict=True)
        threads = [t for t, b, a in looked_at if a > b or a == float("inf") or _is_runnable(t)]
    return threads


def _is_runnable(thread: threading.Thread) -> bool:
    """Whether it has something to do (Linux): on a busy machine one that works may get no processor during a look."""
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/self/task/{thread.native_id}/stat").read_bytes()
        return stat.rpartition(b")")[2].split()[0] in b"RD"
    return False


def _is_worker(thread: threading.Thread) -> bool:
    """Whether it is a hand of an executor: later runs may give it work."""
    workers: Any = getattr(executor_threads, "_threads_queues", {})
    return thread in workers


def _thread_seconds(thread: threading.Thread) -> float:
    """A processor's time of a thread so far (Linux); infinite where nobody tells, since it might be working."""
    try:
        path = f"/proc/self/task/{thread.native_id}/schedstat"
        with open(path, "rb") as file:  # noqa: PTH123 - after each run
            return int(file.read().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return 0.0 if not thread.is_alive() or isinstance(thread, threading._DummyThread) else float("inf")  # noqa: SLF001 # pyright: ignore[reportPrivateUsage]


def _processes() -> str:
    """A process that the run started is still there."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:  # those that have ended are nobody's concern any more
            pass
    except ChildProcessError:
        return ""
    return "the run left a process; wait for its end before the call returns"


def _environment() -> Mapping[Any, Any]:
    """The environment, as bytes where Python holds it so: decoding it took half of a short run's time."""
    return getattr(os.environ, "_data", os.environ)


def _folder() -> bytes:
    try:
        return os.getcwdb()  # noqa: PTH109 - a Path costs more than the look, on every run
    except OSError:
        return b""


class Scratch:
    """A process's scratch folder, emptied after each run: what one user's query wrote is not there at the next one's.

    What was in it before the first run stays, and so does what this process has in use: an open or mapped file, a
    `tempfile.TemporaryDirectory` that is alive.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = str(folder)
        self._before = {entry.name for entry in os.scandir(self._folder)}
        self._empty_since = 0
        """When the folder was last changed, where it has been looked at since and had nothing to remove; else 0."""

    def emptied(self) -> str:
        """Empty it; why it could not be, or an empty text."""
        try:
            changed = os.stat(self._folder).st_ctime_ns  # noqa: PTH116 - after each run
            if changed == self._empty_since:
                return ""
            with os.scandir(self._folder) as entries:
                new = [entry for entry in entries if entry.name not in self._before]
            # Of two changes within one tick of the kernel's clock a folder shows one: an old change is sure.
            self._empty_since = changed if not new and time.time_ns() - changed > _TICKS else 0
            if new:
                used = _used(self._folder)
                for entry in new:
                    if not any(path == entry.path or path.startswith(f"{entry.path}/") for path in used):
                        _remove(entry)
        except OSError as error:
            return f"the run left files in its scratch folder that can't be removed ({error.strerror})"
        return ""


def _remove(entry: os.DirEntry[str]) -> None:
    if entry.is_dir(follow_symlinks=False):
        shutil.rmtree(entry.path)
    else:
        os.unlink(entry.path)  # noqa: PTH108 - a text, as scandir gives it


def _used(folder: str) -> set[str]:
    """Paths below a folder that this process has open, mapped, or alive as a TemporaryDirectory."""
    paths: set[str] = set()
    with contextlib.suppress(OSError):  # not Linux
        for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers
            with contextlib.suppress(OSError):  # the listing's own
                paths.add(os.readlink(f"/proc/self/fd/{number}"))  # noqa: PTH115 - a text
        maps = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape")
        paths.update(line[line.index("/") :] for line in maps.splitlines() if folder in line)
    # Its finalizer is what makes one go away: it is registered as long as the object lives (weakref.finalize).
    registered: Mapping[Any, Any] = getattr(weakref.finalize, "_registry", {})
    for entry in list(registered.values()):
        paths.update(argument for argument in entry.args or () if isinstance(argument, str))
    return {path for path in paths if path.startswith(folder)}
