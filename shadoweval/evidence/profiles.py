"""Which parts of the traffic a pair belongs to: values of its attributes, and pairs of values."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np

from shadoweval.evidence.inputs import BoolArray, IntArray

__all__ = ["AND", "AttributeColumn", "Profiles"]

AND: Final = " & "
"""Between the values of a slice that is a pair of them."""

_MOST_SLICES: Final = 400
_MOST_VALUES: Final = 50
_MOST_NAMES: Final = 1_000
_MOST_CROSSED: Final = 6
_MOST_CODES: Final = 2_000_000


class AttributeColumn(NamedTuple):
    """One attribute of a batch: `values[codes[i]]` is pair i's value, a negative code says that it has none."""

    codes: IntArray
    values: tuple[str, ...]

    def part(self, which: IntArray | BoolArray | slice) -> AttributeColumn:
        """The attribute of some of the pairs."""
        return AttributeColumn(self.codes[which], self.values)


class Profiles:
    """The attributes of a pair are one number, its profile; a profile belongs to some slices."""

    def __init__(self) -> None:
        self.slices: dict[str, int] = {}
        """Number of each slice."""
        self.members: list[tuple[int, ...]] = []
        """By profile, the slices that it belongs to."""
        self._values: dict[str, list[str]] = {}
        self._profiles: dict[tuple[str, ...], int] = {}

    def of(self, attributes: Mapping[str, AttributeColumn], n: int) -> IntArray:
        """The profile of each of n pairs."""
        usual = {name: self._usual_codes(name, column) for name, column in attributes.items()}
        mixed = np.zeros(n, dtype=np.int64)
        for name, codes in usual.items():
            mixed = _compressed(mixed)[0] * (len(attributes[name].values) + 1) + codes + 1
        inverse, first = _compressed(mixed)
        numbers = np.zeros(first.size, dtype=np.int64)
        for kind in np.argsort(first).tolist():  # in order of appearance, so that batches do not matter
            pair = int(first[kind])
            named = sorted(
                f"{name}={column.values[usual[name][pair]]}"
                for name, column in attributes.items()
                if usual[name][pair] >= 0
            )
            numbers[kind] = self._profile(tuple(named))
        return numbers[inverse]

    def _usual_codes(self, name: str, column: AttributeColumn) -> IntArray:
        """Codes of the attribute's first fifty values; later ones make no slice (ids, free text).

        Nor do attributes after the first thousand: a name that is new with each call would be kept for ever.
        """
        if name not in self._values and len(self._values) >= _MOST_NAMES:
            return np.full(column.codes.size, -1, dtype=np.int64)
        known = self._values.setdefault(name, [])
        usual = np.full(len(column.values) + 1, -1, dtype=np.int64)  # the last is for pairs without a value
        for code, value in enumerate(column.values):
            if value not in known and len(known) < _MOST_VALUES:
                known.append(value)
            if value in known:
                usual[code] = code
        return usual[np.maximum(column.codes, -1)]

    def _profile(self, named: tuple[str, ...]) -> int:
        if named not in self._profiles:
            self._profiles[named] = len(self.members)
            crossed = [AND.join(two) for two in combinations(named[:_MOST_CROSSED], 2)]
            numbers = (self._slice(name) for name in [*named, *crossed])
            self.members.append(tuple(number for number in numbers if number is not None))
        return self._profiles[named]

    def _slice(self, name: str) -> int | None:
        if name not in self.slices and len(self.slices) < _MOST_SLICES:
            self.slices[name] = len(self.slices)
        return self.slices.get(name)

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "slices": dict(self.slices),
            "values": {name: list(values) for name, values in self._values.items()},
            "profiles": [list(named) for named in self._profiles],
            "members": [list(members) for members in self.members],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.slices = dict(state["slices"])
        self._values = {name: list(values) for name, values in state["values"].items()}
        self._profiles = {tuple(named): number for number, named in enumerate(state["profiles"])}
        self.members = [tuple(members) for members in state["members"]]


def _compressed(codes: IntArray) -> tuple[IntArray, IntArray]:
    """Codes >= 0 as numbers 0, 1, ... in the same order, and where each comes first."""
    largest = int(codes.max()) if codes.size else -1
    if largest > _MOST_CODES:
        _codes, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        return inverse.astype(np.int64), first.astype(np.int64)
    place_of = np.full(largest + 1, -1, dtype=np.int64)
    place_of[codes[::-1]] = np.arange(codes.size)[::-1]  # the last to be written is the first to come
    there = place_of >= 0
    return (np.cumsum(there) - 1)[codes], place_of[there]
