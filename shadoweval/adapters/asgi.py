"""ASGI: HTTP requests of an app as queries, and a candidate behind a URL.

    app.add_middleware(ShadowASGI, mirror=support.mirror(sample=0.1), routes=[Route(method="POST", path="/ask")])

Messages pass through as they are: the app gets every byte of a request as it arrives, the client every byte of a
response before it is recorded. Websockets, lifespan and other routes are not touched. This module imports no framework.

The query's input is one mapping: `method`, `path`, `query` (name -> values), `headers` (those of the allow-list) and
`body` (decoded where it is JSON, text where it is text, None where there is none). The outcome's value is a mapping of
`status`, `content_type`, `body` and `answer`.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping, Sequence
from time import perf_counter
from typing import Any, Final, cast
from urllib.parse import parse_qs

import msgspec

from shadoweval.adapters.http import ResponseRecord, StatusError, decoded_body
from shadoweval.capture.copying import encode
from shadoweval.capture.outcomes import outcome_of
from shadoweval.capture.recorder import current
from shadoweval.capture.wire.inputs import freeze_call
from shadoweval.checks import (
    checked_function,
    checked_instance,
    checked_keywords,
    checked_list,
    checked_mapping,
    checked_number,
    checked_strings,
)
from shadoweval.errors import ArgumentError, ExperimentError, TooLargeError
from shadoweval.mirror.begin import begin
from shadoweval.mirror.call import Call, alone, finish
from shadoweval.mirror.decorator import Mirror, site_of
from shadoweval.mirror.plan import Plan
from shadoweval.records import Outcome

__all__ = ["ClientGoneError", "Route", "ShadowASGI"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS: Final = ("content-type", "accept", "accept-language")
_NEVER: Final = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "api-key", "x-auth-token"}
)
_PARAMETER: Final = re.compile(r"\{(\w+)(:path)?\}")
_FROM_FILES: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
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

    def matches(self, scope: Mapping[str, Any]) -> bool:
        """Whether a request's scope is one of them."""
        if scope["method"] != self.method or not self._pattern.fullmatch(_path(scope)):
            return False
        if not self._headers:
            return True
        headers = _headers(scope)
        return all(headers.get(name) == value for name, value in self._headers.items())


def _headers(scope: Mapping[str, Any]) -> dict[bytes, bytes]:
    """Those of a request, by name in lower case; of a name that stands twice the last."""
    return {bytes(name).lower(): bytes(value) for name, value in scope["headers"]}


def _path(scope: Mapping[str, Any]) -> str:
    path, root = str(scope["path"]), str(scope.get("root_path") or "")
    return path.removeprefix(root) if root and path.startswith(f"{root}/") else path


@checked_keywords()
class ShadowASGI:
    """Mirrors requests of an ASGI app.

    A request is decided on before the app runs, so the mirror's `unit` and `attributes` see it without its body;
    `text` and `key` see all of it. A response of status 500 or more is a failure, one that the client did not wait
    for is `aborted`.

    Args:
        app: The app.
        mirror: How.
        routes: Which requests.
        headers: Names of the request headers to copy, by default `HEADERS`; those that carry credentials can't be.
        max_body: Bytes of a request's body. The app gets a larger one like any other; it is counted as `too_large`.
        entry: `"module:attribute"` of a function that takes the query's mapping, for re-runs of the incumbent.

    Raises:
        ExperimentError: a header that carries credentials, or an argument that can't be used.
    """

    def __init__(
        self,
        app: App,
        mirror: Mirror,
        *,
        routes: Sequence[Route],
        headers: Iterable[str] | None = None,
        max_body: int = 1 << 20,
        entry: str | None = None,
    ) -> None:
        self.site = site_of(mirror, entry, extract=_extracted, text=None, key=None)
        self.plan = mirror.plan
        checked_function("ShadowASGI(app)", app, awaited=True)
        self.app, self.max_body = app, checked_number("ShadowASGI(max_body)", max_body, low=0, whole=True)
        self.routes = tuple(
            checked_instance("each of ShadowASGI(routes)", route, Route, mend="Write Route(path='/ask').")
            for route in checked_list("ShadowASGI(routes)", routes, mend="Write [Route(path='/ask')].")
        )
        names = HEADERS if headers is None else checked_strings("ShadowASGI(headers)", headers)
        self.headers = frozenset(name.lower() for name in names)
        secret = sorted(self.headers & _NEVER)
        if secret:
            raise ExperimentError(f"Header {secret[0]!r} carries credentials, so it is never copied. Take it out.")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        if scope["type"] != "http" or not any(route.matches(scope) for route in self.routes):
            await self.app(scope, receive, send)
            return
        head = self._head(scope)
        call = begin(self.site, (head,), {})
        if call is None:
            await self.app(scope, receive, send)
            return
        _keep_trace(call, scope)
        exchange = _Exchange(call, head, self)
        exchange.body_expected = _expects_body(scope)
        recorder = call.recorder
        token = alone.set(call) if recorder is None else current.set(recorder)
        try:
            await self.app(scope, exchange.receiving(receive), exchange.sending(send))
        except BaseException as error:
            exchange.end(error)
            raise
        finally:
            token.var.reset(cast("Any", token))
        exchange.end(None)

    def _head(self, scope: Mapping[str, Any]) -> dict[str, Any]:
        named = {name.decode("latin-1"): value.decode("latin-1") for name, value in _headers(scope).items()}
        headers = {name: value for name, value in named.items() if name in self.headers}
        query = parse_qs(bytes(scope.get("query_string") or b"").decode("latin-1"), keep_blank_values=True)
        return {"method": scope["method"], "path": _path(scope), "query": query, "headers": headers, "body": None}


def _keep_trace(call: Call, scope: Mapping[str, Any]) -> None:
    """Keep the request's `traceparent` (W3C Trace Context) as an attribute, where no active span has given one."""
    header = _headers(scope).get(b"traceparent", b"")
    if not header or len(header) > _LONGEST_TRACEPARENT or call.recorder is None:
        return
    with call.at("snapshot"):
        attributes: dict[str, Any] = _decode(call.attributes)
        call.attributes = msgspec.Raw(encode({"traceparent": header.decode("latin-1"), **attributes}))


def _expects_body(scope: Mapping[str, Any]) -> bool:
    headers = _headers(scope)
    return b"transfer-encoding" in headers or headers.get(b"content-length", b"0") != b"0"


def _extracted(plan: Plan, response: ResponseRecord) -> Outcome:
    """The outcome of a response; a mirror's own `outcome=` gets the response's mapping."""
    outcome = outcome_of(response.data(), extract=plan.outcome, max_bytes=plan.max_bytes)
    truncated = outcome.truncated or response.truncated
    return msgspec.structs.replace(outcome, chunks=response.chunks, truncated=truncated)


class _Exchange:
    """One mirrored request and its response."""

    def __init__(self, call: Call, head: dict[str, Any], shadow: ShadowASGI) -> None:
        self.call, self.head, self.shadow = call, head, shadow
        self.body = bytearray()
        self.body_expected = False
        self.complete = call.recorder is None  # nothing of a control call is copied
        self.gone = False
        self.over = False
        self.response = ResponseRecord(shadow.plan.max_bytes)

    def receiving(self, receive: Receive) -> Receive:
        """`receive`, observed."""

        async def received() -> Message:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.gone = True
            elif not self.complete:
                with self.call.at("snapshot"):
                    self._received(message)
            return message

        return received

    def _received(self, message: Message) -> None:
        self.body += message.get("body", b"")
        self.complete = not message.get("more_body", False)
        if len(self.body) > self.shadow.max_body:
            self.complete = True
            self.body = bytearray()
            raise TooLargeError("the request's body", cap=self.shadow.max_body)
        if self.complete:
            self._snapshot()

    def _snapshot(self) -> None:
        """The whole request has arrived: copy it before the app does anything with it."""
        call, plan = self.call, self.shadow.plan
        body = decoded_body(bytes(self.body), self.head["headers"].get("content-type", ""))
        request = {**self.head, "body": body}
        call.inputs = freeze_call((request,), {}, max_bytes=plan.max_bytes + self.shadow.max_body)
        text = None if plan.text is None else str(plan.text(request))
        call.text = text if plan.key is None else (text, str(plan.key(request)))
        self.body = bytearray()

    def sending(self, send: Send) -> Send:
        """`send`, observed when the client has the message."""

        async def sent(message: Message) -> None:
            try:
                await send(message)
            except OSError:  # what servers raise when nobody listens any more (ASGI 2.4)
                self.gone = True
                raise
            if not self.over:
                with self.call.at("outcome"):
                    self._sent(message)

        return sent

    def _sent(self, message: Message) -> None:
        kind, response, recorder = message["type"], self.response, self.call.recorder
        more = bool(message.get("more_body", False))
        if kind == "http.response.start":
            response.started(message["status"], message.get("headers", ()))
        elif kind == "http.response.body" and recorder is not None:
            piece = message.get("body", b"")
            if piece and more and recorder.first_chunk is None:
                recorder.first_chunk = perf_counter() - recorder.began
            response.add(piece, more=more)
        elif kind in _FROM_FILES:
            response.unseen()
        if not more and (kind == "http.response.body" or kind in _FROM_FILES):
            self._finish(ClientGoneError(_GONE) if self.gone else response.failure)

    def end(self, error: BaseException | None) -> None:
        """The app returned or raised; what it still did after its response is not part of the call."""
        if self.over:
            return
        if self.gone:
            error = ClientGoneError(_GONE)
        self._finish(error or StatusError(_FAILED, "the app returned without a complete response"))

    def _finish(self, error: BaseException | None) -> None:
        self.over = True
        if self.body_expected and not self.complete:
            self.call.lost("uncopyable")  # the app did not read the request, so there is nothing to ask a candidate
        finish(self.call, self.response, error=error)
