"""Responses that a decorated view returns: Starlette's (FastAPI's), Django's and Werkzeug's (Flask's), and their kin.

None of these frameworks is imported: their classes are known by name (`deferred`), their attributes by their documents.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from shadoweval.capture.responses import ResponseRecord

__all__ = ["add_chunk", "attribute_of_stream", "is_file", "is_read", "record_of", "record_of_read", "yields_events"]

_UNKNOWN: Final = "its body is sent by the server from a file"


def attribute_of_stream(response: Any) -> str | None:
    """The attribute that a response's body is to come from; None: its body is there, or is a file."""
    if "body_iterator" in response.__dict__:  # Starlette's StreamingResponse, sse_starlette's EventSourceResponse
        return "body_iterator"
    if getattr(response, "streaming", False):  # Django's StreamingHttpResponse
        return "streaming_content"
    if getattr(response, "is_streamed", False):  # Werkzeug's
        return "response"
    return None


def is_file(response: Any) -> bool:
    """Whether the server sends a file itself, past Python: Werkzeug's `send_file`, Django's FileResponse."""
    return bool(getattr(response, "direct_passthrough", False)) or getattr(response, "file_to_stream", None) is not None


def record_of(response: Any, max_bytes: int) -> ResponseRecord:
    """Status, headers and, where it is there already, body of a response."""
    record = ResponseRecord(max_bytes)
    raw = getattr(response, "raw_headers", None)
    headers = raw if raw is not None else _encoded(response.headers)
    status = getattr(response, "status_code", None)
    record.started(int(status if status is not None else response.status), headers)
    if attribute_of_stream(response) is not None:
        return record
    body = _body(response)
    if body is None:
        record.unseen(_UNKNOWN)
    else:
        record.add(bytes(body))
    return record


def is_read(response: Any) -> bool:
    """Whether the body of a response of requests or httpx has been read, so that to ask for it waits for nobody."""
    return getattr(response, "__dict__", {}).get("_content", False) is not False  # requests has False until then


def record_of_read(response: Any, max_bytes: int) -> ResponseRecord:
    """A response of requests or httpx whose body has been read, and so decoded."""
    record = ResponseRecord(max_bytes)
    coding = {"content-encoding", "transfer-encoding"}
    record.started(
        response.status_code, [pair for pair in _encoded(response.headers) if pair[0].decode() not in coding]
    )
    record.add(response.content)
    return record


def _encoded(headers: Any) -> list[tuple[bytes, bytes]]:
    return [
        (str(name).lower().encode("latin-1"), str(value).encode("latin-1", "replace"))
        for name, value in headers.items()
    ]


def _body(response: Any) -> Any:
    if hasattr(response, "get_data"):
        return response.get_data()
    body = getattr(response, "content", None)  # Django's
    if body is None:
        body = getattr(response, "body", None)
    return body.encode() if isinstance(body, str) else body if isinstance(body, bytes | memoryview) else None


def yields_events(response: Any) -> bool:
    """Whether its stream gives events that are still to be written as such, as sse_starlette's does."""
    return any(base.__module__.startswith("sse_starlette") for base in type(response).__mro__)


def add_chunk(record: ResponseRecord, chunk: Any, *, events: bool) -> None:
    """A chunk of a response's stream; `events`: text is the data of an event, a mapping its fields."""
    if isinstance(chunk, str):
        chunk = _event({"data": chunk}) if events else chunk.encode()
    elif events and isinstance(chunk, Mapping):
        chunk = _event(cast("Mapping[str, Any]", chunk))
    elif not isinstance(chunk, bytes | bytearray | memoryview):
        encode = getattr(chunk, "encode", None)  # sse_starlette's ServerSentEvent
        chunk = encode() if encode is not None else str(chunk).encode()
    record.add(bytes(chunk), more=True)


def _event(fields: Mapping[str, Any]) -> bytes:
    """An event as it is sent (WHATWG HTML, 9.2.5)."""
    lines = [f"event: {fields['event']}"] if fields.get("event") else []
    lines += [f"data: {line}" for line in str(fields.get("data", "")).split("\n")]
    return "\n".join((*lines, "", "")).encode()
