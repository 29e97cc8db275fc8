"""Where the candidate is worse: parts of the traffic by attribute, or by pairs of attributes.

A slice is fixed before its pairs are judged, so one histogram each and e-BH over all of them suffice, however often
one looks.
Sources: Wang and Ramdas, "False discovery rate control with e-values" (JRSS-B 2022); Simpson (1951).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from shadoweval.evidence.bets import Side
from shadoweval.evidence.histbet import HistBet, count_groups
from shadoweval.evidence.inputs import FloatArray, IntArray
from shadoweval.evidence.multiplicity import e_bh

__all__ = ["FEWEST_UNITS", "AttributeColumn", "SliceEvidence"]

FEWEST_UNITS: Final = 50
FALSE_DISCOVERIES: Final = 0.10

_MOST_SLICES: Final = 400
_MOST_VALUES: Final = 50
_MOST_CROSSED: Final = 6
_MOST_CODES: Final = 2_000_000
_FEW_PROFILES: Final = 1_000
_PREFIX: Final = " & "
_NEARLY_ALL: Final = 0.95
"""A slice with this share of the traffic, or of a slice that it is a part of, says nothing of its own."""


class AttributeColumn(NamedTuple):
    """One attribute of a batch: `values[codes[i]]` is pair i's value, a negative code says that it has none."""

    codes: IntArray
    values: tuple[str, ...]

    def part(self, which: IntArray | slice) -> AttributeColumn:
        """The attribute of some of the pairs."""
        return AttributeColumn(self.codes[which], self.values)


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """What the evidence says of one slice under one metric."""

    slice: str
    metric: str
    n: int
    """Units."""
    state: Literal["worse", "better", "open", "too_small"]
    difference: float
    lower: float | None = None
    upper: float | None = None


class SliceEvidence:
    """Evidence per slice and metric.

    The attributes of a pair are one number, its profile; a profile belongs to some slices.
    """

    def __init__(self) -> None:
        self._slices: dict[str, int] = {}
        self._values: dict[str, list[str]] = {}
        self._profiles: dict[tuple[str, ...], int] = {}
        self._members: list[tuple[int, ...]] = []
        self._evidence: dict[tuple[str, int], HistBet] = {}
        self._units: Counter[str] = Counter()

    def profiles(self, attributes: Mapping[str, AttributeColumn], n: int) -> IntArray:
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
        """Codes of the attribute's first fifty values; later ones make no slice (ids, free text)."""
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
            self._profiles[named] = len(self._members)
            crossed = [_PREFIX.join(two) for two in combinations(named[:_MOST_CROSSED], 2)]
            numbers = (self._slice(name) for name in [*named, *crossed])
            self._members.append(tuple(number for number in numbers if number is not None))
        return self._profiles[named]

    def _slice(self, name: str) -> int | None:
        if name not in self._slices and len(self._slices) < _MOST_SLICES:
            self._slices[name] = len(self._slices)
        return self._slices.get(name)

    def add(self, values: Mapping[str, FloatArray], profiles: Mapping[str, IntArray]) -> None:
        """Count units: by metric, contrasts in [-1, 1] (larger is better) and the profile of each."""
        for metric, contrasts in values.items():
            self._units[metric] += contrasts.size
            if contrasts.size and self._slices:
                self._count(metric, contrasts, profiles[metric])

    def _count(self, metric: str, values: FloatArray, profiles: IntArray) -> None:
        if len(self._members) <= _FEW_PROFILES:  # one pass over the values, whatever the number of slices
            groups, members, occurring = profiles, self._members, profiles
        else:
            table = np.full((max(map(len, self._members)), len(self._members)), -1, dtype=np.int64)
            for profile, numbers in enumerate(self._members):
                table[: len(numbers), profile] = numbers
            groups, members = table[:, profiles], [(number,) for number in range(len(self._slices))]
            occurring = groups[groups >= 0]
        present = np.bincount(occurring, minlength=len(members)) > 0
        means = [
            [self._mean(metric, number) for number in numbers] if there else []
            for numbers, there in zip(members, present.tolist(), strict=True)
        ]
        count_groups(values, groups, means)

    def _mean(self, metric: str, number: int) -> HistBet:
        if (metric, number) not in self._evidence:
            self._evidence[metric, number] = HistBet()
        return self._evidence[metric, number]

    def results(self, widths: Mapping[str, float], *, alpha: float) -> tuple[Slice, ...]:
        """All slices, the worst first; those with fewer than 50 units say that they are too small.

        Left out are slices of (nearly) all the traffic, and pairs of values of which one says what the other says.

        Args:
            widths: By metric, what a contrast of 1 means in the metric's own unit.
            alpha: Level of each bound.
        """
        listed = self._listed(widths)
        large = [row for row in listed if row[2].n >= FEWEST_UNITS]
        worse, better = (_named(large, side) for side in ("less", "greater"))
        results: list[Slice] = []
        for metric, name, mean in large:
            key = (metric, name)
            results.append(
                Slice(
                    slice=name,
                    metric=metric,
                    n=mean.n,
                    state="worse" if key in worse else "better" if key in better else "open",
                    difference=mean.mean * widths[metric],
                    lower=mean.bound(alpha, "lower") * widths[metric],
                    upper=mean.bound(alpha, "upper") * widths[metric],
                )
            )
        results += [
            Slice(slice=name, metric=metric, n=mean.n, state="too_small", difference=mean.mean * widths[metric])
            for metric, name, mean in listed
            if mean.n < FEWEST_UNITS
        ]
        rank = {"worse": 0, "open": 1, "better": 2, "too_small": 3}
        return tuple(sorted(results, key=lambda r: (rank[r.state], r.difference, r.metric, r.slice)))

    def worse(self) -> set[tuple[str, str]]:
        """Metric and slice where the candidate is worse; one in ten of them may not be."""
        return _named([row for row in self._listed(self._units) if row[2].n >= FEWEST_UNITS], "less")

    def means(self) -> dict[tuple[str, str], HistBet]:
        """The evidence by metric and slice."""
        return {(metric, name): mean for metric, name, mean in self._listed(self._units)}

    def _listed(self, metrics: Container[str]) -> list[tuple[str, str, HistBet]]:
        names = {number: name for name, number in self._slices.items()}
        return [
            (metric, names[number], mean)
            for (metric, number), mean in self._evidence.items()
            if metric in metrics and mean.n < _NEARLY_ALL * self._units_around(metric, names[number])
        ]

    def _units_around(self, metric: str, name: str) -> int:
        """Units of the smallest part of the traffic that contains this slice: a value's own, or all."""
        parts = [self._slices[part] for part in name.split(_PREFIX) if part != name and part in self._slices]
        around = [self._evidence[metric, part].n for part in parts if (metric, part) in self._evidence]
        return min(around, default=self._units[metric])

    def reversals(self, overall: Mapping[str, HistBet]) -> tuple[tuple[str, str, int], ...]:
        """Metrics whose sign overall is the opposite in every larger slice by some attribute (Simpson's paradox).

        Returns:
            Metric, attribute, and how many slices that is.
        """
        names = {number: name for name, number in self._slices.items()}
        reversed_: list[tuple[str, str, int]] = []
        for metric, whole in overall.items():
            by_attribute: dict[str, list[HistBet]] = {}
            for (name, number), mean in self._evidence.items():
                if name == metric and _PREFIX not in names[number] and mean.n >= FEWEST_UNITS:
                    by_attribute.setdefault(names[number].split("=", 1)[0], []).append(mean)
            reversed_ += [
                (metric, attribute, len(parts))
                for attribute, parts in by_attribute.items()
                if len(parts) > 1
                and sum(part.n for part in parts) >= 0.9 * whole.n
                and all(part.mean * whole.mean < 0 for part in parts)
            ]
        return tuple(reversed_)

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "slices": dict(self._slices),
            "values": {name: list(values) for name, values in self._values.items()},
            "profiles": [list(named) for named in self._profiles],
            "members": [list(members) for members in self._members],
            "units": dict(self._units),
            "evidence": [[metric, number, mean.to_state()] for (metric, number), mean in self._evidence.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._slices = dict(state["slices"])
        self._values = {name: list(values) for name, values in state["values"].items()}
        self._profiles = {tuple(named): number for number, named in enumerate(state["profiles"])}
        self._members = [tuple(members) for members in state["members"]]
        self._units = Counter(state["units"])
        self._evidence = {(metric, number): HistBet.from_state(mean) for metric, number, mean in state["evidence"]}


def _named(large: Sequence[tuple[str, str, HistBet]], side: Side) -> set[tuple[str, str]]:
    """Metric and slice of those whose difference lies on that side, by e-BH over all of them."""
    if not large:
        return set()
    rejected = e_bh([mean.log_e(0.0, side) for *_, mean in large], FALSE_DISCOVERIES)
    return {(metric, name) for (metric, name, _), named in zip(large, rejected.tolist(), strict=True) if named}


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
