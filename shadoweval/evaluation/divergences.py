"""Where the arms part, over many pairs: how often at each kind of step, and which part of the difference is theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from shadoweval.records import Divergence, DivergenceShare

__all__ = ["Divergences"]

_ALIKE: Final = "no difference"


class Divergences:
    """Counts by kind of the first step that differs."""

    def __init__(self) -> None:
        self._kinds: dict[str, list[float]] = {}
        """Kind -> pairs, pairs with a difference of the leading metric, sum of these."""

    def add(self, divergence: Divergence | None, difference: float | None) -> None:
        """Count a pair; `difference`: the leading metric's, larger is better, None where it is not scored in both."""
        counts = self._kinds.setdefault(_ALIKE if divergence is None else divergence.kind, [0, 0, 0.0])
        counts[0] += 1
        if difference is not None:
            counts[1] += 1
            counts[2] += difference

    def shares(self) -> tuple[DivergenceShare, ...]:
        """The largest loss first; the parts add up to the mean difference over pairs that are scored in both arms."""
        scored = sum(counts[1] for counts in self._kinds.values())
        shares = [
            DivergenceShare(kind=kind, pairs=int(pairs), difference=total / scored if scored and n else None)
            for kind, (pairs, n, total) in self._kinds.items()
        ]
        return tuple(sorted(shares, key=lambda share: (share.difference or 0.0, -share.pairs)))

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"kinds": self._kinds}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._kinds = {kind: list(counts) for kind, counts in state["kinds"].items()}
