"""How runs failed and whose doing it was: counts by arm, owner and kind over many pairs, with bounds of their share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.looks import Looks
from shadoweval.records import Coverage, FailureCount, Observation

__all__ = ["Failures", "share_of"]

_KINDS: Final = 200
"""That are told apart; candidates name their exceptions as they like. What comes later counts as another error."""
_OTHERS: Final = "another error"
_Key = tuple[str, str, str, str]


class Failures:
    """Counts of the runs that failed."""

    def __init__(self) -> None:
        self._runs: Counter[str] = Counter()
        self._counts: dict[_Key, tuple[int, str]] = {}
        """Arm, owner, kind and step -> how many, and the id of the first query."""

    def add(self, arm: str, run: Observation) -> None:
        """Count a run of that arm, whether it failed or not."""
        self._runs[arm] += 1
        if run.failure is None:
            return
        owner, failure = str(run.owner), run.failure
        kind = f"{failure.kind}: {failure.error_type}" if failure.error_type else failure.kind
        key = (arm, owner, kind, failure.step)
        if key not in self._counts and len(self._counts) >= _KINDS:
            key = (arm, owner, _OTHERS, "")
        n, first = self._counts.get(key, (0, run.query_id))
        self._counts[key] = n + 1, first

    def counts(self, coverage: Coverage, looks: Looks, *, alpha: float) -> tuple[FailureCount, ...]:
        """The most frequent first; after them what never became a pair, by reason: the infrastructure's."""
        return tuple(sorted(self._all(coverage, looks, alpha), key=lambda each: (not each.arm, -each.runs, each.kind)))

    def _all(self, coverage: Coverage, looks: Looks, alpha: float) -> Iterator[FailureCount]:
        for (arm, owner, kind, step), (n, first) in self._counts.items():
            own = {"arm": arm, "owner": owner, "kind": kind, "step": step, "first": first}
            yield FailureCount(**own, **share_of(n, self._runs[arm], looks=looks, alpha=alpha))
        for reason, n in coverage.failed.items():
            own = {"arm": "", "owner": "infrastructure", "kind": reason.replace("_", " ")}
            yield FailureCount(**own, **share_of(n, coverage.mirrored, looks=looks, alpha=alpha))

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"runs": dict(self._runs), "counts": [[*key, *count] for key, count in self._counts.items()]}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._runs = Counter(state["runs"])
        self._counts = {(arm, owner, kind, step): (n, first) for arm, owner, kind, step, n, first in state["counts"]}


def share_of(n: int, of: int, *, looks: Looks, alpha: float) -> dict[str, Any]:
    """Of 0 and 1, the mean: its bounds hold together but for a chance of alpha, at the looks that are made."""
    of = max(n, of)
    yes = HistBet.from_counts(np.array([of - n, n], dtype=float), lo=0.0, hi=1.0, squares=float(n))
    lower, upper = (looks.bound(yes, alpha / 2, edge) for edge in ("lower", "upper"))
    return {"runs": n, "of": of, "lower": lower, "upper": upper}
