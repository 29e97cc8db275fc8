"""WSGI (PEP 3333): HTTP requests of an app as queries: Flask, Django, Bottle, any other.

    app.wsgi_app = ShadowWSGI(app.wsgi_app, support.mirror(), routes=[Route(path="/ask")])           # Flask
    application = ShadowWSGI(get_wsgi_application(), support.mirror(), routes=[Route(path="/ask")])  # Django

The app gets the server's environ with its body behind one reader, the server what the app returns, in the pieces in
which it comes; a call is over when the server closes it. What query and outcome hold: `adapters.exchanges`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextvars import Token
from typing import Any, Final

from shadoweval.adapters.exchanges import Exchange, Mount, Route
from shadoweval.capture.recorder import current
from shadoweval.checks import checked_function, checked_keywords
from shadoweval.errors import ArgumentError
from shadoweval.mirror.call import alone
from shadoweval.mirror.decorator import Mirror

__all__ = ["Route", "ShadowWSGI"]

Environ = dict[str, Any]
StartResponse = Callable[..., Callable[[bytes], object]]
App = Callable[[Environ, StartResponse], Iterable[bytes]]

_HEADER: Final = "HTTP_"


@checked_keywords()
class ShadowWSGI(Mount):
    """Mirrors requests of a WSGI app; arguments, and what counts as a failure, as `adapters.asgi.ShadowASGI`.

    Raises:
        ExperimentError: a header that carries credentials, or an argument that can't be used; an ASGI app.
    """

    what = "ShadowWSGI"

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
        if hasattr(app, "wsgi_app"):
            mend = "Write app.wsgi_app = ShadowWSGI(app.wsgi_app, ...), so that `app` stays what it is."
            raise ArgumentError("ShadowWSGI(app)", app, expected="a WSGI callable, and this is a Flask app", mend=mend)
        if inspect.iscoroutinefunction(app) or inspect.iscoroutinefunction(type(app).__call__):
            mend = "Mount ShadowASGI of adapters.asgi over it."
            raise ArgumentError("ShadowWSGI(app)", app, expected="a WSGI app, and this is one of ASGI", mend=mend)
        checked_function("ShadowWSGI(app)", app)
        self.app: App = self.beneath(app)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """One request."""
        request = _request(environ)
        exchange = self.exchange(request) if self.concerns(request) else None
        if exchange is None:
            return self.app(environ, start_response)
        if exchange.call.recorder is not None and "wsgi.input" in environ:
            environ["wsgi.input"] = _Body(environ["wsgi.input"], exchange, _length(environ))
        response = _Response(exchange)
        response.enter()
        try:
            pieces = self.app(environ, response.starting(start_response))
        except BaseException as error:
            response.leave()
            exchange.end(error)
            raise
        response.leave()
        wrapper = environ.get("wsgi.file_wrapper")
        if isinstance(wrapper, type) and isinstance(pieces, wrapper):
            exchange.response.unseen("the server sends it from a file")
            exchange.sent(b"", more=False)
            return pieces
        return response.of(pieces)


def _request(environ: Environ) -> dict[str, Any]:
    """A request as ASGI would describe it. Servers give paths and headers as Latin-1 of the bytes (PEP 3333)."""
    headers = [
        (
            name.removeprefix(_HEADER).replace("_", "-").lower().encode("latin-1"),
            str(value).encode("latin-1", "replace"),
        )
        for name, value in environ.items()
        if name.startswith(_HEADER) or (name in {"CONTENT_TYPE", "CONTENT_LENGTH"} and value)
    ]
    raw = environ.get("RAW_URI") or environ.get("REQUEST_URI") or ""  # gunicorn's, Werkzeug's and uWSGI's
    root = _text(environ.get("SCRIPT_NAME", ""))
    return {
        "method": environ["REQUEST_METHOD"],
        "path": root + (_text(environ.get("PATH_INFO", "")) or "/"),
        "root_path": root,
        "raw_path": str(raw).partition("?")[0].encode("latin-1", "replace") if str(raw).startswith("/") else b"",
        "query_string": str(environ.get("QUERY_STRING", "")).encode("latin-1", "replace"),
        "headers": headers,
    }


def _text(value: str) -> str:
    return value.encode("latin-1", "replace").decode("utf-8", "replace")


def _length(environ: Environ) -> int | None:
    """Bytes of the body; None: it ends where it ends."""
    length = str(environ.get("CONTENT_LENGTH") or "")
    return int(length) if length.isdecimal() else None if environ.get("HTTP_TRANSFER_ENCODING") else 0


class _Body:
    """A request's body as the app reads it, by whichever method."""

    def __init__(self, body: Any, exchange: Exchange, length: int | None) -> None:
        self._body, self._exchange = body, exchange
        self._left = length
        if length == 0:
            exchange.received(b"", more=False)

    def _read(self, piece: bytes, *, all_of_it: bool = False) -> bytes:
        if self._left is not None:
            self._left -= len(piece)
        more = bool(piece) and not all_of_it and (self._left is None or self._left > 0)
        self._exchange.received(piece, more=more)
        return piece

    def read(self, *size: int | None) -> bytes:
        """As the server's."""
        if size and size[0] == 0:
            return self._body.read(0)
        return self._read(self._body.read(*size), all_of_it=not size or size[0] is None or size[0] < 0)

    def readinto(self, buffer: Any) -> int:
        """As raw streams have it: Werkzeug, and so Flask, reads by it where it is there."""
        piece = self.read(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def readline(self, *size: int) -> bytes:
        """As the server's."""
        return self._read(self._body.readline(*size))

    def readlines(self, *hint: int) -> list[bytes]:
        """As the server's."""
        return [self._read(line) for line in self._body.readlines(*hint)]

    def __iter__(self) -> Iterator[bytes]:
        for line in self._body:
            yield self._read(line)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("read"):  # another way to read, by which the body would pass unseen
            raise AttributeError(name)
        return getattr(self._body, name)


class _Response:
    """What the app does with its response; between two pieces the context is the server's."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self._token: Token[Any] | None = None

    def enter(self) -> None:
        """The app runs."""
        call = self.exchange.call
        self._token = alone.set(call) if call.recorder is None else current.set(call.recorder)

    def leave(self) -> None:
        """It waits for the server."""
        token, self._token = self._token, None
        if token is not None:
            token.var.reset(token)

    def starting(self, start_response: StartResponse) -> StartResponse:
        """`start_response`, observed."""

        def started(status: str, headers: list[tuple[str, str]], *error: Any) -> Callable[[bytes], object]:
            said = self.exchange.said_header
            write = start_response(status, headers if said is None else [*headers, said], *error)
            named = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers]
            self.exchange.started(int(status.split(" ", 1)[0]), named)

            def written(piece: bytes) -> object:
                result = write(piece)
                self.exchange.sent(piece, more=True)
                return result

            return written

        return started

    def of(self, pieces: Iterable[bytes]) -> Iterable[bytes]:
        """The pieces, observed. A list stays one, so that the server can tell its length."""
        if isinstance(pieces, list | tuple):
            for piece in pieces[:-1]:
                self.exchange.sent(piece, more=True)
            self.exchange.sent(pieces[-1] if pieces else b"", more=False)
            return pieces
        return _Pieces(pieces, self)


class _Pieces:
    """Pieces of a response on their way to the server."""

    def __init__(self, pieces: Any, response: _Response) -> None:
        self._pieces, self._response = pieces, response
        self._rest: Iterator[bytes] | None = None

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        response, exchange = self._response, self._response.exchange
        response.enter()
        try:
            if self._rest is None:
                self._rest = iter(self._pieces)
            piece = next(self._rest)
        except StopIteration:
            if exchange.response.chunks == 1:  # one piece in an iterator is no stream
                exchange.response.chunks = None
            exchange.sent(b"", more=False)
            raise
        except BaseException as error:
            exchange.end(error)
            raise
        finally:
            response.leave()
        exchange.sent(piece, more=True)
        return piece

    def close(self) -> None:
        """The server has what it wants; before the last piece, the client went away."""
        self._response.exchange.gone = True
        try:
            close = getattr(self._pieces, "close", None)
            if close is not None:
                close()
        finally:
            self._response.exchange.end(None)
