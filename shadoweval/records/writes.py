"""Two arms' writes of one query side by side."""

from __future__ import annotations

import msgspec

from shadoweval.records.acts import Effect

__all__ = ["WriteComparison"]


class WriteComparison(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What the candidate wrote for one query beside what the served incumbent wrote.

    Incumbent = same + changed + missing; candidate = same + changed + extra + duplicated.
    """

    same: int = 0
    changed: int = 0
    """The same tool with another argument."""
    missing: int = 0
    extra: int = 0
    """The incumbent made no such write."""
    duplicated: int = 0
    """Made more often than by the incumbent."""
    reordered: int = 0
    """Pairs of dependent writes among the same ones that came in the other order."""
    differences: tuple[str, ...] = ()
    """What differs, in words: `refund with another cents`."""
    tools: dict[str, Effect] = {}
    """Tools that either arm wrote with; empty: neither wrote."""
    unclear: str = ""
    """Why it can't be said whether the writes differ; empty: it can."""

    @property
    def counts(self) -> dict[str, int]:
        """By kind."""
        kinds = ("same", "changed", "missing", "extra", "duplicated", "reordered")
        return {kind: getattr(self, kind) for kind in kinds}

    @property
    def differing(self) -> int:
        """How many writes are not the same."""
        return self.changed + self.missing + self.extra + self.duplicated + self.reordered

    @property
    def equal(self) -> bool:
        """Both wrote the same."""
        return not self.differing
