"""What one side of the pairs usually has at each stage: a habit for each field, language, length; documents."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from shadoweval.evaluation.stage_fields import ABSENT, Seen
from shadoweval.evidence.habits import REFERENCE, Habit, Where
from shadoweval.records import Hit
from shadoweval.scoring.language import language_of
from shadoweval.verdict.attributes import script_of

__all__ = ["CONTENT", "StageHabits", "gone"]

_WATCHED: Final = 200
"""Habits of the queries and of both arms together; each has its part of the chance of a false alarm."""
_ALPHA: Final = 0.04
_HORIZON: Final = 20_000
_LEVEL: Final = _HORIZON * _WATCHED / _ALPHA
_FIELDS_ALLOWED, _CONTENT_ALLOWED = 0.1, 0.5
"""A field of another kind in one of ten queries is no change yet; of languages, lengths and documents, which differ by
day and night, every other."""
_KNOWN_LEAST: Final = 0.3
_NEVER: Final = "never seen before"
_READ: Final = 200
"""Characters of a text by which its language is told."""
_BITS: Final = 1 << 17
_RANKS: Final = 3
CONTENT: Final = (" language", " length", " ids")
"""How the names of habits end that are about no field."""


class StageHabits:
    """The habits of the queries, or of one arm's runs.

    Args:
        most: How many fields are watched; what is new beyond is counted.
    """

    def __init__(self, *, most: int) -> None:
        self._most = most
        self.habits: dict[str, Habit] = {}
        self._parents: dict[str, str] = {}
        self._opened: Counter[str] = Counter()
        """How often each parent was there: of a field that is first seen now, so often it was not there before."""
        self.left_out = 0
        """Sightings of fields that are not watched since there are too many."""
        self._documents = bytearray()
        """Which ids have come, by their hash (a Bloom filter of one hash function): some new ones pass for known."""
        self._retrieved = 0
        self.versions: dict[str, str] | None = None
        """What decides this arm's answers, as it was declared."""

    @property
    def rising(self) -> bool:
        """Whether something looks like a change and is none yet."""
        return any(habit.rising for habit in self.habits.values())

    def see(self, seen: Seen, where: Where) -> None:
        """Count the fields of one query or run."""
        kinds, opened = seen.kinds, seen.opened
        for path, habit in self.habits.items():
            kind = kinds.get(path)
            if kind is not None:
                habit.add(kind, where)
            elif self._parents.get(path) in opened:
                habit.add("missing", where)
        for path in [path for path in kinds if path not in self.habits]:
            if (habit := self._new(path, allowed=_FIELDS_ALLOWED, before=self._opened[seen.parents[path]])) is not None:
                self._parents[path] = seen.parents[path]
                habit.add(kinds[path], where)
        for parent in opened:
            if parent in self._opened or len(self._opened) < self._most:
                self._opened[parent] += 1

    def see_text(self, name: str, text: str | None, where: Where, *, language: bool) -> None:
        """Count a text's length, and its language, or its script where that is not Latin and no language is told."""
        if text is None or not text.strip():
            return
        if language:
            script = script_of(text)
            told = language_of(text[:_READ]) or ("" if script in {"latin", "none"} else script)
            if told:
                self._content(f"{name} language", told, where)
        self._length(f"{name} length", len(text), where)

    def see_documents(self, hits: Sequence[Hit], where: Where) -> None:
        """Count the context's length, and whether any document of the first ranks has come before."""
        if not hits:
            return
        characters = sum(len(hit.text or "") for hit in hits)
        if characters:
            self._length("hits length", characters, where)
        if not self._documents:
            self._documents = bytearray(_BITS // 8)
        known = False
        for hit in hits[:_RANKS]:
            bit = zlib.crc32(hit.id.encode("utf-8", "replace")) % _BITS
            known = known or bool(self._documents[bit // 8] & 1 << bit % 8)
            self._documents[bit // 8] |= 1 << bit % 8
        self._retrieved += 1
        if self._retrieved > REFERENCE:  # at first all are new
            self._novelty("known" if known else _NEVER, where)

    def alarms(self) -> Iterator[tuple[str, Habit]]:
        """Path and habit of what has changed; what is in a field that has changed goes with it."""
        changed = {path: habit for path, habit in self.habits.items() if habit.alarmed}
        yield from ((path, habit) for path, habit in changed.items() if self._parents.get(path) not in changed)

    def _novelty(self, kind: str, where: Where) -> None:
        """Where most were new at first, old ones that come again are no change: the index is met by and by."""
        habit = self.habits.get("hits ids")
        if habit is None or not habit.learnt or _NEVER not in habit.kinds:
            self._content("hits ids", kind, where, least=_KNOWN_LEAST)

    def _length(self, name: str, characters: int, where: Where) -> None:
        """Count a length; one that is near a usual one, less than about twice as long or short, is usual."""
        step, habit = int(2 * math.log2(max(characters, 1))), self.habits.get(name)
        near = [_size(step + away) for away in (0, -1, 1, -2, 2)]
        usual = (kind for kind in near if habit is not None and habit.learnt and kind in habit.kinds)
        self._content(name, next(usual, near[0]), where)

    def _content(self, name: str, kind: str, where: Where, *, least: float = 0.02) -> None:
        habit = self.habits.get(name) or self._new(name, allowed=_CONTENT_ALLOWED, least=least)
        if habit is not None:
            habit.add(kind, where)

    def _new(self, path: str, *, allowed: float, least: float = 0.02, before: int = 0) -> Habit | None:
        if len(self.habits) >= self._most:
            self.left_out += 1
            return None
        habit = Habit(allowed=allowed, level=_LEVEL, least=least, before=before)
        self.habits[path] = habit
        return habit

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "habits": [
                [path, self._parents.get(path, ""), habit.allowed, habit.least, habit.to_state()]
                for path, habit in self.habits.items()
            ],
            "opened": dict(self._opened),
            "documents": zlib.compress(bytes(self._documents), 1),
            "counts": [self.left_out, self._retrieved],
            "versions": self.versions,
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        for path, parent, allowed, least, kept in state["habits"]:
            habit = self.habits[path] = Habit(allowed=allowed, least=least, level=_LEVEL)
            habit.restore(kept)
            if parent:
                self._parents[path] = parent
        self._opened = Counter(dict(state["opened"]))
        self._documents = bytearray(zlib.decompress(state["documents"]))
        self.left_out, self._retrieved = state["counts"]
        self.versions = state["versions"]


def gone(habit: Habit) -> bool:
    """Whether what was there is missing or empty now, or of another type; else it is new."""
    return not habit.kinds.keys() <= ABSENT


def _size(step: int) -> str:
    """A class of lengths, each 1.4 times as wide as the one before."""
    first, last = math.ceil(2 ** (step / 2)), math.ceil(2 ** ((step + 1) / 2)) - 1
    return f"{first} to {last}" if first < last else f"{first}"
