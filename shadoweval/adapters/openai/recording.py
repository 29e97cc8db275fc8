"""What an OpenAI client is asked and answers, recorded at the one place that every request passes: `client.request`.

    client = watch(OpenAI())

Chat completions, responses, completions and embeddings; sync and async, streamed, raw and by `with_options`. Inside a
recording each request is a model call with its tokens. A tool call that the model asks for is recorded when a later
request brings its result back, unless a `@tool` function has recorded it. Outside a recording nothing is done.

Clients are watched one by one and stay what they are: the same objects come out of them, streams included. LangChain's
models tell their calls by callbacks; the clients inside them are not to be watched as well.

This module does not import openai.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final, Protocol, TypeVar, cast

from shadoweval.adapters.openai.replies import Asked, Pieces, Reply, read_reply, reply_of, results_in
from shadoweval.capture.interception import error_text
from shadoweval.capture.recorder import Recorder, current

__all__ = ["Listen", "Listener", "ModelCall", "listening", "reply_of", "watch"]

_C = TypeVar("_C")
_PATHS: Final = frozenset({"/chat/completions", "/responses", "/completions", "/embeddings"})


class Listener(Protocol):
    """Told about one request; must not raise. What comes after its end or failure is no news."""

    def chunk(self, chunk: Any) -> None:
        """A chunk of a streamed answer."""

    def ended(self, response: Any) -> None:
        """The answer; None: the stream came to its end."""

    def failed(self, error: BaseException) -> None:
        """It failed; GeneratorExit: whoever reads the stream went away."""


Listen = Callable[[str, Mapping[str, Any]], Listener | None]
"""Gets a request's path and body before it is sent; must not raise."""


def watch(client: _C) -> _C:
    """Record what this client, `OpenAI` or `AsyncOpenAI`, does inside recordings. Returns the client itself."""
    return listening(client, _recorded)


class _Pending:
    """Tool calls that the model asked for, whose results the next request may bring."""

    __slots__ = ("asked", "calls_before", "recorder", "since")

    def __init__(self, recorder: Recorder, asked: tuple[Asked, ...]) -> None:
        self.recorder, self.asked = recorder, asked
        self.calls_before, self.since = len(recorder.log), perf_counter()

    def answered(self, results: Mapping[str, Any]) -> None:
        """Record what came back and was not recorded by the tool itself."""
        recorder = self.recorder
        made = recorder.called(self.calls_before)
        duration = perf_counter() - self.since
        for call in self.asked:
            if call.id in results and call.name not in made:
                result = results[call.id]
                recorder.add_call(call.name, dict(call.arguments), result, started=self.since, duration=duration)


_pending: Final[ContextVar[_Pending | None]] = ContextVar("shadoweval_openai_pending", default=None)


def _recorded(path: str, body: Mapping[str, Any]) -> Listener | None:
    recorder = current.get()
    if recorder is None:
        return None
    call = ModelCall(recorder, path, body)
    with _guarded(recorder):
        pending = _pending.get()
        if pending is not None:
            _pending.set(None)
            if pending.recorder is recorder:
                pending.answered(results_in(body))
    return call


@contextmanager
def _guarded(recorder: Recorder) -> Generator[None]:
    """A fault of ours must not reach the caller; it stays on the recorder, where the mirror counts it."""
    try:
        yield
    except Exception as fault:  # noqa: BLE001 - see above
        recorder.fault = fault


class ModelCall:
    """Writes one request into a recorder.

    Attributes:
        reply: The answer, when it has ended.
    """

    def __init__(self, recorder: Recorder, path: str, body: Mapping[str, Any]) -> None:
        self.recorder, self.path = recorder, path
        self.model = str(body.get("model") or "")
        self.reply: Reply | None = None
        self.first: float | None = None
        self._pieces: Pieces | None = None
        self._over = False
        self._began = perf_counter()

    def chunk(self, chunk: Any) -> None:
        """A chunk of a streamed answer."""
        if self._pieces is None:
            self.first = perf_counter() - self._began
            self._pieces = Pieces()
        with _guarded(self.recorder):
            self._pieces.add(chunk)

    def ended(self, response: Any) -> None:
        """The answer; None: the stream came to its end."""
        with _guarded(self.recorder):
            self._write(self._read(response), None)

    def failed(self, error: BaseException) -> None:
        """It failed, or its reader went away, which is no error of the model's."""
        with _guarded(self.recorder):
            self._write(self._read(None), None if isinstance(error, GeneratorExit) else error_text(error))

    def _read(self, response: Any) -> Reply:
        if response is not None:
            return read_reply(response)
        return Reply() if self._pieces is None else self._pieces.reply()

    def _write(self, reply: Reply, error: str | None) -> None:
        if self._over:
            return
        self._over = True
        self.reply = reply
        recorder, duration = self.recorder, perf_counter() - self._began
        if reply.tool_calls and error is None:
            _pending.set(_Pending(recorder, reply.tool_calls))
        times = (self._began - recorder.began, duration)
        used = (reply.input_tokens, reply.output_tokens, None)
        name = reply.model or self.model
        recorder.add_step_row(("model", name, *times, *used, self.first, error, None, None))


def listening(client: _C, listen: Listen) -> _C:
    """Have every request of a client, and of its copies, listened to. Returns the client itself."""
    target: Any = client
    inner = target.request
    request = _over_async(inner, listen) if inspect.iscoroutinefunction(inner) else _over_sync(inner, listen)
    target.request = functools.wraps(inner)(request)
    copy = target.copy

    @functools.wraps(copy)
    def copied(*args: Any, **kwargs: Any) -> Any:
        return listening(copy(*args, **kwargs), listen)

    target.copy = target.with_options = copied
    return client


def _heard(options: Any, listen: Listen) -> Listener | None:
    """The listener of a request; None: it is not one of those that ask a model."""
    path, body = getattr(options, "url", ""), getattr(options, "json_data", None)
    if path not in _PATHS or not isinstance(body, Mapping):
        return None
    return listen(path, cast("Mapping[str, Any]", body))


def _over_sync(inner: Callable[..., Any], listen: Listen) -> Callable[..., Any]:
    def request(cast_to: Any, options: Any, **how: Any) -> Any:
        listener = _heard(options, listen)
        if listener is None:
            return inner(cast_to, options, **how)
        try:
            response = inner(cast_to, options, **how)
        except BaseException as error:
            listener.failed(error)
            raise
        _told(response, listener, streamed=bool(how.get("stream")))
        return response

    return request


def _over_async(inner: Callable[..., Any], listen: Listen) -> Callable[..., Any]:
    async def request(cast_to: Any, options: Any, **how: Any) -> Any:
        listener = _heard(options, listen)
        if listener is None:
            return await inner(cast_to, options, **how)
        try:
            response = await inner(cast_to, options, **how)
        except BaseException as error:
            listener.failed(error)
            raise
        _told(response, listener, streamed=bool(how.get("stream")))
        return response

    return request


def _told(response: Any, listener: Listener, *, streamed: bool) -> None:
    """Listen to what a request returned: a response, a stream, or either of them raw."""
    if hasattr(response, "_iterator"):
        _tapped(response, listener)
    elif hasattr(response, "http_response"):
        _told_raw(response, listener, streamed=streamed)
    else:
        listener.ended(response)


def _told_raw(raw: Any, listener: Listener, *, streamed: bool) -> None:
    """A raw response: its JSON where its body was read, else the stream that it is parsed into."""
    if not streamed and getattr(raw.http_response, "is_stream_consumed", False):
        try:
            body = raw.http_response.json()
        except ValueError:  # no JSON; the SDK's parse() says so to whoever calls it
            body = {}
        listener.ended(body)
        return
    parse = raw.parse

    @functools.wraps(parse)
    def parsed(*args: Any, **kwargs: Any) -> Any:
        found = parse(*args, **kwargs)
        if inspect.isawaitable(found):
            return _heard_when_parsed(found, listener)
        _told(found, listener, streamed=streamed)
        return found

    raw.parse = parsed


async def _heard_when_parsed(found: Awaitable[Any], listener: Listener) -> Any:
    response = await found
    _told(response, listener, streamed=False)
    return response


def _tapped(stream: Any, listener: Listener) -> None:
    """Listen to a `Stream` or `AsyncStream`: the same object, its iterator and `close` watched."""
    if hasattr(stream, "_shadoweval"):
        return  # parsed before
    inner, close = stream._iterator, stream.close  # noqa: SLF001 - where the SDK keeps it since 1.0; a proxy would be no Stream
    stream._shadoweval = listener  # noqa: SLF001 - a mark of ours
    if hasattr(inner, "__anext__"):
        stream._iterator = _aheard(inner, listener)  # noqa: SLF001 - as above

        @functools.wraps(close)
        async def aclosed() -> None:
            listener.failed(GeneratorExit())
            await close()

        stream.close = aclosed
        return
    stream._iterator = _each(inner, listener)  # noqa: SLF001 - as above

    @functools.wraps(close)
    def closed() -> None:
        listener.failed(GeneratorExit())
        close()

    stream.close = closed


def _each(inner: Iterator[Any], listener: Listener) -> Generator[Any, None, None]:
    try:
        for chunk in inner:
            listener.chunk(chunk)
            yield chunk
    except BaseException as error:
        listener.failed(error)
        raise
    listener.ended(None)


async def _aheard(inner: AsyncIterator[Any], listener: Listener) -> AsyncGenerator[Any, None]:
    try:
        async for chunk in inner:
            listener.chunk(chunk)
            yield chunk
    except BaseException as error:
        listener.failed(error)
        raise
    listener.ended(None)
