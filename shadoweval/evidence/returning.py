"""Units that come back: how often each has come, how many pairs it brought, and when it came last.

A unit is a user, a session, or a question that is asked again. A cluster is what it brings at a time; its generation is
its place among the clusters of its unit, given when the cluster is complete, and never changed. The same book says
whether a question has been asked before, by whomever. Who has not come for 90 days begins anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray, IdArray, IntArray
from shadoweval.evidence.segments import KEPT, Segments

__all__ = ["DAY", "Generations", "UnitBook"]

DAY: Final = 86_400.0
"""Seconds."""
_NEVER: Final = np.iinfo(np.int32).min


class Generations(NamedTuple):
    """Of m clusters, which of their unit's they are; arrays of shape (m,)."""

    number: IntArray
    """1 for a unit's first cluster."""
    day: IntArray
    """Days since 1970 on which the cluster ended."""
    before: IntArray
    """The same of the unit's cluster before; the smallest number for its first one."""

    @classmethod
    def firsts(cls, ended: FloatArray) -> Generations:
        """Clusters that are all the first ones of their units; `ended` as of `UnitBook.enter`."""
        day = _day(ended)
        return cls(np.ones(day.size, dtype=np.int64), day, np.full(day.size, _NEVER, dtype=np.int64))

    def part(self, which: BoolArray) -> Generations:
        """Some of the clusters."""
        return Generations(*(column[which] for column in self))


class _Stretches(NamedTuple):
    """Events of ids in order of id and time, cut where an id comes for the first time after so long that it is new."""

    order: IntArray
    """Where each event stood."""
    days: IntArray
    """In this order."""
    begins: BoolArray
    """Whether a stretch begins."""
    starts: IntArray
    """Where stretches begin."""
    first: IntArray
    """Of each id its first stretch."""
    last: IntArray
    """Of each id its last stretch."""
    ids: IdArray
    ends: IntArray
    """Of each id, ascending, its last event."""

    @classmethod
    def of(cls, ids: IdArray, days: IntArray) -> _Stretches:
        order = np.argsort(ids, kind="stable")
        ids, days = ids[order], days[order]
        new = np.concatenate([[True], ids[1:] != ids[:-1]])
        begins = new | (np.diff(days, prepend=days[0]) > KEPT)
        starts, units = np.flatnonzero(begins), np.flatnonzero(new)
        ends = np.append(units[1:], ids.size) - 1
        stretch = np.cumsum(begins) - 1
        return cls(order, days, begins, starts, stretch[units], stretch[ends], ids[units], ends)


class UnitBook:
    """All units and questions so far. Entering batch by batch gives the same as all at once.

    One that has not come for 90 days is forgotten: when it comes again it comes for the first time.
    """

    def __init__(self) -> None:
        self.entries = Segments(4)
        """Clusters that are complete, pairs in them, day of the last one, day on which it was asked as a question."""
        self.most_pairs = 0
        """Pairs of the unit that brought most."""

    def ask(self, keys: IdArray, *, alone: BoolArray, asked: FloatArray) -> BoolArray:
        """Enter questions in query order; gives back which come for the first time.

        Args:
            keys: Of the questions, shape (n,).
            alone: Asked for nobody in particular: if it comes for the first time, it is a complete cluster at once, the
                first one of the unit that the question is.
            asked: When, seconds since 1970.
        """
        if not keys.size:
            return np.zeros(0, dtype=np.bool_)
        part = _Stretches.of(keys, _day(asked))
        began, ended = part.days[part.starts[part.first]], part.days[part.ends]
        known, (clusters, pairs, day, before) = self._get(part.ids)
        first = np.empty(keys.size, dtype=np.bool_)
        first[part.order] = part.begins
        first[part.order[part.starts[part.first]]] = before < began - KEPT
        fresh = (part.first != part.last) | (np.maximum(day, before) < began - KEPT)
        begins = part.starts[part.last]
        single = fresh & alone[part.order[begins]]
        entries = [
            np.where(fresh, single, clusters),
            np.where(fresh, single, pairs),
            np.where(fresh, np.where(single, part.days[begins], _NEVER), day),
            np.where(known, np.maximum(before, ended), ended),
        ]
        self._put(part.ids, entries)
        return first

    def enter(self, ids: IdArray, *, pairs: IntArray, ended: FloatArray) -> Generations:
        """Enter complete clusters, those of one unit in order of time.

        Args:
            ids: Of their units, shape (m,).
            pairs: How many each has.
            ended: When its last query was asked, seconds since 1970.
        """
        if not ids.size:
            return Generations.firsts(ended)
        part = _Stretches.of(ids, _day(ended))
        sizes = np.diff(np.append(part.starts, ids.size))
        _known, (clusters, brought, last, asked) = self._get(part.ids)
        lasting = last >= part.days[part.starts[part.first]] - KEPT
        earlier = np.zeros((2, sizes.size), dtype=np.int64)
        earlier[:, part.first] = np.where(lasting, [clusters, brought], 0)
        together = np.add.reduceat(pairs[part.order], part.starts) + earlier[1]
        day = part.days[part.ends]
        self._put(part.ids, [(earlier[0] + sizes)[part.last], together[part.last], day, asked])
        self.most_pairs = max(self.most_pairs, int(together.max()))
        number, before = np.empty_like(part.days), np.empty_like(part.days)
        rank = np.arange(ids.size) - np.repeat(part.starts, sizes)
        number[part.order] = np.repeat(earlier[0], sizes) + rank + 1
        before[part.order] = np.where(part.begins, _NEVER, np.roll(part.days, 1))
        before[part.order[part.starts[part.first]]] = np.where(lasting, last, _NEVER)
        return Generations(number, _day(ended), before)

    def _get(self, ids: IdArray) -> tuple[BoolArray, IntArray]:
        known, entries = self.entries.get(ids)
        wide = entries.astype(np.int64)
        wide[2:, ~known] = _NEVER
        return known, wide

    def _put(self, ids: IdArray, entries: Sequence[IntArray | BoolArray]) -> None:
        self.most_pairs = max(self.most_pairs, int(entries[1].max()))
        self.entries.put(ids, np.array(entries), days=np.maximum(entries[2], entries[3]))

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values; some 8 bytes an id."""
        return {"most": self.most_pairs, "segments": self.entries.to_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.most_pairs = state["most"]
        self.entries.restore(state["segments"])


def _day(moments: FloatArray) -> IntArray:
    return np.floor(moments / DAY).astype(np.int64)
