"""Searches of a Qdrant client as retrievals: their hits, and in a shadow the same searches again, exactly."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from time import perf_counter
from typing import Any, Final, cast

from shadoweval.capture.document_parts import ALL_TEXTS, HitId, first, part
from shadoweval.capture.documents import hit_rows
from shadoweval.capture.entries import Step
from shadoweval.capture.exact import ExactSearch, record_exact, searching_twice
from shadoweval.capture.recorder import Recorder, current
from shadoweval.capture.wire.rows import HitRow
from shadoweval.capture.wrappers import observed
from shadoweval.records import BRUTE_FORCE

__all__ = ["Search", "inside", "local", "rows_of_points", "searching", "within"]

RowsOf = Callable[[Any, Recorder | None], Sequence[HitRow]]
inside: Final[ContextVar[bool]] = ContextVar("shadoweval_qdrant", default=False)
"""Whether a method of a client runs: those that it calls in turn are parts of it."""


@contextmanager
def within() -> Generator[None]:
    """What runs in it is a part of the method that runs now."""
    token = inside.set(True)
    try:
        yield
    finally:
        inside.reset(token)


def local(client: Any) -> bool:
    """Whether it searches by itself, in this process, without a server."""
    options: Mapping[str, Any] = getattr(client, "init_options", {})
    return options.get("location") == ":memory:" or options.get("path") is not None


class Search:
    """A method that searches, and in a shadow perhaps once more, exactly."""

    def __init__(self, method: Callable[..., Any], rows_of: RowsOf, *, hits: bool, exact: bool) -> None:
        self.method, self.rows_of, self.hits, self._exact = method, rows_of, hits, exact
        self._signature = inspect.signature(method)
        self._brute_force = local(cast("Any", method).__self__)

    def again(self, response: Any) -> ExactSearch | None:
        """Around the second search; None: there is none to make."""
        recorder = searching_twice() if self._exact else None
        if recorder is None:
            return None
        if self._brute_force:
            record_exact(recorder, None, since=perf_counter(), why=BRUTE_FORCE)
            return None
        return ExactSearch(recorder, self.rows_of(response, recorder))

    def exactly(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The answer of the same search, exactly; a coroutine where the method is one."""
        arguments = self._signature.bind(*args, **kwargs).arguments
        return self.method(**{**arguments.pop("kwargs", {}), **_exactly(arguments)})


def searching(name: str, search: Search) -> Callable[..., Any]:
    """The method as a retrieval."""
    method, rows_of = search.method, search.rows_of

    def hits(response: Any) -> Sequence[HitRow]:
        return rows_of(response, current.get())

    recorded = Step("retrieval", f"qdrant.{name}", rows_of=hits if search.hits else None)

    async def aplain(*args: Any, **kwargs: Any) -> Any:
        with within():
            return await method(*args, **kwargs)

    def plain(*args: Any, **kwargs: Any) -> Any:
        with within():
            return method(*args, **kwargs)

    once = observed(aplain if inspect.iscoroutinefunction(method) else plain, recorded)

    async def asearched(*args: Any, **kwargs: Any) -> Any:
        if current.get() is None or inside.get():
            return await method(*args, **kwargs)
        response = await once(*args, **kwargs)
        again = search.again(response)
        if again is not None:
            with within(), again:
                again.found(rows_of(await search.exactly(args, kwargs), again.recorder))
        return response

    def searched(*args: Any, **kwargs: Any) -> Any:
        if current.get() is None or inside.get():
            return method(*args, **kwargs)
        response = once(*args, **kwargs)
        again = search.again(response)
        if again is not None:
            with within(), again:
                again.found(rows_of(search.exactly(args, kwargs), again.recorder))
        return response

    return functools.wraps(method)(asearched if inspect.iscoroutinefunction(method) else searched)


def _exactly(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A search's arguments, by name, with `exact=True` wherever they say how to search."""
    exactly = dict(arguments)
    if "requests" in exactly:  # of a batch
        exactly["requests"] = [_exact_request(request) for request in exactly["requests"]]
        return exactly
    exactly["search_params"] = _exact_params(exactly.get("search_params"))
    if exactly.get("prefetch") is not None:
        exactly["prefetch"] = _exact_request(exactly["prefetch"])
    return exactly


def _exact_request(request: Any) -> Any:
    """A request or a prefetch, or several of them."""
    if isinstance(request, list):
        return [_exact_request(each) for each in cast("list[Any]", request)]
    changes: dict[str, Any] = {"params": _exact_params(request.params)}
    if getattr(request, "prefetch", None) is not None:
        changes["prefetch"] = _exact_request(request.prefetch)
    return request.model_copy(update=changes)


def _exact_params(params: Any) -> Any:
    if params is None:
        return sys.modules["qdrant_client.http.models"].SearchParams(exact=True)
    return params.model_copy(update={"exact": True})


def rows_of_points(
    response: Any, recorder: Recorder | None, *, own_id: HitId | None, payload: bool | str
) -> Sequence[HitRow]:
    """Rows of the points in an answer, in its order."""
    points = list(_points(response))
    hit_id = own_id or getattr(recorder, "hit_id", None)
    if own_id is None and hit_id is not None and any(hit_id(point) is None for point in points):
        hit_id = None  # the experiment's is of the documents that LangChain or another makes of points
    distinct: dict[str, tuple[float | None, str | None]] = {}
    for row, point in zip(hit_rows(points, hit_id), points, strict=True):
        distinct.setdefault(row[0], (row[2], _text(point, payload)))  # several searches may give one several times
    return [(name, rank, *rest) for rank, (name, rest) in enumerate(distinct.items(), start=1)]


def _text(point: Any, payload: bool | str) -> str | None:
    """What is recorded of a point's payload."""
    held = getattr(point, "payload", None)
    if payload is False or held is None:
        return None
    text = first(held, ALL_TEXTS) if payload is True else functools.reduce(part, payload.split("."), held)
    return None if text is None else str(text)


def _points(response: Any) -> Iterator[Any]:
    """The points of any answer: those of several searches one after the other, those of groups likewise."""
    if isinstance(response, tuple):  # of `scroll`: points, and where to go on
        response = cast("tuple[Any, ...]", response)[0]
    if isinstance(response, list):
        for each in cast("list[Any]", response):
            yield from _points(each)
        return
    parts = (getattr(response, name, None) for name in ("points", "groups", "hits"))
    inner = next((held for held in parts if held is not None), None)
    if inner is None:
        yield response
    else:
        yield from _points(inner)
