"""The life of one mirrored call: from the moment the incumbent runs until it is handed over.

Functions, coroutines, generators and async generators share it; they differ only in how they wait. What need not be
known before the incumbent's caller has its answer is left to whoever reads the call's draft (`capture.wire.drafts`).
"""

from __future__ import annotations

from contextvars import ContextVar, Token
from time import perf_counter
from typing import Any, Final

import msgspec

from shadoweval.buckets import ids
from shadoweval.capture.copying import data_of, within
from shadoweval.capture.encodable import encoded
from shadoweval.capture.interception import installed
from shadoweval.capture.outcomes import Chunks, answer_text, outcome_of
from shadoweval.capture.recorder import Recorder, current
from shadoweval.capture.wire.inputs import MAGIC, encode_draft, freeze_call
from shadoweval.codec import as_text
from shadoweval.mirror.overhead import bin_name
from shadoweval.mirror.plan import Site
from shadoweval.mirror.shield import Shield

__all__ = ["Call", "alone", "last"]

_FRAME: Final = 4

alone: Final[ContextVar[Any]] = ContextVar("shadoweval_alone", default=None)
"""The control call that this context belongs to: neither it nor what it calls is mirrored."""
last: Final[ContextVar[tuple[str, int] | None]] = ContextVar("shadoweval_last", default=None)
"""Prefix and number of the id of the query that was mirrored last in this context; None: the last call was not."""
_UNCARRIED: Final = (OverflowError, TypeError, ValueError, RecursionError)


class Call(Shield):
    """One call; also the guard around all of our work for it."""

    __slots__ = (
        "attributes",
        "began",
        "bucket",
        "done",
        "failure",
        "inputs",
        "number",
        "outcome",
        "over",
        "recorder",
        "site",
        "started_at",
        "text",
        "timed",
        "token",
        "unit",
    )

    def __init__(self, site: Site) -> None:
        self.began = perf_counter()
        self.site, self.experiment, self.ledger = site, site.plan.experiment, site.outlet.ledger
        self.point = "decide"
        self.recorder: Recorder | None = None
        self.over = self.done = False
        self.token: Token[Any] | None = None
        self.inputs: Any = None
        self.text: Any = None
        self.outcome: Any = None
        self.failure: tuple[str, str, str] | None = None

    def lost(self, reason: str) -> None:
        """Count the call and what became of it, once and together: a call that never ends is in neither count."""
        if not self.over:
            self.ledger.count(reason)
            self.over = True

    def enter(self) -> None:
        """The incumbent runs from here on, in this context."""
        recorder = self.recorder
        self.token = alone.set(self) if recorder is None else current.set(recorder)

    def leave(self) -> None:
        """It does not run any more, or waits for its consumer."""
        token, self.token = self.token, None
        try:
            if token is not None:
                token.var.reset(token)
        except ValueError:  # its driver changed contexts in the middle, as in opentelemetry-python#2606
            pass

    def spent(self, since: float) -> None:
        """Our own work of this moment is done, which began at `since`, as `time.perf_counter()` gave it."""
        if self.recorder is not None:
            self.recorder.spent(since)

    def ended(self, at: float = 0.0) -> float:
        """The incumbent's time is over: whatever it started, and goes on, is no part of this call any more.

        Args:
            at: When that was, by `time.perf_counter()`; 0: just now.
        """
        ended = at or perf_counter()
        token, self.token = self.token, None  # a token that is used twice raises
        try:
            if token is not None:
                token.var.reset(token)
        except ValueError:  # see `leave`
            pass
        recorder = self.recorder
        if recorder is not None:
            recorder.closed = True
            if recorder.streams is not None or recorder.under_way or recorder.handler is not None:
                recorder.close()
        if not self.done:
            self.done = True
            installed.watching -= 1
        self.point = "outcome"
        return ended

    def given_up(self, at: float = 0.0) -> None:
        """The incumbent is over, and what became of the call is counted."""
        self._tell(self.ended(at), failed=False)

    def returned(self, value: Any, at: float = 0.0) -> None:
        """The incumbent returned, `at` as `ended` has it: hand over what it did."""
        ended = self.ended(at)
        recorder, plan = self.recorder, self.site.plan
        if plan.failures is not None and self._declared_failed(value, ended):
            return
        try:
            if recorder is not None and not self.over:
                if plan.outcome is not None:
                    self.outcome = self._extracted(recorder, value)
                else:
                    answer = value if type(value) is str else answer_text(value)
                    cut = not within(value, plan.max_bytes)
                    if cut or answer is value:
                        value = None
                    if answer is not None and len(answer) > plan.max_bytes:
                        answer, cut = answer[: plan.max_bytes], True
                    self.outcome = (answer, value, None, cut)
                self._hand_over(recorder, ended - recorder.began)
        except BaseException as error:
            if not self.caught(error):
                raise
        if self.timed or plan.observe is not None:
            self._tell(ended, failed=False)

    def raised(self, error: BaseException, at: float = 0.0) -> None:
        """The incumbent raised, was cancelled, or its consumer went away."""
        ended = self.ended(at)
        recorder, failed = self.recorder, True
        with self:
            from shadoweval.capture.failures import answered_by, failure_kind, failure_of  # noqa: PLC0415 - few calls raise

            answer = answered_by(error, self.site.plan.failures)
            failed = answer is None and failure_kind(error) != "aborted"
            if recorder is not None and not self.over:
                if answer is not None:
                    self.outcome = (answer_text(answer), answer, None, False)
                else:
                    failure = failure_of(error)
                    self.failure = (failure.kind, failure.error_type, failure.message)
                self._hand_over(recorder, ended - recorder.began)
        self._tell(ended, failed=failed)

    def streamed(self, chunks: Chunks, at: float = 0.0) -> None:
        """The incumbent's stream ended by itself."""
        ended = self.ended(at)
        recorder = self.recorder
        if self.site.plan.failures is not None and self._declared_failed(chunks, ended):
            return
        with self:
            if recorder is not None and not self.over:
                self.outcome = self._outcome_of_stream(recorder, chunks)
                self._hand_over(recorder, ended - recorder.began)
        self._tell(ended, failed=False)

    def _declared_failed(self, value: Any, ended: float) -> bool:
        """Whether the experiment's own `failures` sees a failure in a value, or raises: then the call is over."""
        with self.at("outcome"):
            if isinstance(value, Chunks):
                answer = value.joined()[0]
                value = value.data() if answer is None else answer
            from shadoweval.capture.failures import failed_by  # noqa: PLC0415 - few experiments have `failures`

            failure = failed_by(value, self.site.plan.failures)
            if failure is None:
                return False
            self.raised(failure, ended)
            return True
        self.given_up(ended)
        return True

    def _tell(self, ended: float, *, failed: bool) -> None:
        """Tell how the call went for its caller, once all that we do for it is done.

        The breaker hears all of it, and our own part: before the incumbent, within it, and from its end until now. A
        duration is kept of control calls, without us, and of as many mirrored ones.
        """
        observe, recorder = self.site.plan.observe, self.recorder
        took, own = ended - self.began, 0.0
        if recorder is not None:
            now = perf_counter()
            took, own = now - self.began, recorder.own + recorder.began - self.began + now - ended
        try:
            if self.timed:
                (self.ledger.control if recorder is None else self.ledger.mirrored).add(bin_name(took))
            if observe is not None:
                observe(took, failed=failed, mirrored=recorder is not None, own=own)
        except BaseException as error:
            if not self.caught(error):
                raise

    def _extracted(self, recorder: Recorder, value: Any) -> bytes:
        plan = self.site.plan
        return encoded(outcome_of(value, parts=recorder.parts(), extract=plan.outcome, max_bytes=plan.max_bytes))

    def _outcome_of_stream(self, recorder: Recorder, chunks: Chunks) -> Any:
        plan = self.site.plan
        answer, value = chunks.joined()
        if plan.outcome is not None:
            whole = answer if answer is not None else chunks.data()
            outcome = outcome_of(whole, parts=recorder.parts(), extract=plan.outcome, max_bytes=plan.max_bytes)
            cut = outcome.truncated or chunks.truncated
            return encoded(msgspec.structs.replace(outcome, chunks=chunks.count, truncated=cut))
        return (answer, value, chunks.count, chunks.truncated)

    def _hand_over(self, recorder: Recorder, duration: float) -> None:
        if recorder.fault is not None:
            self.point = "snapshot"
            raise recorder.fault
        self.point = "encode"
        plan, outlet = self.site.plan, self.site.outlet
        try:
            whole = encode_draft(self._draft(recorder, duration))
        except _UNCARRIED:
            whole = b""
        if not 0 < len(whole) <= plan.max_bytes:
            self._look_closer(recorder)
            whole = encode_draft(self._draft(recorder, duration))
        if plan.redact is not None or not outlet.drafts:
            whole = self._redacted(whole)
        if len(whole) > _FRAME * plan.max_bytes:
            self.lost("too_large")
            return
        self.point = "offer"
        reason = outlet.offer(whole)
        if reason is not None:
            self.lost(reason)
        elif not self.over:
            self.over = True
            self.ledger.count("mirrored")
            if plan.charge is not None:
                plan.charge()

    def _redacted(self, draft: bytes) -> bytes:
        """The frame of a draft, its texts redacted where that was asked for."""
        from shadoweval.capture.wire.drafts import finished  # noqa: PLC0415 - a reader's, on the default path

        frame, redact = finished(draft), self.site.plan.redact
        if redact is None:
            return frame
        from shadoweval.mirror.redaction.redactor import redacted_frame  # noqa: PLC0415 - loaded with the redactor

        self.point = "redact"
        return redacted_frame(frame, redact, names=None if type(self.text) is tuple else self.site.names)

    def _draft(self, recorder: Recorder, duration: float) -> tuple[Any, ...]:
        """In the order of `capture.wire.drafts`."""
        site = self.site
        return (
            MAGIC, site.raw, ids.prefix, self.number, self.unit, self.text, self.inputs, self.attributes,
            self.started_at, self.bucket, duration, recorder.first_chunk, self.outcome, self.failure, recorder.began,
            recorder.log, recorder.hits, recorder.max_items, recorder.truncated, site.plan.max_bytes,
        )  # fmt: skip

    def _look_closer(self, recorder: Recorder) -> None:
        """Something is no plain data, half a character, or large: copy what can be copied, and cut at the caps."""
        self.point = "snapshot"
        recorder.tidy()
        cap = self.site.plan.max_bytes
        if type(self.inputs) is tuple:
            self.inputs = freeze_call(*self.inputs, max_bytes=cap)
        if type(self.outcome) is tuple:
            answer, value, chunks, cut = self.outcome
            if chunks is None:
                data, too_large = data_of(value, max_bytes=cap)
                if value is not None and not too_large:
                    from shadoweval.capture.deferred import refuse_parts  # noqa: PLC0415 - few values can't be copied

                    refuse_parts(value, objects=answer is None)  # what its caller consumes later is no answer
                value, cut = data, cut | too_large
            if answer is not None:
                answer, cut = as_text(answer[:cap]), cut or len(answer) > cap
            self.outcome = (answer, value, chunks, cut)
        self.point = "encode"
