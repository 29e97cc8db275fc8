"""The numbers that a verdict goes by, beside the gates' own margins."""

from __future__ import annotations

import msgspec

from shadoweval.errors import ExperimentError

__all__ = ["Rules"]


class Rules(msgspec.Struct, frozen=True, kw_only=True):
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
        for name in ("alpha", "min_coverage", "min_fidelity", "max_incumbent_failures"):
            value = getattr(self, name)
            if not 0 <= value <= 1 or (name == "alpha" and value in {0, 1}):
                raise ExperimentError(f"Rules.{name} must be a share of 1, got {value!r}.")
        if self.min_units < 1 or self.candidates < 1 or (self.min_hours or 0) < 0:
            raise ExperimentError(
                f"Rules need at least 1 unit, 1 candidate and 0 hours, got {self.min_units!r}, {self.candidates!r}, "
                f"{self.min_hours!r}."
            )
        if self.share is not None and not 0 < self.share <= 1:
            raise ExperimentError(f"Rules.share must be a number in (0, 1], got {self.share!r}.")
