"""How a runnable was called, as its query keeps it: config, context and other keywords, without the framework's own.

What is kept goes to the candidate as it went to the incumbent. Of a config that are `configurable`, limits, tags and
metadata; callbacks, run names and ids are about one run. What can't be copied is left out, and named in the query's
attribute `left_out`, so that such queries are a slice of their own. A context that can't be copied makes the call
`uncopyable`: without it the candidate would be another pipeline.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from typing import Any, Final, cast

import msgspec
from langchain_core.runnables.config import CONFIG_KEYS, DEFAULT_RECURSION_LIMIT, var_child_runnable_config

from shadoweval import codec
from shadoweval.capture.copying import carried, encode
from shadoweval.capture.wire.inputs import Arguments, attribute_data, call_inputs
from shadoweval.errors import UncopyableError
from shadoweval.mirror.begin import begin
from shadoweval.mirror.call import Call
from shadoweval.mirror.plan import Reader, Site
from shadoweval.mirror.shield import Shield

__all__ = ["MEMORY", "METHODS", "STREAMS", "Given", "KeptInputs", "Keywords", "Sites", "begun_with", "keywords_of"]

MEMORY: Final = "__shadoweval_memory__"
"""Key of `configurable`: the thread's history, where production keeps it in its own memory (see `_memory`)."""
METHODS: Final = ("invoke", "ainvoke", "stream", "astream")
STREAMS: Final = frozenset({"stream", "astream"})
Sites = Mapping[str, Site]
"""Where the calls of each method begin."""
Given = tuple[Any, Mapping[str, Any]]
"""The config and the other keywords that a method was called with."""
_LEFT_OUT: Final = "left_out"
_LIMITS: Final = ("recursion_limit", "max_concurrency", "tags", "metadata")
_UNSAID: Final = (None, [], {}, DEFAULT_RECURSION_LIMIT)
"""What langchain_core itself puts there."""
_FRAMEWORKS: Final = ("__", "checkpoint_ns", "checkpoint_map", "langgraph_")
"""How keys begin that LangGraph and its server put into a config themselves."""
_PREGEL: Final = "__pregel_"
_ONE_RUNS: Final = frozenset({"control", "print_mode", "debug"})
"""Who may end it from outside, and what it prints."""
_IN_MEMORY: Final = "langgraph.checkpoint.memory"


class Keywords(msgspec.Struct):
    """The keywords of a call."""

    given: dict[str, Any]
    """Those that a query keeps: as they were given, and once the call was sampled those of them that can be copied."""
    left_out: list[str] = []
    """What of them could not be copied: `configurable.db (Connection)`; known when the call was sampled."""


class KeptInputs:
    """Reads a sampled call's input, and of its keywords what can be copied.

    Args:
        own: The mirror's own reader, which gets them; None: they are the query's inputs.
        max_bytes: What one of them may need.
    """

    __slots__ = ("max_bytes", "own")

    def __init__(self, own: Reader | None, max_bytes: int) -> None:
        self.own, self.max_bytes = own, max_bytes

    def __call__(self, inputs: Any, **given: Any) -> Any:
        """What the query keeps."""
        keywords = _beginning.get() or Keywords(given)
        kept = keywords.given = _kept(given, keywords.left_out, self.max_bytes)
        return Arguments((inputs,), kept) if self.own is None else self.own(inputs, **kept)


_beginning: Final[ContextVar[Keywords | None]] = ContextVar("shadoweval_keywords", default=None)
"""Of the call that is just being begun."""


def begun_with(site: Site, inputs: Any, read: Callable[[], Keywords], *, graph: Any = None) -> Call | None:
    """The call of a run with this input; None: it is not mirrored.

    Args:
        site: Where it begins, of `run_sites`.
        inputs: Its input.
        read: Gives its keywords; what can't be read is our loss, not the caller's.
        graph: The graph that runs.
    """
    if site.off:
        return begin(site, (inputs,), {})
    keywords = None
    with Shield(site.plan.experiment, site.outlet.ledger, "decide"):
        keywords = read()
    if keywords is None:
        return None
    token = _beginning.set(keywords)
    try:
        call = begin(site, (inputs,), keywords.given)
    finally:
        _beginning.reset(token)
    if call is not None and call.recorder is not None and not (graph is None and not keywords.left_out):
        with call.at("snapshot"):
            _complete(call, inputs, keywords, graph=graph)
    return call


def _complete(call: Call, inputs: Any, keywords: Keywords, *, graph: Any) -> None:
    """Add to a query what a graph remembers of its thread, and what was left out."""
    plan = call.site.plan
    config = keywords.given.get("config") or {}
    read_by_user = isinstance(plan.inputs, KeptInputs) and plan.inputs.own is not None
    memory = None if graph is None or read_by_user else _memory(graph, config.get("configurable", {}))
    if memory is not None and plan.redact is None:
        configurable = {**config.get("configurable", {}), MEMORY: memory}
        kept = {**keywords.given, "config": {**config, "configurable": configurable}}
        call.inputs = call_inputs((inputs,), kept, max_bytes=plan.max_bytes)
    elif memory is not None:  # it is serialised: no redactor sees its texts
        keywords.left_out.append("the thread's history (it can't be redacted)")
    if keywords.left_out:
        attributes = msgspec.msgpack.decode(call.attributes)
        left_out = {_LEFT_OUT: ", ".join(keywords.left_out)}
        call.attributes = attribute_data({**attributes, **left_out}, max_bytes=plan.max_bytes)


def keywords_of(config: Any, kwargs: Mapping[str, Any], *, metadata: bool = True) -> Keywords:
    """The keywords of a call with this config and these others.

    `metadata`: they are the call's own, not also those of runs around it.
    """
    given: dict[str, Any] = {}
    own = cast("dict[str, Any]", config) if type(config) is dict else {}
    around = var_child_runnable_config.get()
    if own or around:
        configurable = dict(_configurable(around or {}, own))
        limits = _LIMITS if metadata else ()
        kept = {name: own[name] for name in limits if own.get(name) not in _UNSAID}
        if configurable:
            kept["configurable"] = configurable
        if kept:
            given["config"] = kept
    if kwargs:
        given.update((name, value) for name, value in kwargs.items() if value is not None and name not in _ONE_RUNS)
    return Keywords(given)


def _configurable(around: Mapping[str, Any], own: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What is configured for a run: by the run around it, by its own config, and by keys of it that are no config's."""
    for source in (around, own):
        inside: Any = source.get("configurable") or {}
        nested = any(name.startswith(_PREGEL) for name in inside)
        for name, value in inside.items():
            if value is not None and not name.startswith(_FRAMEWORKS) and not (nested and name == "checkpoint_id"):
                yield name, value
        thread = (source.get("metadata") or {}).get("thread_id")
        if thread is not None and "thread_id" not in inside:
            yield "thread_id", str(thread)
    yield from ((name, value) for name, value in own.items() if name not in CONFIG_KEYS and value is not None)


def _kept(given: Mapping[str, Any], left_out: list[str], max_bytes: int) -> dict[str, Any]:
    """Those keywords that can be copied, and of the config its parts; the others are named in `left_out`."""

    def copied(prefix: str, parts: Mapping[str, Any], apart: str = "") -> dict[str, Any]:
        own = ((name, value) for name, value in parts.items() if name != apart)
        return dict(_copied(prefix, own, into=left_out, max_bytes=max_bytes))

    given_config: Mapping[str, Any] = given.get("config") or {}
    configurable = copied("configurable.", given_config.get("configurable") or {})
    config = copied("", given_config, "configurable")
    if configurable:
        config["configurable"] = configurable
    kept = copied("", given, "config")
    return {"config": config, **kept} if config else kept


def _copied(
    prefix: str, parts: Iterator[tuple[str, Any]], *, into: list[str], max_bytes: int
) -> Iterator[tuple[str, Any]]:
    """Those that can be copied; the others are named in `into`."""
    for name, value in parts:
        try:
            if name != "context" and not carried(value):
                codec.plain(value, max_bytes=max_bytes)
        except (UncopyableError, RecursionError, UnicodeError):  # UnicodeError: half a character is no text
            into.append(f"{prefix}{name} ({type(value).__name__})")
        else:
            yield name, value


def _memory(graph: Any, configurable: Mapping[str, Any]) -> bytes | None:
    """The last checkpoints of the call's thread, where the graph keeps them in this process; None: elsewhere, or none.

    A candidate's process reads what lies in a database as of the query; this memory it can't see. It is copied as the
    saver has it, serialised: thread, namespace, id, checkpoint, metadata, parent, then values and pending writes.
    """
    saver = graph.checkpointer
    if type(saver).__module__ != _IN_MEMORY:
        return None
    bound: Any = graph.config or {}
    thread = configurable.get("thread_id", bound.get("configurable", {}).get("thread_id"))
    namespaces: Any = saver.storage.get(thread) if thread is not None else None
    rows: list[Any] = []
    for namespace, checkpoints in list((namespaces or {}).items()):
        if not checkpoints:
            continue
        wanted = None if namespace else configurable.get("checkpoint_id")
        chosen = wanted if wanted in checkpoints else max(list(checkpoints))
        checkpoint, metadata, parent = checkpoints[chosen]
        versions = saver.serde.loads_typed(checkpoint)["channel_versions"]
        keys = [(thread, namespace, channel, version) for channel, version in versions.items()]
        values = [(*key[2:], *saver.blobs[key]) for key in keys if key in saver.blobs]
        writes = [(*key, *write) for key, write in list(saver.writes.get((thread, namespace, chosen), {}).items())]
        rows.append((thread, namespace, chosen, checkpoint, metadata, parent, values, writes))
    return encode(rows) if rows else None
