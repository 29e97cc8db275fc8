"""One run of one envelope inside a candidate's process: its clock, record, tools, and the observation of it."""

from __future__ import annotations

import datetime as dt
import resource
import sys
import threading
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from shadoweval import capture, codec
from shadoweval.candidate import gpu
from shadoweval.candidate.causes import Cause, blamed, cause_of
from shadoweval.candidate.consumption import Consumed
from shadoweval.candidate.footprint import CpuMeter, SchedStat
from shadoweval.candidate.rate_limits import limited_by
from shadoweval.candidate.sandbox import LONGEST, Limits
from shadoweval.candidate.tools.session import Session
from shadoweval.capture.chunks import outcome_of_chunks
from shadoweval.capture.failures import Failures, answered_by, failed_by, failure_of
from shadoweval.capture.outcomes import joined
from shadoweval.capture.prompts import SYSTEM_PROMPTS
from shadoweval.capture.responses import worse_status
from shadoweval.records import INCUMBENT, Arm, Envelope, Failure, FailureKind, Observation, Outcome

__all__ = ["Run", "arguments_of", "unbegun", "without_calls"]

_KIBIBYTE: Final = 1024 if sys.platform == "linux" else 1
"""Unit of ru_maxrss."""
_COST: Final = 2  # where a step's row has its dollars, behind its tokens in and out
_KINDS: Final = 8

_SLOW_STUBS: Final = Cause("its stubs used the time up", "make the functions and worlds of Stubs(...) faster")
_STARVED: Final = Cause("it waited for a processor", "give the worker more of the processor, or raise Limits.seconds")


class _BudgetedRecorder(capture.Recorder):
    """A recorder that says so when the model calls exceed the run's budget."""

    __slots__ = ("limits", "on_exceeded", "prompts")

    def __init__(self, limits: Limits, on_exceeded: Callable[[str], None]) -> None:
        super().__init__(max_bytes=limits.max_bytes)
        self.limits, self.on_exceeded = limits, on_exceeded
        self.prompts: set[str] = set()

    def note_prompt(self, digest: str) -> None:
        """Keep the digest of a system prompt."""
        self.prompts.add(digest)

    def add_step_row(self, row: Any) -> None:
        """Keep the step, with its price where it is known, then look at what the run has used."""
        if row[0] != "model":
            super().add_step_row(row)
            return
        kind, name, started, duration, *rest = row
        if rest and rest[_COST] is None:
            rest[_COST] = self.limits.cost(name, rest[0], rest[1], kinds=rest[_KINDS] if len(rest) > _KINDS else {})
            row = (kind, name, started, duration, *rest)
        super().add_step_row(row)
        if rest:
            why = self.exceeded()
            if why:
                self.on_exceeded(why)

    def exceeded(self) -> str:
        """Which budget is exceeded; empty: none."""
        limits = self.limits
        if limits.tokens is None and limits.usd is None:
            return ""
        tokens_in, tokens_out, usd = self.usage_row()
        tokens = (tokens_in or 0) + (tokens_out or 0)
        if limits.tokens is not None and tokens > limits.tokens:
            return f"{tokens:,} tokens, the budget is {limits.tokens:,}"
        if limits.usd is not None and (usd or 0.0) > limits.usd:
            return f"{usd:.4f} USD, the budget is {limits.usd:.4f}"
        return ""


class Run:
    """What happens between a request and its report.

    Args:
        envelope: What is run.
        number: The request's.
        session: Answers its tool calls.
        versions: What decides the answer.
        alone: Whether it has the process to itself, so that the process's CPU time and memory are its own.
        schedstat: How long the process waited for a processor; None: nobody knows. Not asked where it is not alone.
        seconds: Its deadline; 0: the limits'.
        stop: Called with a failure's kind and message when the run has to be ended from outside its own code.
    """

    def __init__(
        self,
        envelope: Envelope,
        *,
        number: int,
        arm: Arm,
        session: Session,
        limits: Limits,
        versions: dict[str, str],
        alone: bool,
        schedstat: SchedStat | None = None,
        seconds: float = 0.0,
        stop: Callable[[Run, FailureKind, str], None],
    ) -> None:
        self.arguments: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})
        self.envelope, self.number, self.arm, self.alone = envelope, number, arm, alone
        self.session, self.versions = session, versions
        self.seconds = seconds or limits.seconds
        self.recorder = _BudgetedRecorder(limits, lambda why: stop(self, "budget", why))
        self.first_chunk: float | None = None
        self._claim = threading.Lock()
        self.started_at = dt.datetime.now(dt.UTC)
        self._began = self.recorder.began  # what steps count from
        self._meter = CpuMeter(schedstat if alone else None, self._began)
        self._worked = self._waited = self._first_waited = 0.0
        gpu.begin()

    def _end(self) -> float:
        """Its duration; what streams it has open end with it."""
        self._worked = self._meter.worked()
        self._waited = self._meter.waited(self._worked)
        duration = time.perf_counter() - self._began
        self.recorder.close()
        return duration

    def claimed(self) -> bool:
        """Whether someone has begun to report this run before; the first caller gets False and must report it."""
        return not self._claim.acquire(blocking=False)

    def left(self) -> float:
        """Seconds until it is overdue; none or less: it is."""
        loading = self.first_chunk is None and not self.recorder.log
        allowed = self.recorder.limits.deadline(self.seconds, loading=loading)
        spent = time.perf_counter() - self._began
        return allowed - spent if spent < allowed else min(allowed - spent + self.taken(), LONGEST * allowed - spent)

    def taken(self) -> float:
        """Seconds until now that its own code did not have: its stubs', and those of waiting for a processor."""
        return self.session.clock.seconds() + self._meter.waited(self._meter.worked())

    def next_look(self) -> float:
        """Seconds after which it is to be asked again what is left."""
        limits = self.recorder.limits
        spent = time.perf_counter() - self._began
        first = limits.deadline(self.seconds, loading=False)
        return first - spent if spent < first else min(self.left(), limits.seconds)

    def chunk(self) -> None:
        """A chunk of a stream is there."""
        if self.first_chunk is None:
            self._first_waited = self._meter.waited(self._meter.worked())
            self.first_chunk = time.perf_counter() - self._began

    def returned(
        self, consumed: Consumed, *, extract: capture.Extract | None, failures: Failures | None
    ) -> Observation:
        """The observation of a run that returned a value or a stream.

        Raises:
            Exception: what `extract` and `failures` raise.
        """
        if failures is not None:
            text = None if consumed.chunks is None else joined(consumed.chunks)[0]
            failed = failed_by(text or consumed.chunks or consumed.value, failures)
            if failed is not None:
                return self.raised(failed)
        worse = None if self.arm == INCUMBENT else worse_status(consumed.value, self.envelope.served)
        if worse is not None:
            return self.raised(worse)
        duration, cap = self._end(), self.recorder.limits.max_bytes
        parts = self.recorder.parts()
        if consumed.chunks is None:
            outcome = capture.outcome_of(consumed.value, parts=parts, extract=extract, max_bytes=cap)
            if consumed.chunk_count is not None:
                outcome = msgspec.structs.replace(outcome, chunks=consumed.chunk_count)
        else:
            outcome = outcome_of_chunks(consumed.chunks, parts=parts, extract=extract, max_bytes=cap)
        return self._observed(parts, duration, outcome=outcome)

    def raised(
        self, error: BaseException, cause: Cause | None = None, *, failures: Failures | None = None
    ) -> Observation:
        """The observation of a run that raised; what is no Exception is an error like any other.

        `cause`: what of the shadow raised, where that is known; else the exception tells (`causes.cause_of`).
        """
        duration = self._end()
        parts = self.recorder.parts()
        cause = cause or cause_of(error) or limited_by(error)
        answer = None if cause is not None else answered_by(error, failures)
        if answer is not None:
            return self.returned(Consumed(answer), extract=None, failures=None)
        failure = _failure(error, parts)
        if failure.kind == "aborted":  # nobody waits for a shadow, so nobody can have gone away
            failure = msgspec.structs.replace(failure, kind="error")
        return self._observed(parts, duration, failure=blamed(failure, cause))

    def stopped(self, kind: FailureKind, message: str) -> Observation:
        """The observation of a run that was ended from outside its own code."""
        cause = self._overdue_by_us() if kind == "timeout" else None
        duration = self._end()
        parts = self.recorder.parts()
        failure = Failure(kind=kind, error_type="", message=message, step=parts.failed_step or self._open_step())
        return self._observed(parts, duration, failure=blamed(failure, cause))

    def _overdue_by_us(self) -> Cause | None:
        """What of the shadow used the time up, where the run's own code had not."""
        stubs, taken = self.session.clock.seconds(), self.taken()
        if time.perf_counter() - self._began - taken >= self.recorder.limits.seconds:
            return None
        return _SLOW_STUBS if stubs >= taken / 2 else _STARVED

    def _open_step(self) -> str:
        """The innermost step that a library has begun and not ended."""
        handler = self.recorder.handler
        return "" if handler is None else str(handler.open_step())

    def _observed(
        self,
        parts: capture.Parts,
        duration: float,
        *,
        outcome: Outcome | None = None,
        failure: Failure | None = None,
    ) -> Observation:
        if outcome is not None and outcome.tool_calls:
            outcome = msgspec.structs.replace(outcome, tool_calls=tuple(map(self.session.declared, outcome.tool_calls)))
        calls = () if failure is None else tuple(map(self.session.declared, parts.tool_calls))
        changed, unwatched = self.session.changed()
        usage, prompts = parts.usage, self.recorder.prompts
        if self.alone:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _KIBIBYTE
            usage = msgspec.structs.replace(usage, cpu_seconds=self._worked, peak_memory=peak, gpu_memory=gpu.peak())
        return Observation(
            query_id=self.envelope.query.id,
            arm=self.arm,
            place="shadow",
            outcome=outcome,
            failure=failure,
            steps=parts.steps,
            started_at=self.started_at,
            duration=duration,
            first_chunk=self.first_chunk,
            usage=usage,
            versions=self.versions | ({SYSTEM_PROMPTS: ",".join(sorted(prompts))} if prompts else {}),
            refusals=self.session.refusals(),
            live_writes=self.session.live_writes,
            writes=self.session.writes(),
            waited=(self._waited, self._first_waited),
            calls=calls,
            changed=changed,
            unwatched=unwatched,
        )


def _failure(error: BaseException, parts: capture.Parts) -> Failure:
    try:
        return failure_of(error, parts)
    except Exception as fault:  # noqa: BLE001 - an exception's own __str__ may fail in any way
        message = f"its message can't be shown: {type(fault).__name__}"
        return Failure(kind="error", error_type=type(error).__name__, message=message, step=parts.failed_step)


def arguments_of(envelope: Envelope) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the incumbent was called with: fresh objects, or the query's text where there is no snapshot."""
    if not envelope.query.inputs:
        return (envelope.query.text,), {}
    args, kwargs = codec.thaw(envelope.query.inputs)
    return tuple(args), dict(kwargs)


def unbegun(fault: Exception, what: str = "nothing was run") -> Observation:
    """The observation of a run that could not begin, or be told of; the pool fills in whose it is."""
    return Observation(
        query_id="",
        arm="",
        place="shadow",
        failure=Failure(
            kind="error",
            error_type=type(fault).__name__,
            message=f"{what}: {fault}",
            owner="shadow",
            cause=f"{what}: {type(fault).__name__}",
        ),
        started_at=dt.datetime.now(dt.UTC),
        duration=0.0,
    )


def without_calls(envelope: Envelope) -> Envelope:
    """The envelope for a session that could not be opened with what was recorded."""
    served = msgspec.structs.replace(envelope.served, outcome=None, calls=())
    return msgspec.structs.replace(envelope, served=served)
