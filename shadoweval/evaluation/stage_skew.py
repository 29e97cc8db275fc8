"""What one arm sees on a query and the other does not: fields, documents, contexts, counted in pairs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Final

from shadoweval.evaluation.stage_fields import ABSENT, Seen
from shadoweval.evidence.bets import discordant_log_e
from shadoweval.records import Pair, StageChange

__all__ = ["StageSkew"]

_COMPARED: Final = 100
"""Things that are compared; each has its part of the chance of a false alarm."""
_ALARM: Final = math.log(2 * _COMPARED / 0.01)
_SHARE: Final = 0.05
"""Of the pairs by which one arm must be ahead; less is worth no word."""
_LONGER: Final = 1.3


class StageSkew:
    """By thing: pairs in which the incumbent alone has it, in which the candidate alone has it, and all."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}

    def see(self, pair: Pair, served: Seen, candidate: Seen) -> None:
        """Count one pair of runs that both answered."""
        for path in {**served.kinds, **candidate.kinds}:
            parent = served.parents.get(path) or candidate.parents[path]
            inner = parent != "run" or path == "hits"  # which tools are called is what the arms do, not what they see
            if inner and parent in served.opened and parent in candidate.opened:
                own = [arm.kinds.get(path, "missing") not in ABSENT for arm in (served, candidate)]
                self._count(f"{path} there and not empty", *own)
        lengths = [sum(len(hit.text or "") for hit in run.hits) for run in (pair.served, pair.candidate)]
        if all(lengths):
            longer = [lengths[0] > _LONGER * lengths[1], lengths[1] > _LONGER * lengths[0]]
            self._count("texts of the hits longer by 1.3 times", *longer)

    def _count(self, what: str, incumbent: bool, candidate: bool) -> None:
        counts = self._counts.get(what)
        if counts is None:
            if len(self._counts) >= _COMPARED:
                return
            counts = self._counts[what] = [0, 0, 0]
        counts[0] += incumbent and not candidate
        counts[1] += candidate and not incumbent
        counts[2] += 1

    def changes(self, candidate: str) -> Iterator[StageChange]:
        """Where the arms differ clearly (McNemar's test as an e-value), whenever one looks."""
        for what, (incumbent, other, of) in self._counts.items():
            clear = float(max(discordant_log_e([incumbent, other], [other, incumbent]))) >= _ALARM
            if clear and abs(incumbent - other) >= _SHARE * of:
                shown = [f"in {n} of {of} pairs" for n in (incumbent, other)]
                yield StageChange(
                    kind="skew",
                    arms=("incumbent", candidate),
                    path=what,
                    before=shown[0],
                    after=shown[1],
                    n=incumbent + other,
                    of=of,
                )

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return dict(self._counts)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._counts = {what: list(counts) for what, counts in state.items()}
