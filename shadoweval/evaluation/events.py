"""Where new scores go: into the store, and as OpenTelemetry's `gen_ai.evaluation.result` events to whoever asks.

An event belongs to the span of the run that was scored (`worker.tracing`), says who made the score, and holds no text
of a query or an answer.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import islice
from typing import Any, Final

from shadoweval.errors import MissingExtraError
from shadoweval.evaluation.labelling import not_kept
from shadoweval.evaluation.provenance import provenance_of
from shadoweval.evaluation.rescoring import went_wrong
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import Store
from shadoweval.records import Arm, PairScore, Scored
from shadoweval.worker.parts import add_in_parts
from shadoweval.worker.trace_ids import root_ids
from shadoweval.worker.tracing import otel, resource, wanted

__all__ = ["keeping"]

log: Final = logger(__name__)

EVENT: Final = "gen_ai.evaluation.result"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_LOGS_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_AT_ONCE: Final = 1000
"""Events after which the exporter is waited for: its queue drops what is beyond 2,048."""


class ScoreEvents:
    """Makes an event of each candidate's score. A backend that fails costs events, never a score."""

    def __init__(self, experiment: Experiment, *, events: Any, flush: Callable[[], object] = lambda: None) -> None:
        self._name, self._events, self._flush = experiment.name, events, flush
        self._made_by = {
            metric: {f"shadoweval.scorer.{key}": value for key, value in made_by.items()}
            for metric, made_by in provenance_of(experiment).items()
        }
        self.failed = 0
        """Scores that could not be exported."""

    def emit(self, candidate: Arm, scores: Sequence[PairScore]) -> None:
        """Export new scores of a candidate's runs."""
        rest = iter(scores)
        while portion := list(islice(rest, _AT_ONCE)):
            try:
                for score in portion:
                    self._emit(candidate, score)
                self._flush()
            except Exception as error:  # noqa: BLE001 - a logger provider is the user's; the scores are stored already
                self.failed += len(portion)
                log.warning("scores are not exported", extra={"candidate": candidate, "error": str(error)})

    def _emit(self, candidate: Arm, score: PairScore) -> None:
        trace, logs = otel("trace"), otel("_logs")
        trace_id, span_id = root_ids(self._name, score.query_id, candidate)
        run = trace.SpanContext(trace_id, span_id, is_remote=True, trace_flags=trace.TraceFlags.SAMPLED)
        facts: dict[str, Any] = {
            "gen_ai.evaluation.name": score.metric,
            "shadoweval.shadow": True,
            "shadoweval.arm": candidate,
            "shadoweval.experiment.id": self._name,
            "shadoweval.query.id": score.query_id,
            **self._made_by.get(score.metric, {}),
            "shadoweval.scorer.version": score.scorer_version,
        }
        if isinstance(score.candidate, Scored):
            facts["gen_ai.evaluation.score.value"] = score.candidate.value
        else:
            kind = went_wrong(score).partition(":")[0]
            facts |= {"error.type": kind} if kind else {}
            facts["shadoweval.unscored"] = True  # the reason may quote an answer, so it stays in the store
        self._events.emit(
            logs.LogRecord(
                timestamp=time.time_ns(),
                context=trace.set_span_in_context(trace.NonRecordingSpan(run)),
                severity_number=logs.SeverityNumber.INFO,
                event_name=EVENT,
                attributes=facts,
            )
        )


@contextmanager
def exporting_scores(
    experiment: Experiment, *, environ: Mapping[str, str] | None = None
) -> Generator[ScoreEvents | None]:
    """As OpenTelemetry's own environment says: to `OTEL_EXPORTER_OTLP_ENDPOINT` over HTTP; None: it says nothing."""
    environ = os.environ if environ is None else environ
    if not wanted(environ, _ENDPOINTS):
        yield None
        return
    try:
        otlp = otel("exporter.otlp.proto.http._log_exporter")
        sdk, batches = otel("sdk._logs"), otel("sdk._logs.export")
    except MissingExtraError as error:
        log.warning("scores are not exported: %s", error)
        yield None
        return
    provider = sdk.LoggerProvider(resource=resource(environ), shutdown_on_exit=False)
    provider.add_log_record_processor(batches.BatchLogRecordProcessor(otlp.OTLPLogExporter()))
    try:
        yield ScoreEvents(experiment, events=provider.get_logger("shadoweval"), flush=provider.force_flush)
    finally:
        provider.shutdown()


@contextmanager
def keeping(
    experiment: Experiment, candidate: Arm, *, store: Store
) -> Generator[Callable[[Sequence[PairScore]], None]]:
    """What new scores of a candidate are handed to, in portions."""
    add = partial(store.add_scores, experiment.name, candidate)
    with exporting_scores(experiment) as events:

        def keep(scores: Sequence[PairScore]) -> None:
            add_in_parts(scores, add=add, refused=not_kept)
            if events is not None:
                events.emit(candidate, scores)

        yield keep
