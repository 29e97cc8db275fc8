"""LangChain and LangGraph: any runnable, mirrored through its callbacks, whichever method it is called by.

    graph = mirrored(builder.compile(), support.mirror(sample=0.1))

A compiled graph stays a compiled graph, of a subclass; any other runnable becomes a `RunnableBinding` over it, as after
`with_config`. `invoke`, `stream`, `batch`, `astream_events` and their twins give one query for each input, also inside
a larger chain. What runs inside a mirrored run is part of it, so nested mirrored runnables make no query of their own.
"""

from __future__ import annotations

import functools
import inspect
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, ClassVar, Final, TypeVar, cast

from langchain_core.runnables import Runnable, RunnableBinding, RunnableGenerator, RunnableLambda
from langchain_core.runnables.config import merge_configs
from langchain_core.runnables.utils import Input, Output

from shadoweval.adapters.langchain.mirror_announced import ContextState, Invocation, announce, retract
from shadoweval.adapters.langchain.mirror_entries import astreamed, begun, raised, returned, streamed
from shadoweval.adapters.langchain.mirror_handler import MirrorHandler
from shadoweval.adapters.langchain.mirror_keywords import (
    METHODS,
    STREAMS,
    Given,
    KeptInputs,
    Keywords,
    Sites,
    keywords_of,
)
from shadoweval.checks import checked_instance
from shadoweval.mirror.call import Call
from shadoweval.mirror.decorator import Mirror
from shadoweval.mirror.mounting import site_of
from shadoweval.mirror.plan import Reader, Site

__all__ = ["mirrored", "run_sites"]

_R = TypeVar("_R", bound=Runnable[Any, Any])


def mirrored(runnable: _R, mirror: Mirror, *, entry: str | None = None) -> _R:
    """The same runnable, mirrored.

    Args:
        runnable: A compiled graph, agent, chain, model, retriever or tool; the outermost one, since what is made from
            it afterwards (`model.bind_tools(...)`) is a new object. What was mirrored is mirrored anew, not twice.
        mirror: How. Its readers (`unit`, `attributes`, `text`) are called with the input, and with `config=` where
            they take it. Without `unit`, a graph's thread is the unit.
        entry: `"module:attribute"` of the runnable, for re-runs of the incumbent.

    Raises:
        ArgumentError: no runnable, or not a mirror.
        TargetError: `entry` is not written as `"module:attribute"`.
    """
    mend = "Decorate a function with the mirror itself." if inspect.isroutine(runnable) else ""
    checked_instance("runnable", runnable, Runnable, mend=mend)
    sites, inner = run_sites(mirror, entry), _bare(runnable, mirror.experiment)
    own_body = isinstance(inner, RunnableLambda | RunnableGenerator)
    bound: Any = getattr(inner, "config", None) or {}
    handler = MirrorHandler(sites, own_body=own_body, bound=bound.get("configurable"))
    if hasattr(inner, "get_state"):  # a graph: with_config gives a copy of the same class
        graph: Any = inner.with_config(callbacks=[handler])
        # As Pregel.copy makes a graph anew.
        parts = {name: part for name, part in vars(graph).items() if name != "__orig_class__"}
        return _graph_class(type(graph))(**parts)
    return cast("_R", MirroredRunnable(bound=inner, config={"callbacks": [handler]}))


def _bare(runnable: Any, experiment: str) -> Any:
    """What was mirrored for the same experiment before: a cell or a script that runs again replaces its mirrors."""
    if not isinstance(runnable, _Entries):
        return runnable
    mirrored: Any = runnable
    handler, rest = _own(mirrored.config)
    if handler is None or handler.sites["invoke"].plan.experiment != experiment:
        return mirrored
    if isinstance(runnable, _GraphEntries):
        return mirrored.copy({"config": rest})
    if not (any(rest.values()) or mirrored.kwargs or mirrored.config_factories):
        return _bare(mirrored.bound, experiment)
    parts: Any = {"config": rest, "kwargs": mirrored.kwargs, "config_factories": mirrored.config_factories}
    return RunnableBinding(bound=mirrored.bound, **parts)


def run_sites(mirror: Mirror, entry: str | None = None) -> Sites:
    """A mirror's sites for runs that are called with an input and keywords; a query's entry ends in the method."""
    plan = site_of(mirror, entry).plan
    readers: dict[str, Any] = {name: _fitting(getattr(plan, name)) for name in ("attributes", "unit", "text")}
    readers["unit"] = readers["unit"] or _thread
    site = site_of(mirror, entry, inputs=KeptInputs(plan.inputs, plan.max_bytes), **readers)
    entries = {method: f"{site.entry}.{method}" if site.entry else f":{method}" for method in METHODS}
    return {method: Site(site.plan, name, method=False) for method, name in entries.items()}


def _fitting(reader: Reader | None) -> Reader | None:
    """A reader that may be called with `config`, `context` and others, whether or not it takes them."""
    if reader is None:
        return None
    try:
        parameters = inspect.signature(reader).parameters.values()
    except (TypeError, ValueError):  # a builtin without a signature
        parameters = ()
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return reader
    named = {p.name for p in parameters if p.kind in {p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY}}

    def of_input(inputs: Any, **keywords: Any) -> Any:
        return reader(inputs, **{name: value for name, value in keywords.items() if name in named})

    return of_input


def _thread(_inputs: Any, config: Mapping[str, Any] | None = None, **_: Any) -> str:
    return str((config or {}).get("configurable", {}).get("thread_id") or "")


class _Entries:
    """The entry methods of a runnable that has a `MirrorHandler` among its callbacks.

    They begin and end the call themselves and run the same runnable without the handler, which sees the runs of all
    other methods.
    """

    __slots__ = ()
    _graph: ClassVar[bool] = False

    def _bare(self, config: Any, kwargs: dict[str, Any]) -> tuple[MirrorHandler | None, Any, Any, dict[str, Any]]:
        """The mirror's handler, None: without one; then runnable, config and keywords of the same run without us."""
        raise NotImplementedError

    def _begun(self, method: str, handler: MirrorHandler | None, given: tuple[Any, Given]) -> Call | None:
        """The call of an entry method, which was given this input, config and keywords."""
        if handler is None:
            return None
        inputs, (config, kwargs) = given
        graph, streams = self if self._graph else None, self._graph and method in STREAMS

        def read() -> Keywords:
            return keywords_of(handler.with_bound(cast("Any", self).config, config), kwargs)

        return begun(handler.sites[method], inputs, read, graph=graph, state=streams)

    def invoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002 - langchain_core's name
        """As the runnable's own."""
        given = (input, (config, kwargs))
        handler, bare, config, kwargs = self._bare(config, kwargs)
        call = self._begun("invoke", handler, given)
        if call is None:
            return bare.invoke(input, config, **kwargs)
        call.enter()
        try:
            value = bare.invoke(input, config, **kwargs)
        except BaseException as error:
            raised(call, error)
            raise
        returned(call, value)
        return value

    async def ainvoke(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002 - langchain_core's name
        """As the runnable's own."""
        given = (input, (config, kwargs))
        handler, bare, config, kwargs = self._bare(config, kwargs)
        call = self._begun("ainvoke", handler, given)
        if call is None:
            return await bare.ainvoke(input, config, **kwargs)
        call.enter()
        try:
            value = await bare.ainvoke(input, config, **kwargs)
        except BaseException as error:
            raised(call, error)
            raise
        returned(call, value)
        return value

    def stream(self, input: Any, config: Any = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002 - langchain_core's name
        """As the runnable's own."""
        given = (input, (config, kwargs))
        handler, bare, config, kwargs = self._bare(config, kwargs)
        begin = functools.partial(self._begun, "stream", handler, given)
        return streamed(begin, functools.partial(bare.stream, input, config, **kwargs), graph=self._graph)

    def astream(self, input: Any, config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002 - langchain_core's name
        """As the runnable's own."""
        given = (input, (config, kwargs))
        handler, bare, config, kwargs = self._bare(config, kwargs)
        begin = functools.partial(self._begun, "astream", handler, given)
        return astreamed(begin, functools.partial(bare.astream, input, config, **kwargs), graph=self._graph)


def _own(config: Any) -> tuple[MirrorHandler | None, dict[str, Any]]:
    """The mirror's handler among a runnable's own callbacks, and its config without it."""
    callbacks: Any = config.get("callbacks")
    handlers = callbacks if isinstance(callbacks, list) else getattr(callbacks, "handlers", [])
    own = next((handler for handler in cast("list[Any]", handlers) if type(handler) is MirrorHandler), None)
    if own is None:
        return None, config
    rest = {name: part for name, part in config.items() if name != "callbacks"}
    if not isinstance(callbacks, list):
        rest["callbacks"] = callbacks.copy()
        rest["callbacks"].remove_handler(own)
    elif len(handlers) > 1:
        rest["callbacks"] = [handler for handler in cast("list[Any]", callbacks) if handler is not own]
    return own, rest


class MirroredRunnable(_Entries, RunnableBinding[Input, Output]):
    """A runnable that is no graph, mirrored."""

    def _bare(self, config: Any, kwargs: dict[str, Any]) -> tuple[MirrorHandler | None, Any, Any, dict[str, Any]]:
        handler, own = _own(self.config)
        if own or self.config_factories:
            config = merge_configs(cast("Any", own), config)
            config = merge_configs(config, *(made(config) for made in self.config_factories))
        return handler, self.bound, config, {**self.kwargs, **kwargs}

    def batch(self, inputs: Any, config: Any = None, **kwargs: Any) -> list[Any]:
        """As the runnable's own."""
        outer, token = ContextState(), announce(_own(self.config)[0], inputs, (config, kwargs))
        try:
            return super().batch(inputs, config, **kwargs)
        finally:
            retract(token)
            outer.restore()

    async def abatch(self, inputs: Any, config: Any = None, **kwargs: Any) -> list[Any]:
        """As the runnable's own."""
        outer, token = ContextState(), announce(_own(self.config)[0], inputs, (config, kwargs))
        try:
            return await super().abatch(inputs, config, **kwargs)
        finally:
            retract(token)
            outer.restore()

    def astream_events(self, input: Any, config: Any = None, **kwargs: Any) -> Any:  # noqa: A002 - langchain_core's name
        """As the runnable's own; events are no chunks of the answer."""
        events: Any = super().astream_events(input, config, **kwargs)
        if not hasattr(events, "__aiter__"):  # version 3 gives something to await
            return events
        return Invocation(_own(self.config)[0], input, (config, {})).arelay(events)  # keywords choose events

    def transform(self, input: Iterator[Any], config: Any = None, **kwargs: Any) -> Iterator[Any]:  # noqa: A002 - langchain_core's name
        """As the runnable's own: inside a larger stream, whose first chunk mostly is the whole input."""
        chunks = iter(input)
        for first in chunks:
            inner = super().transform(itertools.chain((first,), chunks), config, **kwargs)
            yield from Invocation(_own(self.config)[0], first, (config, kwargs), piecewise=True).relay(
                cast("Any", inner)
            )
            return
        yield from super().transform(chunks, config, **kwargs)

    async def atransform(self, input: AsyncIterator[Any], config: Any = None, **kwargs: Any) -> AsyncIterator[Any]:  # noqa: A002 - langchain_core's name
        """As `transform`."""
        chunks = aiter(input)
        async for first in chunks:
            inner = super().atransform(_chained(first, chunks), config, **kwargs)
            async for out in Invocation(_own(self.config)[0], first, (config, kwargs), piecewise=True).arelay(
                cast("Any", inner)
            ):
                yield out
            return
        async for out in super().atransform(chunks, config, **kwargs):
            yield out


async def _chained(first: Any, rest: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield first
    async for chunk in rest:
        yield chunk


class _GraphEntries(_Entries):
    __slots__ = ()
    _graph = True

    def _bare(self, config: Any, kwargs: dict[str, Any]) -> tuple[MirrorHandler | None, Any, Any, dict[str, Any]]:
        handler, own = _own(cast("Any", self).config)
        if handler is None:
            return None, super(), config, kwargs
        graph_class: Any = type(self).__mro__[_GRAPH]
        bare = graph_class.__new__(graph_class)
        bare.__dict__ = {**vars(self), "config": own}
        return handler, bare, config, kwargs


_GRAPH: Final = 3
"""Index of the graph's own class, behind ours, `_GraphEntries` and `_Entries`."""


def _graph_class(base: type) -> type:
    """A graph's class with `_Entries`; under its own name, since it is no other class to anybody."""
    if issubclass(base, _GraphEntries):
        return base
    names = {"__module__": base.__module__, "__qualname__": base.__qualname__, "__slots__": ()}
    made = (kind for kind in base.__subclasses__() if kind.__mro__[1] is _GraphEntries)  # held weakly
    return next(made, None) or type(base.__name__, (_GraphEntries, base), names)
