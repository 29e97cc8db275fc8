"""A bar is a promise with a number: what was required, what was measured."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One promise.

    Attributes:
        name: Which part of the statistics.
        what: The world and the number that is looked at.
        measured: What came out.
        required: The limit.
        sense: Whether the limit is a ceiling or a floor.
        slack: What chance alone may add with this many streams.
        streams: Simulated streams behind the number.
    """

    name: str
    what: str
    measured: float
    required: float
    sense: Literal["<=", ">="] = "<="
    slack: float = 0.0
    streams: int = 0

    @property
    def ok(self) -> bool:
        if self.sense == "<=":
            return self.measured <= self.required + self.slack
        return self.measured >= self.required - self.slack


@dataclass(frozen=True, slots=True)
class Scale:
    """How many streams to simulate."""

    short: bool = False

    def streams(self, full: int) -> int:
        return max(40, full // 8) if self.short else full


def rate(name: str, what: str, hits, *, limit: float, sense: Literal["<=", ">="] = "<=") -> Bar:
    """A share of streams, with 2 standard errors of slack at 1,000 streams or more and 2.5 below."""
    hits = np.asarray(hits, dtype=float)
    errors = 2.0 if hits.size >= 1_000 else 2.5
    slack = errors * math.sqrt(limit * (1 - limit) / hits.size)
    return Bar(
        name=name, what=what, measured=float(hits.mean()), required=limit, sense=sense, slack=slack, streams=hits.size
    )


def quantile(name: str, what: str, times, *, q: float, limit: float, short: bool = False) -> Bar:
    """A quantile of stopping times (inf where a stream never stopped); a short run may exceed it by a quarter."""
    times = np.asarray(times, dtype=float)
    value = float(np.quantile(times, q, method="higher"))
    slack = 0.25 * limit if short else 0.0
    return Bar(name=name, what=what, measured=value, required=limit, slack=slack, streams=times.size)


def table(bars: list[Bar]) -> str:
    """The bars as a Markdown table."""
    lines = ["| bar | what | required | measured | streams | |", "|---|---|---|---|---|---|"]
    for bar in bars:
        digits = ".3f" if abs(bar.required) < 10 else ",.0f"
        lines.append(
            f"| {bar.name} | {bar.what} | {bar.sense} {bar.required:{digits}} | {bar.measured:{digits}} "
            f"| {bar.streams or ''} | {'ok' if bar.ok else 'FAILED'} |"
        )
    return "\n".join(lines)
