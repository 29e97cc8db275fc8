"""What probes of one metric came to; see `provable`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

__all__ = ["ProbeCount"]


@dataclass(slots=True)
class ProbeCount:
    """Probes of one metric."""

    eligible: int = 0
    """Pairs that could have been probed: the incumbent has a score."""
    tried: int = 0
    scored: int = 0
    """Pairs with a score for a probe."""
    worse: int = 0
    """Of those, pairs in which a probe scored worse than the incumbent."""
    reasons: dict[str, int] = field(default_factory=dict[str, int])
    """Why probes have no score, a few of them."""

    def to_state(self) -> list[Any]:
        """All of it as plain values."""
        return [self.eligible, self.tried, self.scored, self.worse, self.reasons]

    @classmethod
    def restored(cls, state: list[Any]) -> ProbeCount:
        """What `to_state` gave, taken up."""
        return cls(*state)
