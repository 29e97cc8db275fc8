"""A candidate's process: takes requests, runs them, reports. Lives until it is killed, overdue, or no longer clean."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import os
import signal
import socket
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from shadoweval import capture, codec
from shadoweval.candidate.causes import Cause
from shadoweval.candidate.consumption import Consumed, adriven, consuming, driven, driven_call
from shadoweval.candidate.footprint import SchedStat
from shadoweval.candidate.forkserver import wire
from shadoweval.candidate.forkserver.wire import READ_BYTES, MessageReader, Messages, Report, Request, decode, send
from shadoweval.candidate.leftovers import ProcessState, Scratch
from shadoweval.candidate.rate_limits import rate_limit
from shadoweval.candidate.run import Run, arguments_of, unbegun, without_calls
from shadoweval.candidate.sandbox import Limits
from shadoweval.candidate.target import LoadedTarget
from shadoweval.candidate.tools import intercept
from shadoweval.candidate.tools.session import Session
from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.capture.document_parts import HitId
from shadoweval.capture.failures import Failures
from shadoweval.capture.outcomes import settled
from shadoweval.records import Arm, FailureKind, Observation

__all__ = ["Child", "ChildSetup", "ConcurrentChild"]

_SOON: Final = 0.001  # seconds: timers are never set to nothing, which would switch them off
_set_handler: Final[Callable[[int, Any], Any]] = getattr(signal, "_signal", signal).signal
_RESET_PEAK: Final = b"5"
"""Written to /proc/self/clear_refs: peak memory begins anew (proc(5))."""


class ChildSetup(msgspec.Struct, frozen=True, kw_only=True):
    """What a child was forked with."""

    arm: Arm
    limits: Limits
    interception: intercept.Interception
    scratch: Path
    loaded: LoadedTarget | None = None
    """None: it is not loaded yet."""
    stubs: Stubs = Stubs()
    extract: capture.Extract | None = None
    hit_id: HitId | None = None
    failures: Failures | None = None
    peak: int | None = None
    """Descriptor of /proc/self/clear_refs."""
    schedstat: SchedStat | None = None
    """How long it waited for a processor."""

    @property
    def target(self) -> LoadedTarget:
        """What is run."""
        assert self.loaded is not None
        return self.loaded


class Child:
    """Serves one channel, one run at a time, until the pool hangs up or this process is no longer clean."""

    alone = True
    """Whether a run has this process to itself."""

    def __init__(self, setup: ChildSetup, channel: socket.socket) -> None:
        self.setup, self.channel = setup, channel
        self.pid = os.getpid()
        self.run: Run | None = None
        self.runner = asyncio.Runner()
        self.state, self.scratch = ProcessState(), Scratch(setup.scratch)
        self._sending = threading.RLock()  # a signal handler that reports may interrupt a note of the same thread
        os.register_at_fork(after_in_child=channel.close)  # a fork of the candidate's neither speaks nor keeps it open

    def serve(self) -> None:
        """Serve; returns when the pool hangs up."""
        reader = MessageReader(self.channel)
        while (content := reader.next()) is not None:
            self.state.begin()
            run = self._opened(decode(content, Request))
            if run is None:
                continue
            # Not switched off after the run: without a run it does nothing, and the next one sets it anew before that.
            _set_handler(signal.SIGALRM, self._overdue)
            signal.setitimer(signal.ITIMER_REAL, run.next_look())
            self.run = run
            # In a context of its own: what the candidate sets there is gone at the next run.
            consumed, error = contextvars.copy_context().run(self._called, run)
            self.run = None
            if run.claimed():  # a thread of the run is reporting that it is over its budget, and ends this process
                threading.Event().wait()
            if self._finish(run, consumed, error):
                os._exit(0)

    def _opened(self, request: Request) -> Run | None:
        """The run of a request; None: it can't begin, which is reported."""
        capture.set_interceptor(self.setup.interception)  # whatever the run before has made of it
        try:
            envelope = codec.decode_envelope(request.envelope, encoded=True)
            arguments = arguments_of(envelope)
        except Exception as error:  # noqa: BLE001 - damaged, or a class of an argument is not here, or can't be rebuilt
            self.report(Report(request.id, unbegun(error)))
            return None
        fault = None
        try:
            live = functools.partial(self.report, wire.Note(request.id, live_writes=1))
            session = Session(self.setup.stubs, envelope, scratch=self.setup.scratch, on_live_write=live)
        except Exception as error:  # noqa: BLE001 - costs this run only
            fault, session = error, Session(Stubs(), without_calls(envelope), scratch=self.setup.scratch)
        if self.setup.peak is not None and self.alone:
            os.write(self.setup.peak, _RESET_PEAK)
        run = Run(
            envelope,
            number=request.id,
            arm=self.setup.arm,
            session=session,
            limits=self.setup.limits,
            versions=self.setup.target.versions,
            alone=self.alone,
            schedstat=self.setup.schedstat,
            seconds=request.seconds,
            stop=self.stop,
        )
        run.recorder.hit_id = self.setup.hit_id
        if fault is not None:
            why = f"the stubs can't be opened: {type(fault).__name__}"
            self.report(Report(request.id, run.raised(fault, Cause(why, "mend the world in Stubs(worlds=[...])"))))
            return None
        run.arguments = arguments
        self.setup.interception.running.add(session)
        return run

    def _called(self, run: Run) -> tuple[Consumed, BaseException | None]:
        intercept.session.set(run.session)
        try:
            with capture.recording(run.recorder):
                args, kwargs = run.arguments
                value = self.setup.target.call(run.envelope.query.entry)(*args, **kwargs)
                if settled(value):
                    return Consumed(value), None
                steps = consuming(value, run.chunk, responses=self.setup.extract is None)
                return driven(steps, self._awaited), None
        except BaseException as error:  # noqa: BLE001 - SystemExit and its like end the run, not this process
            return Consumed(None), error

    def _awaited(self, awaitable: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(awaitable, context=contextvars.copy_context())

    def _finish(self, run: Run, consumed: Consumed, error: BaseException | None) -> bool:
        """Report a run; whether this process takes no further one."""
        observation = self._observed(run, consumed, error)
        self.closed(run.session)
        unclean = "a run was out of memory" if isinstance(error, MemoryError) else self._unclean()
        self.report(Report(run.number, observation, *rate_limit(error, run.recorder), unclean, self.state.leftovers))
        self.state.rest()
        return bool(unclean)

    def closed(self, session: Session) -> None:
        """The session's run is over."""
        self.setup.interception.running.discard(session)
        with contextlib.suppress(Exception):  # a world of the user's that fails to close changes no result
            session.close()

    def _unclean(self) -> str:
        """Why this process takes no further run; empty: it does."""
        if late := self.setup.interception.late:
            return f"{late[0]!r} was called after its run; wait for what calls it before the call returns"
        return self.state.left_behind() or self.scratch.emptied()

    def _observed(self, run: Run, consumed: Consumed, error: BaseException | None) -> Observation:
        try:
            if error is not None:
                return run.raised(error, failures=self.setup.failures)
            return run.returned(consumed, extract=self.setup.extract, failures=self.setup.failures)
        except Exception as fault:  # noqa: BLE001 - `extract`, `failures` and the value's own methods are the user's
            hooks = {"outcome=": self.setup.extract, "failures=": self.setup.failures}
            which = " or ".join(name for name, hook in hooks.items() if hook is not None)
            cause = Cause(f"{which} raised {type(fault).__name__}", f"mend Experiment({which}...)") if which else None
            return run.raised(fault, cause)

    def report(self, report: Report | wire.Note) -> None:
        """Send it, from whichever thread; a fork that the candidate made must not speak for it."""
        if os.getpid() != self.pid:
            os._exit(0)
        with self._sending:
            try:
                send(self.channel, report)
            except Exception as fault:  # noqa: BLE001 - what it recorded can't be carried, which is no crash of its own
                send(self.channel, Report(report.id, unbegun(fault, "what it did can't be carried")))

    def _overdue(self, signum: int, frame: Any) -> None:  # noqa: ARG002 - a signal handler's signature
        if self.run is not None:
            signal.setitimer(signal.ITIMER_REAL, self.looked_at(self.run))

    def looked_at(self, run: Run) -> float:
        """Seconds until the run is to be looked at again; 0: it is overdue, and was stopped."""
        if (left := run.left()) <= 0:
            self.stop(run, "timeout", self.setup.limits.overdue(run.seconds))
            return 0.0
        if run.taken() > 0:
            self.report(wire.Note(run.number, seconds=left))
        return max(run.next_look(), _SOON)

    def stop(self, run: Run, kind: FailureKind, message: str) -> None:
        """Report the run as it stands and end this process: its code can't be trusted to stop."""
        if not run.claimed():
            self.report(Report(run.number, run.stopped(kind, message), unclean=f"a run was ended: {message}"))
        os._exit(0)


class ConcurrentChild(Child):
    """Runs requests as tasks of one loop. A run that is over its limits is cancelled; the process ends if it stays."""

    alone = False

    def __init__(self, setup: ChildSetup, channel: socket.socket) -> None:
        super().__init__(setup, channel)
        self.loop = self.runner.get_loop()
        self.buffer = Messages()
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.timers: dict[int, asyncio.TimerHandle] = {}
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
        for frame in self.buffer.feed(content):
            if not self.tasks:
                self.state.begin()
            run = self._opened(decode(frame, Request))
            if run is not None:
                self.tasks[run.number] = self.loop.create_task(self._task(run))

    async def _task(self, run: Run) -> None:
        intercept.session.set(run.session)
        self._look(run)
        consumed, error = Consumed(None), None
        try:
            with capture.recording(run.recorder):
                (args, kwargs), target, entry = run.arguments, self.setup.target, run.envelope.query.entry
                call = functools.partial(target.call(entry), *args, **kwargs)
                if target.blocks(entry):
                    responses = self.setup.extract is None
                    consumed = await asyncio.to_thread(driven_call, call, run.chunk, responses=responses)
                else:
                    consumed = await adriven(consuming(call(), run.chunk, responses=self.setup.extract is None))
        except BaseException as raised:  # noqa: BLE001 - SystemExit and its like end the run, not this process
            error = raised
        self.timers.pop(run.number).cancel()
        self.tasks.pop(run.number, None)
        if not run.claimed() and self._finish(run, consumed, error) and not self.tasks:
            self._over.set()

    def _look(self, run: Run) -> None:
        seconds = self.looked_at(run)
        if seconds:
            self.timers[run.number] = self.loop.call_later(seconds, self._look, run)

    def _unclean(self) -> str:
        return "" if self.tasks else super()._unclean()

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
