"""What was retrieved while a tool call was under way, so that a replay of the call brings the same hits.

A tool that is answered does not run, nor does a retriever inside it. `ToolCall.beside` holds the lists that came while
the call was under way, `{"retrieved": {"0": [0.25, "search", False, [["doc-7", 0.9, "text"]]]}}`: when, since the run
began; the retriever's name, which is empty where there was no step; whether the list replaced earlier ones; its hits.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from time import perf_counter
from typing import Any, Final

from shadoweval.capture.wire.rows import joined_hits

__all__ = ["RETRIEVED", "retrieved_again", "retrieved_by"]

RETRIEVED: Final = "retrieved"
_SHARE: Final = 4
"""Texts of a list are kept up to this part of the bytes that results may still have: the result has them too."""


def retrieved_by(lists: Sequence[tuple[float, str, bool, Sequence[Any]]], *, left: int) -> dict[str, Any]:
    """What a call keeps of the lists that came while it was under way.

    `left`: bytes that the run's results may still have.
    """
    kept: dict[str, Any] = {}
    for number, (at, name, replace, rows) in enumerate(lists):
        hits = joined_hits([rows], len(rows))
        texts = sum(len(hit[3] or "") for hit in hits) <= left // _SHARE
        kept[str(number)] = [at, name, replace, [[hit[0], hit[2], hit[3] if texts else None] for hit in hits]]
    return {RETRIEVED: kept}


def retrieved_again(recorder: Any, besides: Iterable[Mapping[str, Any]]) -> None:
    """What recorded calls retrieved comes again, in its order, now that they are answered; no recorder: nothing."""
    if recorder is None:
        return
    lists = [each for beside in besides for each in beside.get(RETRIEVED, {}).values()]
    for _, name, replace, rows in sorted(lists, key=itemgetter(0)):
        recorder.add_hits(rows, name=name, replace=replace)
        if name:
            recorder.add_step("retrieval", name, started=perf_counter(), duration=0.0)
