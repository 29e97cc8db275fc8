"""Which OpenTelemetry trace a mirrored call is a part of, so that its shadow's trace can link to it (`worker.tracing`).

Kept as the query's attribute `traceparent` (W3C Trace Context), unless the mirror's own `attributes` give one. Loaded
only where the application has loaded OpenTelemetry; elsewhere no span is active.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.trace import get_current_span

__all__ = ["traced"]

_TRACEPARENT: Final = "traceparent"


def traced(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """A query's attributes, with the trace of the active span where one is active and they have none."""
    if _TRACEPARENT in attributes:
        return attributes
    span = get_current_span().get_span_context()
    if not span.is_valid:
        return attributes
    return {**attributes, _TRACEPARENT: f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}"}
