"""The numbers that a verdict goes by, beside the gates' own margins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shadoweval.checks import (
    checked_choice,
    checked_fields,
    checked_keywords,
    checked_share,
    checked_strings,
    checked_truth,
)
from shadoweval.errors import ArgumentError

__all__ = ["LIVE_UNITS", "NEW_WINDOW", "Rules"]

LIVE_UNITS: Final = 200


NEW_WINDOW: Final = "(shadoweval evaluate --new-window --why ..., or evaluate(new_window=True))"
"""What a sentence of a verdict tells the reader to type to begin a window."""


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Levels and floors. The defaults suit live traffic that is looked at whenever someone likes."""

    alpha: float = 0.05
    """Chance of a false promotion, and of a false rollback, over all looks together."""
    candidates: int = 1
    """How many candidates are tried at once; each is promoted, and rolled back, by `candidates` times the evidence."""
    min_units: int | None = None
    """Fewer units than this never promote. None: 200 for live traffic; in a suite or window to which no more pairs come
    as many as the proof itself takes, which is right however few there are."""
    min_hours: float | None = None
    """Hours with traffic before promotion: clock hours of the day in which at least a few pairs were asked, beyond 24
    of the week; as long must lie between the first and the last query. None: 24, a day's cycle, where `evaluate` looks
    at live traffic from a fixed moment on; else 0."""
    min_coverage: float = 0.95
    """Share of the sampled queries that must have become pairs."""
    min_fidelity: float = 0.9
    """Share of the candidate's tool calls that must not have been simulated or refused."""
    max_incumbent_failures: float = 0.05
    """A larger share of failures of the incumbent's own holds: its outage credits whatever runs later."""
    writes: Literal["judged", "waived"] = "judged"
    """Where an arm called tools that write, a gate must judge what the candidate writes; `waived`: you judge it
    elsewhere, and nothing here holds the verdict for it."""
    waive: Sequence[str] = ()
    """Proven harm beside the gates that you accept, by name, and that is then said and holds nothing: a slice
    (`lang=es`), a metric (`latency`), both (`latency in lang=es`), a class of failures (`timeout`)."""
    population: Literal["all users", "these users"] = "all users"
    """Whom a promotion speaks of. `all users`: of those to come as well, so that each user counts once, however often
    it comes. `these users`: of those seen, so that each of their visits (sessions, days of a question) counts; for a
    product with a few hundred users whom nobody else will join."""
    checks: Literal["hold", "notice", "off"] = "hold"
    """What becomes of a field that a stage of an arm (hits, tools, answer) no longer has, or has empty or of another
    type, while the arm's version stayed the same: it holds the verdict, or is said beside it; `off`: nobody looks."""
    share: float | None = None
    """The sampling share that was planned; None: not checked."""
    closed: bool = False
    """No more pairs will come, so open sessions count as they stand; else a session counts once it is over."""
    once: bool = False
    """For a closed suite of cases that is looked at a single time: sharper with few cases, and wrong when it is
    repeated until it pleases (`evaluate` knows, and asks for more). Open sessions count as they stand."""

    attempt: int = 1
    """The how-manieth set of gates, margins, rules and scorers is tried on the same pairs; `evaluate` counts them. The
    k-th is promoted at alpha / (k (k + 1)), of single looks (`once`) rolled back too: 1.5 alpha in all."""

    @property
    def least_units(self) -> int:
        """`min_units`, or what stands for it."""
        if self.min_units is not None:
            return self.min_units
        return 1 if self.ended else LIVE_UNITS

    @property
    def ended(self) -> bool:
        """Whether no more pairs will come."""
        return self.closed or self.once

    @property
    def visits(self) -> bool:
        """Whether each visit of a user counts."""
        return self.population == "these users"

    @property
    def promotion_alpha(self) -> float:
        """Each candidate's part of alpha, to promote it, at this attempt."""
        return self.alpha / self.candidates / (1 if self.attempt == 1 else self.attempt * (self.attempt + 1))

    @property
    def rollback_alpha(self) -> float:
        """Each candidate's part of alpha, to roll it back."""
        return self.promotion_alpha if self.once else self.alpha / self.candidates

    def __post_init__(self) -> None:
        checked_fields(self, "alpha", "min_coverage", "min_fidelity", "max_incumbent_failures", check=checked_share)
        checked_fields(self, "share", check=checked_share, optional=True)
        if not 0 < self.alpha < 1:
            raise ArgumentError("Rules.alpha", self.alpha, expected="a number between 0 and 1", mend="Write 0.05.")
        if self.share == 0:
            raise ArgumentError("Rules.share", self.share, expected="a number above 0, up to 1")
        checked_fields(self, "candidates", "attempt", low=1, whole=True)
        checked_fields(self, "min_units", low=1, whole=True, optional=True)
        checked_fields(self, "min_hours", low=0, optional=True)
        checked_fields(self, "closed", "once", check=checked_truth)
        object.__setattr__(self, "waive", checked_strings("Rules.waive", self.waive))
        checked_choice("Rules.writes", self.writes, Literal["judged", "waived"])
        checked_choice("Rules.checks", self.checks, Literal["hold", "notice", "off"])
        checked_choice("Rules.population", self.population, Literal["all users", "these users"])
