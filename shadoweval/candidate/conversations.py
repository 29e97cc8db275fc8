"""Conversations of several turns: which of a candidate's turns were answered out of a history that is not its own.

Every turn is shadowed with the incumbent's history (teacher forcing). From the turn on in which the candidate first
answered otherwise, a user would have gone on otherwise too: such turns still compare two answers to one question, and
say nothing about how the candidate's own conversation would have gone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final, cast

import msgspec
import numpy as np

from shadoweval import codec
from shadoweval.errors import ShadowEvalError
from shadoweval.evidence.segments import KEPT, Segments
from shadoweval.records import Observation, Pair, Query

__all__ = ["Conversations"]

_DAY: Final = 86_400
_NAMES: Final = ("thread_id", "conversation_id", "session_id")


class Conversations:
    """Marks pairs that come after a divergence; to be fed the pairs of one candidate in query order.

    A conversation without a turn in 90 days begins anew.
    """

    def __init__(self) -> None:
        self.threads = Segments(3)
        """Turns so far, the first in which the candidate answered otherwise (0: none), day of the last one."""

    def marked(self, pairs: Sequence[Pair]) -> list[Pair]:
        """The pairs, with `candidate.diverged_at` (turns count from 1) where an earlier turn had diverged."""
        threads = [_number(thread) if (thread := thread_of(pair.query)) else 0 for pair in pairs]
        ids = np.unique(np.array([thread for thread in threads if thread], dtype=np.uint64))
        if not ids.size:
            return list(pairs)
        _, numbers = self.threads.get(ids)
        state = dict(zip(ids.tolist(), map(tuple, numbers.T.tolist()), strict=True))
        marked: list[Pair] = []
        for thread, each in zip(threads, pairs, strict=True):
            pair = each
            if thread:
                today = int(each.query.asked_at.timestamp() // _DAY)
                turns, diverged, day = state[thread]
                turns, diverged = (0, 0) if day < today - KEPT else (turns, diverged)
                if diverged:
                    candidate = msgspec.structs.replace(each.candidate, diverged_at=diverged)
                    pair = msgspec.structs.replace(each, candidate=candidate)
                elif _differ(each.served, each.candidate):
                    diverged = turns + 1
                state[thread] = turns + 1, diverged, today
            marked.append(pair)
        new = np.array([state[thread] for thread in ids.tolist()]).T
        self.threads.put(ids, new, days=new[2])
        return marked


def _number(thread: str) -> int:
    """The conversation as a number; no state holds what users call it."""
    return int.from_bytes(hashlib.sha256(thread.encode("utf-8", "surrogatepass")).digest()[:8]) or 1


def _differ(served: Observation, candidate: Observation) -> bool:
    """Whether the user would have seen another turn. Spacing at the ends is none."""
    if served.outcome is None or candidate.outcome is None:
        return True
    ours, theirs = served.outcome.answer, candidate.outcome.answer
    return (ours or "").strip() != (theirs or "").strip()


def thread_of(query: Query) -> str:
    """The conversation that a query belongs to; empty: it stands alone.

    From the attributes `thread_id`, `conversation_id` or `session_id`, else from LangGraph's
    `config={"configurable": {"thread_id": ...}}` among the arguments.
    """
    for name in _NAMES:
        if query.attributes.get(name):
            return str(query.attributes[name])
    if b"thread_id" not in query.inputs:
        return ""
    try:
        args, kwargs = codec.data(query.inputs)
    except (ShadowEvalError, TypeError, ValueError):  # somebody else's bytes
        return ""
    for value in (*args, *kwargs.values()):
        if isinstance(value, Mapping):
            configurable: Any = cast("Mapping[str, Any]", value).get("configurable")
            if isinstance(configurable, Mapping):
                return str(cast("Mapping[str, Any]", configurable).get("thread_id", ""))
    return ""
