"""HTTP as both arms see it: what a response says, and a candidate that is served somewhere else.

# evals/targets.py, named in the experiment as "evals.targets:next_release"
next_release = http_candidate("http://next.internal:8000", experiment="support")
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http.client import HTTPConnection, HTTPSConnection
from typing import Any, Final, cast
from urllib.parse import quote, urlencode, urlsplit

from shadoweval.capture.responses import BrokenBodyError, ResponseRecord, StatusError, decoded_body, kind_of
from shadoweval.checks import checked_instance, checked_keywords, checked_mapping, checked_number
from shadoweval.errors import ExperimentError, ShadowEvalError

__all__ = ["NotSentError", "ResponseRecord", "StatusError", "decoded_body", "http_candidate"]

UNQUOTED: Final = "/%:@!$&'()*+,;=~-._"
"""What stands in a path as it is (RFC 3986, 3.3)."""
_TOO_MANY: Final = 429
_RECORDED: Final = "mirror with inputs= or a redactor that leaves the request as it was"
_SLOWER: Final = "raise its limit for requests that carry X-Shadow, or run fewer processes"

_HOP_BY_HOP: Final = frozenset(
    {"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer"}
    | {"transfer-encoding", "upgrade", "host", "content-length", "accept-encoding", "expect"}
)
"""Headers of a connection (RFC 9110, 7.6.1) and of a body as it was encoded: the new request has its own."""


class NotSentError(ShadowEvalError):
    """A recorded request that can't be sent to a candidate as its client sent it, and so is not sent."""

    def __init__(self, why: str) -> None:
        self.why, self.shadow_cause = why, (f"the request could not be sent: {why}", _RECORDED)
        super().__init__(f"The request is not sent, since it would not be the client's: {why}.")


@checked_keywords()
class http_candidate:  # noqa: N801 - used as a function; an instance, so that it can be named in a module
    """A candidate behind a URL: called with a query's mapping (see `adapters.asgi`), it gives the response's mapping.

    A request is sent as the client sent it, or not at all; JSON may be written otherwise. It carries `X-Shadow: 1` and,
    with `experiment`, `Shadow-Experiment`, by which the service can keep its hands off the world. Headers of the
    incumbent's own connection are not sent on, redirects not followed. The worker needs `Sandbox(allow=["host:port"])`.
    A status from 300 on is an answer only where the incumbent's was the same; else it is a failure.

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
            NotSentError: the recorded request can't be sent as it was.
            StatusError: the response has status 500 or more, or 429.
            BrokenBodyError, StreamedError: its body is cut or broken, or its stream tells of an error.
            OSError, http.client.HTTPException: there was no response.
        """
        path = self._prefix + str(request.get("raw_path") or quote(str(request["path"]), safe=UNQUOTED))
        query = request.get("query_string") or urlencode(request.get("query") or {}, doseq=True)
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
            if response.length and not record.truncated:
                raise BrokenBodyError(f"The body is cut: {response.length:,} bytes more were announced.")
        finally:
            connection.close()
        if record.unreadable:
            raise BrokenBodyError(f"The response can't be read: {record.unreadable}, which nobody asked for.")
        if record.failure is not None:
            raise record.failure
        data = record.data()
        if response.status == _TOO_MANY:
            headers = {name.lower(): value for name, value in response.getheaders()}
            limited = StatusError(response.status, str(data["body"]), headers=headers)
            limited.shadow_cause = (f"{self._host} limits the rate of requests", _SLOWER)
            raise limited
        return data


def _encoded(body: Any, content_type: str) -> bytes | None:
    """A request's body as its client sent it; JSON by its values."""
    if body is None or isinstance(body, bytes):
        return body
    kind = kind_of(content_type)
    try:
        if kind == "json":
            return json.dumps(body, ensure_ascii=False, allow_nan=False).encode()
        if kind == "lines" and isinstance(body, list):
            lines = (json.dumps(line, ensure_ascii=False, allow_nan=False) for line in cast("list[Any]", body))
            return "".join(f"{line}\n" for line in lines).encode()
        if isinstance(body, str):
            return body.encode()
    except (ValueError, TypeError) as error:
        raise NotSentError(f"its body is not written as JSON again: {error}") from error
    if not content_type:  # no client's: a case file's, or a function's
        return json.dumps(body).encode()
    raise NotSentError(f"a {type(body).__name__} is not the body of a request with content type {content_type!r}")
