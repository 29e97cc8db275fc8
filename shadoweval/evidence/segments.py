"""Ids with some numbers each, in segments by day: what did not change is never written again, what is old is dropped.

An entry lies in the segment of the day on which it last changed; of several entries of one id the newest counts. So a
look writes what it met, and nothing else: today's segment anew, those of the days before never. Ids are hashes, 64 bits
of them; beyond 90 days of silence an id is not known any more.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from shadoweval.evidence.inputs import BoolArray, IdArray, IntArray, StatsInputError

__all__ = ["KEPT", "Segments"]

KEPT: Final = 90
"""Days without a sign after which an id is forgotten."""
_NUMBERS: Final = np.dtype("<i4")
_ID: Final = np.dtype("<u8")

_State: TypeAlias = list[Any]
"""Day, name (a digest of what is in it), and content as bytes."""
Numbers: TypeAlias = NDArray[np.int32]


class _Run(NamedTuple):
    """Entries of one day by ascending id, each id once."""

    ids: IdArray
    numbers: Numbers
    """Shape (columns, n)."""

    def places(self, ids: IdArray) -> tuple[IntArray, BoolArray]:
        """Where the ids stand in this run, and whether they do."""
        nearest = np.minimum(np.searchsorted(self.ids, ids), self.ids.size - 1)
        return nearest, self.ids[nearest] == ids

    def under(self, newer: _Run) -> _Run:
        """Both, and of an id in both the newer one's entry."""
        ids = np.concatenate([newer.ids, self.ids])
        order = np.argsort(ids, kind="stable")  # of equal ids the newer one's is first
        ids = ids[order]
        first = np.concatenate([[True], ids[1:] != ids[:-1]])
        return _Run(ids[first], np.concatenate([newer.numbers, self.numbers], axis=1)[:, order[first]])


class _Stored(NamedTuple):
    """A segment as it is stored."""

    state: _State
    run: _Run


class Segments:
    """Ids and `columns` whole numbers of each. Writing batch by batch gives the same as all at once."""

    def __init__(self, columns: int) -> None:
        self._columns = columns
        self._stored: dict[int, _Stored] = {}
        """By day, rising."""
        self._new: dict[int, tuple[_Run, ...]] = {}
        """By day, what is in no segment yet, the oldest first. Merging needs the memory of one day."""

    def __deepcopy__(self, memo: object) -> Segments:
        """One that goes its own way; what is there is shared, since it never changes."""
        made = Segments(self._columns)
        made._stored, made._new = dict(self._stored), dict(self._new)
        return made

    def get(self, ids: IdArray) -> tuple[BoolArray, Numbers]:
        """Which of n ids are known, shape (n,), and their numbers, shape (columns, n), 0 where they are not."""
        numbers = np.zeros((self._columns, ids.size), dtype=np.int32)
        left = np.arange(ids.size)
        for run in self._newest_first():
            if not left.size:
                break
            place, here = run.places(ids[left])
            numbers[:, left[here]] = run.numbers[:, place[here]]
            left = left[~here]
        known = np.ones(ids.size, dtype=np.bool_)
        known[left] = False
        return known, numbers

    def _newest_first(self) -> Iterator[_Run]:
        for day in sorted(self._new.keys() | self._stored.keys(), reverse=True):
            yield from reversed(self._new.get(day, ()))
            if day in self._stored:
                yield self._stored[day].run

    def put(self, ids: IdArray, numbers: NDArray[Any], *, days: IntArray) -> None:
        """Write entries of ids, ascending and each once; `days` since 1970, for an id never falling."""
        for day in np.unique(days).tolist():
            which = days == day
            runs = [*self._new.get(day, ()), _Run(ids[which], numbers[:, which].astype(np.int32))]
            while len(runs) > 1 and runs[-2].ids.size < 2 * runs[-1].ids.size:
                newer = runs.pop()
                runs[-1] = runs[-1].under(newer)
            self._new[day] = tuple(runs)

    def to_state(self) -> list[_State]:
        """All of it, in segments; those of days without news are what they were."""
        self._settle()
        return [list(segment.state) for segment in self._stored.values()]

    def restore(self, state: list[Any]) -> None:
        """Take up what `to_state` gave.

        Raises:
            StatsInputError: a segment is damaged.
        """
        self._new = {}
        self._stored = {day: _Stored([day, name, raw], self._read(day, name, raw)) for day, name, raw in state}

    def _settle(self) -> None:
        """Move what is new into the segments of its days, and drop those that are too old."""
        oldest = max(self._new.keys() | self._stored.keys(), default=0) - KEPT
        for day in sorted(self._new):
            runs = self._new.pop(day)
            if day < oldest:
                continue
            whole = self._stored[day].run if day in self._stored else runs[0]
            for run in runs if day in self._stored else runs[1:]:
                whole = whole.under(run)
            self._stored[day] = _Stored(_state(day, whole), whole)
        self._stored = {day: self._stored[day] for day in sorted(self._stored) if day >= oldest}

    def _read(self, day: int, name: str, content: bytes) -> _Run:
        if _name(content) != name:
            raise StatsInputError(f"The segment {name!r} of day {day} is damaged, or another one.")
        raw = zlib.decompress(content)
        count = len(raw) // (_ID.itemsize + self._columns * _NUMBERS.itemsize)
        planes = np.frombuffer(raw, dtype=np.uint8, count=count * _ID.itemsize).reshape(_ID.itemsize, count)
        steps = np.array(planes.T, order="C").view(_ID).ravel()
        numbers = np.frombuffer(raw, dtype=_NUMBERS, offset=count * _ID.itemsize).reshape(self._columns, count)
        return _Run(np.cumsum(steps, dtype=np.uint64), numbers.astype(np.int32))


def _state(day: int, run: _Run) -> _State:
    steps = np.diff(run.ids, prepend=np.uint64(0)).astype(_ID)  # ascending ids are close to each other
    planes = steps.view(np.uint8).reshape(-1, _ID.itemsize).T
    packer = zlib.compressobj(1)
    content = packer.compress(planes.tobytes())
    content += packer.compress(run.numbers.astype(_NUMBERS, copy=False).tobytes()) + packer.flush()
    return [day, _name(content), content]


def _name(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]
