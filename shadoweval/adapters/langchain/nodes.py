"""Nodes of a LangGraph graph, worked out from what ran inside them.

A graph tells callbacks of its nodes too, but to be told costs more than all the rest together; and every model,
retriever and tool says in its metadata which node it runs in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from time import perf_counter
from typing import Any, Final, cast

from langchain_core.runnables import Runnable

__all__ = ["Nodes", "node_name", "place_of_error"]

_PLACE: Final = "langgraph_checkpoint_ns"
"""`node:task`, and for a graph inside a node `node:task|node:task`."""
_INSIDE: Final = "|"


class Nodes:
    """The nodes of one run.

    Args:
        next_index: Gives indexes for steps.
    """

    __slots__ = ("_known", "_next_index", "ends")

    def __init__(self, next_index: Callable[[], int]) -> None:
        self._next_index = next_index
        self._known: dict[str, tuple[int, int | None, float]] = {}
        self.ends: dict[int, float] = {}
        """Index -> when the last step inside has ended, as far as it is known."""

    def around(self, metadata: Mapping[str, Any]) -> int | None:
        """Index of the node that a run with this metadata lies in."""
        place = metadata.get(_PLACE)
        return self._index(place) if place else None

    def _index(self, place: str) -> int:
        known = self._known.get(place)
        if known is not None:
            return known[0]
        outer = place.rpartition(_INSIDE)[0]
        parent, now = self._index(outer) if outer else None, perf_counter()
        index = self._next_index()
        self._known[place] = (index, parent, now)
        self.ends[index] = now
        return index

    def find(self, place: str) -> int | None:
        """Index of a node in which something ran."""
        return self._known[place][0] if place in self._known else None

    def all(self) -> Iterator[tuple[str, int, int | None, float, float]]:
        """Place, index, index of the node around it, start and end of each; inner ones first.

        A node is taken to last from the start of the first step inside it to the end of the last.
        """
        for place, (index, parent, started) in reversed(self._known.items()):
            ended = self.ends[index]
            if parent is not None:
                self.ends[parent] = max(self.ends[parent], ended)
            yield place, index, parent, started, ended


def place_of_error(error: BaseException) -> tuple[str, str]:
    """Name of the link or node that an error was raised in, and the node's place; empty: none."""
    name, place, trace = "", "", error.__traceback__
    while trace is not None:
        seen = trace.tb_frame.f_locals
        runs: Any = seen.get("self")
        if isinstance(runs, Runnable):
            inside = _place(seen.get("config"))
            if not type(runs).__module__.startswith("langgraph."):
                name = str(cast("Runnable[Any, Any]", runs).get_name())
            elif inside:
                name = node_name(inside)
            name, place = name or str(runs.get_name()), inside or place
        trace = trace.tb_next
    return name, place


def _place(config: Any) -> str:
    metadata = cast("dict[str, Any]", config).get("metadata") if type(config) is dict else None
    return str(metadata.get(_PLACE) or "") if metadata else ""


def node_name(place: str) -> str:
    """As the graph calls it."""
    return place.rpartition(_INSIDE)[2].partition(":")[0]
