"""Where the candidate is worse: parts of the traffic by attribute, or by pairs of attributes.

A slice is fixed before its pairs are judged, so one histogram each and e-BH over all of them suffice, however often
one looks.
Sources: Wang and Ramdas, "False discovery rate control with e-values" (JRSS-B 2022); Simpson (1951).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final, Literal, NamedTuple

import numpy as np

from shadoweval.evidence.bets import Side, growth_table, log_mixture
from shadoweval.evidence.books import Book, book_of, columns_of_book, mean_in
from shadoweval.evidence.histbet import HistBet, count_groups
from shadoweval.evidence.inputs import BoolArray, FloatArray, IntArray
from shadoweval.evidence.multiplicity import e_bh
from shadoweval.evidence.profiles import AND, AttributeColumn, Profiles

__all__ = ["FEWEST_UNITS", "Contrasts", "SliceEvidence", "joined"]

FEWEST_UNITS: Final = 50
_FEWEST_WEIGHED: Final = 10
"""Fewer can't prove anything against the many slices that are looked at."""
FALSE_DISCOVERIES: Final = 0.10

_FEW_PROFILES: Final = 1_000
_NEARLY_ALL: Final = 0.95
"""A slice with this share of the traffic, or of a slice that it is a part of, says nothing of its own."""


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


class Contrasts(NamedTuple):
    """Clusters under one metric; arrays of shape (m,)."""

    values: FloatArray
    """Contrasts in [-1, 1], larger is better."""
    profiles: IntArray
    """The profile of each."""
    first: BoolArray | None = None
    """Which are their units' first; None: all."""


def joined(parts: Sequence[Contrasts]) -> Contrasts:
    """The clusters of all parts, of which there is one at least."""
    if len(parts) == 1:
        return parts[0]
    mixed = any(part.first is not None for part in parts)
    firsts = [np.ones(part.values.size, dtype=np.bool_) if part.first is None else part.first for part in parts]
    return Contrasts(
        np.concatenate([part.values for part in parts]),
        np.concatenate([part.profiles for part in parts]),
        np.concatenate(firsts) if mixed else None,
    )


class Worse(NamedTuple):
    """How far one slice is proven worse under one metric, by log e-values that are valid at every look."""

    metric: str
    slice: str
    n: int
    mean: float
    """Of the contrast, below 0."""
    beyond: float
    """That it is worse by more than the margin."""
    at_all: float
    """That it is worse than the incumbent, within the margin or not."""


class SliceEvidence:
    """Evidence per slice and metric.

    The attributes of a pair are one number, its profile; a profile belongs to some slices.

    Args:
        reaches: By metric, how far from 0 a contrast can lie, where that is not 1; the histograms are of its share.
    """

    def __init__(self, reaches: Mapping[str, float] | None = None) -> None:
        self._reaches = reaches or {}
        self._profiles = Profiles()
        self._evidence: Book = {}
        self._units: Counter[str] = Counter()
        self._again: Book = {}
        """Clusters of units that had come before."""
        self._clusters_again: Counter[str] = Counter()

    def profiles(self, attributes: Mapping[str, AttributeColumn], n: int) -> IntArray:
        """The profile of each of n pairs."""
        return self._profiles.of(attributes, n)

    def add(self, clusters: Mapping[str, Contrasts]) -> None:
        """Count clusters, by metric."""
        for metric, (values, profiles, first) in clusters.items():
            values = values / self._reaches[metric] if metric in self._reaches else values  # noqa: PLW2901
            for book, sizes, which in (
                (self._evidence, self._units, first),
                (self._again, self._clusters_again, None if first is None else ~first),
            ):
                part = slice(None) if which is None or which.all() else which
                if book is self._evidence or (which is not None and which.any()):
                    sizes[metric] += values[part].size
                    self._count(metric, values[part], profiles[part], book=book)

    def _count(self, metric: str, values: FloatArray, profiles: IntArray, *, book: Book) -> None:
        members = self._profiles.members
        if not values.size or not self._profiles.slices:
            return
        if len(members) <= _FEW_PROFILES:  # one pass over the values, whatever the number of slices
            groups, occurring = profiles, profiles
        else:
            table = np.full((max(map(len, members)), len(members)), -1, dtype=np.int64)
            for profile, numbers in enumerate(members):
                table[: len(numbers), profile] = numbers
            groups, members = table[:, profiles], [(number,) for number in range(len(self._profiles.slices))]
            occurring = groups[groups >= 0]
        present = np.bincount(occurring, minlength=len(members)) > 0
        there = [numbers if there else () for numbers, there in zip(members, present.tolist(), strict=True)]
        own = {number: mean_in(book, metric, number) for number in dict.fromkeys(chain.from_iterable(there))}
        means = [[own[number] for number in numbers] for numbers in there]
        count_groups(values, groups, means)

    def results(self, widths: Mapping[str, float], *, alpha: float) -> tuple[Slice, ...]:
        """All slices, the worst first; those with fewer than 50 units say that they are too small.

        Left out are slices of (nearly) all the traffic, and pairs of values of which one says what the other says.

        Args:
            widths: By metric, what a contrast of 1 means in the metric's own unit.
            alpha: Level of each bound.
        """
        listed = self._listed(widths)
        widths = {metric: width * self._reaches.get(metric, 1.0) for metric, width in widths.items()}
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

    def weigh(self, margins: Mapping[str, float]) -> tuple[list[Worse], int]:
        """How far each slice of ten or more is proven worse, and how many were looked at.

        Slices are looked at by their units' first clusters, and where units come back by all their clusters, too: what
        those who were seen there met, exact for the running mean given the past.

        Args:
            margins: By metric, the loss that is tolerated, >= 0, as a share of what the contrast is a share of.
        """
        rows = self._listed(margins)
        if self._again:
            whole = {key: HistBet().merge(mean) for key, mean in self._evidence.items()}
            for key, mean in self._again.items():
                whole.setdefault(key, HistBet()).merge(mean)
            rows += self._listed(margins, book=whole, sizes=self._units + self._clusters_again)
        large = [row for row in rows if row[2].n >= _FEWEST_WEIGHED]
        found: list[Worse] = []
        for metric in margins:
            own = [row for row in large if row[0] == metric and row[2].total < 0]
            if own:
                counts = np.array([mean.counts for *_, mean in own])
                reach = self._reaches.get(metric, 1.0)
                beyond, at_all = (_log_e(counts, -margin / reach) for margin in (margins[metric], 0.0))
                found += [
                    Worse(metric, name, mean.n, mean.mean * reach, *both)
                    for (_, name, mean), *both in zip(own, beyond, at_all, strict=True)
                ]
        return found, len(large)

    def _listed(
        self, metrics: Container[str], *, book: Book | None = None, sizes: Mapping[str, int] | None = None
    ) -> list[tuple[str, str, HistBet]]:
        book, sizes = self._evidence if book is None else book, self._units if sizes is None else sizes
        names = {number: name for name, number in self._profiles.slices.items()}
        return [
            (metric, names[number], mean)
            for (metric, number), mean in book.items()
            if metric in metrics
            and mean.n < _NEARLY_ALL * self._size_around(metric, names[number], book=book, sizes=sizes)
        ]

    def _size_around(self, metric: str, name: str, *, book: Book, sizes: Mapping[str, int]) -> int:
        """Units of the smallest part of the traffic that contains this slice: a value's own, or all."""
        parts = [
            self._profiles.slices[part] for part in name.split(AND) if part != name and part in self._profiles.slices
        ]
        around = [book[metric, part].n for part in parts if (metric, part) in book]
        return min(around, default=sizes[metric])

    def reversals(self, overall: Mapping[str, HistBet]) -> tuple[tuple[str, str, int], ...]:
        """Metrics whose sign overall is the opposite in every larger slice by some attribute (Simpson's paradox).

        Returns:
            Metric, attribute, and how many slices that is.
        """
        names = {number: name for name, number in self._profiles.slices.items()}
        reversed_: list[tuple[str, str, int]] = []
        for metric, whole in overall.items():
            by_attribute: dict[str, list[HistBet]] = {}
            for (name, number), mean in self._evidence.items():
                if name == metric and AND not in names[number] and mean.n >= FEWEST_UNITS:
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
            "profiles": self._profiles.to_state(),
            "units": dict(self._units),
            "evidence": columns_of_book(self._evidence),
            "again": [dict(self._clusters_again), columns_of_book(self._again)],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._profiles.restore(state["profiles"])
        self._units = Counter(state["units"])
        self._evidence = book_of(state["evidence"])
        self._clusters_again, self._again = Counter(state["again"][0]), book_of(state["again"][1])


def _log_e(counts: FloatArray, margin: float) -> list[float]:
    """Log evidence that the mean of each histogram, shape (slices, nodes), is below the margin."""
    table = growth_table(margin, "less", lo=-1.0, hi=1.0, bins=counts.shape[1] - 1)
    return log_mixture(counts @ table).tolist()


def _named(large: Sequence[tuple[str, str, HistBet]], side: Side) -> set[tuple[str, str]]:
    """Metric and slice of those whose difference lies on that side, by e-BH over all of them."""
    if not large:
        return set()
    rejected = e_bh([mean.log_e(0.0, side) for *_, mean in large], FALSE_DISCOVERIES)
    return {(metric, name) for (metric, name, _), named in zip(large, rejected.tolist(), strict=True) if named}
