"""What the candidate would have written, against what the incumbent wrote."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from shadoweval.candidate.tools.replay import call_key
from shadoweval.records import Effect, ToolCall, WriteEffect

__all__ = ["WriteComparison", "compare_writes"]


class WriteComparison(msgspec.Struct, frozen=True, kw_only=True):
    """Writes of one query, counted. incumbent = same + missing; candidate = same + extra + duplicated."""

    same: int = 0
    missing: int = 0
    """Made by the incumbent, not by the candidate."""
    extra: int = 0
    """Made by the candidate, not by the incumbent."""
    duplicated: int = 0
    """Made by the candidate more often than by the incumbent, or more than once where the incumbent made none."""

    def as_counts(self) -> dict[str, int]:
        """By name."""
        return msgspec.structs.asdict(self)


def compare_writes(
    incumbent: Iterable[ToolCall],
    candidate: Iterable[WriteEffect],
    *,
    effects: Mapping[str, Effect] | None = None,
) -> WriteComparison:
    """Compare as multisets over tool and canonical arguments.

    Calls of the incumbent that failed wrote nothing. `effects` (tool -> effect) wins over what the calls say.
    """
    declared = effects or {}
    wrote = Counter(
        (call.name, call_key(call.arguments))
        for call in incumbent
        if call.error is None and declared.get(call.name, call.effect) != "read"
    )
    writes = Counter((write.tool, call_key(write.arguments)) for write in candidate)
    extra = [key for key in writes if key not in wrote]
    same = (wrote & writes).total()
    return WriteComparison(
        same=same,
        missing=wrote.total() - same,
        extra=len(extra),
        duplicated=writes.total() - same - len(extra),
    )
