"""Where the candidate is worse: parts of the traffic by attribute, by pairs of attributes, or learned.

A slice is fixed before its pairs are judged, so one histogram each and e-BH over all of them suffice, however often
one looks. Learned slices are fitted on one half of the queries (by hash) and tested on the other half only.
Sources: Wang and Ramdas, "False discovery rate control with e-values" (JRSS-B 2022); Simpson (1951).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any, Final

import numpy as np

from shadoweval.evidence import HistBet, e_bh, histograms
from shadoweval.protocols import Metric
from shadoweval.records import SliceResult
from shadoweval.verdict.attributes import AttributeColumn, CodeArray
from shadoweval.verdict.columns import FloatArray, IdArray

__all__ = ["FALSE_DISCOVERIES", "FEWEST_UNITS", "SliceBook", "learned_slices"]

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


class SliceBook:
    """Evidence per slice and metric.

    The attributes of a pair are one number, its profile; a profile belongs to some slices.
    """

    def __init__(self) -> None:
        self._slices: dict[str, int] = {}
        self._discovered: set[str] = set()
        self._values: dict[str, list[str]] = {}
        self._profiles: dict[tuple[str, ...], int] = {}
        self._members: list[tuple[int, ...]] = []
        self._evidence: dict[tuple[str, int], HistBet] = {}
        self._units: Counter[str] = Counter()

    def profiles(self, attributes: Mapping[str, AttributeColumn], n: int) -> CodeArray:
        """The profile of each of n pairs."""
        usual = {name: self._usual_codes(name, column) for name, column in attributes.items()}
        mixed = np.zeros(n, dtype=np.int64)
        for name, codes in usual.items():
            mixed = _compressed(mixed)[0] * (len(attributes[name].values) + 1) + codes + 1
        inverse, first = _compressed(mixed)
        numbers = np.zeros(first.size, dtype=np.int64)
        for place in np.argsort(first).tolist():  # in order of appearance, so that batches do not matter
            pair = int(first[place])
            named = {
                f"{name}={column.values[usual[name][pair]]}": column.discovered
                for name, column in attributes.items()
                if usual[name][pair] >= 0
            }
            self._discovered |= {part for part, discovered in named.items() if discovered}
            numbers[place] = self._profile(tuple(sorted(named)))
        return numbers[inverse]

    def _usual_codes(self, name: str, column: AttributeColumn) -> CodeArray:
        """Codes of the attribute's first fifty values; later ones make no slice (ids, free text)."""
        known = self._values.setdefault(name, [])
        kept = np.full(len(column.values) + 1, -1, dtype=np.int64)  # the last place is for pairs without a value
        for code, value in enumerate(column.values):
            if value not in known and len(known) < _MOST_VALUES:
                known.append(value)
            if value in known:
                kept[code] = code
        return kept[np.maximum(column.codes, -1)]

    def _profile(self, named: tuple[str, ...]) -> int:
        if named not in self._profiles:
            self._profiles[named] = len(self._members)
            crossed = [_PREFIX.join(two) for two in combinations(named[:_MOST_CROSSED], 2)]
            found = (self._slice(name) for name in [*named, *crossed])
            self._members.append(tuple(number for number in found if number is not None))
        return self._profiles[named]

    def _slice(self, name: str) -> int | None:
        if name not in self._slices and len(self._slices) < _MOST_SLICES:
            self._slices[name] = len(self._slices)
        return self._slices.get(name)

    def add(self, metric: str, values: FloatArray, profiles: CodeArray) -> None:
        """Count units: contrasts in [-1, 1] (larger is better) with the profile of each."""
        self._units[metric] += values.size
        if not values.size or not self._slices:
            return
        if len(self._members) <= _FEW_PROFILES:  # one pass over the values, whatever the number of slices
            for members, found in zip(self._members, histograms(values, profiles, len(self._members)), strict=True):
                for number in members:
                    self._count(metric, number, found)
            return
        table = np.full((max(map(len, self._members)), len(self._members)), -1, dtype=np.int64)
        for profile, members in enumerate(self._members):
            table[: len(members), profile] = members
        for number, found in enumerate(histograms(values, table[:, profiles], len(self._slices))):
            self._count(metric, number, found)

    def _count(self, metric: str, number: int, found: HistBet) -> None:
        if found.n:
            self._evidence.setdefault((metric, number), HistBet()).merge(found)

    def results(self, metrics: Sequence[Metric], *, alpha: float) -> tuple[SliceResult, ...]:
        """All slices, the worst first; those with fewer than 50 units say that they are too small.

        Left out are slices of (nearly) all the traffic, and pairs of values of which one says what the other says.
        """
        scale = {m.name: m.high - m.low if m.high is not None and m.low is not None else 1.0 for m in metrics}
        names = {number: name for name, number in self._slices.items()}
        listed = [
            (metric, number, found)
            for (metric, number), found in self._evidence.items()
            if metric in scale and found.n < _NEARLY_ALL * self._units_around(metric, names[number])
        ]
        large = [row for row in listed if row[2].n >= FEWEST_UNITS]
        worse = _found([found.log_e(0.0, "less") for _, _, found in large])
        better = _found([found.log_e(0.0, "greater") for _, _, found in large])
        results: list[SliceResult] = []
        for (metric, number, found), is_worse, is_better in zip(large, worse, better, strict=True):
            results.append(
                SliceResult(
                    slice=names[number],
                    metric=metric,
                    n=found.n,
                    difference=found.mean * scale[metric],
                    lower=found.bound(alpha, "lower") * scale[metric],
                    upper=found.bound(alpha, "upper") * scale[metric],
                    state="worse" if is_worse else "better" if is_better else "open",
                    discovered=names[number] in self._discovered,
                )
            )
        results += [
            SliceResult(
                slice=names[number],
                metric=metric,
                n=found.n,
                difference=found.mean * scale[metric],
                state="too_small",
                reason=f"{found.n} of at least {FEWEST_UNITS} units",
                discovered=names[number] in self._discovered,
            )
            for metric, number, found in listed
            if found.n < FEWEST_UNITS
        ]
        rank = {"worse": 0, "open": 1, "better": 2, "too_small": 3}
        return tuple(sorted(results, key=lambda r: (rank[r.state], r.difference or 0.0, r.metric, r.slice)))

    def _units_around(self, metric: str, name: str) -> int:
        """Units of the smallest part of the traffic that contains this slice: a value's own, or all."""
        parts = [self._slices[part] for part in name.split(_PREFIX) if part != name and part in self._slices]
        around = [self._evidence[metric, part].n for part in parts if (metric, part) in self._evidence]
        return min(around, default=self._units[metric])

    def reversals(self, overall: Mapping[str, HistBet]) -> tuple[str, ...]:
        """Sentences on metrics that are better overall but worse in every larger slice by an attribute."""
        names = {number: name for name, number in self._slices.items()}
        sentences: list[str] = []
        for metric, whole in overall.items():
            by_attribute: dict[str, list[HistBet]] = {}
            for (name, number), found in self._evidence.items():
                if name == metric and _PREFIX not in names[number] and found.n >= FEWEST_UNITS:
                    by_attribute.setdefault(names[number].split("=", 1)[0], []).append(found)
            sentences += [
                f"{metric} is {'better' if whole.mean > 0 else 'worse'} overall but the opposite in each of the "
                f"{len(parts)} larger slices by {attribute} (Simpson's paradox): look at the mix of traffic"
                for attribute, parts in by_attribute.items()
                if len(parts) > 1
                and sum(part.n for part in parts) >= 0.9 * whole.n
                and all(part.mean * whole.mean < 0 for part in parts)
            ]
        return tuple(sentences)

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "slices": dict(self._slices),
            "discovered": sorted(self._discovered),
            "values": {name: list(values) for name, values in self._values.items()},
            "profiles": [list(named) for named in self._profiles],
            "members": [list(members) for members in self._members],
            "units": dict(self._units),
            "evidence": [[metric, number, found.to_state()] for (metric, number), found in self._evidence.items()],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._slices = dict(state["slices"])
        self._values = {name: list(values) for name, values in state["values"].items()}
        self._discovered = set(state["discovered"])
        self._profiles = {tuple(named): number for number, named in enumerate(state["profiles"])}
        self._members = [tuple(members) for members in state["members"]]
        self._units = Counter(state["units"])
        self._evidence = {(metric, number): HistBet.from_state(found) for metric, number, found in state["evidence"]}


def _compressed(codes: CodeArray) -> tuple[CodeArray, CodeArray]:
    """Codes >= 0 as numbers 0, 1, ... in the same order, and where each comes first."""
    largest = int(codes.max()) if codes.size else -1
    if largest > _MOST_CODES:
        _codes, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
        return inverse.astype(np.int64), first.astype(np.int64)
    place = np.full(largest + 1, -1, dtype=np.int64)
    place[codes[::-1]] = np.arange(codes.size)[::-1]  # the last to be written is the first to come
    there = place >= 0
    return (np.cumsum(there) - 1)[codes], place[there]


def _found(log_e: Sequence[float]) -> list[bool]:
    return e_bh(np.array(log_e), FALSE_DISCOVERIES).tolist() if log_e else []


def learned_slices(
    vectors: FloatArray, ids: IdArray, *, clusters: int = 8, rounds: int = 20, seed: int = 0
) -> AttributeColumn:
    """Topics of the queries: k-means fitted on the half of the queries with an even id, given to the other half only.

    Args:
        vectors: One per pair, shape (n, d), such as sentence embeddings.
        ids: `Columns.key`, shape (n,): duplicates fall into the same half.
        clusters: How many topics.
        rounds: Of Lloyd's algorithm.
        seed: Of the choice of the first centres (k-means++).
    """
    fitted, tested = ids % np.uint64(2) == 0, ids % np.uint64(2) == 1
    codes = np.full(ids.size, -1, dtype=np.int64)
    clusters = min(clusters, int(fitted.sum()))
    if clusters > 1 and tested.any():
        centres = _centres(vectors[fitted], clusters, rounds=rounds, seed=seed)
        codes[tested] = _nearest(vectors[tested], centres)
    return AttributeColumn(codes=codes, values=tuple(str(n + 1) for n in range(clusters)), discovered=True)


def _nearest(vectors: FloatArray, centres: FloatArray) -> CodeArray:
    return np.argmin(_distances(vectors, centres), axis=1).astype(np.int64)


def _distances(vectors: FloatArray, centres: FloatArray) -> FloatArray:
    return (vectors**2).sum(axis=1)[:, np.newaxis] - 2 * vectors @ centres.T + (centres**2).sum(axis=1)


def _centres(vectors: FloatArray, clusters: int, *, rounds: int, seed: int) -> FloatArray:
    random = np.random.default_rng(seed)
    centres = vectors[random.integers(len(vectors))][np.newaxis]
    while len(centres) < clusters:  # k-means++ (Arthur and Vassilvitskii 2007)
        far = np.maximum(_distances(vectors, centres).min(axis=1), 0) + 1e-12
        centres = np.concatenate([centres, vectors[random.choice(len(vectors), p=far / far.sum())][np.newaxis]])
    for _ in range(rounds):
        nearest = _nearest(vectors, centres)
        moved = np.array(
            [vectors[nearest == k].mean(axis=0) if (nearest == k).any() else centres[k] for k in range(clusters)]
        )
        if np.allclose(moved, centres):
            break
        centres = moved
    return centres
