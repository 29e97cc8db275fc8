"""What the guard refused beside runs, in words, with the line that would allow it."""

from __future__ import annotations

from collections.abc import Iterable

from shadoweval.candidate.guard import Supervisor, advice
from shadoweval.errors import TargetError
from shadoweval.records import Refusal

__all__ = ["broken_by_refusals", "remarks"]

_NAMED = 3
"""How many refusals a message names."""


def broken_by_refusals(error: TargetError, refusals: Iterable[Refusal]) -> TargetError:
    """The error of an import, with what the guard refused meanwhile and how to allow it; itself if that is nothing."""
    refusals = tuple(refusals)
    if not refusals:
        return error
    acts = ", ".join(f"{refusal.kind} {refusal.detail!r}" for refusal in refusals[:_NAMED])
    more = f" and {len(refusals) - _NAMED} more" if len(refusals) > _NAMED else ""
    why = f"{error.why}; it is imported as a shadow, and the guard refused {acts}{more}"
    lines = dict.fromkeys(map(advice, refusals[:_NAMED]))
    return TargetError(
        error.target, why, mend=f"If it needs this, write {', '.join(lines)}; or leave it out of the import."
    )


def remarks(supervisor: Supervisor | None) -> tuple[str, ...]:
    """What was refused and is no run's doing, for a worker's log."""
    if supervisor is None:
        return ()
    at_import = [
        f"import refused: {_counted(refusal, count)}; if it should: {advice(refusal)}"
        for refusal, count in tuple(supervisor.at_import.items())
    ]
    left_over = [
        f"leftover threads refused: {_counted(refusal, count)}"
        for refusal, count in tuple(supervisor.left_over.items())
    ]
    return (*at_import, *left_over)


def _counted(refusal: Refusal, count: int) -> str:
    return f"{refusal.kind} {refusal.detail}" + (f", {count} times" if count > 1 else "")
