"""What an OpenAI client is asked and answers, seen at the one place that every request passes: `client.request`.

    client = watch(OpenAI())

Chat completions, responses, completions and embeddings; sync and async, streamed, raw and by `with_options`. Inside a
recording each request is a model call with its tokens. A tool call that the model asks for is recorded when a later
request brings its result back, unless a `@tool` function has recorded it. Outside a recording nothing is done.

Clients are observed one by one and stay what they are: the same objects come out of them, streams included. LangChain's
models report their calls by callbacks; the clients inside them are not to be watched as well.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any, Final, Protocol, TypeVar, cast

from shadoweval.adapters.openai.fields import provider_of
from shadoweval.adapters.openai.replies import Reply, StreamedReply, read_reply
from shadoweval.adapters.openai.requested import expect_results, record_hosted, record_results
from shadoweval.capture.interception import error_text
from shadoweval.capture.prompts import note_prompts
from shadoweval.capture.recorder import Recorder, current
from shadoweval.errors import ArgumentError

__all__ = ["ModelCall", "Observer", "observed", "watch"]

_C = TypeVar("_C")
_OBSERVERS: Final = "_shadoweval_observers"
_PATHS: Final = frozenset({"/chat/completions", "/responses", "/completions", "/embeddings"})


class Observer(Protocol):
    """Sees one request; must not raise. What comes after its end or failure is ignored."""

    def chunk(self, chunk: Any) -> None:
        """A chunk of a streamed answer."""

    def ended(self, response: Any) -> None:
        """The answer; None: the stream came to its end."""

    def failed(self, error: BaseException) -> None:
        """It failed; GeneratorExit: whoever reads the stream went away."""


_ObserverOf = Callable[[str, Mapping[str, Any]], Observer | None]
"""Gets a request's path and body before it is sent, gives who observes it; must not raise."""


def watch(client: _C) -> _C:
    """Record what this client, `OpenAI` or `AsyncOpenAI`, does inside recordings. Returns the client itself.

    Raises:
        ArgumentError: not an OpenAI client.
    """
    return observed(client, functools.partial(_recording, provider=provider_of(client)))


def _recording(path: str, body: Mapping[str, Any], *, provider: str = "") -> Observer | None:
    recorder = current.get()
    if recorder is None:
        return None
    call = ModelCall(recorder, path, body, provider=provider)
    with _guarded(recorder):
        record_results(recorder, body)
        system = {"role": "system", "content": body.get("instructions")}
        note_prompts(recorder, [system, body.get("messages"), body.get("input")])
    return call


@contextmanager
def _guarded(recorder: Recorder) -> Generator[None]:
    """A fault of ours must not reach the caller; it stays on the recorder, where the mirror counts it."""
    since = perf_counter()
    try:
        yield
    except Exception as fault:  # noqa: BLE001 - see above
        recorder.fault = fault
    recorder.spent(since)


class ModelCall:
    """Writes one request into a recorder; `reply` is the answer, when it has ended."""

    def __init__(self, recorder: Recorder, path: str, body: Mapping[str, Any], *, provider: str = "") -> None:
        self.recorder, self.path, self.provider = recorder, path, provider
        self.model, self._body = str(body.get("model") or ""), body
        self.reply: Reply | None = None
        self.first_chunk: float | None = None
        self._streamed: StreamedReply | None = None
        self._over = False
        self._began = perf_counter()

    def chunk(self, chunk: Any) -> None:
        """A chunk of a streamed answer."""
        if self._streamed is None:
            self.first_chunk = perf_counter() - self._began
            self._streamed = StreamedReply()
        with _guarded(self.recorder):
            self._streamed.add(chunk)

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
        return Reply() if self._streamed is None else self._streamed.reply()

    def _write(self, reply: Reply, error: str | None) -> None:
        if self._over:
            return
        self._over = True
        self.reply = reply
        recorder, duration = self.recorder, perf_counter() - self._began
        error = error or reply.error
        if reply.tool_calls and error is None:
            expect_results(recorder, reply.tool_calls, self._body)
        record_hosted(recorder, reply.hosted)
        times = (self._began - recorder.began, duration)
        usage = (reply.input_tokens, reply.output_tokens, None)
        name = reply.model or self.model
        more = (None, reply.tokens, self.provider)
        recorder.add_step_row(("model", name, *times, *usage, self.first_chunk, error, None, None, *more))


def observed(client: _C, observer_of: _ObserverOf, *, by: str = "") -> _C:
    """Have every request of a client, and of its copies, observed. Returns the client itself.

    `by` names who looks: whoever looks again, as a cell that runs again does, takes the place of the one before.
    """
    target: Any = client
    if not callable(getattr(target, "request", None)) or not callable(getattr(target, "copy", None)):
        raise ArgumentError("client", client, expected="an OpenAI or AsyncOpenAI client")
    inner = target.request
    observers: dict[str, _ObserverOf] | None = vars(target).get(_OBSERVERS)
    if observers is not None:
        observers.pop(by, None)
        observers[by] = observer_of
        return client
    observers = vars(target)[_OBSERVERS] = {by: observer_of}
    over = _over_async if inspect.iscoroutinefunction(inner) else _over_sync
    target.request = functools.wraps(inner)(over(inner, observers))
    copy = target.copy

    @functools.wraps(copy)
    def copied(*args: Any, **kwargs: Any) -> Any:
        made = copy(*args, **kwargs)
        for name, each in list(observers.items()):
            observed(made, each, by=name)
        return made

    target.copy = target.with_options = copied
    return client


class _All:
    """Several observers of one request; the one that was asked first ends last."""

    def __init__(self, observers: list[Observer]) -> None:
        self._observers = observers

    def _tell(self, event: str, subject: Any) -> None:
        for observer in self._observers:
            getattr(observer, event)(subject)

    chunk = functools.partialmethod(_tell, "chunk")
    ended = functools.partialmethod(_tell, "ended")
    failed = functools.partialmethod(_tell, "failed")


def _observer(options: Any, observers: Mapping[str, _ObserverOf]) -> Observer | None:
    """The observer of a request; None: it is not one of those that ask a model, or concerns nobody."""
    path, body = getattr(options, "url", ""), getattr(options, "json_data", None)
    if path not in _PATHS or not isinstance(body, Mapping):
        return None
    asked = [each(path, cast("Mapping[str, Any]", body)) for each in reversed(list(observers.values()))]
    looking = [observer for observer in reversed(asked) if observer is not None]
    return cast("Observer", _All(looking)) if len(looking) > 1 else looking[0] if looking else None


def _over_sync(inner: Callable[..., Any], observers: Mapping[str, _ObserverOf]) -> Callable[..., Any]:
    def request(cast_to: Any, options: Any, **kwargs: Any) -> Any:
        observer = _observer(options, observers)
        if observer is None:
            return inner(cast_to, options, **kwargs)
        try:
            response = inner(cast_to, options, **kwargs)
        except BaseException as error:
            observer.failed(error)
            raise
        _observe(response, observer, streamed=bool(kwargs.get("stream")))
        return response

    return request


def _over_async(inner: Callable[..., Any], observers: Mapping[str, _ObserverOf]) -> Callable[..., Any]:
    async def request(cast_to: Any, options: Any, **kwargs: Any) -> Any:
        observer = _observer(options, observers)
        if observer is None:
            return await inner(cast_to, options, **kwargs)
        try:
            response = await inner(cast_to, options, **kwargs)
        except BaseException as error:
            observer.failed(error)
            raise
        _observe(response, observer, streamed=bool(kwargs.get("stream")))
        return response

    return request


def _observe(response: Any, observer: Observer, *, streamed: bool) -> None:
    """What a request returned: a response, a stream, or either of them raw."""
    if hasattr(response, "_iterator"):
        _observe_stream(response, observer)
    elif hasattr(response, "http_response"):
        _observe_raw(response, observer, streamed=streamed)
    else:
        observer.ended(response)


def _observe_raw(raw: Any, observer: Observer, *, streamed: bool) -> None:
    """A raw response: its JSON where its body was read, else the stream that it is parsed into."""
    if not streamed and getattr(raw.http_response, "is_stream_consumed", False):
        body = {}
        with suppress(ValueError):  # no JSON; the SDK's parse() says so to whoever calls it
            body = raw.http_response.json()
        observer.ended(body)
        return
    parse = raw.parse

    @functools.wraps(parse)
    def parsed(*args: Any, **kwargs: Any) -> Any:
        response = parse(*args, **kwargs)
        if inspect.isawaitable(response):
            return _observed_when_parsed(response, observer)
        _observe(response, observer, streamed=streamed)
        return response

    raw.parse = parsed


async def _observed_when_parsed(parsing: Awaitable[Any], observer: Observer) -> Any:
    response = await parsing
    _observe(response, observer, streamed=False)
    return response


def _observe_stream(stream: Any, observer: Observer) -> None:
    """A `Stream` or `AsyncStream`: the same object, its iterator and `close` replaced; a proxy would be no Stream."""
    if hasattr(stream, "_shadoweval"):
        return  # parsed before
    chunks, close = stream._iterator, stream.close  # noqa: SLF001 - README.md, "Private hooks"
    stream._shadoweval = observer  # noqa: SLF001 - a mark of ours
    awaited = hasattr(chunks, "__anext__")
    stream._iterator = _aeach(chunks, observer) if awaited else _each(chunks, observer)  # noqa: SLF001 - see above

    @functools.wraps(close)
    def closed() -> Any:
        observer.failed(GeneratorExit())
        return close()  # what is to be awaited, of an AsyncStream

    stream.close = closed


def _each(chunks: Iterator[Any], observer: Observer) -> Generator[Any, None, None]:
    try:
        for chunk in chunks:
            observer.chunk(chunk)
            yield chunk
    except BaseException as error:
        observer.failed(error)
        raise
    observer.ended(None)


async def _aeach(chunks: AsyncIterator[Any], observer: Observer) -> AsyncGenerator[Any, None]:
    try:
        async for chunk in chunks:
            observer.chunk(chunk)
            yield chunk
    except BaseException as error:
        observer.failed(error)
        raise
    observer.ended(None)
