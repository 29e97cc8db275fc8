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
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from shadoweval._optional import require
from shadoweval.errors import MissingExtraError
from shadoweval.logs import logger
from shadoweval.records import Envelope, Observation, Query, Step, ToolCall

if TYPE_CHECKING:
    from opentelemetry.trace import Span, SpanContext, Tracer

__all__ = ["exporting"]

log: Final = logger(__name__)

_OPERATION: Final = "gen_ai.operation.name"
_OPERATIONS: Final = {"model": "chat", "retrieval": "retrieval", "tool": "execute_tool"}
"""Step kind -> operation; other steps have none, and go by their own name."""
_NAMES: Final = {"model": "gen_ai.request.model", "retrieval": "gen_ai.data_source.id", "tool": "gen_ai.tool.name"}
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
    if environ.get("OTEL_SDK_DISABLED", "").lower() == "true" or not any(environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        otlp = _otel("exporter.otlp.proto.http.trace_exporter")
        sdk, batches, resources = (_otel(f"sdk.{name}") for name in ("trace", "trace.export", "resources"))
    except MissingExtraError as error:
        log.warning("spans are not exported: %s", error)
        return None
    service = {} if environ.get("OTEL_SERVICE_NAME") else {"service.name": "shadoweval-worker"}
    provider = sdk.TracerProvider(resource=resources.Resource.create(service), shutdown_on_exit=False)
    provider.add_span_processor(batches.BatchSpanProcessor(otlp.OTLPSpanExporter()))
    return SpanExporter(experiment, tracer=provider.get_tracer("shadoweval"), close=provider.shutdown)


def export_observation(observation: Observation, query: Query, *, experiment: str, tracer: Tracer) -> None:
    """Make the spans of one run: one for the run, and below it one for each step, at the times at which they were.

    The run's span links to the incumbent's where `query.attributes` has its `traceparent` (W3C Trace Context) or
    `trace_id` and `span_id`.
    """
    trace, empty = _otel("trace"), _otel("context").Context()
    incumbent = _incumbent(query, trace)
    shadow = {"shadoweval.shadow": True, "shadoweval.arm": observation.arm, "shadoweval.experiment.id": experiment}
    target = observation.versions.get("target", observation.arm)
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


def _otel(module: str) -> Any:
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
    trace = _otel("trace")
    kinds = {"model": trace.SpanKind.CLIENT, "retrieval": trace.SpanKind.CLIENT}
    calls = dict(_calls(observation))
    first, cascade = _cascade(observation.steps)
    spans: dict[int, Span] = {}
    # Indices are given out as steps begin, so a step comes after the one it ran inside.
    for step in sorted(observation.steps, key=lambda step: step.index):
        above = run if step.parent is None else spans.get(step.parent, run)
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


def _of_step(step: Step, call: ToolCall | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        _OPERATION: _OPERATIONS.get(step.kind),
        _NAMES.get(step.kind, "shadoweval.step.name"): step.name,
        "gen_ai.usage.input_tokens": step.input_tokens,
        "gen_ai.usage.output_tokens": step.output_tokens,
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
