"""Processes of the mirror's benchmark: each target in its own, the sink, and on which core they are."""

import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Sink", "Worker", "core", "open_workers", "pinned", "place", "start_python", "tree"]

ROOT = Path(__file__).parent.parent
CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
_PATIENCE = 30.0


def core(number: int) -> int:
    """The `number`th core that we may use; 0 is where is measured, 1 where everything else is."""
    return CORES[number % len(CORES)]


def pinned(number: int) -> dict[str, Any]:
    """Keyword arguments that start a process on one core."""
    return {"preexec_fn": lambda: os.sched_setaffinity(0, {core(number)})}


def tree(pid: int) -> list[int]:
    """A process and all that descend from it."""
    found, new = [pid], [pid]
    while new:
        parent = new.pop()
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                new += [int(child) for child in path.read_text().split()]
        found += [child for child in new if child not in found]
    return found


def place(pids: Iterable[int], number: int) -> None:
    """Move processes with all their threads to a core."""
    for pid in pids:
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{pid}/task").iterdir():
                with contextlib.suppress(OSError):
                    os.sched_setaffinity(int(task.name), {core(number)})


def start_python(*arguments: str, python: str = sys.executable, **options: Any) -> subprocess.Popen[str]:
    """Start a module of ours; other interpreters find this tree by PYTHONPATH."""
    environment = {**os.environ, **options.pop("env", {}), "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([python, *arguments], env=environment, cwd=ROOT, text=True, **options)


class Sink:
    """The loopback server that peers deliver to."""

    def __init__(self) -> None:
        self.running = start_python("-m", "benchmarks.mirror_sink", stdout=subprocess.PIPE, **pinned(1))
        assert self.running.stdout is not None
        self.url = f"http://127.0.0.1:{int(self.running.stdout.readline())}"

    def markers(self) -> dict[str, int]:
        """Different calls that arrived since the last question, by the target's mark."""
        with urllib.request.urlopen(self.url + "/markers", timeout=60) as answer:
            return json.load(answer)

    def close(self) -> None:
        self.running.kill()
        self.running.communicate()


class Worker:
    """A target's process.

    Args:
        name: The target.
        sink: Where peers deliver to.
        folder: A folder of its own.
        mark: Two hexadecimal digits that its calls carry.
        python: The interpreter it runs under.
        env: Added to its environment.
    """

    def __init__(
        self,
        name: str,
        *,
        sink: Sink,
        folder: Path,
        mark: str = "00",
        python: str = sys.executable,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self.name, self.folder, self.mark, self._sink = name, folder, mark, sink
        self.beside: list[int] = []
        """Further processes that belong to it; they and their children go where it goes."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "errors.txt").open("wb") as errors:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            arguments = ("-m", "benchmarks.mirror_worker", name, sink.url, str(folder), mark)
            self.running = start_python(*arguments, python=python, env=dict(env or {}), **pipes, **pinned(0))
        self.skipped: str | None = self.read().get("skipped")
        self.park()

    def read(self) -> dict[str, Any]:
        assert self.running.stdout is not None
        line = self.running.stdout.readline()
        if not line:
            raise SystemExit(f"{self.running.args} died: {(self.folder / 'errors.txt').read_text()[-2000:]}")
        return json.loads(line)

    def ask(self, do: str, **how: Any) -> dict[str, Any]:
        """Have it do something, wherever it is."""
        self.tell(do, **how)
        return self.read()

    def tell(self, do: str, **how: Any) -> None:
        """Have it begin something; `read` gives the answer."""
        assert self.running.stdin is not None
        self.running.stdin.write(json.dumps({"do": do, **how}) + "\n")
        self.running.stdin.flush()

    @property
    def processes(self) -> list[int]:
        """It and all that belong to it."""
        return [pid for root in (self.running.pid, *self.beside) for pid in tree(root)]

    def park(self) -> None:
        """Off the measured core: nothing of it may disturb another's turn."""
        place(self.processes, 1)

    def run(self, **block: Any) -> dict[str, Any]:
        """A block of calls on the measured core; `lost` says how many of them never arrived."""
        place(self.processes, 0)
        helpers = [pid for root in self.beside for pid in tree(root)]
        answer = self.ask("run", **block, helpers=helpers)
        self.park()
        if answer.get("lost", 0) is None:
            answer["lost"] = max(answer["count"] - self._arrived(answer["count"]), 0)
        return answer

    def _arrived(self, count: int) -> int:
        """Calls that reached the sink; waits for stragglers while any come."""
        arrived, until = 0, time.monotonic() + 1.0
        end = time.monotonic() + _PATIENCE
        while arrived < count and time.monotonic() < min(until, end):
            new = self._sink.markers().get(self.mark, 0)
            arrived += new
            if new:
                until = time.monotonic() + 1.0
            elif arrived < count:
                time.sleep(0.05)
        return arrived

    def close(self) -> None:
        self.running.communicate()  # the end of its input is its end


def open_workers(
    names: Sequence[str], *, sink: Sink, folder: Path, pythons: Mapping[str, str] | None = None
) -> dict[str, Worker]:
    """Targets that are installed; says of the others why they are not measured."""
    workers: dict[str, Worker] = {}
    for number, name in enumerate(names):
        inner = folder / name.replace(", ", "-").replace(" ", "-")
        python = (pythons or {}).get(name, sys.executable)
        worker = Worker(name, sink=sink, folder=inner, mark=f"{number:02x}", python=python)
        if worker.skipped:
            print(f"{name}: skipped, {worker.skipped}")
            worker.close()
        else:
            workers[name] = worker
    return workers
