"""Qdrant: what a client's searches gave, how exact its index is, and writes that no shadow makes.

    client = watch(QdrantClient("http://qdrant:6333"), exact=True)

Inside a recording each search (`query_points`, `query_batch_points`, `query_points_groups`, and what older versions
call `search`, `recommend`, `discover`) is a retrieval with its hits. What changes anything is a tool call with the
effect `write`, named `qdrant.upsert` and so on: recorded in production, and in a shadow answered by the sandbox, never
by Qdrant. Clients stay what they are, the same objects with the same answers; outside a recording nothing is done.

A method that is not known to read counts as a write, of versions to come too.
"""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any, Final, TypeVar, cast

from shadoweval.adapters.qdrant_searches import Search, inside, local, rows_of_points, searching, within
from shadoweval.candidate.tools.intercept import Interception
from shadoweval.capture import acall_tool, call_tool, interceptor
from shadoweval.capture.document_parts import HitId, checked_hit_id
from shadoweval.capture.recorder import current
from shadoweval.checks import checked_keywords, checked_truth
from shadoweval.errors import ArgumentError

__all__ = ["patch", "watch"]

_C = TypeVar("_C")
_SEARCHES: Final = re.compile(
    r"query(_batch)?|query_(batch_)?points(_groups)?|(search|recommend|discover)(_batch|_groups)?"
)
_LISTINGS: Final = frozenset({"scroll", "retrieve"})
_READS: Final = re.compile(
    r"(get|list|search|query|recommend|discover)_?\w*|scroll|retrieve|count|facet|info|close|collection_exists"
    r"|collection_cluster_info|cluster_(status|telemetry)|set_(sparse_)?model"
)
"""Methods that change nothing, or nothing but the client itself."""
_MARK: Final = "__shadoweval__"


@checked_keywords()
def watch(
    client: _C,
    *,
    hit_id: HitId | str | None = None,
    payload: bool | str = True,
    hits: bool = True,
    exact: bool = False,
    listings: bool = False,
) -> _C:
    """Record what this client, `QdrantClient` or `AsyncQdrantClient`, finds, and keep shadows from writing by it.

    A client that fills an index of its own, `":memory:"`, does so at import, in `Sandbox(warm=)`, or before it is
    watched.

    Args:
        client: The client; it is returned itself.
        hit_id: What a point is known by, such as `"payload.doc_id"`; by default the experiment's, else the
            application's own id in the payload before the point's.
        payload: Whether a hit's text is recorded: by the usual names, or as the field of the payload that is named.
        hits: Whether what it finds is what the pipeline retrieved. False where a fusion, a reranker or LangChain's
            retriever makes the list, and reports it: searches are timed then, and no hits of theirs recorded.
        exact: In shadows, search again with `exact=True` off the run's clock, for `scoring.index_recall`.
        listings: Whether `scroll` and `retrieve`, which rank nothing, are retrievals too.

    Raises:
        ArgumentError: not a client of Qdrant's, or an argument that can't be used.
    """
    if not any(kind.__module__.startswith("qdrant_client.") for kind in type(client).__mro__):
        mend = "Write watch(QdrantClient(...))."
        raise ArgumentError("watch()", client, expected="a QdrantClient or an AsyncQdrantClient", mend=mend)
    rows_of = functools.partial(rows_of_points, own_id=checked_hit_id("watch(hit_id)", hit_id), payload=payload)
    if not isinstance(payload, str):
        checked_truth("watch(payload)", payload)
    for option, value in (("hits", hits), ("exact", exact), ("listings", listings)):
        checked_truth(f"watch({option})", value)
    for name in _methods(type(client)):
        method = getattr(type(client), name).__get__(client)
        if not _READS.fullmatch(name):
            setattr(client, name, _writing(name, method, _filling))
        elif _SEARCHES.fullmatch(name) or (listings and name in _LISTINGS):
            search = Search(method, rows_of, hits=hits, exact=exact and name not in _LISTINGS)
            setattr(client, name, searching(name, search))
    return client


def patch(module: ModuleType) -> None:
    """In a candidate's process: whichever client it makes, watched or not, changes nothing on a server."""
    for kind in vars(module).values():
        if isinstance(kind, type) and kind.__module__ == module.__name__ and hasattr(kind, "upsert"):
            for name in _methods(kind):
                if not _READS.fullmatch(name) and not hasattr(getattr(kind, name), _MARK):
                    setattr(kind, name, _writing(name, getattr(kind, name), local))


def _methods(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_") and inspect.isfunction(getattr(kind, name))]


def _filling(client: Any) -> bool:
    """Whether this is a candidate's process that loads, and fills an index of its own."""
    asked = interceptor()
    return isinstance(asked, Interception) and asked.current() is None and local(client)


class _Write:
    """A method that changes something, as a tool; `alone` says of its client that no world is behind it."""

    def __init__(self, name: str, method: Callable[..., Any], alone: Callable[[Any], bool]) -> None:
        self.name, self.method = f"qdrant.{name}", method
        self._signature, self._alone = inspect.signature(method), alone
        self._bound = inspect.ismethod(method)

    def unasked(self, args: tuple[Any, ...]) -> bool:
        """Whether the call concerns nobody but the client."""
        if inside.get() or (interceptor() is None and (current.get() is None or not self._bound)):
            return True
        return self._alone(cast("Any", self.method).__self__ if self._bound else args[0])

    def arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """As the call is recorded; one that does not fit is about to say so itself."""
        try:
            named = self._signature.bind(*args, **kwargs).arguments
        except TypeError:
            named = kwargs
        return {key: _plain(value) for key, value in named.items() if key not in {"self", "kwargs"}}


def _writing(name: str, method: Callable[..., Any], alone: Callable[[Any], bool]) -> Callable[..., Any]:
    write = _Write(name, method, alone)

    async def awritten(*args: Any, **kwargs: Any) -> Any:
        if write.unasked(args):
            return await method(*args, **kwargs)
        results: list[Any] = []

        async def live() -> Any:
            with within():
                results.append(await method(*args, **kwargs))
            return _plain(results[0])

        answer = await acall_tool(write.name, write.arguments(args, kwargs), effect="write", live=live)
        return results[0] if results else _result(answer)

    def written(*args: Any, **kwargs: Any) -> Any:
        if write.unasked(args):
            return method(*args, **kwargs)
        results: list[Any] = []

        def live() -> Any:
            with within():
                results.append(method(*args, **kwargs))
            return _plain(results[0])

        answer = call_tool(write.name, write.arguments(args, kwargs), effect="write", live=live)
        return results[0] if results else _result(answer)

    wrapped = functools.wraps(method)(awritten if inspect.iscoroutinefunction(method) else written)
    setattr(wrapped, _MARK, True)
    return wrapped


def _plain(value: Any) -> Any:
    """Models of Qdrant's as mappings of what they say; points of a generator are their caller's."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_none=True)
    return [_plain(each) for each in cast("list[Any]", value)] if isinstance(value, list | tuple) else value


def _result(answer: Any) -> Any:
    """What the incumbent got, or a stub gives, as the client would have given it."""
    if isinstance(answer, list):
        return [_result(each) for each in cast("list[Any]", answer)]
    models = sys.modules.get("qdrant_client.http.models")
    if models is not None and isinstance(answer, Mapping) and "status" in answer:
        return models.UpdateResult.model_validate(answer)
    return answer
