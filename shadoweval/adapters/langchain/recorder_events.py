"""What LangChain's and LangGraph's events say: names, tokens, and the nodes of a graph.

A graph reports its nodes to callbacks too, but such an event costs more than all the rest together; and every model,
retriever and tool says in its metadata which node it runs in.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Mapping
from time import perf_counter
from typing import Any, Final, Literal, NamedTuple, cast

from langchain_core.runnables import Runnable
from langchain_core.runnables.config import var_child_runnable_config

from shadoweval.capture.beside import MESSAGE
from shadoweval.capture.misfits import NOT_READ
from shadoweval.capture.said_effects import said_effect
from shadoweval.records import Effect

__all__ = [
    "Kind",
    "Nodes",
    "OpenRun",
    "call_around",
    "call_here",
    "message_extras",
    "node_name",
    "open_run",
    "origin_of_error",
    "read_output",
    "run_name",
    "said_by",
    "timed",
    "used_kinds",
    "used_tokens",
]

Kind = Literal["model", "retrieval", "tool", "other"]
_NO_TOKENS: Final = (None, None)
_NAMESPACE: Final = "langgraph_checkpoint_ns"
"""Key of a run's metadata: `node:task`, and for a graph inside a node `node:task|node:task`."""
_INSIDE: Final = "|"
_EFFECT_KEYS: Final = frozenset({"effect", "annotations", "readOnlyHint", "destructiveHint"})
"""Keys of the metadata that `said_effect` reads."""


class OpenRun(NamedTuple):
    """A run that has begun and not ended."""

    kind: Kind | None
    """None: a link, which is no step."""
    name: str
    step: int | None
    """Index of its step; a link has that of the step around it."""
    parent: int | None
    started: float


open_run: Final = functools.partial(tuple.__new__, OpenRun)
"""A third of the time of `OpenRun` itself."""


def call_around(handler: Any, around: int | None) -> float | None:
    """When the innermost tool call under way began in which something lies, by the index of the step around it.

    None: in none. Of a link inside a tool there may be no event, so that what it calls seems to lie beside the tool: it
    lies in the only one there.
    """
    if not handler.tools:  # as in most retrievals
        return None
    runs: Mapping[Any, OpenRun] = handler.runs
    tools = [runs[tool] for tool in handler.tools if tool in runs]
    parents = {run.step: run.parent for run in runs.values() if run.kind is not None} | handler.nodes.parents()
    while tools:
        inside = [tool for tool in tools if tool.step == around]
        beside = [] if handler.links else [tool for tool in tools if tool.parent == around]
        if inside or len(beside) == 1:
            return (inside or beside)[0].started
        if around is None:
            break
        around = parents.get(around)
    return None


def call_here(handler: Any) -> float | None:
    """`call_around` of what is running in this context, be it a run of LangChain's or not."""
    callbacks: Any = (var_child_runnable_config.get() or {}).get("callbacks")
    run = handler.runs.get(getattr(callbacks, "parent_run_id", None))
    return call_around(handler, None if run is None else run.step)


def timed(event: Callable[..., None]) -> Callable[..., None]:
    """An event's method of a handler that has a recorder, whose time is known to be ours."""

    @functools.wraps(event)
    def told(handler: Any, *args: Any, **fields: Any) -> None:
        since = perf_counter()
        try:
            event(handler, *args, **fields)
        finally:
            handler.recorder.spent(since)

    return told


def said_by(event: Mapping[str, Any]) -> Effect:
    """The effect that a tool's event says in its metadata and tags."""
    metadata, tags = event.get("metadata"), event.get("tags")
    silent = not tags and (not metadata or _EFFECT_KEYS.isdisjoint(metadata))
    return "unknown" if silent else said_effect(metadata, tags=tags)


def run_name(serialized: Any, default: str) -> str:
    """Name of what is run, from its serialised form."""
    if isinstance(serialized, Mapping):
        fields = cast("Mapping[str, Any]", serialized)
        path = fields.get("id")
        return str(fields.get("name") or (cast("list[Any]", path)[-1] if path else default))
    return default


def used_tokens(response: Any) -> tuple[int | None, int | None]:
    """Input and output tokens of an LLMResult: `usage_metadata` of its messages, else `llm_output`."""
    messages = [getattr(answer, "message", None) for generations in response.generations for answer in generations]
    usages = [usage for message in messages if (usage := getattr(message, "usage_metadata", None))]
    if usages:
        return sum(u.get("input_tokens", 0) for u in usages), sum(u.get("output_tokens", 0) for u in usages)
    output: Any = response.llm_output
    usage = output.get("token_usage") if output else None
    return (usage.get("prompt_tokens"), usage.get("completion_tokens")) if usage else _NO_TOKENS


_KINDS: Final = {
    ("input_token_details", "cache_read"): "cached_input",
    ("input_token_details", "cache_creation"): "cache_write",
    ("input_token_details", "audio"): "audio_input",
    ("output_token_details", "reasoning"): "reasoning",
    ("output_token_details", "audio"): "audio_output",
}
"""Where `usage_metadata` tells of tokens that are billed apart -> `records.TokenKind`."""


def used_kinds(response: Any) -> dict[str, int]:
    """Tokens of an LLMResult that are billed apart, by kind."""
    kinds: dict[str, int] = {}
    for generations in response.generations:
        for answer in generations:
            usage = getattr(getattr(answer, "message", None), "usage_metadata", None) or {}
            for (side, name), kind in _KINDS.items():
                count = (usage.get(side) or {}).get(name)
                if count is not None:
                    kinds[kind] = kinds.get(kind, 0) + count
    return kinds


def requested_calls(response: Any) -> Iterator[tuple[tuple[Any, str], Mapping[str, Any]]]:
    """Tool calls that the messages of an LLMResult ask for, by their ids and names."""
    for generations in response.generations:
        for answer in generations:
            for call in getattr(getattr(answer, "message", None), "tool_calls", None) or ():
                yield (call.get("id"), call["name"]), call


def unreadable_calls(response: Any) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Tool calls of an LLMResult's messages that nobody can read: the tool's name, what was written, and the error."""
    for generations in response.generations:
        for answer in generations:
            for call in getattr(getattr(answer, "message", None), "invalid_tool_calls", None) or ():
                yield str(call.get("name") or ""), {"arguments": call.get("args")}, f"{NOT_READ}: {call.get('error')}"


def failed_answers(messages: Any, asked: Collection[tuple[Any, str]]) -> Iterator[tuple[tuple[Any, str], str]]:
    """Ids and names of those calls whose answer, in what a model is given next, is an error; and what it says."""
    for conversation in messages:
        for message in conversation if isinstance(conversation, list) else ():
            key = (getattr(message, "tool_call_id", None), getattr(message, "name", None))
            if key in asked and getattr(message, "status", None) == "error":
                yield cast("tuple[Any, str]", key), str(message.content)


_EXTRAS: Final = ("artifact", "additional_kwargs", "response_metadata", "id", "name", "status")
_USUAL: Final = (None, {}, "success")


def message_extras(message: Any, tool: str) -> dict[str, Any]:
    """What a tool's message says besides its content: fields that are not as a message of LangChain's own has them."""
    extras = {name: getattr(message, name, None) for name in _EXTRAS}
    if not isinstance(message.content, str) and extras["status"] == "error":
        extras["content"] = message.content  # the error is its text
    return {name: value for name, value in extras.items() if (value != tool if name == "name" else not _usual(value))}


def read_output(output: Any, tool: str) -> tuple[Any, str | None, dict[str, Any] | None]:
    """Of what a tool gave, its result, its error and what it left beside them (`capture.beside`)."""
    content = getattr(output, "content", output)
    if not hasattr(output, "tool_call_id"):
        return content, None, None
    extras = message_extras(output, tool)
    beside = {MESSAGE: extras} if extras else None
    return (None, str(content), beside) if output.status == "error" else (content, None, beside)


def _usual(value: Any) -> bool:
    return type(value) in {type(None), dict, str} and value in _USUAL


class Nodes:
    """The nodes of one run, as steps; `next_index` gives their indexes."""

    __slots__ = ("_next_index", "_steps", "ends")

    def __init__(self, next_index: Callable[[], int]) -> None:
        self._next_index = next_index
        self._steps: dict[str, tuple[int, int | None, float]] = {}
        self.ends: dict[int, float] = {}
        """Index -> when the last step inside has ended, as far as it is known."""

    def around(self, metadata: Mapping[str, Any]) -> int | None:
        """Index of the node that a run with this metadata lies in."""
        namespace = metadata.get(_NAMESPACE)
        return self._index(namespace) if namespace else None

    def _index(self, namespace: str) -> int:
        step = self._steps.get(namespace)
        if step is not None:
            return step[0]
        outer = namespace.rpartition(_INSIDE)[0]
        parent, now = self._index(outer) if outer else None, perf_counter()
        index = self._next_index()
        self._steps[namespace] = (index, parent, now)
        self.ends[index] = now
        return index

    def find(self, namespace: str) -> int | None:
        """Index of a node in which something ran."""
        return self._steps[namespace][0] if namespace in self._steps else None

    def parents(self) -> dict[int, int | None]:
        """Index -> index of the node around it."""
        return {index: parent for index, parent, _ in self._steps.values()}

    def all(self) -> Iterator[tuple[str, int, int | None, float, float]]:
        """Namespace, index, index of the node around it, start and end of each; inner ones first.

        A node is taken to last from the start of the first step inside it to the end of the last.
        """
        for namespace, (index, parent, started) in reversed(self._steps.items()):
            ended = self.ends[index]
            if parent is not None:
                self.ends[parent] = max(self.ends[parent], ended)
            yield namespace, index, parent, started, ended


def origin_of_error(error: BaseException) -> tuple[str, str]:
    """Name of the link or node that an error was raised in, and the node's namespace; empty: none.

    No event tells of links, so it is read from the traceback: the innermost frame of a runnable's own method.
    """
    name, namespace, trace = "", "", error.__traceback__
    while trace is not None:
        variables = trace.tb_frame.f_locals
        runnable: Any = variables.get("self")
        if isinstance(runnable, Runnable):
            inside = _namespace(variables.get("config"))
            if not type(runnable).__module__.startswith("langgraph."):
                name = str(cast("Runnable[Any, Any]", runnable).get_name())
            elif inside:
                name = node_name(inside)
            name, namespace = name or str(runnable.get_name()), inside or namespace
        trace = trace.tb_next
    return name, namespace


def _namespace(config: Any) -> str:
    metadata = cast("dict[str, Any]", config).get("metadata") if type(config) is dict else None
    return str(metadata.get(_NAMESPACE) or "") if metadata else ""


def node_name(namespace: str) -> str:
    """As the graph calls it."""
    return namespace.rpartition(_INSIDE)[2].partition(":")[0]
