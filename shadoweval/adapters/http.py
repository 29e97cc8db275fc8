"""HTTP as both arms see it: what a response says, and a candidate that is served somewhere else.

# evals/targets.py, named in the experiment as "evals.targets:next_release"
next_release = http_candidate("http://next.internal:8000", experiment="support")
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

from shadoweval.adapters.openai.replies import part
from shadoweval.capture.outcomes import answer_text
from shadoweval.checks import checked_instance, checked_keywords, checked_mapping, checked_number
from shadoweval.errors import ExperimentError

__all__ = ["ResponseRecord", "StatusError", "decoded_body", "http_candidate"]

_FAILED: Final = 500
_MESSAGE_CAP: Final = 500
_DONE: Final = "[DONE]"
_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "host", "content-length", "accept-encoding", "expect"}
)
"""Headers of a connection (RFC 9110, 7.6.1) and of a body as it was encoded: the new request has its own."""


class StatusError(Exception):
    """A response of status 500 or more: the user got no answer."""

    def __init__(self, status: int, body: str) -> None:
        self.status, self.body = status, body
        super().__init__(f"HTTP {status}: {body[:_MESSAGE_CAP]}")


def decoded_body(body: bytes, content_type: str) -> Any:
    """A body as data: JSON, lines of JSON or an event stream decoded, else text, else bytes; None where it is empty."""
    if not body:
        return None
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return body
    if kind == "text/event-stream":
        return [_json_or_text(event) for event in _events(text) if event != _DONE]
    if kind in {"application/x-ndjson", "application/jsonl"}:
        return [_json_or_text(line) for line in text.splitlines() if line.strip()]
    return _json_or_text(text) if kind == "application/json" or kind.endswith("+json") else text


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _events(text: str) -> list[str]:
    """The data of each event (WHATWG HTML, 9.2.6): its `data` lines joined."""
    events: list[str] = []
    lines: list[str] = []
    for line in (*text.replace("\r\n", "\n").split("\n"), ""):
        if line.startswith("data:"):
            lines.append(line[5:].removeprefix(" "))
        elif not line and lines:
            events.append("\n".join(lines))
            lines = []
    return events


def _answer(body: Any) -> str | None:
    """The answer in a body; in a list of events that of each, joined."""
    if not isinstance(body, list):
        return answer_text(body)
    texts = [text for event in cast("list[Any]", body) if (text := _event_text(event)) is not None]
    return "".join(texts) if texts else None


def _event_text(event: Any) -> str | None:
    if isinstance(event, int | float):
        return str(event)  # a token that happens to be a number
    choices: Any = part(event, "choices")
    if isinstance(choices, list) and choices:  # chat completion chunks, as OpenAI's API streams them
        return part(choices[0], "delta", "content")
    return answer_text(event)


class ResponseRecord:
    """A response, as far as it has been sent; of its body `max_bytes` are kept."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.status = 0
        self.content_type = ""
        self.chunks: int | None = None
        self.truncated = False
        self._body = bytearray()
        self._count = 0

    def started(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Status and headers are there."""
        by_name = {bytes(name).lower(): bytes(value).decode("latin-1") for name, value in headers}
        self.status, self.content_type = status, by_name.get(b"content-type", "")
        if by_name.get(b"content-encoding", "identity") != "identity":
            self.unseen()

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

    def unseen(self) -> None:
        """Its body can't be read here: compressed, or sent by the server from a file."""
        self.truncated, self.max_bytes = True, 0

    @property
    def failure(self) -> StatusError | None:
        """What the response says went wrong with the server."""
        if self.status < _FAILED:
            return None
        return StatusError(self.status, bytes(self._body).decode("utf-8", "replace"))

    def data(self) -> dict[str, Any]:
        """The response as data."""
        body = decoded_body(bytes(self._body), self.content_type)
        return {"status": self.status, "content_type": self.content_type, "body": body, "answer": _answer(body)}


@checked_keywords()
class http_candidate:  # noqa: N801 - used as a function; an instance, so that it can be named in a module
    """A candidate behind a URL: called with a query's mapping (see `adapters.asgi`), it gives the response's mapping.

    Every request carries `X-Shadow: 1` and, with `experiment`, `Shadow-Experiment`, by which the service can keep its
    hands off the world. Headers of the incumbent's own connection are not sent on, redirects not followed. The worker
    needs `Sandbox(allow=["host:port"])`.

    Args:
        base_url: `http://` or `https://`, host, and a prefix for paths.
        experiment: Name of the experiment.
        headers: Further headers, such as a credential of the candidate's own.
        timeout: Seconds without a byte.
        max_bytes: What is read of a response.

    Raises:
        ExperimentError: not an HTTP URL, or an argument that can't be used.
    """

    def __init__(
        self,
        base_url: str,
        *,
        experiment: str = "",
        headers: Mapping[str, str] | None = None,
        timeout: float = 60.0,
        max_bytes: int = 1 << 20,
    ) -> None:
        url = urlsplit(checked_instance("http_candidate(base_url)", base_url, str))
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ExperimentError(f"{base_url!r} is no base URL. Write for instance 'http://127.0.0.1:8001'.")
        self._connection = HTTPSConnection if url.scheme == "https" else HTTPConnection
        self._host, self._port, self._prefix = url.hostname, url.port, url.path.rstrip("/")
        self._timeout = checked_number("http_candidate(timeout)", timeout, above=0)
        self._max_bytes = checked_number("http_candidate(max_bytes)", max_bytes, low=0, whole=True)
        marks = {"X-Shadow": "1"} | ({"Shadow-Experiment": experiment} if experiment else {})
        own = checked_mapping("http_candidate(headers)", headers or {})
        for name, value in own.items():
            checked_instance(f"http_candidate(headers)[{name!r}]", value, str)
        self._headers = {**own, **marks}

    def __call__(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send it.

        Raises:
            StatusError: the response has status 500 or more.
            OSError, http.client.HTTPException: there was no response.
        """
        path = self._prefix + quote(str(request["path"]), safe="/%:@!$&'()*+,;=~-._")
        query = urlencode(request.get("query") or {}, doseq=True)
        recorded = request.get("headers", {})
        body = _encoded(request.get("body"), str(recorded.get("content-type", "")))
        headers = {name: value for name, value in recorded.items() if name.lower() not in _HOP_BY_HOP} | self._headers
        connection = self._connection(self._host, self._port, timeout=self._timeout)
        try:
            connection.request(request["method"], f"{path}?{query}" if query else path, body=body, headers=headers)
            response = connection.getresponse()
            record = ResponseRecord(self._max_bytes)
            record.started(response.status, [(n.encode(), v.encode("latin-1")) for n, v in response.getheaders()])
            record.add(response.read(self._max_bytes + 1))
        finally:
            connection.close()
        if record.failure is not None:
            raise record.failure
        return record.data()


def _encoded(body: Any, content_type: str) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body
    if isinstance(body, str) and "json" not in content_type:
        return body.encode()
    return json.dumps(body).encode()
