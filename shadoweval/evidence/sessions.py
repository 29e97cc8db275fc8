"""From pairs to clusters: what one unit asks at a time is one witness, judged by the mean of its pairs.

Ten questions of one session are not ten witnesses: counting pairs as if they were independent gives 18 to 45 % false
alarms at a nominal 5 %. A session is over after 20 pairs or 30 idle minutes, and the next one begins; a question that
nobody in particular asks (there is no user or session) makes one cluster a day. Every pair belongs to a cluster.
Nothing here depends on how the stream is cut into batches.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray, IdArray, IntArray
from shadoweval.evidence.returning import DAY
from shadoweval.evidence.states import pack_column, unpack_column

__all__ = ["Clusters", "Sessions"]

CAP: Final = 20
"""Pairs of a session; one without end must not hold its verdict back."""

IDLE: Final = 1_800.0
"""Seconds of silence after which a session is over."""

_SPREAD: Final = np.uint64(0x9E3779B97F4A7C15)
"""Odd, so that no two days of one question fall on one id (Knuth, multiplicative hashing)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Clusters:
    """m clusters, or m pairs as clusters of one: V variables and A attributes."""

    units: IdArray
    """Whose they are, shape (m,)."""
    pairs: IntArray
    """How many pairs each has, scored or not, shape (m,)."""
    ended: FloatArray
    """When the last of them was asked, seconds since 1970, shape (m,)."""
    sums: FloatArray
    """Sum of each variable over the pairs, shape (V, m)."""
    counts: IntArray
    """Over how many pairs, shape (V, m); 0: the cluster has no value of this variable."""
    codes: IntArray
    """The attributes of the first pair, shape (A, m)."""


class _Open(NamedTuple):
    """Clusters that may grow: a table with one row each, along each column's last axis."""

    ids: IdArray
    units: IdArray
    daily: BoolArray
    """Whether it lasts until the end of its day, however many pairs come."""
    pairs: IntArray
    last: FloatArray
    sums: FloatArray
    counts: IntArray
    codes: IntArray

    def take(self, which: BoolArray | IntArray) -> _Open:
        return _Open._make(column[..., which] for column in self)

    def joined(self, other: _Open) -> _Open:
        return _Open._make(np.concatenate(both, axis=-1) for both in zip(self, other, strict=True))

    def clusters(self) -> Clusters:
        return Clusters(
            units=self.units, pairs=self.pairs, ended=self.last, sums=self.sums, counts=self.counts, codes=self.codes
        )


class Sessions:
    """Clusters on their way to be complete, of pairs that have so many variables and attributes each."""

    def __init__(self, variables: int, attributes: int) -> None:
        self._open = _Open(
            ids=np.zeros(0, dtype=np.uint64),
            units=np.zeros(0, dtype=np.uint64),
            daily=np.zeros(0, dtype=np.bool_),
            pairs=np.zeros(0, dtype=np.int64),
            last=np.zeros(0),
            sums=np.zeros((variables, 0)),
            counts=np.zeros((variables, 0), dtype=np.int64),
            codes=np.zeros((attributes, 0), dtype=np.int64),
        )

    def add(self, pairs: Clusters, *, daily: BoolArray, newest: float) -> Clusters:
        """Count pairs in query order; gives back the clusters that are now complete, each unit's in order.

        Args:
            pairs: Each as a cluster of one.
            daily: Whether a pair's cluster is its unit's day, and no session.
            newest: When the last query of all was asked.
        """
        day = np.floor_divide(pairs.ended, DAY).astype(np.int64).astype(np.uint64)
        rows = _Open(
            ids=np.where(daily, pairs.units ^ (day * _SPREAD), pairs.units),
            units=pairs.units,
            daily=daily,
            pairs=pairs.pairs,
            last=pairs.ended,
            sums=pairs.sums,
            counts=pairs.counts,
            codes=pairs.codes,
        )
        grown, over = _grown(self._open.joined(rows), newest=newest)
        self._open = grown.take(~over)
        return grown.take(over).clusters()

    def unfinished(self) -> Clusters:
        """The clusters that may grow, as they stand; for a suite of cases that has ended."""
        return self._open.clusters()

    def of(self, variables: Sequence[int]) -> Sessions:
        """The same clusters with some of the variables."""
        made = Sessions(0, 0)
        made._open = self._open._replace(sums=self._open.sums[variables], counts=self._open.counts[variables])
        return made

    def to_state(self) -> Mapping[str, Any]:
        """All of it as plain values, a row for each open cluster."""
        columns = self._open._asdict().items()
        return {"open": self._open.ids.size, **{name: pack_column(column) for name, column in columns}}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._open = _Open._make(
            unpack_column(state[name], column.dtype).reshape(*column.shape[:-1], state["open"])
            for name, column in self._open._asdict().items()
        )


def _grown(rows: _Open, *, newest: float) -> tuple[_Open, BoolArray]:
    """The clusters of these rows, and which of them are complete."""
    if not rows.ids.size:
        return rows, np.zeros(0, dtype=np.bool_)
    # By id, and by time within it; an id that is a unit's and one that is a day's never share a cluster.
    rows = rows.take(np.argsort(rows.ids, kind="stable").astype(np.int64))
    new_id = np.concatenate([[True], rows.ids[1:] != rows.ids[:-1]])
    silent = np.concatenate([[False], np.diff(rows.last) > IDLE]) & ~rows.daily
    stretch = new_id | silent
    before = np.cumsum(rows.pairs) - rows.pairs
    within = before - before[np.flatnonzero(stretch)][np.cumsum(stretch) - 1]
    part = np.where(rows.daily, 0, within // CAP)
    starts = np.flatnonzero(stretch | (np.diff(part, prepend=0) != 0))
    last = np.maximum.reduceat(rows.last, starts)
    grown = _Open(
        ids=rows.ids[starts],
        units=rows.units[starts],
        daily=rows.daily[starts],
        pairs=np.add.reduceat(rows.pairs, starts),
        last=last,
        sums=np.add.reduceat(rows.sums, starts, axis=1),
        counts=np.add.reduceat(rows.counts, starts, axis=1),
        codes=rows.codes[:, starts],
    )
    followed = np.concatenate([grown.ids[1:] == grown.ids[:-1], [False]])
    day_over = np.floor_divide(newest, DAY) > np.floor_divide(last, DAY)
    over = np.where(grown.daily, day_over, (grown.pairs >= CAP) | (newest - last > IDLE))
    return grown, followed | over
