"""ASGI: HTTP requests of an app as queries.

    app.add_middleware(ShadowASGI, mirror=support.mirror(sample=0.1), routes=[Route(method="POST", path="/ask")])

Messages pass through as they are: the app gets every byte of a request as it arrives, the client every byte of a
response before it is recorded. Websockets, lifespan and other routes are not touched. This module imports no framework.
What query and outcome hold: `adapters.exchanges`.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from typing import Any, Final, cast

from shadoweval.adapters.exchanges import ClientGoneError, Exchange, Mount, Route
from shadoweval.capture.recorder import current
from shadoweval.checks import checked_function, checked_keywords
from shadoweval.errors import ArgumentError
from shadoweval.mirror.call import alone
from shadoweval.mirror.decorator import Mirror

__all__ = ["ClientGoneError", "Route", "ShadowASGI"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_FROM_FILES: Final = frozenset({"http.response.pathsend", "http.response.zerocopysend"})
_WSGI: Final = 2
"""Arguments of a WSGI app: environ and start_response."""


@checked_keywords()
class ShadowASGI(Mount):
    """Mirrors requests of an ASGI app.

    A request is decided on before the app runs, so the mirror's `unit` and `attributes` see it without its body;
    `text` and `key` see all of it. A response of status 500 or more is a failure, one that the client did not wait
    for is `aborted`.

    Args:
        app: The app.
        mirror: How.
        routes: Which requests.
        headers: Names of the request headers to copy, by default `exchanges.HEADERS`; those that carry credentials
            can't be, those that say how the body is written always are.
        max_body: Bytes of a request's body. The app gets a larger one like any other; it is counted as `too_large`.
        entry: `"module:attribute"` of a function that takes the query's mapping, for re-runs of the incumbent.
        header: Of the response, in which the client gets the id of its query, `"X-Shadow-Query"`; None: in none.

    Raises:
        ExperimentError: a header that carries credentials, or an argument that can't be used; a WSGI app.
    """

    what = "ShadowASGI"

    def __init__(
        self,
        app: App,
        mirror: Mirror,
        *,
        routes: Sequence[Route],
        headers: Iterable[str] | None = None,
        max_body: int = 1 << 20,
        entry: str | None = None,
        header: str | None = None,
    ) -> None:
        super().__init__(mirror, routes=routes, headers=headers, max_body=max_body, entry=entry, header=header)
        if _is_wsgi(app):
            mend = "Write app.wsgi_app = ShadowWSGI(app.wsgi_app, ...) (adapters.wsgi), or mirror.wsgi(...)."
            raise ArgumentError("ShadowASGI(app)", app, expected="an ASGI app, and this is one of WSGI", mend=mend)
        checked_function("ShadowASGI(app)", app, awaited=True)
        self.app: App = self.beneath(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection."""
        exchange = self.exchange(scope) if scope["type"] == "http" and self.concerns(scope) else None
        if exchange is None:
            await self.app(scope, receive, send)
            return
        recorder = exchange.call.recorder
        token = alone.set(exchange.call) if recorder is None else current.set(recorder)
        try:
            await self.app(scope, _receiving(exchange, receive), _sending(exchange, send))
        except BaseException as error:
            exchange.end(error)
            raise
        finally:
            token.var.reset(cast("Any", token))
        exchange.end(None)


def _is_wsgi(app: Any) -> bool:
    """Whether an app is called as WSGI's are: a Flask app, or a function of two arguments."""
    if hasattr(app, "wsgi_app"):
        return True
    try:
        parameters = inspect.signature(app).parameters.values()
    except (TypeError, ValueError):
        return False
    return (
        len([each for each in parameters if each.kind in {each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD}]) == _WSGI
    )


def _receiving(exchange: Exchange, receive: Receive) -> Receive:
    """`receive`, observed."""

    async def received() -> Message:
        message = await receive()
        if message["type"] == "http.disconnect":
            exchange.gone = True
        else:
            exchange.received(message.get("body", b""), more=message.get("more_body", False))
        return message

    return received


def _with_header(message: Message, named: tuple[str, str]) -> Message:
    name, value = (text.encode("latin-1") for text in named)
    return {**message, "headers": [*message.get("headers", ()), (name.lower(), value)]}


def _sending(exchange: Exchange, send: Send) -> Send:
    """`send`, observed when the client has the message."""

    async def sent(message: Message) -> None:
        named = exchange.said_header if message["type"] == "http.response.start" else None
        try:
            await send(message if named is None else _with_header(message, named))
        except OSError:  # what servers raise when nobody listens any more (ASGI 2.4)
            exchange.gone = True
            raise
        kind = message["type"]
        if kind == "http.response.start":
            exchange.started(message["status"], message.get("headers", ()))
        elif kind == "http.response.body":
            exchange.sent(message.get("body", b""), more=bool(message.get("more_body", False)))
        elif kind in _FROM_FILES:
            exchange.response.unseen("the server sends it from a file")
            exchange.sent(b"", more=bool(message.get("more_body", False)))

    return sent
