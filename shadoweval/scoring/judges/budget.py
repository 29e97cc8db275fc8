"""What a judge may spend, and whom it judges when that runs short: ever fewer queries, drawn by their ids.

A budget that cut the judging off would judge the first queries of a day and none of the evening's. Here the chance to
be judged is halved each time half of what is left is spent, so that a day's queries all have one, which is known.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from shadoweval.checks import checked_choice, checked_fields, checked_keywords, checked_number
from shadoweval.errors import ArgumentError
from shadoweval.scoring.judges.questions import Spent

__all__ = ["JudgeBudget", "drawn", "period_of"]

Period = Literal["hour", "day", "month"]
_PERIODS: Final = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "month": "%Y-%m"}


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class JudgeBudget:
    """What all processes together may spend on one judge in an experiment; calls that are under way then end.

    As it runs short, fewer queries are judged: each has the chance 1 while over half of it is left, then 1/2, 1/4 and
    so on, down to `least_chance`. Who is drawn goes by the query's id, so both arms and the re-run are judged or none.
    """

    calls: int | None = None
    tokens: int | None = None
    """In and out."""
    usd: float | None = None
    """Needs `Judge(price=...)`."""
    per: Period = "day"
    """Of UTC."""
    least_chance: float = 0.25
    """The lower, the longer the money lasts and the longer a gate takes to prove, whether anything is thinned or not: a
    tenth asks for two to three times as many pairs as 1 does, a quarter for at most half as many again."""

    def __post_init__(self) -> None:
        checked_fields(self, "calls", "tokens", low=1, whole=True, optional=True)
        checked_fields(self, "usd", above=0, optional=True)
        checked_choice("JudgeBudget.per", self.per, Period)
        checked_number("JudgeBudget.least_chance", self.least_chance, above=0, high=1)
        if self.calls is None and self.tokens is None and self.usd is None:
            mend = "Write JudgeBudget(calls=1000), tokens= or usd=."
            raise ArgumentError("JudgeBudget", "nothing", expected="a limit", mend=mend)

    def period(self, now: datetime) -> str:
        """The name of the hour, day or month."""
        return period_of(self.per, now)

    @property
    def words(self) -> str:
        """`5 USD a day`."""
        limits = ((self.calls, "calls"), (self.tokens, "tokens"), (self.usd, "USD"))
        article = "an" if self.per == "hour" else "a"
        return " and ".join(f"{limit:,} {of}" for limit, of in limits if limit is not None) + f" {article} {self.per}"

    def left(self, spent: Spent) -> float:
        """Share of what may be spent that is left; 0 or less: nothing."""
        limits = ((self.calls, spent.calls), (self.tokens, spent.tokens), (self.usd, spent.usd))
        return min(1 - used / limit for limit, used in limits if limit is not None)

    def chance(self, spent: Spent) -> float:
        """With which a query is judged after so much was spent; 0: nothing is left."""
        left = self.left(spent)
        if left <= 0:
            return 0.0
        return max(self.least_chance, 0.5 ** math.floor(-math.log2(left)))


def period_of(per: Period, now: datetime) -> str:
    """The name of an hour, day or month of UTC."""
    return now.strftime(_PERIODS[per])


def drawn(query_id: str, chance: float) -> bool:
    """Whether a query is among those that are judged with this chance; who is drawn at a lower one is at a higher."""
    digest = hashlib.sha256(b"judge " + query_id.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8]) / 2**64 < chance
