"""What the workloads are wrapped in: nothing, an empty decorator, this project's mirror, and its public peers.

Each peer is used as its documentation shows for functions: a span or run for each step, inputs and outputs written out,
its own background thread and batch sizes, delivery to a loopback sink.
"""

# ruff: noqa: ARG002, ARG005, SLF001 - one signature for all targets; a benchmark may look at the ring from within.

import functools
import inspect
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["TARGETS", "Target"]


class Target:
    """The bare function."""

    def __init__(self, sink: str, folder: Path) -> None:
        self.sink, self.folder = sink, folder

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The step as this target observes it; `kind` is root, retriever, model or tool."""
        return function

    def flush(self) -> None:
        """Wait until everything is delivered."""

    @property
    def helpers(self) -> list[int]:
        """Processes whose CPU time is part of the bill."""
        return []


class Empty(Target):
    """A decorator that passes the call on."""

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):

            async def apassed(*args: Any, **kwargs: Any) -> Any:
                return await function(*args, **kwargs)

            return apassed

        def passed(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return passed


class Mirrored(Target):
    """This project: every call mirrored through the ring, 5 % of them left alone as control."""

    ring = True
    options: dict[str, Any] = {}  # noqa: RUF012 - subclasses differ by it

    def __init__(self, sink: str, folder: Path) -> None:
        super().__init__(sink, folder)
        from shadoweval.mirror import Mirror
        from shadoweval.transport import open_transport

        self.transport: Any = open_transport(folder / "spool", ring=self.ring)
        self.mirror = Mirror("benchmark", self.transport, **self.options)
        if self.ring and "sample" not in self.options:
            while not self.transport.ring:
                self.transport._look()
                time.sleep(0.01)

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        from shadoweval.capture import retriever, step, tool

        if kind == "root":
            return self.mirror(function)
        if kind == "tool":
            return tool(effect="read", name=name)(function)
        return retriever(name=name)(function) if kind == "retriever" else step("model", name=name)(function)

    def flush(self) -> None:
        while self.ring and self.transport._ring is not None and self.transport._ring.waiting:
            time.sleep(0.001)
        for path in sorted(self.folder.glob("spool/*.seg"))[:-1]:
            path.unlink()  # the worker's part, which is not measured here

    @property
    def helpers(self) -> list[int]:
        return [self.transport.collector] if self.ring and self.transport.collector else []


class Spooled(Mirrored):
    """The same without the ring: one write() a call."""

    ring = False


class NotSampled(Mirrored):
    """Decorated, and sampled so rarely that no call is mirrored."""

    options = {"sample": 1e-12}  # noqa: RUF012


class Off(Mirrored):
    """Decorated and switched off."""

    options = {"sample": 0.0}  # noqa: RUF012


class Killed(Mirrored):
    """Decorated, and stopped by the traffic hook."""

    options = {"decide": lambda unit, attributes: "killed"}  # noqa: RUF012


class OpenTelemetry(Target):
    """OpenTelemetry SDK, BatchSpanProcessor with its defaults, OTLP over HTTP; payloads as JSON attributes."""

    def __init__(self, sink: str, folder: Path) -> None:
        super().__init__(sink, folder)
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.provider = TracerProvider(resource=Resource.create({"service.name": "benchmark"}))
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=sink + "/v1/traces")))
        self.tracer = self.provider.get_tracer("benchmark")

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        tracer, dumps = self.tracer, json.dumps
        if inspect.iscoroutinefunction(function):

            @functools.wraps(function)
            async def atraced(*args: Any, **kwargs: Any) -> Any:
                with tracer.start_as_current_span(name) as span:
                    span.set_attribute("span.kind", kind)
                    span.set_attribute("input.value", dumps({"args": args, "kwargs": kwargs}))
                    value = await function(*args, **kwargs)
                    span.set_attribute("output.value", dumps(value))
                    return value

            return atraced

        @functools.wraps(function)
        def traced(*args: Any, **kwargs: Any) -> Any:
            with tracer.start_as_current_span(name) as span:
                span.set_attribute("span.kind", kind)
                span.set_attribute("input.value", dumps({"args": args, "kwargs": kwargs}))
                value = function(*args, **kwargs)
                span.set_attribute("output.value", dumps(value))
                return value

        return traced

    def flush(self) -> None:
        self.provider.force_flush()


class LangSmith(Target):
    """langsmith's @traceable on every step, its client with defaults, zstd as the service offers."""

    def __init__(self, sink: str, folder: Path) -> None:
        super().__init__(sink, folder)
        os.environ.update(
            LANGSMITH_TRACING="true", LANGSMITH_API_KEY="none", LANGSMITH_PROJECT="benchmark", LANGSMITH_ENDPOINT=sink
        )
        import langsmith

        self.traceable = langsmith.traceable
        self.client = langsmith.Client(api_url=sink, api_key="none")

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        kinds: dict[str, Any] = {"root": "chain", "model": "llm"}
        return self.traceable(run_type=kinds.get(kind, kind), name=name, client=self.client)(function)

    def flush(self) -> None:
        self.client.flush()


class Laboratory(Target):
    """laboratory's Experiment, the function itself as candidate: GitHub Scientist's way, inline; sync only."""

    def __init__(self, sink: str, folder: Path) -> None:
        super().__init__(sink, folder)
        import laboratory

        self.experiment = laboratory.Experiment

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        if inspect.iscoroutinefunction(function):
            raise NotImplementedError("laboratory has no coroutines")
        return self.experiment.decorator(function)(function) if kind == "root" else function


TARGETS: dict[str, type[Target]] = {
    "bare": Target,
    "empty decorator": Empty,
    "mirror, off": Off,
    "mirror, killed": Killed,
    "mirror, not sampled": NotSampled,
    "mirror, ring": Mirrored,
    "mirror, spool": Spooled,
    "laboratory": Laboratory,
    "OpenTelemetry": OpenTelemetry,
    "LangSmith": LangSmith,
}
