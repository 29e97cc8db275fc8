"""Conversations of several turns: which of a candidate's turns were answered out of a history that is not its own.

Every turn is shadowed with the incumbent's history (teacher forcing). From the turn on in which the candidate first
answered otherwise, a user would have gone on otherwise too: such turns still compare two answers to one question, and
say nothing about how the candidate's own conversation would have gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.errors import ShadowEvalError
from shadoweval.records import Observation, Pair, Query

__all__ = ["Conversations"]

_NAMES: Final = ("thread_id", "conversation_id", "session_id")


class Conversations:
    """Marks pairs that come after a divergence; to be fed the pairs of one candidate in query order.

    Args:
        state: What `state` was when an earlier stretch of the same pairs had been fed.
    """

    def __init__(self, state: Mapping[str, tuple[int, int | None]] | None = None) -> None:
        self.state = dict(state or {})
        """Thread -> its turns so far, and the first in which the candidate answered otherwise."""

    def marked(self, pair: Pair) -> Pair:
        """The pair, with `candidate.diverged_at` (turns count from 1) where an earlier turn had diverged."""
        thread = thread_of(pair.query)
        if not thread:
            return pair
        turns, diverged = self.state.get(thread, (0, None))
        turn = turns + 1
        if diverged is None:
            self.state[thread] = turn, turn if _differ(pair.served, pair.candidate) else None
            return pair
        self.state[thread] = turn, diverged
        return msgspec.structs.replace(pair, candidate=msgspec.structs.replace(pair.candidate, diverged_at=diverged))


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
