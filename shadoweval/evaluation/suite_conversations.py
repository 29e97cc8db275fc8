"""Conversations of a suite: whose turns are asked one after the other, and none without those before it."""

from __future__ import annotations

from collections.abc import Sequence

from shadoweval.evaluation.cases import Case, Turn
from shadoweval.records import Query

__all__ = ["by_conversation", "with_turns_before"]


def with_turns_before(chosen: Sequence[Case], every: Sequence[Case]) -> tuple[Case, ...]:
    """What is chosen of all cases, in their order, and of each conversation the turns before."""
    names = {case.identity for case in chosen}
    last = {case.conversation: len(case.earlier) for case in chosen if isinstance(case, Turn)}
    return tuple(
        case
        for case in every
        if case.identity in names or (isinstance(case, Turn) and len(case.earlier) <= last.get(case.conversation, -1))
    )


def by_conversation(queries: Sequence[Query], cases: Sequence[Case]) -> list[list[tuple[Query, Case]]]:
    """Queries, round after round of the cases, with their cases: those of one conversation in one round together."""
    groups: dict[tuple[int, str], list[tuple[Query, Case]]] = {}
    for place, query in enumerate(queries):
        case = cases[place % len(cases)]
        name = f"conversation {case.conversation}" if isinstance(case, Turn) else f"case {query.id}"
        groups.setdefault((place // len(cases), name), []).append((query, case))
    return list(groups.values())
