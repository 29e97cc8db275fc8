"""Public peers that observe the same calls.

Each is used as its documentation shows for functions: a span or run for each step, inputs and outputs written out, its
own background thread and batch sizes, delivery to a loopback sink (MLflow: to SQLite, its default).
"""

# ruff: noqa: ARG002 - one signature for all targets.

import functools
import inspect
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.mirror_targets import Target

__all__ = ["PEERS"]


def _fields(value: Any) -> Any:
    """What JSON has no word for: a model's or dataclass's fields, a number of numpy's."""
    return vars(value) if hasattr(value, "__dict__") else float(value)


class Delivering(Target):
    """Sends what it observes to the sink."""

    def lost(self) -> int | None:
        return None


class OpenTelemetry(Delivering):
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
        tracer, dumps = self.tracer, json.JSONEncoder(default=_fields).encode
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


class LangSmith(Delivering):
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


class Langfuse(Delivering):
    """langfuse's @observe on every step, its client with defaults."""

    def __init__(self, sink: str, folder: Path) -> None:
        super().__init__(sink, folder)
        os.environ.update(
            LANGFUSE_PUBLIC_KEY="none", LANGFUSE_SECRET_KEY="none", LANGFUSE_BASE_URL=sink, LANGFUSE_HOST=sink
        )
        import langfuse

        self.observe = langfuse.observe
        self.client = langfuse.get_client()

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        kinds: dict[str, Any] = {"root": "chain", "model": "generation"}
        return self.observe(name=name, as_type=kinds.get(kind, kind))(function)

    def flush(self) -> None:
        self.client.flush()


class Opik(Delivering):
    """opik's @track on every step, with defaults; its own telemetry is off."""

    def __init__(self, sink: str, folder: Path) -> None:
        super().__init__(sink, folder)
        os.environ.update(
            OPIK_URL_OVERRIDE=sink + "/opik/api/",
            OPIK_WORKSPACE="default",
            OPIK_PROJECT_NAME="benchmark",
            OPIK_SENTRY_ENABLE="false",
            OPIK_ANALYTICS_ENABLE="false",
            OPIK_CONFIG_PATH=str(folder / "opik.config"),
            OPIK_FILE_LOGGING_LEVEL="CRITICAL",
            OPIK_CONSOLE_LOGGING_LEVEL="CRITICAL",
        )
        import opik

        self.opik = opik

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        kinds: dict[str, Any] = {"root": "general", "model": "llm"}
        return self.opik.track(name=name, type=kinds.get(kind, "tool"))(function)

    def flush(self) -> None:
        self.opik.flush_tracker()


class MLflow(Target):
    """mlflow's @trace on every step, asynchronous logging on, into SQLite."""

    scale = 0.2

    def __init__(self, sink: str, folder: Path) -> None:
        super().__init__(sink, folder)
        os.environ.update(
            MLFLOW_ENABLE_ASYNC_TRACE_LOGGING="true", MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true"
        )
        os.chdir(folder)
        import mlflow

        self.mlflow, self.database, self.made = mlflow, folder / "mlflow.db", 0
        mlflow.set_tracking_uri(f"sqlite:///{self.database}")
        mlflow.set_experiment("benchmark")

    def wrap(self, kind: str, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        kinds: dict[str, Any] = {"root": "CHAIN", "model": "LLM"}
        traced = self.mlflow.trace(name=name, span_type=kinds.get(kind, kind.upper()))(function)
        return self._counting(traced) if kind == "root" else traced

    def _counting(self, traced: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(traced)
        def calling(*args: Any, **kwargs: Any) -> Any:
            self.made += 1
            return traced(*args, **kwargs)

        return calling

    def flush(self) -> None:
        self.mlflow.flush_trace_async_logging()

    def lost(self) -> int | None:
        import sqlite3

        with sqlite3.connect(self.database) as connection:
            stored = connection.execute("select count(*) from trace_info").fetchone()[0]
        return self.made - stored


PEERS: dict[str, type[Target]] = {
    "laboratory": Laboratory,
    "OpenTelemetry": OpenTelemetry,
    "LangSmith": LangSmith,
    "Langfuse": Langfuse,
    "Opik": Opik,
    "MLflow": MLflow,
}
