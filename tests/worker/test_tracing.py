"""A shadow run's spans, as the SDK's own in-memory exporter got them."""

import asyncio
import http.server
import os
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from shadoweval import Stubs
from shadoweval.candidate.pool import CandidatePool
from shadoweval.records import Envelope, Failure, Observation, Outcome, Query, Refusal, Step, ToolCall, Usage
from shadoweval.testing import make_observation, make_query
from shadoweval.worker.trace_ids import RunIds, root_ids
from shadoweval.worker.tracing import SpanExporter, export_observation, exporting, resource

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
BEGAN = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND = 1_000_000_000

STEPS = (
    Step(
        kind="model",
        name="gpt-x",
        started=0.1,
        duration=0.5,
        input_tokens=100,
        output_tokens=20,
        cost_usd=0.002,
        first_chunk=0.2,
        index=1,
        parent=0,
    ),
    Step(kind="retrieval", name="QdrantRetriever", started=0.6, duration=0.1, index=2, parent=0),
    Step(kind="tool", name="refund", started=0.7, duration=0.1, index=3, parent=0),
    Step(kind="other", name="agent", started=0.0, duration=0.9, index=0),
)
CALLS = (ToolCall(name="refund", arguments={"order": "K-1"}, effect="write", answered="simulated"),)


@pytest.fixture(name="exporter")
def _exporter():
    return InMemorySpanExporter()


@pytest.fixture(name="tracer")
def _tracer(exporter):
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider.get_tracer("test")
    provider.shutdown()


def observed(**changes):
    given = {
        "query_id": "q-1",
        "arm": "new",
        "place": "shadow",
        "outcome": Outcome(answer="secret answer", tool_calls=CALLS),
        "steps": STEPS,
        "started_at": BEGAN,
        "duration": 1.0,
        "usage": Usage(input_tokens=100, output_tokens=20, cost_usd=0.002, cpu_seconds=0.3, peak_memory=5_000_000),
        "versions": {"target": "app:new", "prompt": "7"},
        "refusals": (Refusal(kind="socket.connect", count=2), Refusal(kind="tool")),
        "containment": ("landlock", "netns missing: no"),
    }
    return Observation(**(given | changes))


def asked(**attributes):
    return Query(id="q-1", text="secret question", asked_at=BEGAN, attributes=attributes)


def exported(exporter, tracer, observation, query=None):
    export_observation(observation, query or asked(), experiment="support", tracer=tracer)
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_run_is_one_trace_of_genai_spans(exporter, tracer):
    """Names, kinds, tree, times, tokens and cost are those of the observation."""
    spans = exported(exporter, tracer, observed())

    assert set(spans) == {
        "invoke_workflow app:new", "agent", "chat gpt-x", "retrieval QdrantRetriever", "execute_tool refund",
    }  # fmt: skip
    run, model = spans["invoke_workflow app:new"], spans["chat gpt-x"]
    assert {span.context.trace_id for span in spans.values()} == {run.context.trace_id}
    assert run.parent is None
    assert spans["agent"].parent.span_id == run.context.span_id
    assert model.parent.span_id == spans["agent"].context.span_id
    assert (model.kind, spans["execute_tool refund"].kind) == (SpanKind.CLIENT, SpanKind.INTERNAL)
    began = int(BEGAN.timestamp()) * SECOND
    assert (run.start_time, run.end_time) == (began, began + SECOND)
    assert (model.start_time - began, model.end_time - began) == (SECOND // 10, 6 * SECOND // 10)
    assert model.attributes["gen_ai.operation.name"] == "chat"
    assert model.attributes["gen_ai.request.model"] == "gpt-x"
    assert model.attributes["gen_ai.usage.input_tokens"] == 100
    assert model.attributes["gen_ai.usage.output_tokens"] == 20
    assert model.attributes["gen_ai.response.time_to_first_chunk"] == 0.2
    assert model.attributes["shadoweval.usage.cost_usd"] == 0.002
    assert spans["retrieval QdrantRetriever"].attributes["gen_ai.operation.name"] == "retrieval"
    tool = spans["execute_tool refund"].attributes
    assert (tool["gen_ai.operation.name"], tool["gen_ai.tool.name"]) == ("execute_tool", "refund")
    assert (tool["shadoweval.tool.effect"], tool["shadoweval.tool.answered"]) == ("write", "simulated")
    assert {span.status.status_code for span in spans.values()} == {StatusCode.UNSET}


def test_every_span_says_that_it_is_a_shadows(exporter, tracer):
    """Whoever looks at any of them can tell it from a user's; the run's span has the proof beside it."""
    spans = exported(exporter, tracer, observed())

    for span in spans.values():
        assert span.attributes["shadoweval.shadow"] is True
        assert span.attributes["shadoweval.arm"] == "new"
        assert span.attributes["shadoweval.experiment.id"] == "support"
    run = spans["invoke_workflow app:new"].attributes
    assert (run["shadoweval.live_writes"], run["shadoweval.refusals"]) == (0, 3)
    assert run["shadoweval.fidelity.simulated"] == 1
    assert run["shadoweval.containment"] == ("landlock", "netns missing: no")
    assert (run["shadoweval.usage.cpu_seconds"], run["shadoweval.usage.peak_memory_bytes"]) == (0.3, 5_000_000)
    assert run["shadoweval.version.prompt"] == "7"


def test_content_is_not_exported(exporter, tracer):
    """Questions, answers and tool arguments stay in the store."""
    spans = exported(exporter, tracer, observed())

    told = " ".join(span.to_json() for span in spans.values())
    assert "secret" not in told
    assert "K-1" not in told


@pytest.mark.parametrize(
    "attributes",
    [{"traceparent": f"00-{TRACE}-{SPAN}-01"}, {"trace_id": TRACE, "span_id": SPAN}, {"trace_id": TRACE.upper()}],
)
def test_the_run_links_to_the_incumbents_trace(exporter, tracer, attributes):
    """A link, and no child: the user's trace stays as it is, even where the worker is traced itself."""
    with tracer.start_as_current_span("worker"):
        spans = exported(exporter, tracer, observed(), asked(**attributes))

    run = spans["invoke_workflow app:new"]
    assert [f"{link.context.trace_id:032x}" for link in run.links] == [TRACE]
    assert run.attributes["shadoweval.incumbent.trace_id"] == TRACE
    assert run.parent is None
    assert f"{run.context.trace_id:032x}" != TRACE


@pytest.mark.parametrize("attributes", [{}, {"trace_id": "none of ours"}, {"traceparent": f"00-{'0' * 32}-{SPAN}-01"}])
def test_without_a_trace_of_the_incumbent_there_is_no_link(exporter, tracer, attributes):
    """What is no trace id is no link."""
    run = exported(exporter, tracer, observed(), asked(**attributes))["invoke_workflow app:new"]

    assert run.links == ()
    assert "shadoweval.incumbent.trace_id" not in run.attributes


def test_a_failure_shows_where_it_began_and_what_it_took_along(exporter, tracer):
    """The first failing step is marked; steps that failed since they held it, or with it, name it; others don't."""
    steps = (
        Step(kind="tool", name="look_up", error="TimeoutError: no answer", index=2, parent=1),
        Step(kind="other", name="node", error="TimeoutError: no answer", index=1, parent=0),
        Step(kind="model", name="m", index=3, parent=0),
        Step(kind="tool", name="other", error="ValueError: bad", index=4, parent=0),
        Step(kind="other", name="agent", error="RuntimeError: gave up", index=0),
    )
    failure = Failure(kind="error", error_type="RuntimeError", message="gave up", step="look_up")
    spans = exported(exporter, tracer, observed(outcome=None, failure=failure, steps=steps))

    first = spans["execute_tool look_up"]
    assert first.attributes["shadoweval.failure.first"] is True
    assert first.attributes["error.type"] == "TimeoutError"
    assert (first.status.status_code, first.status.description) == (StatusCode.ERROR, "no answer")
    cascaded = {name for name, span in spans.items() if "shadoweval.failure.cascaded_from" in span.attributes}
    assert cascaded == {"node", "agent"}
    assert spans["node"].attributes["shadoweval.failure.cascaded_from"] == "look_up"
    assert spans["chat m"].status.status_code is StatusCode.UNSET
    run = spans["invoke_workflow app:new"]
    assert (run.attributes["error.type"], run.status.status_code) == ("RuntimeError", StatusCode.ERROR)
    assert run.attributes["shadoweval.failure.step"] == "look_up"


def test_a_real_run_comes_out_as_it_was(exporter, tracer, monkeypatch):
    """A pool's observation of a pipeline with retrieval, model and tools has one span for each of its steps."""
    folder = str(Path(__file__).parents[1] / "candidate" / "targets")
    monkeypatch.syspath_prepend(folder)
    query = make_query(1)
    envelope = Envelope(experiment="e", query=query, served=make_observation(query))

    async def run():
        async with CandidatePool({"new": "plain_candidates:rag"}, stubs=Stubs()) as pool:
            return await pool.run(envelope, arm="new")

    observation = asyncio.run(run())
    exporting_to = SpanExporter("e", tracer=tracer)
    exporting_to(envelope, observation)
    spans = exporter.get_finished_spans()

    assert exporting_to.failed == 0
    assert len(spans) == 1 + len(observation.steps)
    operations = sorted(span.attributes.get("gen_ai.operation.name", "") for span in spans)
    assert operations == ["chat", "invoke_workflow", "retrieval"]
    (run_span,) = (span for span in spans if span.parent is None)
    assert all(run_span.start_time <= s.start_time <= s.end_time <= run_span.end_time for s in spans)


def test_a_broken_tracer_costs_spans_only(caplog):
    """What the tracer raises is counted and logged."""

    class Broken:
        def start_span(self, *_args, **_kwargs):
            raise OSError("no backend")

    query = make_query(1)
    envelope = Envelope(experiment="e", query=query, served=make_observation(query))
    exporting_to = SpanExporter("e", tracer=Broken())

    exporting_to(envelope, make_observation(query, "new", place="shadow"))

    assert exporting_to.failed == 1
    assert "spans not exported" in caplog.text


@pytest.mark.parametrize(
    "environ",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_SDK_DISABLED": "true"}],
)
def test_nothing_is_exported_unless_asked_for(environ):
    """No endpoint, or the SDK switched off: no exporter."""
    assert exporting("e", environ=environ) is None


class _Collector(http.server.BaseHTTPRequestHandler):
    bodies: list[bytes] = []  # noqa: RUF012 - one list for the server's one class

    def do_POST(self):
        self.bodies.append(self.rfile.read(int(self.headers["content-length"])))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_spans_reach_an_otlp_collector(monkeypatch):
    """With the standard environment variable the spans arrive over HTTP by the time the worker ends."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    _Collector.bodies.clear()
    with http.server.HTTPServer(("127.0.0.1", 0), _Collector) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        found = exporting("support")
        query = make_query(1)
        found(Envelope(experiment="e", query=query, served=make_observation(query)), observed())
        found.close()
        server.shutdown()
        thread.join()

    told = b"".join(_Collector.bodies)
    for text in (b"execute_tool refund", b"shadoweval.shadow", b"shadoweval-worker"):
        assert text in told


def test_importing_it_loads_no_opentelemetry():
    """A worker without tracing pays nothing for it."""
    code = "import sys, shadoweval.worker.tracing; sys.exit('opentelemetry' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, env=dict(os.environ)).returncode == 0


def test_model_spans_name_their_provider_and_the_tokens_that_are_billed_apart(exporter, tracer):
    """The conventions require a provider, so one that nobody told of is said to be unknown."""
    steps = (
        Step(kind="model", name="a", provider="openai", tokens={"cached_input": 3, "reasoning": 2}, index=0),
        Step(kind="model", name="b", index=1),
        Step(kind="retrieval", name="c", index=2),
    )
    spans = exported(exporter, tracer, observed(steps=steps, usage=Usage(tokens={"cached_input": 3})))

    told = spans["chat a"].attributes
    assert told["gen_ai.provider.name"] == "openai"
    assert told["gen_ai.usage.cache_read.input_tokens"] == 3
    assert told["gen_ai.usage.reasoning.output_tokens"] == 2
    assert spans["chat b"].attributes["gen_ai.provider.name"] == "unknown"
    assert "gen_ai.provider.name" not in spans["retrieval c"].attributes
    assert spans["invoke_workflow app:new"].attributes["gen_ai.usage.cache_read.input_tokens"] == 3


@pytest.mark.parametrize(
    ("nodes", "parent"),
    [
        ([("outer", 0.0, 0.9), ("inner", 0.2, 0.5)], "inner"),
        ([("outer", 0.0, 0.9), ("before", 0.0, 0.1)], "outer"),
        ([("left", 0.0, 0.6), ("right", 0.1, 0.8)], "invoke_workflow app:new"),
        ([], "invoke_workflow app:new"),
    ],
)
def test_a_tools_span_lies_under_its_node(exporter, tracer, nodes, parent):
    """Where nobody told of it: the innermost that was under way; of two at once, nobody knows."""
    steps = [
        Step(kind="other", name=name, started=start, duration=took, index=at)
        for at, (name, start, took) in enumerate(nodes)
    ]
    tool = Step(kind="tool", name="refund", started=0.3, duration=0.1, index=9)
    spans = exported(exporter, tracer, observed(steps=(tool, *steps)))

    assert spans["execute_tool refund"].parent.span_id == spans[parent].context.span_id


def test_a_runs_ids_are_known_before_it_is_exported(exporter):
    """So that a score that is made later can name them; all other spans have ids of their own."""
    provider = TracerProvider(id_generator=RunIds(), shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    spans = exported(exporter, provider.get_tracer("test"), observed())
    provider.shutdown()

    run = spans["invoke_workflow app:new"].context
    assert (run.trace_id, run.span_id) == root_ids("support", "q-1", "new")
    assert {span.context.trace_id for span in spans.values()} == {run.trace_id}
    assert len({span.context.span_id for span in spans.values()}) == len(spans)


def test_what_sends_is_a_shadow():
    """As a resource too, so that a backend can keep all of it apart."""
    assert resource({}).attributes["shadoweval.shadow"] is True
    assert resource({}).attributes["service.name"] == "shadoweval-worker"
