"""Do the labels know the documents? Whether any id that an arm retrieved is one that some label names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

__all__ = ["LabelledHits"]

_MOST: Final = 2_000
_ENOUGH: Final = 5
_ARMS: Final = ("incumbent", "candidate")


@dataclass(slots=True)
class LabelledHits:
    """Ids that labels name and that arms retrieved, until one is both; 2,000 of each at most."""

    judged: dict[str, None] = field(default_factory=dict[str, None])
    retrieved: dict[str, dict[str, None]] = field(default_factory=lambda: {arm: {} for arm in _ARMS})
    """By arm; None of an arm that has had a hit which some label names."""
    rankings: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_ARMS, 0))
    """By arm: rankings of labelled queries; 0 and below: the labels know the arm's documents."""

    def count(self, judged: Sequence[str], hits: Mapping[str, Sequence[str]]) -> None:
        """One pair with labels, and the ids that each arm retrieved."""
        if not judged or max(self.rankings.values()) < 0:
            return
        _add(self.judged, judged)
        for arm in self._open():
            if hits.get(arm):
                self.rankings[arm] += 1
                _add(self.retrieved[arm], hits[arm])
        self._settle()

    def merge(self, other: LabelledHits) -> None:
        """Add another batch's."""
        _add(self.judged, other.judged)
        for arm in self._open():
            if other.rankings[arm] < 0:
                self.rankings[arm] = -1
            else:
                self.rankings[arm] += other.rankings[arm]
                _add(self.retrieved[arm], other.retrieved[arm])
        self._settle()

    def _open(self) -> list[str]:
        return [arm for arm in _ARMS if self.rankings[arm] >= 0]

    def _settle(self) -> None:
        for arm in self._open():
            if not self.judged.keys().isdisjoint(self.retrieved[arm]):
                self.rankings[arm], self.retrieved[arm] = -1, {}
        if not self._open():
            self.judged = {}

    def unknown(self) -> Iterator[tuple[str, str]]:
        """Each arm of whose documents the labels know none, and the sentence that says so."""
        for arm in self._open():
            if self.rankings[arm] >= _ENOUGH:
                labelled, retrieved = next(iter(self.judged)), next(iter(self.retrieved[arm]))
                sentence = (
                    f"Not one of the documents in {self.rankings[arm]} rankings of the {arm} is named by any label: "
                    f"labels say {labelled!r}, hits are known as {retrieved!r}. Say by hit_id= what the labels call a "
                    "document, at the Experiment, @retriever or record_hits; until then nothing can be said of it."
                )
                yield arm, sentence

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        retrieved = {arm: list(ids) for arm, ids in self.retrieved.items()}
        return {"judged": list(self.judged), "retrieved": retrieved, "rankings": dict(self.rankings)}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.judged, self.rankings = dict.fromkeys(state["judged"]), dict(state["rankings"])
        self.retrieved = {arm: dict.fromkeys(ids) for arm, ids in state["retrieved"].items()}


def _add(ids: dict[str, None], more: Sequence[str] | Mapping[str, None]) -> None:
    ids.update(dict.fromkeys(islice(more, max(0, _MOST - len(ids)))))
