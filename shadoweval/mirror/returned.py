"""What an incumbent returned and its caller consumes later, watched while that happens.

The call ends with the last chunk, or when the caller goes away. Nothing is consumed here, and the caller gets the same
object: a generator's place takes a generator around it, the body of a response or of an SDK's stream is replaced inside
it, a future is asked to tell. What allows none of that is counted as `uncopyable`; see `capture.deferred`.
"""

from __future__ import annotations

import inspect
import itertools
import opcode
from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any, Final

from shadoweval.capture import delegation
from shadoweval.capture.deferred import Part, astepped, parts_of, stepped, substituted, unwatchable
from shadoweval.mirror.call import Call
from shadoweval.mirror.pending import Done, Pending, ResponseWatch, Slot, Watch

__all__ = ["passed_on"]

_MADE: Final = opcode.opmap["RETURN_GENERATOR"]
"""The instruction that a generator stands at until its first step."""


def passed_on(call: Call, value: Any, at: float) -> Any:
    """What the caller gets: the value, with those that watch in the place of what it will consume.

    Args:
        call: Entered; it is over when this returns, or when all is consumed.
        value: What the incumbent returned.
        at: When it did, by `time.perf_counter()`.
    """
    try:
        call.point = "snapshot"
        parts = parts_of(value)
        if parts:
            call.leave()
            whole = Pending(call, value, parts, at=at)
            given = _watched(whole, value, parts)
            call.spent(at)
            whole.at = 0.0
            return given
    except BaseException as error:
        if not call.caught(error):
            raise
        call.given_up(at)
        return value
    call.returned(value, at)
    return value


def _watched(whole: Pending, value: Any, parts: list[Part]) -> Any:
    """The value with its parts watched; the same object wherever that can be.

    Raises:
        UncopyableError: one of them can't be watched; then none is.
    """
    for part in parts:
        _WATCHES[part.manner](whole, part.value, None)
    others = {id(part.value): _WATCHES[part.manner](whole, part.value, whole.slots[id(part.value)]) for part in parts}
    return substituted(value, others, fresh=False)


# How each manner of value is watched: `(whole, value, slot)` gives what takes the value's place. Without a slot it only
# raises UncopyableError where it can't be.


def _watch_generator(whole: Pending, stream: Any, slot: Slot | None) -> Any:
    if slot is None:
        if not _is_fresh(stream):
            raise unwatchable(stream)
        return None
    return _named_like(_delegate(stream, Watch(whole, slot)), stream)


def _is_fresh(stream: Any) -> bool:
    """Whether nobody has taken a chunk of it yet."""
    if inspect.isasyncgen(stream):
        if stream.ag_frame is None:
            return False
        code, at = stream.ag_frame.f_code.co_code, stream.ag_frame.f_lasti
        return not getattr(stream, "ag_suspended", code[at] != _MADE)  # before Python 3.12 only its frame tells
    return inspect.getgeneratorstate(stream) == inspect.GEN_CREATED


def _named_like(stream: Any, original: Any) -> Any:
    stream.__name__, stream.__qualname__ = original.__name__, original.__qualname__
    return stream


def _delegate(stream: Any, watch: Watch) -> Any:
    """A generator around one, watched from its first step on."""
    over = delegation.over_async_generator if inspect.isasyncgen(stream) else delegation.over_generator
    return over(lambda: stream, lambda _args, _kwargs: watch)()


def _same(chunk: Any) -> Any:
    return chunk


def _always(_chunk: Any) -> bool:
    return True


def _never(_chunk: Any) -> bool:
    return False


_LIKE: Final[Mapping[type, Callable[[Iterator[Any]], Iterator[Any]]]] = {
    map: lambda chunks: map(_same, chunks),
    filter: lambda chunks: filter(_always, chunks),
    itertools.chain: itertools.chain,
    itertools.islice: lambda chunks: itertools.islice(chunks, None),
    itertools.takewhile: lambda chunks: itertools.takewhile(_always, chunks),
    itertools.dropwhile: lambda chunks: itertools.dropwhile(_never, chunks),
    itertools.filterfalse: lambda chunks: itertools.filterfalse(_never, chunks),
}


def _like(value: Any, chunks: Iterator[Any]) -> Any:
    """An iterator of the same builtin type that gives these chunks.

    Raises:
        UncopyableError: there is none: a zip's chunks are tuples that it makes itself, say.
    """
    made = _LIKE.get(type(value))
    if made is None:
        raise unwatchable(value)
    return made(chunks)


def _watch_iterator(whole: Pending, chunks: Any, slot: Slot | None) -> Any:
    return _like(chunks, iter(()) if slot is None else _delegate(stepped(chunks), Watch(whole, slot)))


class _Closing:
    """The chunks of an iterable that has something to close: frameworks do that where they take no chunk (HEAD) too."""

    __slots__ = ("close_original", "watched")

    def __init__(self, watched: Any, close_original: Callable[[], Any]) -> None:
        self.watched, self.close_original = watched, close_original

    def __iter__(self) -> Any:
        return self

    def __next__(self) -> Any:
        return next(self.watched)

    def close(self) -> None:
        """The watch ends, and the iterable is told as it would be without it."""
        try:
            self.watched.close()
        finally:
            self.close_original()


def _replace(owner: Any, attribute: str, watch: Watch) -> Any:
    """Watch the stream that an object hands on; the object stays the same."""
    chunks = getattr(owner, attribute)
    watched = _delegate(astepped(chunks) if hasattr(chunks, "__aiter__") else stepped(chunks), watch)
    if not inspect.isgenerator(chunks) and inspect.isgenerator(watched) and hasattr(chunks, "close"):
        watched = _Closing(watched, chunks.close)
    setattr(owner, attribute, watched)
    return owner


def _watch_stream(whole: Pending, stream: Any, slot: Slot | None) -> Any:
    return None if slot is None else _replace(stream, "_iterator", Watch(whole, slot))


def _watch_response(whole: Pending, response: Any, slot: Slot | None) -> Any:
    from shadoweval.capture import framework_responses as read  # noqa: PLC0415 - see above
    from shadoweval.capture.framework_responses import is_file  # noqa: PLC0415 - see above

    if is_file(response):
        raise unwatchable(response)
    plan = whole.call.site.plan
    record = read.record_of(response, plan.max_bytes)
    attribute = read.attribute_of_stream(response)
    if slot is None:
        if record.unreadable:
            raise unwatchable(response)
    elif attribute is not None:
        _replace(response, attribute, ResponseWatch(whole, slot, record, events=read.yields_events(response)))
    elif whole.only and plan.outcome is not None:  # an experiment's own reading gets the response itself
        whole.ended(slot, response)
    else:
        whole.answered(slot, record)
    return response


def _watch_download(whole: Pending, response: Any, slot: Slot | None) -> Any:
    """A response of requests or httpx, which nobody can watch unless its body has been read."""
    from shadoweval.capture.framework_responses import is_read, record_of_read  # noqa: PLC0415 - as above

    if not is_read(response):
        raise unwatchable(response)
    if slot is not None:
        whole.answered(slot, record_of_read(response, whole.call.site.plan.max_bytes))
    return response


def _watch_future(whole: Pending, future: Any, slot: Slot | None) -> Any:
    if slot is not None:
        future.add_done_callback(Done(whole, slot))
    return future


def _watch_coroutine(whole: Pending, coroutine: Any, slot: Slot | None) -> Any:
    if slot is not None:
        return _named_like(_awaited(Watch(whole, slot), coroutine), coroutine)
    if inspect.getcoroutinestate(coroutine) != inspect.CORO_CREATED or not whole.only:
        raise unwatchable(coroutine)
    return None


async def _awaited(watch: Watch, coroutine: Any) -> Any:
    """The coroutine, whose value may be one that is consumed later in its turn."""
    watch.resumed()
    try:
        value = await coroutine
    except BaseException as error:
        watch.raised(error)
        raise
    at = perf_counter()
    watch.over = True
    call, call.token, watch.token = watch.whole.call, watch.token, None
    return passed_on(call, value, at)


def _watch_nothing(_whole: Pending, value: Any, _slot: Slot | None) -> Any:
    raise unwatchable(value)


_WATCHES: Final[dict[str, Callable[[Pending, Any, Slot | None], Any]]] = {
    "generator": _watch_generator,
    "async generator": _watch_generator,
    "iterator": _watch_iterator,
    "stream": _watch_stream,
    "response": _watch_response,
    "download": _watch_download,
    "future": _watch_future,
    "coroutine": _watch_coroutine,
    **dict.fromkeys(("async iterator", "awaitable", "file", "context", "async context"), _watch_nothing),
}
