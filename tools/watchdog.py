"""Run a Python command that may hang, and always end: `python tools/watchdog.py [--silence SECONDS] -m pytest ...`.

What the command prints is passed on at once. Nothing printed for SECONDS means that it hangs. (A test that hangs where
Python can interrupt it is ended earlier by pytest-timeout; this is for the rest: a process stopped or stuck in C code,
a runner that waits for a worker that is gone.) Then the processes say where they are (SIGABRT: pytest's faulthandler
prints every thread's stack), all that the command started is killed, and the exit code is 124. Processes are known by a
variable in their environment, so daemons in sessions of their own are among them and nobody else's process is.
Standard library only.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import BinaryIO

HUNG = 124  # timeout(1)'s exit code
MARK = "SHADOWEVAL_WATCHED_RUN"
SECONDS_FOR_STACKS = 5  # of one process
SECONDS_FOR_ALL = 40


def read_into(chunks: queue.SimpleQueue[bytes], output: BinaryIO) -> None:
    """Hand over what the command prints, and an empty chunk when it closed its output."""
    while chunk := os.read(output.fileno(), 65536):
        chunks.put(chunk)
    chunks.put(b"")


def processes_of(run: str) -> list[int]:
    """Living processes of a run (Linux; elsewhere none are found and only the process group is killed)."""
    pids = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        try:
            marks = [entry for entry in environment.read_bytes().split(b"\0") if entry.startswith(MARK.encode())]
        except OSError:  # gone meanwhile, or another user's
            continue
        if any(run.encode() in mark for mark in marks):
            pids.append(int(environment.parent.name))
    return pids


def send(number: signal.Signals, group: int, pids: list[int]) -> None:
    """Signal a process group and single processes, any of which may be gone."""
    for kill, target in [(os.killpg, group), *((os.kill, pid) for pid in pids)]:
        try:
            kill(target, number)
        except (ProcessLookupError, PermissionError):
            continue


def stop(group: int, run: str) -> None:
    """Kill what the run started and is still there; who made a process meanwhile is met in the next round."""
    for _ in range(100):
        pids = processes_of(run)
        send(signal.SIGKILL, group, pids)
        if not pids:
            return
        time.sleep(0.1)


def print_stacks(runner: int, run: str) -> None:
    """Have each process say where it is, one after the other: at once they would write into each other's lines."""
    if not (pids := processes_of(run)):
        send(signal.SIGABRT, runner, [])
        time.sleep(SECONDS_FOR_STACKS)
    until = time.monotonic() + SECONDS_FOR_ALL
    for pid in sorted(pids, key=runner.__eq__):  # the runner last: without it the others might end
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, signal.SIGABRT)
            os.kill(pid, signal.SIGCONT)  # a stopped process takes the abort only when it goes on
        latest = min(time.monotonic() + SECONDS_FOR_STACKS, until)
        while pid in processes_of(run) and time.monotonic() < latest:
            time.sleep(0.05)


def ends(process: subprocess.Popen[bytes], *, silence: float) -> bool:
    """Pass on what the process prints until it ends (True) or is silent for too long (False)."""
    chunks: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    assert process.stdout is not None
    threading.Thread(target=read_into, args=(chunks, process.stdout), daemon=True).start()
    heard = time.monotonic()
    while time.monotonic() - heard < silence:
        try:
            chunk = chunks.get(timeout=0.2)
        except queue.Empty:
            if process.poll() is not None:
                return True
            continue
        if not chunk:  # output closed: only the end can follow
            break
        heard = time.monotonic()
        sys.stdout.buffer.write(chunk)
        sys.stdout.buffer.flush()
    try:
        process.wait(timeout=max(0.0, heard + silence - time.monotonic()))
    except subprocess.TimeoutExpired:
        return False
    return True


def watch(command: list[str], *, silence: float) -> int:
    """Run a command to its end or to its hanging; its exit code, 124 if it hung."""
    if os.name == "nt":  # no process groups to signal
        return subprocess.run(command, check=False).returncode
    run = uuid.uuid4().hex
    # A watched run inside a watched run carries both marks: whoever gives up kills all below.
    environment = {**os.environ, MARK: f"{os.environ.get(MARK, '')}/{run}", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, start_new_session=True)

    def interrupt(*_: object) -> None:
        """Ctrl-C: let the command end by itself; the next one ends everything at once."""
        send(signal.SIGINT, process.pid, [])
        signal.signal(signal.SIGINT, signal.default_int_handler)

    signal.signal(signal.SIGINT, interrupt)
    try:
        ended = ends(process, silence=silence)
        if not ended:
            print(f"\nwatchdog: nothing printed for {silence:.0f} s; where every process is:", flush=True)
            print_stacks(process.pid, run)
    finally:
        stop(process.pid, run)
        process.wait()
    return process.returncode if ended else HUNG


def main(arguments: list[str]) -> int:
    """Parse the options and run the rest with this very interpreter."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--silence", type=float, default=420.0, help="seconds without output that mean: it hangs")
    options, command = parser.parse_known_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that `finally` ends the run too
    return watch([sys.executable, *command], silence=options.silence)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
