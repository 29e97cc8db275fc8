"""Numbers as people say them: `0.37 s instead of 0.06 s (6.7 x)`, `1,304 tokens instead of 940 tokens (39 % more)`.

Values and differences are shown as they are, candidate - incumbent, whichever of them is better: no sign is turned
round because lower is better. As many digits are shown as tell the arms apart.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["amount", "instead", "range_words"]

_SCALES: Final = ((1e-4, 1e6, "us"), (0.1, 1e3, "ms"))
"""Seconds below which they are said in a smaller unit: limit, factor, its name."""
_DIGITS: Final = 4
"""Significant digits at most, of a score."""
_TWICE: Final = 2.0
"""The ratio from which a change is said in times, and not in percent."""
_LEAST: Final = 1e-9
_TINY: Final = 1e-5
_HUGE: Final = 1e15
"""Below the one and above the other digits can no longer be counted by eye; infinity is beyond."""


def _scaled(unit: str, largest: float) -> tuple[float, str]:
    """By what to multiply values of this unit, and what to write behind them, when the largest one is so large."""
    if unit == "share":
        return 100.0, " %"
    if unit == "s" and largest:
        for limit, factor, name in _SCALES:
            if largest < limit:
                return factor, f" {name}"
    return 1.0, f" {unit}" if unit else ""


def _decimals(largest: float, gap: float) -> int:
    """Decimals that show two digits of the gap, and no more digits of the largest value than it is worth."""
    if not largest:
        return 0
    most = _DIGITS - 1 - math.floor(math.log10(largest))
    wanted = 2 - math.floor(math.log10(largest)) if gap <= _LEAST * largest else 1 - math.floor(math.log10(gap))
    return max(0, min(wanted, most))


def _texts(values: tuple[float, ...], unit: str, *, gap: float, signed: bool = False) -> list[str]:
    factor, name = _scaled(unit, max(map(abs, values)))
    largest, sign = max(map(abs, values)) * factor, "+" if signed else ""
    if not 0 <= largest < _HUGE or 0 < largest < _TINY:
        return [f"{value * factor:{sign}.3g}{name}" for value in values]
    decimals = _decimals(largest, gap * factor)
    return [f"{_not_minus_zero(value * factor, decimals):{sign},.{decimals}f}{name}" for value in values]


def _not_minus_zero(value: float, decimals: int) -> float:
    return value if round(value, decimals) else 0.0


def amount(value: float | None, unit: str = "") -> str:
    """One value with its unit, to three digits; a dash where there is none.

    `unit` is `s`, `USD`, `tokens`, `MB`, ... as in `Metric.unit`; `share`: it is said in percent.
    """
    return "–" if value is None else _texts((value,), unit, gap=0.0)[0]


def instead(incumbent: float, candidate: float, unit: str = "", *, bounded: bool = True) -> str:
    """The candidate's value beside the incumbent's, and by how much they differ.

    Args:
        incumbent: Its value.
        candidate: Its value.
        unit: As of `amount`.
        bounded: Whether the metric has a range. Of a score the difference is said, of an amount the ratio.
    """
    ours, theirs = _texts((candidate, incumbent), unit, gap=abs(candidate - incumbent))
    if ours == theirs:
        return f"{ours} in both"
    if incumbent and not any(digit in theirs for digit in "123456789"):
        theirs = amount(incumbent, unit)
    if candidate and not any(digit in ours for digit in "123456789"):
        ours = amount(candidate, unit)
    how = change_words(incumbent, candidate, unit) if bounded else ratio_words(incumbent, candidate)
    return f"{ours} instead of {theirs}" + (f" ({how})" if how else "")


def change_words(incumbent: float, candidate: float, unit: str = "") -> str:
    """`+0.05`, `-1.2 points`, `+364 tokens`: candidate - incumbent in the metric's own unit."""
    change = candidate - incumbent
    text = _texts((change,), unit, gap=abs(change), signed=True)[0]
    return text.replace(" %", " points")


def ratio_words(incumbent: float, candidate: float) -> str:
    """`6.7 x`, `39 % more`, `12 % less`; empty where one of them is no amount above 0."""
    if incumbent <= 0 or candidate <= 0:
        return ""
    ratio = candidate / incumbent
    if not 0 < ratio < _HUGE:
        return ""
    if ratio >= _TWICE:
        return f"{ratio:,.{0 if ratio >= 100 else 1}f} x"
    percent = abs(ratio - 1) * 100
    digits = 0 if percent >= 10 else 1
    return f"{percent:.{digits}f} % {'more' if ratio > 1 else 'less'}"


def range_words(lower: float, upper: float, unit: str = "") -> str:
    """Where a difference candidate - incumbent lies: `0.28 to 0.34 s more`, `0.02 s less to 0.05 s more`."""
    low, high = _texts((abs(lower), abs(upper)), unit, gap=max(abs(lower), abs(upper)))
    low, high = low.replace(" %", " points"), high.replace(" %", " points")
    if lower >= 0:
        return f"{low.partition(' ')[0]} to {high} more"
    if upper <= 0:
        return f"{high.partition(' ')[0]} to {low} less"
    return f"{low} less to {high} more"
