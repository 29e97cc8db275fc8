"""Parts of a sample that nobody named, in which differences are worse, or better: one half seeks, one tests.

A part is described by features that its members have: one of several words, an attribute, a kind of step. Seeking is
sequential covering (the rules of CN2 and RIPPER: Clark and Niblett 1989, Cohen 1995): the feature with the clearest
difference begins a part, features that go together with it widen it, one further feature may narrow it, and what it
covers is left out of the next search. Seeking may fit noise as much as it likes, since only units of the other half
test it (sample splitting: Cox 1975), each part at the level divided by how many are tested (Bonferroni).

Of one sample the chance that any part is named wrongly is at most the level. Nothing is promised over several samples
that grow into each other: each is a new search.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Final

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray, IntArray

__all__ = ["Features", "Rule", "Subgroup", "confirm", "seek"]

_SEEDS: Final = 4
"""Parts that one search may propose in each direction."""
_CLEAR: Final = 3.0
"""Standard errors by which a part must differ from the rest in the first half to be proposed."""
_ALTERNATIVES: Final = 6
_TOGETHER: Final = 3.0
"""How many times as often as by chance a feature must come with a part to widen it."""
_NARROWER: Final = 1.0
"""Standard errors that a further feature must bring."""
_FEW: Final = 10
_UNITS: Final = 20
"""Units of a feature, and of a part in each half, at least."""
_MOST: Final = 0.6
"""Share of the sample from which a feature, or a part, is none any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """Which of n rows have which of F features, as one pair of places for each that a row has."""

    rows: IntArray
    columns: IntArray
    alternatives: BoolArray
    """Whether a feature may be one of several that stand for a part (words), shape (F,)."""

    def having(self, columns: Sequence[int], count: int) -> BoolArray:
        """Rows, of `count`, that have any of these features."""
        members = np.zeros(count, dtype=bool)
        members[self.rows[np.isin(self.columns, columns)]] = True
        return members

    def counted(self, rows: BoolArray, weights: FloatArray | None = None) -> FloatArray:
        """Of each feature how many of these rows have it, or the sum of their weights, shape (F,)."""
        chosen = rows[self.rows]
        by = None if weights is None else weights[self.rows[chosen]]
        return np.bincount(self.columns[chosen], weights=by, minlength=len(self.alternatives)).astype(np.float64)

    def units(self, rows: BoolArray, units: IntArray) -> IntArray:
        """Of each feature how many different units of these rows have it, shape (F,)."""
        chosen = rows[self.rows]
        both = np.unique(self.columns[chosen] * (int(units.max(initial=0)) + 1) + units[self.rows[chosen]])
        return np.bincount(both // (int(units.max(initial=0)) + 1), minlength=len(self.alternatives))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Rows that have any of these features and, where there is one, this further feature."""

    any_of: tuple[int, ...]
    further: int | None = None
    sign: int
    """-1: differences are lower in it; 1: higher."""

    def members(self, features: Features, count: int) -> BoolArray:
        """Which of `count` rows it covers."""
        members = features.having(self.any_of, count)
        return members if self.further is None else members & features.having([self.further], count)


@dataclass(frozen=True, slots=True, kw_only=True)
class Subgroup:
    """A part that the second half bears out: numbers of that half alone."""

    rule: Rule
    rows: int
    units: int
    difference: float
    lower: float
    upper: float
    """Bounds that hold together with those of all other parts tested, at the level."""
    elsewhere: float
    """Mean difference of the rows outside."""


def seek(differences: FloatArray, features: Features, *, rows: BoolArray, units: IntArray) -> list[Rule]:
    """Rules worth a test, by the first half alone: in each direction the clearest first, none covering another's rows.

    Args:
        differences: Shape (n,).
        features: Of the n rows.
        rows: The first half.
        units: Whose each row is, shape (n,).
    """
    usual = features.units(rows, units) >= _FEW
    usual &= features.counted(rows) <= _MOST * rows.sum()
    return [
        rule
        for sign in (-1, 1)
        for rule in _Search(sign * differences, features, usual=usual, units=units).rules(rows, sign)
    ]


class _Search:
    """One direction: larger is what is sought."""

    def __init__(self, gains: FloatArray, features: Features, *, usual: BoolArray, units: IntArray) -> None:
        self._gains, self._features, self._usual, self._units = gains, features, usual, units

    def rules(self, rows: BoolArray, sign: int) -> Iterator[Rule]:
        """Up to so many seeds, each grown; what a rule covers is left out of the next search."""
        left = rows.copy()
        for _ in range(_SEEDS):
            if (left.sum() < 2 * _UNITS) or not self._gains[left].std():
                return
            rule = self._narrowed(self._widened(left, sign), left)
            members = rule.members(self._features, len(left)) & left
            if self._clear(members, left) < _CLEAR or len(np.unique(self._units[members])) < _UNITS:
                return
            yield rule
            left &= ~members

    def _widened(self, left: BoolArray, sign: int) -> Rule:
        """The clearest feature, and those that come with it and make the part clearer."""
        sums, counts = self._features.counted(left, self._gains), self._features.counted(left)
        clear = np.where(self._usual, self._clear_of(sums, counts, left), -np.inf)
        rule = Rule(any_of=(int(clear.argmax()),), sign=sign)
        while self._features.alternatives[rule.any_of[0]] and len(rule.any_of) < _ALTERNATIVES:
            members = rule.members(self._features, len(left)) & left
            new = left & ~members
            beside = self._features.counted(members)
            together = beside * left.sum() >= _TOGETHER * counts * members.sum()
            wider = self._clear_of(
                self._gains[members].sum() + self._features.counted(new, self._gains),
                members.sum() + self._features.counted(new),
                left,
            )
            allowed = self._usual & self._features.alternatives & together & (beside >= 2)
            allowed[list(rule.any_of)] = False
            wider = np.where(allowed, wider, -np.inf)
            if wider.max() <= self._clear(members, left):
                break
            rule = replace(rule, any_of=(*rule.any_of, int(wider.argmax())))
        return rule

    def _narrowed(self, rule: Rule, left: BoolArray) -> Rule:
        """The rule, or its part that has one further feature, if that is much clearer."""
        members = rule.members(self._features, len(left)) & left
        sums, counts = self._features.counted(members, self._gains), self._features.counted(members)
        clear = np.where(self._usual & (counts >= _UNITS), self._clear_of(sums, counts, left), -np.inf)
        clear[list(rule.any_of)] = -np.inf
        if clear.max() < self._clear(members, left) + _NARROWER:
            return rule
        return replace(rule, further=int(clear.argmax()))

    def _clear(self, members: BoolArray, left: BoolArray) -> float:
        counts = np.array([members.sum()], dtype=np.float64)
        return float(self._clear_of(np.array([self._gains[members].sum()]), counts, left)[0])

    def _clear_of(self, sums: FloatArray, counts: FloatArray, left: BoolArray) -> FloatArray:
        """How many standard errors the mean of parts with these sums and counts lies above that of the others."""
        gains = self._gains[left]
        rest = len(gains) - counts
        part = sums / np.maximum(counts, 1)
        error = gains.std() * np.sqrt(1 / np.maximum(counts, 1) + 1 / np.maximum(rest, 1))
        clear = (part - (gains.sum() - sums) / np.maximum(rest, 1)) / error
        return np.where((counts > 0) & (counts <= _MOST * len(gains)), np.where(part > 0, clear, -np.inf), -np.inf)


def confirm(
    differences: FloatArray,
    features: Features,
    *,
    rules: Sequence[Rule],
    rows: BoolArray,
    units: IntArray,
    alpha: float,
) -> list[Subgroup]:
    """The rules that the second half bears out: their rows differ from zero and from all others, as the rule says.

    Both are t intervals that are robust to units of several rows (Liang and Zeger 1986), at `alpha` over all `rules`.

    Args:
        differences: Shape (n,).
        features: Of the n rows.
        rules: As `seek` gave them from other units.
        rows: The second half.
        units: Whose each row is, shape (n,).
        alpha: Chance that any rule is borne out whose rows do not differ.
    """
    passed: list[Subgroup] = []
    least = np.abs(differences[rows]).max(initial=0.0)
    for rule in rules:
        members = rule.members(features, len(rows)) & rows
        mean, variance, count = _mean(differences[members], units[members], least)
        other, other_variance, others = _mean(differences[rows & ~members], units[rows & ~members], least)
        if min(count, others) < _UNITS:
            continue
        apart = _student(1 - alpha / (2 * len(rules)), min(count, others) - 1)
        reach = apart * variance**0.5
        gap, gap_reach = rule.sign * (mean - other), apart * (variance + other_variance) ** 0.5
        if rule.sign * mean > reach and gap > gap_reach:
            bounds = {"lower": mean - reach, "upper": mean + reach}
            size = {"rows": int(members.sum()), "units": count}
            passed.append(Subgroup(rule=rule, **size, difference=mean, **bounds, elsewhere=other))
    return passed


def _mean(values: FloatArray, units: IntArray, least: float) -> tuple[float, float, int]:
    """Mean, its variance by whole units, and how many units; of values all alike the variance is not taken as none."""
    if not len(values):
        return 0.0, 0.0, 0
    _, places = np.unique(units, return_inverse=True)
    mean, count = float(values.mean()), int(places.max()) + 1
    sums = np.bincount(places, weights=values - mean)
    variance = float((sums**2).sum()) / len(values) ** 2 * count / max(count - 1, 1)
    return mean, max(variance, (least / count) ** 2), count


def _student(level: float, freedom: int) -> float:
    """A quantile of Student's t (Abramowitz and Stegun 26.7.5), from 19 degrees on as scipy's to 0.1 %."""
    z = NormalDist().inv_cdf(level)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / freedom + second / freedom**2 + third / freedom**3
