"""httpx, and httpx2 under the newer OpenAI SDK: a candidate's requests are recorded, or answered from a record.

Every client of theirs sends by a transport, whatever SDK is above it (OpenAI, Anthropic, Mistral, LangChain's models),
so that one place sees all: sync and async, streamed or not. What a transport is given is complete, and what it returns
has not been read; an answer is written down once it was read to its end, or closed.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable, Iterator
from types import ModuleType
from typing import Any

from shadoweval.candidate.tools.exchanges import Exchange, Exchanges, exchanges

__all__ = ["patch"]


def patch(module: ModuleType) -> None:
    """Patch the transports of `httpx` or `httpx2`, right after `_transports.default` has run."""
    library: Any = sys.modules[module.__name__.partition(".")[0]]
    kinds: Any = module
    _patch_sync(kinds.HTTPTransport, library)
    _patch_async(kinds.AsyncHTTPTransport, library)


def _patch_sync(transport: Any, library: Any) -> None:
    send = transport.handle_request

    def handle_request(self: Any, request: Any) -> Any:
        own = exchanges()
        if own is None:
            return send(self, request)
        asked = _asked(request, request.read())
        if own.mode == "replay":
            return _answered(library, own.answer(asked), request)
        response = send(self, _plain(request))
        response.stream = _recorded(library, response.stream, _keeper(own, asked, response))
        return response

    transport.handle_request = handle_request


def _patch_async(transport: Any, library: Any) -> None:
    send = transport.handle_async_request

    async def handle_async_request(self: Any, request: Any) -> Any:
        own = exchanges()
        if own is None:
            return await send(self, request)
        asked = _asked(request, await request.aread())
        if own.mode == "replay":
            return _answered(library, own.answer(asked), request)
        response = await send(self, _plain(request))
        response.stream = _arecorded(library, response.stream, _keeper(own, asked, response))
        return response

    transport.handle_async_request = handle_async_request


def _asked(request: Any, body: bytes) -> tuple[str, str, bytes]:
    return request.method, str(request.url), body


def _plain(request: Any) -> Any:
    """The request for an answer that people can read in the record: uncompressed, where the server does as asked."""
    request.headers["accept-encoding"] = "identity"
    return request


def _answered(library: Any, exchange: Exchange, request: Any) -> Any:
    return library.Response(exchange.status, headers=exchange.headers, content=exchange.body, request=request)


def _keeper(own: Exchanges, asked: tuple[str, str, bytes], response: Any) -> Callable[[bytes], None]:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return lambda content: own.record(asked, status=response.status_code, headers=headers, content=content)


class _Tee:
    """Collects what is read of a stream, and keeps it once."""

    def __init__(self, keep: Callable[[bytes], None]) -> None:
        self._keep, self._parts, self._over = keep, list[bytes](), False

    def add(self, part: bytes) -> bytes:
        self._parts.append(part)
        return part

    def end(self) -> None:
        if not self._over:
            self._over = True
            self._keep(b"".join(self._parts))


def _recorded(library: Any, stream: Any, keep: Callable[[bytes], None]) -> Any:
    tee = _Tee(keep)

    class Recorded(library.SyncByteStream):
        def __iter__(self) -> Iterator[bytes]:
            yield from map(tee.add, stream)
            tee.end()

        def close(self) -> None:
            stream.close()
            tee.end()

    return Recorded()


def _arecorded(library: Any, stream: Any, keep: Callable[[bytes], None]) -> Any:
    tee = _Tee(keep)

    class Recorded(library.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in stream:
                yield tee.add(part)
            tee.end()

        async def aclose(self) -> None:
            await stream.aclose()
            tee.end()

    return Recorded()
