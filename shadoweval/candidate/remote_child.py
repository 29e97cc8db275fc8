"""One child process seen from the pool: the runs in it, until when, and what became of them."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shadoweval.candidate.footprint import OutOfMemoryKills
from shadoweval.candidate.forkserver.wire import READ_BYTES, Died, Messages, Note, Report, Request, decode_child, framed
from shadoweval.candidate.guard import ChildSeen, Supervisor, advice
from shadoweval.candidate.held_memory import HeldMemory
from shadoweval.candidate.process_group import ProcessGroup
from shadoweval.candidate.remote_run import Ended, KillReason, RemoteRun, ended_by_itself, ended_by_us
from shadoweval.candidate.sandbox import Limits
from shadoweval.errors import CandidateError
from shadoweval.records import FIRST_PROCESS, FailureKind, Refusal

__all__ = ["RemoteChild"]

_MEMORY_CHECK: Final = 0.05
"""Seconds between looks at a busy child's memory."""
_LEAST_CAP: Final = 16 << 20  # of a report, on top of what `Limits.max_bytes` caps
_MOST_READS: Final = 1024
_ARRIVING: Final = 2.0
"""Seconds in which the rest of a report may still come whose beginning lay there at the deadline."""
_DEATH_NOTICE: Final = 2.0
"""Seconds in which the fork server may still say what a child died of."""


class RemoteChild:
    """A child's channel, its runs and its end.

    Args:
        pid: The child's process and group.
        channel: Our end; non-blocking.
        limits: Caps of a run.
        memory: Resident bytes above which the child is killed.
        supervisor: None: there is no guard.
        scratch: The child's folder, removed at the end.
        on_end: Called once when the child takes no further run.
    """

    def __init__(
        self,
        pid: int,
        channel: socket.socket,
        *,
        limits: Limits,
        memory: int,
        supervisor: Supervisor | None,
        scratch: Path,
        on_end: Callable[[RemoteChild], None],
    ) -> None:
        self.pid, self.channel, self.limits, self.memory = pid, channel, limits, memory
        self.seen, self.scratch, self.on_end = ChildSeen(supervisor, pid), scratch, on_end
        self.loop = asyncio.get_running_loop()
        self.runs: dict[int, RemoteRun] = {}
        self.open = True
        """Whether it takes further runs."""
        self.because = FIRST_PROCESS
        """Why there is this process, until its first run has ended; then empty."""
        self.first_seconds = 0.0
        """How long its first run took, until the next one has ended."""
        self.unclean = ""
        """Why it was given up."""
        self.late: list[Refusal] = []
        """What was refused while no run was in flight: it is charged to none."""
        self.contained: asyncio.Future[None] = self.loop.create_future()
        """Done when it is known what holds the child, or the child is gone."""
        self._buffer, self._writing = Messages(_LEAST_CAP + 4 * limits.max_bytes), asyncio.Lock()
        self._kill_reason: KillReason | None = None
        self._died: Died | None = None
        self._out_of_memory, self.group = OutOfMemoryKills(), ProcessGroup(pid)
        self._hung_up = self._memory_checked = self._leftovers = False
        self._held = HeldMemory(pid, scratch, memory=memory)
        self._deadline_timer: asyncio.TimerHandle | None = None
        self.loop.add_reader(channel, self._readable)
        self.noticed()

    async def ask(
        self, number: int, envelope: bytes, *, seconds: float, loading: float = 0.0
    ) -> tuple[RemoteRun, Report | Ended]:
        """Run an envelope. `seconds`: its deadline; `loading`: what the process may take before it begins."""
        run = RemoteRun(number, seconds=seconds, grace=self.limits.grace + loading, cold=self.because)
        if self._hung_up:
            return run, Ended(kind="crash", message="its process was gone before it began", guilty=False)
        self._charge(read=False)  # what came before is not this run's
        self.runs[number] = run
        self._set_timer(run.deadline)
        if not self._memory_checked:
            self._memory_checked = True
            self.loop.call_later(_MEMORY_CHECK, self._check_memory)
        try:
            run.sent = await self._send(framed(Request(number, envelope, seconds)))
            return run, await run.ending
        except asyncio.CancelledError:
            self.kill("killed", "the run was cancelled", number)
            raise

    def _set_timer(self, deadline: float) -> None:
        if self._deadline_timer is not None:
            if self._deadline_timer.when() <= deadline:
                return
            self._deadline_timer.cancel()  # of a first run, which had more time
        self._deadline_timer = self.loop.call_at(deadline, self._check_deadlines)

    def _check_deadlines(self) -> None:
        """Kill for a run that is overdue; else look again when the next may be: one timer each would cost too much."""
        self._deadline_timer = None
        arriving = self._drain()
        if self._hung_up or not self.runs:
            return
        next_run = min(self.runs.values(), key=lambda run: run.deadline)
        if arriving and next_run.deadline <= self.loop.time() and not next_run.arriving:
            next_run.arriving, next_run.deadline = True, self.loop.time() + _ARRIVING
        if next_run.deadline <= self.loop.time():
            message = f"{self.limits.overdue(next_run.seconds)}, and it had to be killed"
            self.kill("timeout", message, next_run.number)
        else:
            self._set_timer(next_run.deadline)

    def _drain(self) -> bool:
        """Read what lies there: the loop may have stood still while it came. Whether there was anything."""
        reads = 0
        while reads < _MOST_READS and not self._hung_up and self._readable():
            reads += 1
        return reads > 0

    async def _send(self, message: bytes) -> bool:
        """Send a message; False: the child was gone before."""
        try:
            sent = 0
            if not self._writing.locked():
                with contextlib.suppress(BlockingIOError):
                    sent = self.channel.send(message)  # nearly always all of it, without a turn of the loop
            if sent < len(message):
                async with self._writing:
                    await self.loop.sock_sendall(self.channel, message[sent:])
        except OSError:
            self._hang_up()
            return False
        return True

    def _readable(self) -> bool:
        """Read once. False: there is nothing to read now."""
        try:
            content = self.channel.recv(READ_BYTES)
        except BlockingIOError:
            return False
        except OSError:
            content = b""
        if not content:
            self._hang_up()
            return False
        try:
            for frame in self._buffer.feed(content):
                message = decode_child(frame)
                self._complete(message) if isinstance(message, Report) else self._take(message)
        except CandidateError as error:
            self.kill("crash", f"its process wrote what is no report: {error}")
        except Exception as error:  # noqa: BLE001 - ours: none of its runs is to blame, and none may wait for ever
            self.loop.call_exception_handler({"message": "A candidate's message can't be read", "exception": error})
            self.kill("crash", f"our own code failed over its message ({type(error).__name__}: {error})", 0)
        return True

    def _take(self, note: Note) -> None:
        if run := self.runs.get(note.id):
            run.take(note, grace=self.limits.grace)

    def _complete(self, report: Report) -> None:
        run = self.runs.get(report.id)
        if run is None:
            raise CandidateError(f"A report of run {report.id}, which is not in flight.")
        self.because, self._leftovers = "", report.leftovers
        if report.unclean:
            self.unclean = report.unclean
            self._shut()
        self._charge()
        run.ended = self.loop.time()
        if not run.ending.done():
            run.ending.set_result(report)
        del self.runs[report.id]  # last of all: what fails on the way ends those that are in flight

    def _charge(self, *, read: bool = True) -> None:
        """Refusals belong to every run that is in flight."""
        if late := self.seen.charge([run.refusals for run in self.runs.values()], read=read):
            self._acted_late(late)

    def noticed(self) -> None:
        """It may have said what holds it, or was refused something."""
        if not self.runs:
            self._charge()
        if self.seen.announced() and not self.contained.done():
            self.contained.set_result(None)

    def _acted_late(self, refusals: tuple[Refusal, ...]) -> None:
        """A thread was refused something while no run was in flight.

        Those that runs left cost the process; those of libraries that were imported (exporters) would try again in
        any other one.
        """
        self.late.extend(refusals)
        if self._leftovers:
            first = refusals[0]
            self.unclean = f"{first.kind} {first.detail!r} was tried after its run; {advice(first)}"
            self._shut()
            self._kill_group()

    def _check_memory(self) -> None:
        """Kill a child that holds too much; looks go on while runs are in flight, and once after the last."""
        self._memory_checked = bool(self.runs)
        if self._hung_up:
            return
        if self._memory_checked:
            self.loop.call_later(_MEMORY_CHECK, self._check_memory)
        excess = self._held.excess(whole=not self._memory_checked)
        if excess:
            cap = f"{self.limits.memory_bytes >> 20:,} MiB"
            self.kill("out_of_memory", f"{excess}, more than {cap} on top of where it began")

    def kill(self, kind: FailureKind, message: str, number: int | None = None) -> None:
        """Kill the child and its group at once. `number`: the run that is the reason; None: the whole child; 0: us."""
        if self._kill_reason is None and not self._hung_up:
            self._kill_reason = (kind, message, number)
            if kind != "killed":  # which is our own doing: the pool is closed, or told to stop
                self.unclean = self.unclean or f"a run was ended: {message}"
        self._shut()
        self._kill_group()

    def strike(self, message: str) -> None:
        """Kill its processes, from any thread; its runs end as `killed` when the loop hears of it."""
        if self._kill_reason is None and not self._hung_up:
            self._kill_reason = ("killed", message, None)
        self._kill_group()

    def _kill_group(self) -> None:
        if self._died is None:
            self.group.kill()

    def _shut(self) -> None:
        if self.open:
            self.open = False
            self.on_end(self)

    def _hang_up(self) -> None:
        """The child closed its end: it is dead, or it may as well be."""
        if self._hung_up:
            return
        self._hung_up = True
        if not self.contained.done():
            self.contained.set_result(None)
        if self._deadline_timer is not None:
            self._deadline_timer.cancel()
        self.loop.remove_reader(self.channel)
        self.channel.close()
        self._shut()
        self._kill_group()
        self._charge()
        self.seen.close()
        shutil.rmtree(self.scratch, ignore_errors=True)
        if self._died is not None:
            self._conclude()
        elif self.runs:
            self.loop.call_later(_DEATH_NOTICE, self.orphaned)

    def died(self, died: Died) -> None:
        """The fork server has reaped the child."""
        self._died = died
        while self._drain():  # the reports that came before the end, however many reads they take
            pass
        self._hang_up()
        self._conclude()

    def orphaned(self) -> None:
        """The fork server is gone, and takes its children along."""
        self._shut()
        self._kill_group()
        self._hang_up()
        if self._died is None:
            self._conclude()

    def _conclude(self) -> None:
        runs, self.runs = list(self.runs.values()), {}
        self.group.close()
        for run in runs:
            if not run.ending.done():
                run.ending.set_result(self._end_of(run, alone=len(runs) == 1))

    def _end_of(self, run: RemoteRun, *, alone: bool) -> Ended:
        if self._kill_reason is not None:
            return ended_by_us(run, self._kill_reason, alone=alone, died=self._died)
        if self._died is None:
            return Ended(kind="crash", message="what it was forked from is gone, and took it along", guilty=False)
        full, itself = self._out_of_memory.risen, self.seen.killed_itself
        return ended_by_itself(run, self._died, alone=alone, memory=self.memory, full=full, killed_itself=itself)
