"""Requests to an app and its responses, whichever protocol brings them: what the mounts over ASGI and WSGI share.

The query's input is one mapping: `method`, `path`, `query` (name -> values), `headers` (those of the allow-list) and
`body` (decoded where it is JSON, else text, else bytes, None where there is none). Where path or query would be written
otherwise from these, `raw_path` and `query_string` are there as well. The outcome's value is a mapping of `status`,
`content_type`, `body` and `answer`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Mapping, Sequence
from time import perf_counter
from typing import Any, Final
from urllib.parse import parse_qs, quote, urlencode

import msgspec

from shadoweval.adapters.http import UNQUOTED
from shadoweval.buckets import ids
from shadoweval.capture.copying import encode
from shadoweval.capture.outcomes import outcome_of
from shadoweval.capture.raised import CREDENTIALS
from shadoweval.capture.responses import ResponseRecord, StatusError, request_body
from shadoweval.capture.wire.inputs import freeze_call
from shadoweval.checks import (
    checked_instance,
    checked_keywords,
    checked_list,
    checked_mapping,
    checked_number,
    checked_strings,
)
from shadoweval.errors import ArgumentError, ExperimentError, TooLargeError, UncopyableError
from shadoweval.mirror.begin import begin
from shadoweval.mirror.call import Call, last
from shadoweval.mirror.decorator import Mirror
from shadoweval.mirror.finish import finish
from shadoweval.mirror.mounting import site_of
from shadoweval.mirror.plan import Plan
from shadoweval.records import Outcome

__all__ = ["ClientGoneError", "Exchange", "Mount", "Request", "Route"]

Request = Mapping[str, Any]
"""A request as ASGI's `scope` describes it."""

HEADERS: Final = ("content-type", "accept", "accept-language")
_OF_BODY: Final = frozenset({"content-type", "content-encoding"})
"""Without them nobody could read the body."""
_PARAMETER: Final = re.compile(r"\{(\w+)(:path)?\}")
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FAILED: Final = 500
_LONGEST_TRACEPARENT: Final = 256
_decode: Final = msgspec.msgpack.Decoder().decode
_GONE: Final = "The client went away before it had the whole response."


class ClientGoneError(asyncio.CancelledError):
    """The client went away before it had the whole response."""


@checked_keywords({"methods": "A route has one: write method='POST', and a route for each further one."})
class Route:
    """Which requests are mirrored.

    Args:
        method: HTTP method.
        path: As Starlette writes it: `/threads/{id}/ask`, `/files/{rest:path}`. Without the mount's prefix.
        headers: Values that these headers must have.
    """

    def __init__(self, *, method: str = "POST", path: str, headers: Mapping[str, str] | None = None) -> None:
        self.method = checked_instance("Route(method)", method, str).upper()
        self.path = checked_instance("Route(path)", path, str)
        if not path.startswith("/"):
            raise ArgumentError("Route(path)", path, expected="a path", mend=f"Write {'/' + path!r}.")
        pattern, end = "", 0
        for parameter in _PARAMETER.finditer(path):
            pattern += re.escape(path[end : parameter.start()]) + ("(?:.*)" if parameter[2] else "(?:[^/]+)")
            end = parameter.end()
        self._pattern = re.compile(pattern + re.escape(path[end:]))
        self._headers = {
            name.lower().encode(): checked_instance(f"Route(headers)[{name!r}]", value, str).encode()
            for name, value in checked_mapping("Route(headers)", headers or {}).items()
        }

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Route) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash((self.method, self.path))

    def matches(self, request: Request) -> bool:
        """Whether a request is one of them."""
        if request["method"] != self.method or not self._pattern.fullmatch(_path(request)):
            return False
        if not self._headers:
            return True
        headers = _headers(request)
        return all(headers.get(name) == value for name, value in self._headers.items())


def _headers(request: Request) -> dict[bytes, bytes]:
    """Those of a request, by name in lower case; of a name that stands twice the last."""
    return {bytes(name).lower(): bytes(value) for name, value in request["headers"]}


def _path(request: Request) -> str:
    path, root = str(request["path"]), str(request.get("root_path") or "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


class Mount:
    """Which requests are mirrored, and how; `what` names it in errors."""

    what: str = "Mount"
    app: Any

    def __init__(
        self,
        mirror: Mirror,
        *,
        routes: Sequence[Route],
        headers: Iterable[str] | None,
        max_body: int,
        entry: str | None,
        header: str | None,
    ) -> None:
        what = self.what
        self.site = site_of(mirror, entry, extract=_extracted, text=None, key=None, value_of=ResponseRecord.data)
        self.plan = mirror.plan
        self.max_body = checked_number(f"{what}(max_body)", max_body, low=0, whole=True)
        self.routes = tuple(
            checked_instance(f"each of {what}(routes)", route, Route, mend="Write Route(path='/ask').")
            for route in checked_list(f"{what}(routes)", routes, mend="Write [Route(path='/ask')].")
        )
        names = HEADERS if headers is None else checked_strings(f"{what}(headers)", headers)
        self.headers = frozenset(name.lower() for name in names)
        self.header = None if header is None else checked_instance(f"{what}(header)", header, str)
        if header is not None and not _HEADER_NAME.fullmatch(header):
            mend = "Write header='X-Shadow-Query'."
            raise ArgumentError(f"{what}(header)", header, expected="the name of an HTTP header", mend=mend)
        secret = sorted(self.headers & CREDENTIALS)
        if secret:
            raise ExperimentError(f"Header {secret[0]!r} carries credentials, so it is never copied. Take it out.")

    def beneath(self, app: Any) -> Any:
        """The app without a mount for the same experiment and routes: mounted again, the later one takes its place."""
        while isinstance(app, type(self)) and app.plan.experiment == self.plan.experiment and app.routes == self.routes:
            app = app.app
        return app

    def concerns(self, request: Request) -> bool:
        """Whether it is one of the requests that are mirrored. What the one before it in this context was, is over."""
        if last.get() is not None:
            last.set(None)
        return any(route.matches(request) for route in self.routes)

    def exchange(self, request: Request) -> Exchange | None:
        """The request and its response, observed from now on; None: it is not mirrored."""
        head = self._head(request)
        call = begin(self.site, (head,), {})
        return None if call is None else Exchange(call, head, self, request)

    def _head(self, request: Request) -> dict[str, Any]:
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in _headers(request).items()}
        headers = {name: value for name, value in named.items() if name in self.headers or name in _OF_BODY}
        query = parse_qs(bytes(request.get("query_string") or b"").decode("latin-1"), keep_blank_values=True)
        head = {"method": request["method"], "path": _path(request), "query": query, "headers": headers, "body": None}
        return {**head, **_as_written(head, request)}


def _as_written(head: Mapping[str, Any], request: Request) -> dict[str, str]:
    """Path and query as the client wrote them, where `http_candidate` would write them otherwise."""
    raw_path, raw_query = bytes(request.get("raw_path") or b""), bytes(request.get("query_string") or b"")
    written: dict[str, str] = {}
    if b"%" in raw_path:
        path = raw_path.decode("latin-1").removeprefix(quote(str(request.get("root_path") or ""), safe=UNQUOTED))
        if path != quote(head["path"], safe=UNQUOTED):
            written["raw_path"] = path
    if raw_query and urlencode(head["query"], doseq=True).encode() != raw_query:
        written["query_string"] = raw_query.decode("latin-1")
    return written


def _extracted(plan: Plan, response: ResponseRecord) -> Outcome:
    """The outcome of a response; a mirror's own `outcome=` gets the response's mapping."""
    outcome = outcome_of(response.data(), extract=plan.outcome, max_bytes=plan.max_bytes)
    truncated = outcome.truncated or response.truncated
    return msgspec.structs.replace(outcome, chunks=response.chunks, truncated=truncated)


class Exchange:
    """One mirrored request and its response.

    Attributes:
        gone: Whether the client has gone away.
        over: Whether the call has been handed over.
    """

    def __init__(self, call: Call, head: dict[str, Any], mount: Mount, request: Request) -> None:  # noqa: PLR0917
        self.call, self.head, self.mount = call, head, mount
        self.body = bytearray()
        headers = _headers(request)
        self.body_expected = b"transfer-encoding" in headers or headers.get(b"content-length", b"0") not in {b"0", b""}
        self.complete = call.recorder is None  # nothing of a control call is copied
        self.gone = self.over = False
        self.response = ResponseRecord(mount.plan.max_bytes)
        traceparent = headers.get(b"traceparent", b"")
        if call.recorder is not None and 0 < len(traceparent) <= _LONGEST_TRACEPARENT:
            self._keep_trace(traceparent.decode("latin-1"))

    def _keep_trace(self, traceparent: str) -> None:
        """Keep the request's `traceparent` (W3C Trace Context) as an attribute, unless an active span has given one."""
        with self.call.at("snapshot"):
            attributes: dict[str, Any] = _decode(self.call.attributes)
            self.call.attributes = msgspec.Raw(encode({"traceparent": traceparent, **attributes}))

    @property
    def said_header(self) -> tuple[str, str] | None:
        """Name and value of the header that tells the client its query's id; None: nothing is told."""
        call = self.call
        name = None if call.recorder is None or call.over else self.mount.header
        return None if name is None else (name, f"{ids.prefix}{call.number}")

    def received(self, piece: bytes, *, more: bool) -> None:
        """The app got a piece of the request's body."""
        if self.complete:
            return
        since = perf_counter()
        with self.call.at("snapshot"):
            self.body += piece
            self.complete = not more
            if len(self.body) > self.mount.max_body:
                self.complete = True
                self.body = bytearray()
                raise TooLargeError("the request's body", cap=self.mount.max_body)
            if self.complete:
                self._snapshot()
        self.call.spent(since)

    def _snapshot(self) -> None:
        """The whole request has arrived: copy it before the app does anything with it."""
        call, plan = self.call, self.mount.plan
        body = request_body(bytes(self.body), self.head["headers"].get("content-type", ""))
        request = {**self.head, "body": body}
        call.inputs = freeze_call((request,), {}, max_bytes=plan.max_bytes + self.mount.max_body)
        text = None if plan.text is None else str(plan.text(request))
        call.text = text if plan.key is None else (text, str(plan.key(request)))
        self.body = bytearray()

    def started(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        """Status and headers were sent."""
        with self.call.at("outcome"):
            self.response.started(status, headers)

    def sent(self, piece: bytes, *, more: bool) -> None:
        """The client has a piece of the response; `more`: others may follow."""
        if self.over:
            return
        recorder, at = self.call.recorder, perf_counter()
        with self.call.at("outcome"):
            if recorder is not None:
                if piece and more and recorder.first_chunk is None:
                    recorder.first_chunk = at - recorder.began
                self.response.add(piece, more=more)
            if not more:
                self._finish(ClientGoneError(_GONE) if self.gone else self.response.failure, at)
        self.call.spent(at)

    def end(self, error: BaseException | None) -> None:
        """The app returned or raised; what it still did after its response is not part of the call."""
        if self.over:
            return
        at = perf_counter()
        if self.gone:
            error = ClientGoneError(_GONE)
        self._finish(error or StatusError(_FAILED, "the app returned without a complete response"), at)

    def _finish(self, error: BaseException | None, at: float) -> None:
        self.over = True
        if self.body_expected and not self.complete:
            self.call.lost("uncopyable")  # the app did not read the request, so there is nothing to ask a candidate
        if self.response.unreadable and error is None:
            with self.call.at("snapshot"):
                raise UncopyableError("the response", self.response.unreadable)
        finish(self.call, self.response, error=error, at=at)
