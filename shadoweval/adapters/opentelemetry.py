"""Which trace a mirrored call is a part of, so that its shadow's trace can link to it (`worker.tracing`).

Kept as the query's attribute `traceparent` (W3C Trace Context), unless the mirror's own `attributes` give one. Nothing
is imported for it: where the application has not imported OpenTelemetry, there is no active span.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shadoweval.capture.copying import encode

if TYPE_CHECKING:
    from shadoweval.mirror.call import Call

__all__ = ["TRACEPARENT", "active_traceparent", "note_trace", "traced"]

TRACEPARENT: Final = "traceparent"
_API: Final = "opentelemetry.trace"
_LONGEST: Final = 256
_decode: Final = msgspec.msgpack.Decoder().decode


def active_traceparent() -> str | None:
    """The active OpenTelemetry span of this context; None where there is none."""
    span_of: Any = getattr(sys.modules.get(_API), "get_current_span", None)
    if span_of is None:
        return None
    span = span_of().get_span_context()
    return f"00-{span.trace_id:032x}-{span.span_id:016x}-{span.trace_flags:02x}" if span.is_valid else None


def traced(attributes: Mapping[str, Any]) -> Mapping[str, Any]:
    """A query's attributes, the active span's trace among them."""
    if _API not in sys.modules or TRACEPARENT in attributes:
        return attributes
    told = active_traceparent()
    return attributes if told is None else {**attributes, TRACEPARENT: told}


def note_trace(call: Call | None, header: str | None = None) -> None:
    """Keep the trace of a call that was just begun.

    Args:
        call: It; a control call keeps nothing.
        header: What its caller sent as `traceparent`, for requests that no span is active for.
    """
    if call is None or call.recorder is None or (header is None and _API not in sys.modules):
        return
    with call.at("snapshot"):
        told = active_traceparent() or header
        if not told or len(told) > _LONGEST:
            return
        attributes: dict[str, Any] = _decode(call.attributes)
        if TRACEPARENT not in attributes:
            call.attributes = msgspec.Raw(encode({**attributes, TRACEPARENT: told}))
