"""What an HTTP response says, whoever gives it: an app behind a mount, a service behind a URL, a function's own value.

One rule for both arms: status 500 or more, a body that is not what it says it is, and a stream that tells of an error
are failures, although nothing was raised.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

from shadoweval.capture.outcomes import answer_text, chunk_text, joined_texts
from shadoweval.records import Observation

__all__ = [
    "BrokenBodyError",
    "ResponseRecord",
    "StatusError",
    "decoded_body",
    "kind_of",
    "only_status",
    "request_body",
    "worse_status",
]

_FAILED: Final = 500
_OTHER: Final = 300
_WANTS_CREDENTIALS: Final = frozenset({401, 403, 407})
_OWN_CREDENTIALS: Final = "http_candidate(..., headers={'authorization': ...}) with a credential of the candidate's own"
_RESPONSE: Final = frozenset({"status", "content_type", "body", "answer"})
_MESSAGE_CAP: Final = 500
_DONE: Final = "[DONE]"
_LINES: Final = frozenset({"application/x-ndjson", "application/jsonl", "application/x-jsonlines"})
_EVENTS: Final = "text/event-stream"
_ZLIB_WINDOWS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}
"""Content codings (RFC 9110, 8.4.1) that the standard library reads, and zlib's `wbits` for them."""
_FAILED_EVENTS: Final = frozenset({"error", "response.failed"})


class StatusError(Exception):
    """A response whose status says that the user got no answer.

    Attributes:
        status_code: The status, under the name that clients of HTTP services give it.
        shadow_cause: What of the shadow caused it, and the line to add; None: nothing did.
    """

    def __init__(self, status: int, body: str, *, headers: Mapping[str, str] | None = None) -> None:
        self.status = self.status_code = status
        self.body, self.headers = body, dict(headers or {})
        self.shadow_cause: tuple[str, str] | None = None
        super().__init__(f"HTTP {status}: {body[:_MESSAGE_CAP]}")


class BrokenBodyError(Exception):
    """A response whose body is cut, or is not what its headers say."""


class StreamedError(Exception):
    """A response with a good status, in whose stream an error is told."""


def worse_status(value: Any, served: Observation) -> StatusError | None:
    """What a candidate's response says went wrong, where the incumbent was served: a redirect, a refusal, "not found".

    A status from 300 on is an answer only where the served response had the same.
    """
    status = _status(value)
    if status is None or status < _OTHER or (served.outcome is not None and _status(served.outcome.value) == status):
        return None
    body = value["body"]
    error = StatusError(status, body if isinstance(body, str) else json.dumps(body, default=str))
    if status in _WANTS_CREDENTIALS:
        error.shadow_cause = (f"HTTP {status}: credentials are never sent on", _OWN_CREDENTIALS)
    return error


def only_status(value: Any) -> dict[str, Any] | None:
    """A response's mapping with nothing but its status in it; None: it is none."""
    status = _status(value)
    return None if status is None else {**dict.fromkeys(_RESPONSE), "status": status}


def _status(value: Any) -> int | None:
    status = value.get("status") if isinstance(value, dict) and value.keys() >= _RESPONSE else None
    return status if isinstance(status, int) else None


def decoded_body(body: bytes, content_type: str) -> Any:
    """A body as data: JSON, lines of JSON or an event stream decoded, else text, else bytes; None where it is empty."""
    if not body:
        return None
    kind = _kind(content_type)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return body
    if kind == _EVENTS:
        return [_json_or_text(data) for _, data in _events(text) if data != _DONE]
    if kind in _LINES:
        return [_json_or_text(line) for line in text.splitlines() if line.strip()]
    return _json_or_text(text) if _is_json(kind) else text


def kind_of(content_type: str) -> str:
    """How a body of this content type is written: `json`, `lines` of JSON, `events`, or otherwise."""
    kind = _kind(content_type)
    return "json" if _is_json(kind) else "lines" if kind in _LINES else "events" if kind == _EVENTS else ""


def request_body(body: bytes, content_type: str) -> Any:
    """A request's body as data from which it can be written again: JSON decoded, text, else bytes; None where empty.

    What is not what it says it is stays bytes, as it is sent on.
    """
    kind = kind_of(content_type)
    if kind not in {"json", "lines"} or not body:
        return decoded_body(body, "") or None
    try:
        text = body.decode("utf-8")
        if kind == "json":
            return json.loads(text, parse_constant=_refused)
        return [json.loads(line, parse_constant=_refused) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return body


def _refused(constant: str) -> Any:
    raise ValueError(constant)  # NaN and the infinities are no JSON


def _kind(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()


def _is_json(kind: str) -> bool:
    return kind == "application/json" or kind.endswith("+json")


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _events(text: str) -> list[tuple[str, str]]:
    """Name and data of each event (WHATWG HTML, 9.2.6): its `data` lines joined."""
    events: list[tuple[str, str]] = []
    lines: list[str] = []
    name = ""
    for line in (*text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), ""):
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif line.startswith("event:"):
            name = line[6:].strip()
        elif not line:
            if lines:
                events.append((name, "\n".join(lines)))
            lines, name = [], ""
    return events


def _told_error(text: str, kind: str) -> str | None:
    """The error that a stream tells of: an event named `error`, or one whose data is a mapping with an `error`."""
    if kind == _EVENTS:
        events = _events(text)
    elif kind in _LINES:
        events = [("", line) for line in text.splitlines() if line.strip()]
    else:
        return None
    for name, data in events:
        value = _json_or_text(data) if data.startswith("{") else None
        error, event = None, name
        if isinstance(value, dict):
            mapping = cast("dict[str, Any]", value)
            error, event = mapping.get("error"), name or mapping.get("type")
        if error or (isinstance(event, str) and event in _FAILED_EVENTS):
            return data
    return None


def _answer(body: Any) -> str | None:
    """The answer in a body; in a list of events that of each, joined."""
    if not isinstance(body, list):
        return answer_text(body)
    texts = [text for event in cast("list[Any]", body) if (text := _event_text(event)) is not None]
    return joined_texts(texts) if texts else None


def _event_text(event: Any) -> str | None:
    """The text that one event of a stream adds to the answer."""
    if isinstance(event, int | float):
        return str(event)  # a token that happens to be a number
    return chunk_text(event)


class ResponseRecord:
    """A response, as far as it has been sent; of its body `max_bytes` are kept.

    Attributes:
        unreadable: Why its body can't be read here; empty: it can.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.status = 0
        self.content_type = self.unreadable = ""
        self.chunks: int | None = None
        self.truncated = False
        self._body = bytearray()
        self._coding = ""
        self._count = 0

    def started(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Status and headers are there."""
        by_name = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in headers}
        self.status, self.content_type = status, by_name.get(b"content-type", "")
        self._coding = by_name.get(b"content-encoding", "identity").strip().lower()
        if self._coding not in {"identity", "", *_ZLIB_WINDOWS}:
            self.unseen(f"its body is compressed as {self._coding}")

    def add(self, piece: bytes, *, more: bool = False) -> None:
        """A piece of the body; `more`: others follow, so it is a stream."""
        if piece:
            self._count += 1
        if more:
            self.chunks = 0
        if self.chunks is not None:
            self.chunks = self._count
        if self.max_bytes - len(self._body) < len(piece):
            self.truncated = True
        self._body += piece[: max(self.max_bytes - len(self._body), 0)]

    def unseen(self, why: str) -> None:
        """Its body can't be read here: compressed by what nobody here knows, or sent by the server from a file."""
        self.unreadable, self.truncated, self.max_bytes = why, True, 0

    def body(self) -> bytes:
        """The body, decompressed; of what it decompresses to `max_bytes` at most.

        Raises:
            BrokenBodyError: it is not compressed as its headers say.
        """
        window = _ZLIB_WINDOWS.get(self._coding)
        if window is None or not self._body:
            return bytes(self._body)
        try:
            return zlib.decompressobj(window).decompress(bytes(self._body), max(self.max_bytes, 1))
        except zlib.error as error:
            raise BrokenBodyError(f"The body is not {self._coding}, as its headers say: {error}.") from error

    @property
    def failure(self) -> Exception | None:
        """What the response says went wrong; None: nothing."""
        try:
            body = self.body()
        except BrokenBodyError as error:
            return error
        text = body.decode("utf-8", "replace")
        if self.status >= _FAILED:
            return StatusError(self.status, text)
        kind = _kind(self.content_type)
        json_text = _is_json(kind) and not self.truncated and text.strip()[:1] not in {"", '"'}
        if json_text and isinstance(_json_or_text(text), str):
            return BrokenBodyError(f"The body is no JSON, as its headers say: {text[:_MESSAGE_CAP]}")
        told = _told_error(text, kind)
        return None if told is None else StreamedError(f"The stream tells of an error: {told[:_MESSAGE_CAP]}")

    def data(self) -> dict[str, Any]:
        """The response as data."""
        body = decoded_body(self.body(), self.content_type)
        return {"status": self.status, "content_type": self.content_type, "body": body, "answer": _answer(body)}
