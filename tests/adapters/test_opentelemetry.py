"""The trace that a mirrored call is a part of goes with its query."""

import asyncio
import subprocess
import sys

import pytest
from langchain.agents import create_agent
from langchain_core.language_models import GenericFakeChatModel
from langchain_core.messages import AIMessage
from langchain_core.runnables import RunnableLambda
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from shadoweval.adapters.asgi import Route, ShadowASGI
from shadoweval.adapters.langchain import ShadowMiddleware, mirrored
from shadoweval.adapters.openai import mirrored_client
from shadoweval.worker.tracing import export_observation

HEADER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(name="provider")
def _provider():
    provider = TracerProvider(shutdown_on_exit=False)
    yield provider
    provider.shutdown()


@pytest.fixture(name="span")
def _span(provider):
    """A span that is active during the test, as OpenTelemetry's own propagator writes it."""
    with provider.get_tracer("app").start_as_current_span("request"):
        carrier = {}
        TraceContextTextMapPropagator().inject(carrier)
        yield carrier["traceparent"]


async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})


def requested(mirror, *headers):
    """One request to a mirrored app."""
    scope = {"type": "http", "method": "POST", "path": "/ask", "query_string": b"", "headers": list(headers)}

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        del message

    asyncio.run(ShadowASGI(app, mirror, routes=[Route(path="/ask")])(scope, receive, send))


def asked_agent(mirror):
    model = GenericFakeChatModel(messages=iter(lambda: AIMessage("an answer"), None))
    create_agent(model, [], middleware=[ShadowMiddleware(mirror)]).invoke({"messages": [("user", "why")]})


def asked_client(mirror, client):
    mirrored_client(client, mirror).chat.completions.create(model="m", messages=[{"role": "user", "content": "why"}])


async def asked_async(runnable):
    return [chunk async for chunk in runnable.astream("why")]


CALLS = {
    "invoke": lambda mirror, _: mirrored(RunnableLambda(str), mirror).invoke("why"),
    "ainvoke": lambda mirror, _: asyncio.run(mirrored(RunnableLambda(str), mirror).ainvoke("why")),
    "astream": lambda mirror, _: asyncio.run(asked_async(mirrored(RunnableLambda(str), mirror))),
    "batch": lambda mirror, _: mirrored(RunnableLambda(str), mirror).batch(["why"]),
    "middleware": lambda mirror, _: asked_agent(mirror),
    "openai": asked_client,
    "asgi": lambda mirror, _: requested(mirror),
}


@pytest.mark.parametrize("how", CALLS)
def test_an_active_span_is_the_querys_trace(how, kept, mirror_with, client, span):
    """Whatever adapter makes the query, it has the span that was active, beside the mirror's own attributes."""
    mirror = mirror_with(attributes=lambda *_, **__: {"plan": "gold"})
    CALLS[how](mirror, client)
    assert kept.only.query.attributes == {"plan": "gold", "traceparent": span}


@pytest.mark.parametrize("how", CALLS)
def test_without_a_span_there_is_no_trace(how, kept, mirror, client):
    """No span is made up where none is active."""
    CALLS[how](mirror, client)
    assert kept.only.query.attributes == {}


def test_a_requests_header_is_its_trace_where_no_span_is_active(kept, mirror):
    """As its client sent it; the header itself is not copied with the request."""
    requested(mirror, (b"Traceparent", HEADER.encode()))
    assert kept.only.query.attributes == {"traceparent": HEADER}


def test_an_active_span_is_nearer_than_the_header(kept, mirror, span):
    """The app's own span, not that of its client."""
    requested(mirror, (b"traceparent", HEADER.encode()))
    assert kept.only.query.attributes == {"traceparent": span}


def test_the_mirrors_own_attribute_stays(kept, mirror_with, span):
    """Who gives a `traceparent` is believed."""
    del span
    mirror = mirror_with(attributes=lambda *_, **__: {"traceparent": HEADER})
    requested(mirror)
    assert kept.only.query.attributes == {"traceparent": HEADER}


def test_a_header_that_is_too_long_is_left_out(kept, mirror, counted):
    """Whatever a client sends costs nothing but the link."""
    requested(mirror, (b"traceparent", b"0" * 10_000))
    assert kept.only.query.attributes == {}
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}


def test_a_control_call_keeps_no_trace(kept, mirror_with, counted, span):
    """It keeps nothing at all."""
    del span
    mirror = mirror_with(control=1.0)
    requested(mirror, (b"traceparent", HEADER.encode()))
    assert counted(mirror) == {"eligible": 1, "control": 1}
    assert not kept.frames


def test_the_shadows_trace_links_to_it(kept, mirror, provider):
    """From the request's header to the link on the exported span, with nothing written by the user."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    requested(mirror, (b"traceparent", HEADER.encode()))
    envelope = kept.only
    export_observation(envelope.served, envelope.query, experiment="support", tracer=provider.get_tracer("worker"))
    (run,) = exporter.get_finished_spans()
    (link,) = run.links
    assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == tuple(HEADER.split("-")[1:3])


def test_nothing_is_imported_for_it():
    """In a process that does not use OpenTelemetry it stays out."""
    program = """
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from shadoweval.mirror import Mirror
from shadoweval.protocols import Transport
from shadoweval.adapters.asgi import Route, ShadowASGI
frames = []
class Keep(Transport):
    def offer(self, frame): frames.append(frame)
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"ok"})
async def receive(): return {"type": "http.request", "body": b""}
async def send(message): pass
scope = {"type": "http", "method": "POST", "path": "/ask", "query_string": b"", "headers": []}
asyncio.run(ShadowASGI(app, Mirror("x", Keep(), control=0.0), routes=[Route(path="/ask")])(scope, receive, send))
assert frames and not [name for name in sys.modules if name.startswith("opentelemetry")]
"""
    subprocess.run([sys.executable, "-c", program, "."], check=True)


def test_a_decorated_function_keeps_it_too(kept, mirror_with, span):
    """Functions, coroutines and streams; what the mirror's own `attributes` say goes before it."""

    def plain(question):
        return question

    async def awaited(question):
        return question

    def streamed(question):
        yield question

    mirror = mirror_with(attributes=lambda question: {"plan": question})
    assert mirror(plain)("pro") == "pro"
    assert asyncio.run(mirror(awaited)("pro")) == "pro"
    assert list(mirror(streamed)("pro")) == ["pro"]
    for envelope in kept.envelopes:
        assert dict(envelope.query.attributes) == {"plan": "pro", "traceparent": span}

    kept.frames.clear()
    assert mirror_with(attributes=lambda question: {"traceparent": HEADER})(plain)("q") == "q"
    assert kept.only.query.attributes["traceparent"] == HEADER
