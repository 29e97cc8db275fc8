"""Memory of LangGraph's graphs in a shadow: a copy as of the query, thrown away after it.

A graph with a checkpointer or a store reads a user's history and writes to it. In a candidate's process each run gets
a copy of the graph over an InMemorySaver and an InMemoryStore of its own, seeded with what was there when the query
was asked. So the candidate answers each turn out of the incumbent's history (teacher forcing), and nothing is written
back. Reusing production's saver under another thread id would write rows into production's storage.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import shutil
import sqlite3
import tempfile
import weakref
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

import msgspec
from langgraph.checkpoint.base import BaseCheckpointSaver, CheckpointTuple
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.store.memory import InMemoryStore

from shadoweval.adapters.langchain.candidate_memory import memories
from shadoweval.adapters.langchain.recorder_memory import unnoted
from shadoweval.candidate.tools import intercept
from shadoweval.candidate.tools.session import Session

__all__ = ["patch"]

_PAGE: Final = 100
_TRIES: Final = 3
_SYNC: Final = {"stream": 1, "get_state": 0, "get_state_history": 0, "update_state": 0, "bulk_update_state": 0}
"""Method -> position of its config."""
_ASYNC: Final = {"aget_state": 0, "aupdate_state": 0, "abulk_update_state": 0}
_ASYNC_ITERATORS: Final = {"astream": 1, "aget_state_history": 0}

_ours: Final[weakref.WeakSet[Any]] = weakref.WeakSet()
"""Savers and stores that were made here."""
_copies: Final[weakref.WeakKeyDictionary[Session, dict[Any, Any]]] = weakref.WeakKeyDictionary()


def isolate_graph(graph: Any, thread_id: str, *, as_of: dt.datetime | None = None, memory: bytes | None = None) -> Any:
    """A copy of a compiled graph with a memory of its own, seeded from `graph`'s as it was at `as_of`.

    Args:
        graph: A compiled graph; it stays as it is.
        thread_id: The conversation to copy; the copy keeps its name.
        as_of: Aware time; later checkpoints are left out, and so are store items made or changed later, since what
            they were before is not known. None: all there is.
        memory: The history as it came with the query, taken instead of the saver's.
    """
    with unnoted():
        saver, store = _readable(graph.checkpointer), _readable(graph.store)
        checkpoints = list(saver.list(_thread(thread_id))) if _real(saver) and memory is None else []
        items = [] if store is None else _items(store)
        return _isolated(graph, checkpoints, items, as_of=as_of, memory=memory)


async def aisolate_graph(
    graph: Any, thread_id: str, *, as_of: dt.datetime | None = None, memory: bytes | None = None
) -> Any:
    """`isolate_graph` in async code; savers and stores that are sync only are asked as such."""
    with unnoted():
        return await _aisolated(graph, thread_id, as_of=as_of, memory=memory)


async def _aisolated(graph: Any, thread_id: str, *, as_of: dt.datetime | None, memory: bytes | None) -> Any:
    saver, store = _readable(graph.checkpointer), _readable(graph.store)
    checkpoints: list[CheckpointTuple] = []
    if _real(saver) and memory is None:
        try:
            checkpoints = [entry async for entry in saver.alist(_thread(thread_id))]
        except NotImplementedError:
            checkpoints = list(saver.list(_thread(thread_id)))
    items: list[Any] = []
    try:
        while store is not None and len(page := await store.asearch((), limit=_PAGE, offset=len(items))):
            items.extend(page)
    except NotImplementedError:
        items = _items(store)
    return _isolated(graph, checkpoints, items, as_of=as_of, memory=memory)


def _readable(memory: Any) -> Any:
    """The same saver or store over a copy of its SQLite file, where it has one: a shadow may not lock production's.

    It was opened when the pipeline was imported. Whoever has none, or none in a file, is asked itself.
    """
    connection = getattr(memory, "conn", None)
    if not isinstance(connection, sqlite3.Connection):
        return memory
    path = next((row[2] for row in connection.execute("PRAGMA database_list") if row[1] == "main"), "")
    if not path:
        return memory
    for _ in range(_TRIES):
        copy = _copied_file(Path(path))
        if copy is not None:
            return type(memory)(copy)
    return memory


def _copied_file(path: Path) -> sqlite3.Connection | None:
    """A copy of a database and its write-ahead log, made without a lock; None: production was writing meanwhile."""
    copy = Path(tempfile.mkdtemp()) / path.name
    for ending in ("", "-wal"):
        source = path.with_name(path.name + ending)
        if source.exists():
            shutil.copyfile(source, copy.with_name(copy.name + ending))
    connection = sqlite3.connect(copy, check_same_thread=False)
    try:
        return connection if connection.execute("PRAGMA quick_check").fetchone() == ("ok",) else None
    except sqlite3.DatabaseError:
        return None


def _items(store: Any) -> list[Any]:
    items: list[Any] = []
    while len(page := store.search((), limit=_PAGE, offset=len(items))):
        items.extend(page)
    return items


def _thread(thread_id: str) -> Any:
    return {"configurable": {"thread_id": thread_id}}


def _real(saver: Any) -> bool:
    return isinstance(saver, BaseCheckpointSaver)


def _isolated(
    graph: Any,
    checkpoints: Iterable[CheckpointTuple],
    items: Iterable[Any],
    *,
    as_of: dt.datetime | None,
    memory: bytes | None,
) -> Any:
    update: dict[str, Any] = {}
    if _real(graph.checkpointer):
        restored = memory and _restored(memory, graph.checkpointer.serde)
        update["checkpointer"] = restored or _seeded_saver(checkpoints, as_of=as_of)
    if graph.store is not None:
        update["store"] = store = InMemoryStore()
        for item in items:
            if as_of is None or (_aware(item.created_at) <= as_of and _aware(item.updated_at) <= as_of):
                store.put(item.namespace, item.key, item.value)
    _ours.update(update.values())
    return graph.copy(update=update)


def _aware(time: dt.datetime) -> dt.datetime:
    """Stores over databases without time zones give naive times, in UTC."""
    return time if time.tzinfo is not None else time.replace(tzinfo=dt.UTC)


def _restored(memory: bytes, serde: Any) -> InMemorySaver:
    """A saver with the history that came with the query (see `mirror_keywords`)."""
    saver = InMemorySaver(serde=serde)
    rows: list[Any] = msgspec.msgpack.decode(memory)
    for thread, namespace, checkpoint_id, checkpoint, metadata, parent, values, writes in rows:
        saver.storage[thread][namespace][checkpoint_id] = (tuple(checkpoint), tuple(metadata), parent)
        for channel, version, *value in values:
            saver.blobs[thread, namespace, channel, version] = cast("Any", tuple(value))
        for task, number, write_task, channel, value, path in writes:
            write = (write_task, channel, tuple(value), path)
            saver.writes[thread, namespace, checkpoint_id][task, number] = cast("Any", write)
    return saver


def _seeded_saver(checkpoints: Iterable[CheckpointTuple], *, as_of: dt.datetime | None) -> InMemorySaver:
    saver = InMemorySaver()
    # Ids grow with time, so that parents come first.
    for entry in sorted(checkpoints, key=lambda entry: entry.checkpoint["id"]):
        if as_of is not None and _aware(dt.datetime.fromisoformat(entry.checkpoint["ts"])) > as_of:
            continue
        own: Any = entry.config
        thread = {name: own["configurable"].get(name, "") for name in ("thread_id", "checkpoint_ns")}
        parent: Any = entry.parent_config
        above = {"checkpoint_id": parent["configurable"]["checkpoint_id"]} if parent else {}
        config: Any = {"configurable": {**thread, **above}}
        written = saver.put(config, entry.checkpoint, entry.metadata, entry.checkpoint["channel_versions"])
        for task, channel, value in entry.pending_writes or ():
            saver.put_writes(written, [(channel, value)], task)
    return saver


def patch(pregel: ModuleType) -> None:
    """Give each run its own memory of every graph of this process (of `langgraph.pregel.main`)."""
    base: Any = pregel.Pregel
    for name, position in _SYNC.items():
        setattr(base, name, _over_sync(getattr(base, name), position))
    for name, position in _ASYNC.items():
        setattr(base, name, _over_async(getattr(base, name), position))
    for name, position in _ASYNC_ITERATORS.items():
        setattr(base, name, _over_iterator(getattr(base, name), position))


def _over_sync(method: Callable[..., Any], position: int) -> Callable[..., Any]:
    @functools.wraps(method)
    def shadowed(self: Any, *args: Any, **kwargs: Any) -> Any:
        key = _needed(self, args, kwargs, position=position)
        if key is None:
            return method(self, *args, **kwargs)
        session, thread = key
        copies = _copies.setdefault(session, {})
        if (id(self), thread) not in copies:
            copies[id(self), thread] = (
                self,
                isolate_graph(self, thread, as_of=session.asked_at, memory=memories.get(session)),
            )
        return method(copies[id(self), thread][1], *args, **kwargs)

    return shadowed


async def _copied(graph: Any, session: Session, thread: str) -> Any:
    copies = _copies.setdefault(session, {})
    if (id(graph), thread) not in copies:
        copies[id(graph), thread] = (
            graph,
            await aisolate_graph(graph, thread, as_of=session.asked_at, memory=memories.get(session)),
        )
    return copies[id(graph), thread][1]


def _over_async(method: Callable[..., Any], position: int) -> Callable[..., Any]:
    @functools.wraps(method)
    async def shadowed(self: Any, *args: Any, **kwargs: Any) -> Any:
        key = _needed(self, args, kwargs, position=position)
        return await method(self if key is None else await _copied(self, *key), *args, **kwargs)

    return shadowed


def _over_iterator(method: Callable[..., AsyncIterator[Any]], position: int) -> Callable[..., AsyncIterator[Any]]:
    @functools.wraps(method)
    async def shadowed(self: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        key = _needed(self, args, kwargs, position=position)
        source: Any = method(self if key is None else await _copied(self, *key), *args, **kwargs)
        async with contextlib.aclosing(source) as chunks:
            async for chunk in chunks:
                yield chunk

    return shadowed


def _needed(graph: Any, args: tuple[Any, ...], kwargs: dict[str, Any], *, position: int) -> tuple[Session, str] | None:
    """The run and the thread whose copy is needed; None: outside a run, or no memory but a copy of ours."""
    memories = [memory for memory in (graph.checkpointer, graph.store) if _real(memory) or hasattr(memory, "search")]
    session = intercept.current()
    if session is None or not memories or all(memory in _ours for memory in memories):
        return None
    config: Any = kwargs.get("config", args[position] if len(args) > position else None) or {}
    bound: Any = graph.config or {}
    merged = {**bound.get("configurable", {}), **cast("dict[str, Any]", config).get("configurable", {})}
    return session, str(merged.get("thread_id", ""))
