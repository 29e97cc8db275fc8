"""The numbers that a verdict goes by, beside the gates' own margins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from shadoweval.checks import checked_choice, checked_fields, checked_keywords, checked_share, checked_truth
from shadoweval.errors import ArgumentError

__all__ = ["Rules"]


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Levels and floors. The defaults suit live traffic that is looked at whenever someone likes."""

    alpha: float = 0.05
    """Chance of a false promotion, and of a false rollback, over all looks together."""
    candidates: int = 1
    """How many candidates are tried at once; promotion asks for `candidates` times the evidence."""
    min_units: int = 200
    """Fewer units than this never promote."""
    min_hours: float | None = None
    """Hours between the first and the last query before promotion. None: 24, a day's cycle, where `evaluate` looks at
    live traffic from a fixed moment on; else 0."""
    min_coverage: float = 0.95
    """Share of the sampled queries that must have become pairs."""
    min_fidelity: float = 0.9
    """Share of the candidate's tool calls that must not have been simulated or refused."""
    max_incumbent_failures: float = 0.5
    """More failures of the incumbent than this leave nothing to compare with."""
    writes: Literal["judged", "waived"] = "judged"
    """Where an arm called tools that write, a gate must judge what the candidate writes; `waived`: you judge it
    elsewhere, and nothing here holds the verdict for it."""
    share: float | None = None
    """The sampling share that was planned; None: not checked."""
    closed: bool = False
    """No more pairs will come, so open sessions count as they stand; else a session counts once it is over."""
    once: bool = False
    """For a closed suite of cases that is looked at a single time: sharper with a few hundred cases, and wrong when it
    is repeated until it pleases. Open sessions count as they stand."""

    @property
    def promotion_alpha(self) -> float:
        """Each candidate's part of alpha."""
        return self.alpha / self.candidates

    def __post_init__(self) -> None:
        checked_fields(self, "alpha", "min_coverage", "min_fidelity", "max_incumbent_failures", check=checked_share)
        checked_fields(self, "share", check=checked_share, optional=True)
        if not 0 < self.alpha < 1:
            raise ArgumentError("Rules.alpha", self.alpha, expected="a number between 0 and 1", mend="Write 0.05.")
        if self.share == 0:
            raise ArgumentError("Rules.share", self.share, expected="a number above 0, up to 1")
        checked_fields(self, "candidates", "min_units", low=1, whole=True)
        checked_fields(self, "min_hours", low=0, optional=True)
        checked_fields(self, "closed", "once", check=checked_truth)
        checked_choice("Rules.writes", self.writes, Literal["judged", "waived"])
