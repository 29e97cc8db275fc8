"""The life of one mirrored call: decided and copied before the incumbent runs, handed over after it.

Functions, coroutines, generators and async generators share it; they differ only in how they wait.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import carried, data_of, encode
from shadoweval.capture.interception import installed
from shadoweval.capture.langchain import hook, watch
from shadoweval.capture.outcomes import answer_text, failure_of, outcome_of
from shadoweval.capture.recorder import Recorder, current
from shadoweval.mirror.chunks import Chunks
from shadoweval.mirror.guard import Guard, Tally
from shadoweval.mirror.lane import Lane
from shadoweval.mirror.overhead import bin_name
from shadoweval.mirror.plan import Plan
from shadoweval.mirror.question import asked
from shadoweval.mirror.redaction import redacted_frame
from shadoweval.mirror.sampling import bucketer, request_id
from shadoweval.mirror.wire import frame, freeze_call
from shadoweval.records import INCUMBENT

__all__ = ["Call", "Site", "alone"]

_EMPTY: Final = msgspec.Raw(encode({}))
_FRAME: Final = 4

alone: Final[ContextVar[bool]] = ContextVar("shadoweval_alone", default=False)
"""Inside a control call: neither it nor what it calls is mirrored."""


class Site:
    """A decorated function: what is the same for all of its calls, worked out once."""

    def __init__(self, plan: Plan, entry: str, *, method: bool) -> None:
        self.plan, self.entry = plan, entry
        self.lane: Lane = plan.lane
        self.skip = 1 if method else 0
        self.place = bucketer(plan.salt)
        self.off = plan.sample <= 0.0
        self.counting = Guard(plan.experiment, self.lane.tally, "decide")
        self.raw_experiment = msgspec.Raw(encode(plan.experiment))
        self.raw_entry = msgspec.Raw(encode(entry))
        self.raw_salt = msgspec.Raw(encode(plan.salt))
        self.raw_versions = msgspec.Raw(encode(plan.versions))

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Decide and copy. None: the call is not mirrored, and why is counted.

        In a shadow's process, where someone stands in for the tools, nothing is mirrored and nothing counted: there the
        incumbent is run again by a worker, not by a user.
        """
        if installed.interceptor is not None:
            return None
        lane = self.lane
        if not lane.opened:
            lane.open()
        if self.off:
            with self.counting:
                lane.tally.count("off")
            return None
        call = Call(self, lane.tally)
        with call:
            return call.begun(args[self.skip :] if self.skip else args, kwargs)
        return None


class Call(Guard):
    """One call; also the guard around all of our work for it."""

    __slots__ = (
        "attributes",
        "began",
        "bucket",
        "id",
        "inputs",
        "over",
        "recorder",
        "site",
        "started_at",
        "text",
        "timed",
        "token",
        "unit",
    )

    def __init__(self, site: Site, tally: Tally) -> None:
        self.began = perf_counter()
        self.experiment, self.tally, self.point = site.plan.experiment, tally, "decide"
        self.site = site
        self.recorder: Recorder | None = None
        self.over = False

    def lost(self, reason: str) -> None:
        """Count the call and what became of it, once and together: a call that never ends is in neither count."""
        if not self.over:
            self.tally.count(reason)
            self.over = True

    def begun(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call | None:
        """Decide, then copy the input; None where the call is left alone."""
        plan = self.site.plan
        if current.get() is not None or alone.get():
            self.lost("nested")
            return None
        self.id = request_id()
        unit = plan.unit(*args, **kwargs) if plan.unit is not None else None
        self.unit = "" if unit is None else str(unit)
        attributes: Mapping[str, Any] = plan.attributes(*args, **kwargs) if plan.attributes is not None else {}
        reason = plan.decide(self.unit or self.id, attributes) if plan.decide is not None else None
        if reason is not None:
            self.lost(reason)
            return None
        self.bucket, second = self.site.place(self.unit or self.id)
        if self.bucket >= plan.sample:
            self.lost("not_sampled")
            return None
        # As many mirrored calls as control calls are timed, both chosen at random.
        self.timed = second < 2.0 * plan.control
        if second < plan.control:
            self.lost("control")
            return self
        self.point = "snapshot"
        self.inputs = freeze_call(args, kwargs, max_bytes=plan.max_bytes)
        self.attributes = _attributes(attributes, plan.max_bytes) if attributes else _EMPTY
        self.text = str(plan.text(*args, **kwargs)) if plan.text is not None else asked(args, kwargs)
        self.started_at = plan.clock()
        if not hook.registered:
            watch()
        self.recorder = Recorder(plan.max_bytes)
        return self

    def enter(self) -> None:
        """The incumbent runs from here on, in this context."""
        recorder = self.recorder
        self.token = alone.set(True) if recorder is None else current.set(recorder)

    def leave(self) -> None:
        """It does not run any more, or waits for its consumer."""
        try:
            if self.recorder is None:
                alone.reset(cast("Any", self.token))
            else:
                current.reset(cast("Any", self.token))
        except ValueError:
            # Whoever drives the coroutine changed contexts in the middle (opentelemetry-python#2606 met the same):
            # the variable is set in a context that is not ours to clean.
            pass

    def returned(self, value: Any) -> None:
        """The incumbent returned: hand over what it did."""
        self.leave()
        recorder = self.recorder
        if recorder is None:
            with self:
                self.tally.control.add(bin_name(perf_counter() - self.began))
                self._observe(failed=False)
            return
        duration = perf_counter() - recorder.began
        with self:
            self._observe(failed=False)
            self._hand_over(self._outcome(recorder, value), None, duration)
            if self.timed:
                self.tally.mirrored.add(bin_name(perf_counter() - self.began))

    def raised(self, error: BaseException) -> None:
        """The incumbent raised, was cancelled, or its consumer went away."""
        self.leave()
        recorder = self.recorder
        if recorder is None:
            with self:
                self._observe(failed=_suffers(error))
            return
        if self.over:
            return
        duration = perf_counter() - recorder.began
        with self:
            self._observe(failed=_suffers(error))
            self.point = "outcome"
            failure = failure_of(error)
            step = recorder.failed_step()
            told = (failure.kind, failure.error_type, failure.message, step)
            self._hand_over(None, told, duration)

    def streamed(self, chunks: Chunks) -> None:
        """The incumbent's stream ended by itself."""
        self.leave()
        recorder = self.recorder
        if recorder is None:
            with self:
                self._observe(failed=False)
            return
        if self.over:
            return
        duration = perf_counter() - recorder.began
        with self:
            self._observe(failed=False)
            self._hand_over(self._outcome_of_stream(recorder, chunks), None, duration)

    def _observe(self, *, failed: bool) -> None:
        """Tell the breaker how the incumbent fares, with all that we have added to its call so far."""
        observe = self.site.plan.observe
        if observe is not None:
            observe(perf_counter() - self.began, failed=failed, mirrored=self.recorder is not None)

    def _outcome(self, recorder: Recorder, value: Any) -> Any:
        self.point = "outcome"
        plan = self.site.plan
        if plan.outcome is not None:
            return outcome_of(value, parts=recorder.parts(), extract=plan.outcome, max_bytes=plan.max_bytes)
        answer = answer_text(value)
        if type(value) is str:
            return _outcome_row(recorder, answer, None, cut=False, cap=plan.max_bytes)
        copied, cut = data_of(value, max_bytes=plan.max_bytes)
        return _outcome_row(recorder, answer, copied, cut=cut, cap=plan.max_bytes)

    def _outcome_of_stream(self, recorder: Recorder, chunks: Chunks) -> Any:
        self.point = "outcome"
        plan = self.site.plan
        answer, value = chunks.joined()
        if plan.outcome is not None:
            whole = answer if answer is not None else chunks.data()
            told = outcome_of(whole, parts=recorder.parts(), extract=plan.outcome, max_bytes=plan.max_bytes)
            cut = told.truncated or chunks.truncated
            return msgspec.structs.replace(told, chunks=chunks.count, truncated=cut)
        return _outcome_row(recorder, answer, value, cut=chunks.truncated, cap=plan.max_bytes, chunks=chunks.count)

    def _hand_over(self, outcome: Any, failure: Any, duration: float) -> None:
        recorder, site = cast("Recorder", self.recorder), self.site
        if recorder.fault is not None:
            self.point = "snapshot"
            raise recorder.fault
        self.point = "encode"
        place = (self.bucket, site.raw_salt)
        query = (self.id, self.text, self.inputs, site.raw_entry, self.unit, self.attributes, self.started_at, *place)
        did = (outcome, failure, recorder.steps, self.started_at, duration, recorder.first_chunk)
        used = (recorder.usage_row(), site.raw_versions)
        whole = frame(site.raw_experiment, query, (self.id, INCUMBENT, "served", *did, *used))
        plan = site.plan
        if plan.redact is not None:
            self.point = "redact"
            whole = redacted_frame(whole, plan.redact)
        if len(whole) > _FRAME * plan.max_bytes:
            self.lost("too_large")
            return
        self.point = "offer"
        reason = site.lane.offer(whole)
        self.lost("mirrored" if reason is None else reason)
        if reason is None and plan.charge is not None:
            plan.charge()


def _suffers(error: BaseException) -> bool:
    """Whether the incumbent failed; a caller that went away says nothing about it."""
    return failure_of(error).kind != "aborted"


def _attributes(attributes: Mapping[str, Any], max_bytes: int) -> msgspec.Raw:
    found = dict(attributes)
    return msgspec.Raw(encode(found) if carried(found) else encode(codec.plain(found, max_bytes=max_bytes)))


def _outcome_row(
    recorder: Recorder, answer: str | None, value: Any, *, cut: bool, cap: int, chunks: int | None = None
) -> tuple[Any, ...]:
    """In the order of Outcome's fields."""
    if answer is not None and len(answer) > cap:
        answer, cut = answer[:cap], True
    calls = [msgspec.Raw(call[1]) for call in recorder.calls]
    return (answer, recorder.hit_rows(), calls, value, chunks, cut or recorder.truncated)
