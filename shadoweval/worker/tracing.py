"""The candidate's runs as OpenTelemetry spans: one trace a run, linked to the incumbent's.

Spans are made in the worker, out of stored observations, after the fact: nothing of this is on the request path, and a
user's trace never gets longer. Names are those of the GenAI semantic conventions
(open-telemetry/semantic-conventions-genai, version 1.40 and later) where there is one, else `shadoweval.*`. They are
kept here as texts, since the conventions' Python package marks its own as moved. What was asked and answered is not
exported; it stays in the store.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from shadoweval._optional import require
from shadoweval.errors import MissingExtraError
from shadoweval.logs import logger
from shadoweval.records import Envelope, Observation, Query, Step, ToolCall
from shadoweval.worker.trace_ids import RunIds, root_ids

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, Tracer

__all__ = ["exporting", "otel", "resource", "wanted"]

log: Final = logger(__name__)

_OPERATION: Final = "gen_ai.operation.name"
_OPERATIONS: Final = {"model": "chat", "retrieval": "retrieval", "tool": "execute_tool"}
"""Step kind -> operation; other steps have none, and go by their own name."""
_NAMES: Final = {"model": "gen_ai.request.model", "retrieval": "gen_ai.data_source.id", "tool": "gen_ai.tool.name"}
_SHADOW: Final = "shadoweval.shadow"
_UNKNOWN: Final = "unknown"
"""Provider of a model call that nobody told of; the conventions require one."""
_KINDS: Final = {
    "cached_input": "cache_read.input_tokens",
    "cache_write": "cache_creation.input_tokens",
    "audio_input": "audio.input_tokens",
    "reasoning": "reasoning.output_tokens",
    "audio_output": "audio.output_tokens",
}
"""`records.TokenKind` -> attribute below `gen_ai.usage`."""
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_NEEDED_FOR: Final = "Exporting candidates' traces"
_TRACE: Final = re.compile(r"(?:[0-9a-f]{2}-)?(?P<trace>[0-9a-f]{32})(?:-(?P<span>[0-9a-f]{16})(?:-[0-9a-f]{2})?)?")


class SpanExporter:
    """Called by the worker with each stored observation. A backend that fails costs spans, never an observation.

    `close` is called at the end to send what is held back.
    """

    def __init__(self, experiment: str, *, tracer: Tracer, close: Any = None) -> None:
        self.experiment, self.tracer, self._close = experiment, tracer, close
        self.failed = 0
        """Observations that could not be exported."""

    def __call__(self, envelope: Envelope, observation: Observation) -> None:
        """Export one observation."""
        try:
            export_observation(observation, envelope.query, experiment=self.experiment, tracer=self.tracer)
        except Exception as error:  # noqa: BLE001 - a tracer is the user's; the observation is stored already
            self.failed += 1
            log.warning("spans not exported", extra={"query": envelope.id, "arm": observation.arm, "error": str(error)})

    def close(self) -> None:
        """Send what is held back."""
        if self._close is not None:
            self._close()


def exporting(experiment: str, *, environ: Mapping[str, str] | None = None) -> SpanExporter | None:
    """As OpenTelemetry's own environment says: to `OTEL_EXPORTER_OTLP_ENDPOINT` over HTTP; None: it says nothing.

    Without the extra `otel` nothing is exported, and a warning says so.
    """
    environ = os.environ if environ is None else environ
    if not wanted(environ, _ENDPOINTS):
        return None
    try:
        otlp = otel("exporter.otlp.proto.http.trace_exporter")
        sdk, batches = (otel(f"sdk.{name}") for name in ("trace", "trace.export"))
    except MissingExtraError as error:
        log.warning("spans are not exported: %s", error)
        return None
    provider = sdk.TracerProvider(resource=resource(environ), id_generator=RunIds(), shutdown_on_exit=False)
    provider.add_span_processor(batches.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return SpanExporter(experiment, tracer=provider.get_tracer("shadoweval"), close=provider.shutdown)


def wanted(environ: Mapping[str, str], endpoints: Sequence[str]) -> bool:
    """Whether OpenTelemetry's environment names one of these endpoints."""
    return environ.get("OTEL_SDK_DISABLED", "").lower() != "true" and any(environ.get(name) for name in endpoints)


def resource(environ: Mapping[str, str]) -> Any:
    """What sends: a shadow, so that a backend can keep all of it apart."""
    service = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "shadoweval-worker"}
    return otel("sdk.resources").Resource.create({_SHADOW: True, **service})


def export_observation(observation: Observation, query: Query, *, experiment: str, tracer: Tracer) -> None:
    """Make the spans of one run: one for the run, and below it one for each step, at the times at which they were.

    The run's span links to the incumbent's where `query.attributes` has its `traceparent` (W3C Trace Context) or
    `trace_id` and `span_id`.
    """
    trace, empty = otel("trace"), otel("context").Context()
    incumbent = _incumbent(query, trace)
    shadow = {_SHADOW: True, "shadoweval.arm": observation.arm, "shadoweval.experiment.id": experiment}
    target = observation.versions.get("target", observation.arm)
    ids = getattr(tracer, "id_generator", None)
    if isinstance(ids, RunIds):
        ids.told = root_ids(experiment, query.id, observation.arm)
    run = tracer.start_span(
        f"invoke_workflow {target}",
        context=empty,  # a trace of its own, whatever the worker is traced by
        kind=trace.SpanKind.INTERNAL,
        links=[trace.Link(incumbent, {"shadoweval.link": "incumbent"})] if incumbent is not None else [],
        start_time=_at(observation.started_at, 0.0),
        attributes={**shadow, **_of_run(observation, query), "gen_ai.workflow.name": target},
    )
    if run.is_recording():
        if incumbent is not None:
            run.set_attribute("shadoweval.incumbent.trace_id", f"{incumbent.trace_id:032x}")
        _export_steps(observation, run, tracer=tracer, shadow=shadow)
        if observation.failure is not None:
            failure = observation.failure
            run.set_attribute("error.type", failure.error_type or failure.kind)
            run.set_status(trace.Status(trace.StatusCode.ERROR, failure.message))
    run.end(_at(observation.started_at, observation.duration))


def otel(module: str) -> Any:
    """A module of OpenTelemetry's, which the extra brings."""
    return require(f"opentelemetry.{module}", extra="otel", needed_for=_NEEDED_FOR)


def _incumbent(query: Query, trace: Any) -> SpanContext | None:
    attributes = query.attributes
    context = attributes.get("traceparent") or "-".join(
        str(attributes[name]) for name in ("trace_id", "span_id") if attributes.get(name)
    )
    ids = _TRACE.fullmatch(str(context).lower())
    if ids is None:
        return None
    parent = trace.SpanContext(int(ids["trace"], 16), int(ids["span"] or "0", 16), is_remote=True)
    return parent if parent.trace_id else None


def _of_run(observation: Observation, query: Query) -> dict[str, Any]:
    usage, failure = observation.usage, observation.failure
    facts: dict[str, Any] = {
        _OPERATION: "invoke_workflow",
        "shadoweval.query.id": query.id,
        "shadoweval.live_writes": observation.live_writes,
        "shadoweval.writes": len(observation.writes),
        "shadoweval.refusals": sum(refusal.count for refusal in observation.refusals),
        "shadoweval.containment": observation.containment,
        "gen_ai.usage.input_tokens": usage.input_tokens,
        "gen_ai.usage.output_tokens": usage.output_tokens,
        **_of_kinds(usage.tokens),
        "gen_ai.response.time_to_first_chunk": observation.first_chunk,
        "shadoweval.usage.cost_usd": usage.cost_usd,
        "shadoweval.usage.cpu_seconds": usage.cpu_seconds,
        "shadoweval.usage.peak_memory_bytes": usage.peak_memory,
        "shadoweval.failure.kind": failure.kind if failure else None,
        "shadoweval.failure.owner": observation.owner,
        "shadoweval.failure.step": failure.step or None if failure else None,
    }
    facts |= {f"shadoweval.fidelity.{how}": count for how, count in observation.fidelity.items()}
    facts |= {f"shadoweval.version.{name}": version for name, version in observation.versions.items()}
    return _present(facts)


def _export_steps(observation: Observation, run: Span, *, tracer: Tracer, shadow: Mapping[str, Any]) -> None:
    trace = otel("trace")
    kinds = {"model": trace.SpanKind.CLIENT, "retrieval": trace.SpanKind.CLIENT}
    calls = dict(_calls(observation))
    first, cascade = _cascade(observation.steps)
    spans: dict[int, Span] = {}
    # Indices are given out as steps begin, so a step comes after the one it ran inside.
    # A tool's own function may have no index of its time: it comes after the nodes.
    for step in sorted(observation.steps, key=lambda step: (step.parent is None and step.kind == "tool", step.index)):
        around = _around(step, observation.steps)
        above = run if around is None else spans.get(around, run)
        span = tracer.start_span(
            f"{_OPERATIONS[step.kind]} {step.name}" if step.kind in _OPERATIONS else step.name,
            context=trace.set_span_in_context(above),
            kind=kinds.get(step.kind, trace.SpanKind.INTERNAL),
            start_time=_at(observation.started_at, step.started),
            attributes={**shadow, **_of_step(step, calls.get(step.index))},
        )
        if step.error is not None:
            kind, separator, message = step.error.partition(": ")
            span.set_attribute("error.type", kind if separator else "error")
            span.set_status(trace.Status(trace.StatusCode.ERROR, message or step.error))
            if first is not None and step.index == first.index:
                span.set_attribute("shadoweval.failure.first", True)
            elif first is not None and step.index in cascade:
                span.set_attribute("shadoweval.failure.cascaded_from", first.name)
        spans[step.index] = span
    for step in observation.steps:
        spans[step.index].end(_at(observation.started_at, step.started + step.duration))


def _of_kinds(tokens: Mapping[str, int]) -> dict[str, int]:
    return {f"gen_ai.usage.{_KINDS[kind]}": count for kind, count in tokens.items() if kind in _KINDS}


def _around(step: Step, steps: Sequence[Step]) -> int | None:
    """Index of the step that one lies in; where nobody told of a tool's, the innermost node that was under way alone.

    Two nodes at the same time, of which neither lies in the other, may each have called it: then it is the run's.
    """
    if step.parent is not None or step.kind != "tool":
        return step.parent
    nodes = [each for each in steps if each.kind == "other" and each.duration and _within(step, each)]
    nodes.sort(key=lambda each: each.duration)
    alone = all(_within(inner, outer) for inner, outer in pairwise(nodes))
    return nodes[0].index if nodes and alone else None


def _within(inner: Step, outer: Step) -> bool:
    return outer.started <= inner.started and inner.started + inner.duration <= outer.started + outer.duration


def _of_step(step: Step, call: ToolCall | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        _OPERATION: _OPERATIONS.get(step.kind),
        _NAMES.get(step.kind, "shadoweval.step.name"): step.name,
        "gen_ai.provider.name": step.provider or (_UNKNOWN if step.kind == "model" else None),
        "gen_ai.usage.input_tokens": step.input_tokens,
        "gen_ai.usage.output_tokens": step.output_tokens,
        **_of_kinds(step.tokens),
        "gen_ai.response.time_to_first_chunk": step.first_chunk,
        "shadoweval.usage.cost_usd": step.cost_usd,
    }
    if call is not None:
        facts |= {"shadoweval.tool.effect": call.effect, "shadoweval.tool.answered": call.answered}
    return _present(facts)


def _calls(observation: Observation) -> Iterator[tuple[int, ToolCall]]:
    """Index of the step -> its tool call: both are written down together."""
    steps = [step for step in observation.steps if step.kind == "tool"]
    for step, call in zip(steps, observation.tool_calls, strict=False):
        if step.name == call.name:
            yield step.index, call


def _cascade(steps: tuple[Step, ...]) -> tuple[Step | None, set[int]]:
    """The step that failed first (steps are in the order in which they ended), and those that failed because of it.

    These are the steps it ran inside, as far up as the failure went, and those that failed later with the same error.
    """
    failed = [step for step in steps if step.error is not None]
    if not failed:
        return None, set()
    first, by_index = failed[0], {step.index: step for step in steps}
    cascaded = {step.index for step in failed[1:] if step.error == first.error}
    above = by_index.get(first.parent) if first.parent is not None else None
    while above is not None and above.error is not None:
        cascaded.add(above.index)
        above = by_index.get(above.parent) if above.parent is not None else None
    return first, cascaded


def _present(facts: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in facts.items() if value is not None}


def _at(began: datetime, seconds: float) -> int:
    """Nanoseconds since 1970."""
    return int(began.timestamp() * 1e6) * 1000 + int(seconds * 1e9)
