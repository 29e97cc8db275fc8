"""The pool's side: answer the kernel's questions about a fork server and its children, and count every refusal.

Asked per call that may change something (connect, open for writing, sendmsg, unlink, ...); reading, computing and
threads never ask.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Callable

import msgspec

from shadoweval.candidate.guard.listener import Listener, Question
from shadoweval.candidate.guard.policy import Containment, GuardPolicy
from shadoweval.candidate.guard.reports import Report, Reports
from shadoweval.candidate.guard.rules import KIND
from shadoweval.candidate.guard.rulings import sends_kill
from shadoweval.candidate.guard.standin import stand_in
from shadoweval.candidate.guard.watched import Phase, Watched, count, process_of
from shadoweval.records import Refusal

__all__ = ["Supervisor"]

_log = logging.getLogger(__name__)

_BATCH = 64  # questions answered per visit, so that one candidate can't hold up the others' reports


class Supervisor:
    """Answers for one fork server and its children, in a thread of its own once it is `start`ed.

    Without the thread, poll `fileno()` and call `handle_ready()`. While nobody answers, guarded calls wait; after
    `close` they fail (the kernel answers ENOSYS).

    Args:
        policy: what the fork server may do while it imports. A child may do the same in a folder of its own.
        phase: of the process that contains itself first; "child" where it is no fork server, but the candidate itself.
        child_policy: what a child may do, by its pid.
        on_event: called with the pid of a child that says what holds it, or is refused something, from any thread.
        on_failure: called from the thread that answers if it can't go on: nothing is answered any more.

    Attributes:
        containment: what holds the fork server, once it said so.
        finished: the fork server and its children are gone.
        at_import: what was refused while it imported.
        left_over: what was refused to threads that an import left behind; no run's doing.
    """

    def __init__(
        self,
        policy: GuardPolicy,
        *,
        phase: Phase = "child",
        child_policy: Callable[[int], GuardPolicy] | None = None,
        on_event: Callable[[int], object] = lambda _pid: None,
        on_failure: Callable[[], object] = lambda: None,
    ) -> None:
        self._reports = Reports()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._reports, selectors.EVENT_READ)
        self._policy = policy
        self._phase: Phase = phase
        self._child_policy, self._on_event, self._on_failure = child_policy or policy.for_child, on_event, on_failure
        self._lock = threading.Lock()
        self._listener: Listener | None = None
        self._server: Watched | None = None
        self._processes: dict[int, Watched] = {}
        self._of_thread: dict[int, int] = {}
        self._thread: threading.Thread | None = None
        self._wake: socket.socket | None = None
        self._closed = False
        self.containment: Containment | None = None
        self.finished = False
        self.at_import: Counter[Refusal] = Counter()
        self.left_over: Counter[Refusal] = Counter()

    @property
    def candidate_fd(self) -> int:
        """Number of the candidate's end in this process, for `contain(on_refusal=...)`; -1 after `release`."""
        return self._reports.candidate.fileno()

    def release(self) -> None:
        """Close this process's copy of the candidate's end, once the fork server has it."""
        self._reports.candidate.close()

    def fileno(self) -> int:
        """Readable whenever `handle_ready` has something to do (epoll or kqueue)."""
        descriptor: int = self._selector.fileno()  # type: ignore[attr-defined] (both selectors have it)
        return descriptor

    def start(self) -> None:
        """Answer in a thread of its own from now on: nothing that this process does keeps a candidate waiting."""
        self._wake, woken = socket.socketpair()
        self._selector.register(woken, selectors.EVENT_READ)
        self._thread = threading.Thread(
            target=self._answer_always, args=(woken,), name="shadoweval-supervisor", daemon=True
        )
        self._thread.start()

    def _answer_always(self, woken: socket.socket) -> None:
        try:
            with woken:
                while not self._closed and (self._listener is not None or self._reports.fileno() >= 0):
                    self._selector.select()
                    self.handle_ready()
        except Exception:  # noqa: BLE001 - without an answer, all that ask would wait for ever
            _log.exception("the guard's supervisor failed: what it watched is ended")
            with self._lock:
                self._drop_listener()
            self._on_failure()

    def serve(self) -> None:
        """The fork server has imported everything: from now on it forks what it is asked for, and does nothing else."""
        with self._lock:
            self._phase = "serving"
            if self._server is not None:
                self._server.serve()

    def expect_forks(self, more: int) -> None:
        """The fork server is asked for `more` children, or (-1) has told of one."""
        with self._lock:
            if self._server is not None:
                self._server.rulings.forks_expected += more

    def take(self, pid: int, *, read: bool = True) -> tuple[Refusal, ...]:
        """What was refused to a child since the last call.

        Args:
            pid: of the child.
            read: look for reports that it has sent; what the kernel asked about is known without.
        """
        if not read:
            watched = self._processes.get(pid)
            if watched is None or not watched.refusals:
                return ()
        with self._lock:
            self._read_reports([])
            watched = self._processes.get(pid)
            return watched.take() if watched is not None else ()

    def containment_of(self, pid: int) -> Containment | None:
        """What holds a child, once it said so."""
        watched = self._processes.get(pid)
        return None if watched is None else watched.containment

    def forget(self, pid: int) -> bool:
        """A child is gone; whether it has sent SIGKILL to itself."""
        with self._lock:
            watched = self._processes.pop(pid, None)
            if watched is None:
                return False
            watched.close()
            self._of_thread = {thread: of for thread, of in self._of_thread.items() if of != pid}
            return watched.killed_itself

    def lines(self) -> tuple[str, ...]:
        """What was refused and is no run's doing, as observations hold it beside the layers."""
        at_import = [f"import refused: {refusal.kind} {refusal.detail}" for refusal in tuple(self.at_import)]
        left_over = [f"leftover threads refused: {refusal.kind} {refusal.detail}" for refusal in tuple(self.left_over)]
        return (*at_import, *left_over)

    def handle_ready(self) -> tuple[Refusal, ...]:
        """Answer what waits, without waiting; the refusals since the last call, whosever they are."""
        refusals: list[Refusal] = []
        with self._lock:
            # `finished` says nothing here: the kernel's end may be gone while the last reports are still unread.
            if self._closed:
                return ()
            self._read_reports(refusals)
            for _ in range(_BATCH):
                if self._listener is None or not self._answer_one(self._listener, refusals):
                    break
        return tuple(refusals)

    def close(self) -> None:
        """Let go of the candidate; guarded calls that it still makes fail."""
        with self._lock:
            self._closed = self.finished = True
            self._reports.close()
            self._drop_listener()
            for watched in self._processes.values():
                watched.close()
        if self._wake is not None:
            self._wake.close()
        if self._thread is not None:
            self._thread.join()
        self._selector.close()

    def _read_reports(self, refusals: list[Refusal]) -> None:
        while self._reports.fileno() >= 0:
            try:
                report = self._reports.receive()
            except EOFError:
                self._selector.unregister(self._reports)
                self._reports.close()
                self.finished = self._listener is None
                return
            if report is None:
                return
            if not self._announced(report):
                self._refused(report.sender, report.refusal(), refusals)

    def _announced(self, report: Report) -> bool:
        """Whether it says what holds a process. Candidates can write too: of each the first record only is believed."""
        watched = self._watched(report.sender) if self._server is not None else None
        if watched is not None and (watched.phase != "child" or not (watched.containment is None or watched.loading)):
            return False
        try:
            containment = report.containment()
        except msgspec.MsgspecError:
            return False
        if watched is not None:
            watched.announced(containment, self._child_policy(watched.pid))
            self._on_event(watched.pid)
            return True
        self.containment = containment
        self._server = self._processes[report.sender] = self._new(report.sender, self._phase)
        for listener in report.descriptors:
            self._listener = Listener(listener)
            self._selector.register(self._listener, selectors.EVENT_READ)
        return True

    def _watched(self, pid: int) -> Watched:
        watched = self._processes.get(pid)
        if watched is None:  # what is not the server was forked from it
            watched = self._processes[pid] = self._new(pid, "child")
        return watched

    def _new(self, pid: int, phase: Phase) -> Watched:
        scratch = (self._child_policy(pid) if phase == "child" else self._policy).scratch
        return Watched(pid, self._policy, phase, scratch=scratch)

    def _refused(self, pid: int, refusal: Refusal, refusals: list[Refusal]) -> None:
        refusals.append(refusal)
        watched = self._watched(pid)
        if watched.phase == "importing" or watched.loading:
            count(self.at_import, refusal)
        elif watched.phase == "serving":
            count(self.left_over, refusal)
        else:
            count(watched.refusals, refusal)
            self._on_event(pid)

    def _answer_one(self, listener: Listener, refusals: list[Refusal]) -> bool:
        """Receive, judge, answer one question; False if there is none."""
        try:
            question = listener.receive()
        except EOFError:
            self._drop_listener()
            self.finished = True
            return False
        if not isinstance(question, Question):
            return question
        try:
            self._judge(listener, question, refusals)
        except Exception as error:  # noqa: BLE001 - whatever a candidate made of itself: its call fails, no other one
            why = getattr(error, "strerror", None) or f"{type(error).__name__}: {error}"
            detail = f"{question.call} (can't be read: {why})"
            refusals.append(Refusal(kind=KIND.get(question.call, "kernel"), detail=detail[:500], layer="notify"))
            count(self.left_over, refusals[-1])
            listener.fail(question, errno.EPERM)
        return True

    def _judge(self, listener: Listener, question: Question, refusals: list[Refusal]) -> None:
        watched = self._watched(self._process_of(question.thread))
        caller = watched.caller(question.thread)
        if watched.phase == "child" and (watched.containment is None or watched.loading):
            self._read_reports(refusals)  # it may have narrowed itself since, or have loaded
        refused = watched.rulings.refuses(question.call, question.arguments, caller)
        if refused is None:
            watched.killed_itself |= sends_kill(question.call, question.arguments)
            listener.allow(question)
        elif watched.phase == "serving" or not stand_in(listener, question, watched):
            refusal = Refusal(kind=refused[0], detail=refused[1][:500], layer="notify")
            self._refused(watched.pid, refusal, refusals)  # before the answer: the run's report may follow at once
            listener.fail(question, errno.EPERM)

    def _process_of(self, thread: int) -> int:
        """The process that a thread belongs to; OSError where nobody can tell."""
        if thread in self._processes:
            return thread
        pid = self._of_thread.get(thread)
        if pid is None or not os.path.exists(f"/proc/{pid}/task/{thread}"):  # noqa: PTH110 - while a call waits
            pid = self._of_thread[thread] = process_of(thread)
        return pid

    def _drop_listener(self) -> None:
        if self._listener is not None:
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(self._listener)
            self._listener.close()
            self._listener = None
