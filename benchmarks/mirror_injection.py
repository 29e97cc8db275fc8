"""Faults behind the ring, and how they are injected and mended."""

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from benchmarks.mirror_processes import Worker
from benchmarks.mirror_rate import shadowing

__all__ = ["FAULTS", "Fault"]

PATIENCE = 4.0
FEW = 20
TMPFS = "96m"
IMAGE = 256 * 1024 * 1024


class Fault:
    """No fault: what the others are compared with."""

    name = "no fault"

    def __init__(self, options: argparse.Namespace) -> None:
        self.home: Path = options.folder / self.name.replace(" ", "-")
        self.spool = self.home / "spool" / "benchmark"
        self.rescued = 0
        self._sink = options.sink
        self.stack = contextlib.ExitStack()

    def begin(self) -> str | None:
        """Make what it needs, start its target; or say why it can't be had here."""
        (self.home / "spool").mkdir(parents=True)
        why = self.prepare()
        if why is None:
            environment = {"SHADOWEVAL_HOME": str(self.home)}
            self.worker = Worker("mirror, experiment", sink=self._sink, folder=self.home / "target", env=environment)
        return why

    def prepare(self) -> str | None:
        """Before the target starts."""

    def inject(self) -> None:
        """From here on it fails."""

    def mend(self) -> None:
        """As if nothing had been."""

    def last(self) -> None:
        """Before its target closes."""

    def release(self) -> None:
        """Before its spool is read."""

    def close(self) -> None:
        """Leave nothing behind."""
        self.stack.close()

    @property
    def collector(self) -> int:
        return int(self.worker.ask("helpers")["pids"][0])

    @contextlib.contextmanager
    def hurrying(self) -> Iterator[None]:
        """Mend it after a while where calls hang on it, so that the benchmark goes on and says so."""

        def rescue() -> None:
            self.rescued += 1
            self.mend()

        timer = threading.Timer(PATIENCE, rescue)
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


class Stopped(Fault):
    """SIGSTOP: it neither dies nor works."""

    name = "collector stopped"
    _pid = 0

    def inject(self) -> None:
        self._pid = self.collector
        os.kill(self._pid, signal.SIGSTOP)

    def mend(self) -> None:
        if self._pid:
            with contextlib.suppress(ProcessLookupError):  # a stopped collector is ended and replaced
                os.kill(self._pid, signal.SIGCONT)
        self._pid = 0


class Killed(Fault):
    """SIGKILL; the transport starts another."""

    name = "collector killed"

    def inject(self) -> None:
        with contextlib.suppress(IndexError, ProcessLookupError):
            os.kill(self.collector, signal.SIGKILL)

    def last(self) -> None:
        """It dies once more with frames in the ring, and the application closes without another call."""
        pid = self.collector
        os.kill(pid, signal.SIGSTOP)
        self.worker.run(workload="rag", count=FEW)
        os.kill(pid, signal.SIGKILL)


class Idle(Fault):
    """`shadoweval worker` is stopped from the beginning: nobody reads the spool."""

    name = "worker stopped"

    def prepare(self) -> str | None:
        running = self.stack.enter_context(shadowing(self.home))
        os.kill(running.pid, signal.SIGSTOP)
        self.release = running.kill
        self.stack.callback(running.kill)
        return None


class Full(Fault):
    """A small file system without a free byte."""

    name = "disk full"

    def prepare(self) -> str | None:
        place = self.home / "spool"
        return _mounted(self.stack, place, "-t", "tmpfs", "-o", f"size={TMPFS}", "benchmark")

    def inject(self) -> None:
        with contextlib.suppress(OSError), (self.home / "spool" / "ballast").open("wb", buffering=0) as ballast:
            while True:
                ballast.write(bytes(4096))

    def mend(self) -> None:
        (self.home / "spool" / "ballast").unlink(missing_ok=True)


class Frozen(Full):
    """A file system that answers nothing: whoever writes there waits (fsfreeze)."""

    name = "disk stalled"

    def prepare(self) -> str | None:
        if shutil.which("fsfreeze") is None or shutil.which("mkfs.ext4") is None:
            return "needs fsfreeze and mkfs.ext4"
        image = self.home / "image"
        with image.open("wb") as file:
            file.truncate(IMAGE)
        subprocess.run(["mkfs.ext4", "-q", str(image)], check=True)
        why = _mounted(self.stack, self.home / "spool", "-o", "loop", str(image))
        self.stack.callback(self.mend)
        return why

    def inject(self) -> None:
        subprocess.run(["fsfreeze", "-f", str(self.home / "spool")], check=True)

    def mend(self) -> None:
        subprocess.run(["fsfreeze", "-u", str(self.home / "spool")], check=False, stderr=subprocess.DEVNULL)


def _mounted(stack: contextlib.ExitStack, place: Path, *arguments: str) -> str | None:
    """Mount something until the end; or why not."""
    done = subprocess.run(["mount", *arguments, str(place)], check=False, capture_output=True, text=True)
    if done.returncode:
        return f"can't mount: {done.stderr.strip()}"
    stack.callback(subprocess.run, ["umount", "-l", str(place)], check=False)
    return None


FAULTS: tuple[type[Fault], ...] = (Fault, Stopped, Killed, Idle, Full, Frozen)
