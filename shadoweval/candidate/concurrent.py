"""A process that runs several envelopes of an async candidate at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from typing import Any

from shadoweval import capture
from shadoweval.candidate.child import Child, ChildSetup, collected, overdue
from shadoweval.candidate.forkserver.wire import READ_BYTES, Frames, Report, Request, decode
from shadoweval.candidate.run import Run, arguments_of, rate_limit
from shadoweval.candidate.tools import intercept
from shadoweval.records import FailureKind

__all__ = ["ConcurrentChild"]


class ConcurrentChild(Child):
    """Runs requests as tasks of one loop. A run that is over its limits is cancelled; the process ends if it stays."""

    alone = False

    def __init__(self, setup: ChildSetup, channel: socket.socket) -> None:
        super().__init__(setup, channel)
        self.loop = self.runner.get_loop()
        self.frames = Frames()
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self._sending = threading.Lock()
        self._over = asyncio.Event()

    def serve(self) -> None:
        """Serve; returns when the pool hangs up."""
        self.runner.run(self._served())

    async def _served(self) -> None:
        self.loop.add_reader(self.channel, self._readable)
        await self._over.wait()

    def _readable(self) -> None:
        content = self.channel.recv(READ_BYTES, socket.MSG_DONTWAIT)
        if not content:
            self._over.set()
            return
        for frame in self.frames.feed(content):
            run = self._opened(decode(frame, Request))
            if run is not None:
                self.tasks[run.number] = self.loop.create_task(self._task(run))

    async def _task(self, run: Run) -> None:
        intercept.session.set(run.session)
        timer = self.loop.call_later(self.setup.limits.seconds, self.stop, run, "timeout", overdue(self.setup.limits))
        value, chunks, error = None, None, None
        try:
            with capture.recording(run.recorder):
                args, kwargs = arguments_of(run.envelope)
                value, chunks = await collected(self.setup.target.call(*args, **kwargs), run)
        except BaseException as raised:  # noqa: BLE001 - SystemExit and its like end the run, not this process
            error = raised
        timer.cancel()
        self.tasks.pop(run.number, None)
        if not run.claimed():
            self._finish(run, value=value, chunks=chunks, error=error)

    def _finish(self, run: Run, *, value: Any, chunks: list[Any] | None, error: BaseException | None) -> None:
        observation = self._observed(run, value=value, chunks=chunks, error=error)
        self.closed(run.session)
        retiring = isinstance(error, MemoryError) or (not self.tasks and self.before.changed())
        throttled, retry_after = rate_limit(error, run.recorder)
        self.report(Report(run.number, observation, throttled, retry_after, retiring))
        if retiring and not self.tasks:
            self._over.set()

    def report(self, report: Report) -> None:
        """Send a report, from whichever thread."""
        with self._sending:
            super().report(report)

    def stop(self, run: Run, kind: FailureKind, message: str) -> None:
        """Report the run as it stands and cancel it; other runs go on, unless it does not let itself be cancelled."""
        if not run.claimed():
            observation = run.stopped(kind, message)
            self.closed(run.session)
            self.report(Report(run.number, observation))
            with contextlib.suppress(RuntimeError):  # the loop is closed: the pool hung up
                self.loop.call_soon_threadsafe(self._cancel, run.number)

    def _cancel(self, number: int) -> None:
        task = self.tasks.get(number)
        if task is not None:
            task.cancel()
            self.loop.call_later(self.setup.limits.grace, self._abandon, task)

    def _abandon(self, task: asyncio.Task[None]) -> None:
        if not task.done():
            os._exit(1)  # the pool gives the other runs to another process
