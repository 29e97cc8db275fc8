"""Are the pairs that have a score like those that have none? Labels often come for the easy half only.

Scores that are missing for a reason that can't lie in the answer (no label, a judge that was busy) are not bounded;
what is proven then holds for pairs like the scored ones. So both kinds of pairs are compared, by the attributes of
their queries (length, script, what the caller declared) and by all other metrics of both arms; a difference is said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np

from shadoweval.evidence.inputs import BoolArray
from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.verdict.columns import ScoreColumns

__all__ = ["Representative"]

_FEWEST: Final = 30
_STRICT: Final = 5.0
"""Standard errors that a difference must reach: it is looked for in many places, and again at each look."""
_SHARE: Final = 0.1
_SHIFT: Final = 0.25
_HUGE: Final = 1e140
"""Larger amounts count as this, so that the squares of as many as there will ever be can be added up."""
_VALUES: Final = 50
"""Values of one attribute that are counted; with more, each is rare."""


class Representative:
    """Scored and unscored pairs of some metrics, beside what else is known of them."""

    def __init__(self, metrics: Sequence[str]) -> None:
        self._pairs = {metric: [0, 0] for metric in metrics}
        # By metric and "attribute=value": how many of the scored and of the unscored pairs.
        self._shares: dict[str, dict[str, list[int]]] = {metric: {} for metric in metrics}
        # By metric and "arm's other metric": n, sum and sum of squares of the scored, then of the unscored pairs.
        self._amounts: dict[str, dict[str, list[float]]] = {metric: {} for metric in metrics}

    def count(self, scores: Mapping[str, ScoreColumns], attributes: Mapping[str, AttributeColumn]) -> None:
        """Count a batch."""
        for metric, pairs in self._pairs.items():
            own = scores[metric]
            if own.uninformative is None or own.raw is not None:  # drawn by chance, they are alike
                continue
            lacking = own.uninformative[0] | own.uninformative[1]
            if own.missing_by_design is not None:
                lacking &= ~own.missing_by_design
            sides = own.both, lacking
            for side, which in enumerate(sides):
                pairs[side] += int(which.sum())
            self._count_shares(self._shares[metric], attributes, sides)
            others = {name: each for name, each in scores.items() if name != metric}
            self._count_amounts(self._amounts[metric], others, sides)

    @staticmethod
    def _count_shares(
        shares: dict[str, list[int]], attributes: Mapping[str, AttributeColumn], sides: tuple[BoolArray, BoolArray]
    ) -> None:
        for name, column in attributes.items():
            if len(column.values) > _VALUES:
                continue
            for side, which in enumerate(sides):
                codes = column.codes[which]
                counts = np.bincount(codes[codes >= 0], minlength=len(column.values))
                for value, n in zip(column.values, counts.tolist(), strict=True):
                    if n:
                        shares.setdefault(f"{name}={value}", [0, 0])[side] += n

    @staticmethod
    def _count_amounts(
        amounts: dict[str, list[float]], others: Mapping[str, ScoreColumns], sides: tuple[BoolArray, BoolArray]
    ) -> None:
        for name, other in others.items():
            for arm in ("incumbent", "candidate"):
                sums = amounts.setdefault(f"{arm}'s {name}", [0.0] * 6)
                for side, which in enumerate(sides):
                    known = getattr(other, arm)[which & getattr(other, f"{arm}_scored")]
                    values = np.clip(known, -_HUGE, _HUGE)
                    for place, more in enumerate((values.size, values.sum(), values @ values)):
                        sums[3 * side + place] += float(more)

    def notices(self) -> Iterator[str]:
        """Of each metric whose scored pairs are not like the others, the largest difference."""
        for metric, (scored, unscored) in self._pairs.items():
            if min(scored, unscored) < _FEWEST:
                continue
            found = [*self._unlike_shares(metric, scored, unscored), *self._unlike_amounts(metric)]
            if found:
                size, what = max(found)
                more = f", and {len(found) - 1} more" if len(found) > 1 else ""
                yield (
                    f"{metric}: the {scored} labelled (scored) pairs are not like the {unscored} unlabelled: "
                    f"{what}{more} (difference of {size:.2g} standard deviations). What is said of {metric} holds for "
                    "pairs like the labelled ones: label a random part of the traffic (`shadoweval labels`)."
                )

    def _unlike_shares(self, metric: str, scored: int, unscored: int) -> Iterator[tuple[float, str]]:
        for name, (a, b) in self._shares[metric].items():
            first, second, pooled = a / scored, b / unscored, (a + b) / (scored + unscored)
            spread = math.sqrt(pooled * (1 - pooled)) if 0 < pooled < 1 else 0.0
            error = spread * math.sqrt(1 / scored + 1 / unscored)
            gap = abs(first - second)
            if spread and gap >= _SHARE and gap >= _STRICT * error:
                yield gap / spread, f"{name} in {first:.0%} against {second:.0%}"

    def _unlike_amounts(self, metric: str) -> Iterator[tuple[float, str]]:
        for name, (n, total, squares, m, other, other_squares) in self._amounts[metric].items():
            if min(n, m) < _FEWEST:
                continue
            first, second = total / n, other / m
            variances = max(squares / n - first**2, 0.0), max(other_squares / m - second**2, 0.0)
            error = math.sqrt(variances[0] / n + variances[1] / m)
            pooled = math.sqrt(
                max(0.0, (squares + other_squares) / (n + m) - ((total + other) / (n + m)) ** 2) + 1e-300
            )
            gap = abs(first - second)
            if gap >= _SHIFT * pooled and gap > _STRICT * error and pooled > 1e-9:
                yield gap / pooled, f"{name} {first:.4g} against {second:.4g}"

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {"pairs": self._pairs, "shares": self._shares, "amounts": self._amounts}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._pairs = {name: list(pair) for name, pair in state["pairs"].items()}
        self._shares = {m: {name: list(two) for name, two in by.items()} for m, by in state["shares"].items()}
        self._amounts = {m: {name: list(six) for name, six in by.items()} for m, by in state["amounts"].items()}
