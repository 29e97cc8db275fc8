"""How a runnable was called, as its query keeps it: config, context and other keywords, without the framework's own.

What is kept goes to the candidate as it went to the incumbent. Of a config that are `configurable`, limits, tags and
metadata; callbacks, run names and ids are about one run. What can't be copied is left out, and named in the query's
attribute `left_out`, so that such queries are a slice of their own. A context that can't be copied makes the call
`uncopyable`: without it the candidate would be another pipeline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast

import msgspec
from langchain_core.runnables.config import CONFIG_KEYS, DEFAULT_RECURSION_LIMIT, var_child_runnable_config

from shadoweval import codec
from shadoweval.capture.copying import carried, encode
from shadoweval.capture.wire.inputs import attribute_data, call_inputs
from shadoweval.errors import UncopyableError
from shadoweval.mirror.begin import begin
from shadoweval.mirror.call import Call
from shadoweval.mirror.plan import Site

__all__ = ["MEMORY", "METHODS", "STREAMS", "Given", "Keywords", "Sites", "begun_with", "keywords_of"]

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
_ONE_RUNS: Final = frozenset({"control", "print_mode", "durability", "debug"})
_STREAMS: Final = frozenset({"stream_mode", "subgraphs", "version"})
"""Which chunks a graph's stream has; what it comes to is the graph's last state."""
_IN_MEMORY: Final = "langgraph.checkpoint.memory"


class Keywords(msgspec.Struct):
    """What a query keeps of the keywords of a call."""

    kept: dict[str, Any]
    left_out: list[str]
    """What could not be copied: `configurable.db (Connection)`."""


def begun_with(site: Site, inputs: Any, keywords: Keywords, *, graph: Any = None) -> Call | None:
    """The call of a run with this input and these keywords; None: it is not mirrored. `graph`: the graph that runs."""
    call = begin(site, (inputs,), keywords.kept)
    if call is None or call.recorder is None or (graph is None and not keywords.left_out):
        return call
    with call.at("snapshot"):
        config = keywords.kept.get("config") or {}
        memory = (
            None if graph is None or site.plan.inputs is not None else _memory(graph, config.get("configurable", {}))
        )
        if memory is not None and site.plan.redact is None:
            configurable = {**config.get("configurable", {}), MEMORY: memory}
            kept = {**keywords.kept, "config": {**config, "configurable": configurable}}
            call.inputs = call_inputs((inputs,), kept, max_bytes=site.plan.max_bytes)
        elif memory is not None:  # it is serialised: no redactor sees its texts
            keywords.left_out.append("the thread's history (it can't be redacted)")
        if keywords.left_out:
            attributes = msgspec.msgpack.decode(call.attributes)
            left_out = {_LEFT_OUT: ", ".join(keywords.left_out)}
            call.attributes = attribute_data({**attributes, **left_out}, max_bytes=site.plan.max_bytes)
    return call


def keywords_of(config: Any, kwargs: Mapping[str, Any], *, streams: bool = False, metadata: bool = True) -> Keywords:
    """The keywords of a call with this config and these others.

    `streams`: it gives a graph's stream; `metadata`: they are the call's own, not also those of runs around it.
    """
    keywords = Keywords({}, [])
    own = cast("dict[str, Any]", config) if type(config) is dict else {}
    around = var_child_runnable_config.get()
    if own or around:
        configurable = dict(_copied("configurable.", _configurable(around or {}, own), into=keywords.left_out))
        limits = _LIMITS if metadata else ()
        kept = dict(
            _copied("", ((name, own[name]) for name in limits if own.get(name) not in _UNSAID), into=keywords.left_out)
        )
        if configurable:
            kept["configurable"] = configurable
        if kept:
            keywords.kept["config"] = kept
    if kwargs:
        skipped = _ONE_RUNS | _STREAMS if streams else _ONE_RUNS
        rest = ((name, value) for name, value in kwargs.items() if value is not None and name not in skipped)
        keywords.kept.update(_copied("", rest, into=keywords.left_out))
    return keywords


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


def _copied(prefix: str, parts: Iterator[tuple[str, Any]], *, into: list[str]) -> Iterator[tuple[str, Any]]:
    """Those that can be copied; the others are named in `into`."""
    for name, value in parts:
        try:
            if name != "context" and not carried(value):
                codec.plain(value)
        except (UncopyableError, RecursionError):
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
