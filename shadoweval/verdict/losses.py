"""Which queries are missing, and whether that can bend the verdict."""

from __future__ import annotations

from typing import Final

from shadoweval.records import Coverage

__all__ = ["lost", "missing_share"]

_ALIKE: Final = frozenset(
    {
        "off",
        "killed",
        "flag_off",
        "flag_error",
        "not_targeted",
        "not_sampled",
        "control",
        "breaker_open",
        "budget_spent",
        "nested",
        "aborted",
    }
)
"""Reasons that leave queries out whatever they are like: all of them for a while, or by chance, or because the caller
went away. For every other reason, those of later versions too, a sampled query was lost for what it was."""

_NOT_LOST_LATER: Final = frozenset({"aborted", "killed"})


def missing_share(coverage: Coverage) -> float:
    """Share of the sampled queries that have no pair, for reasons that no candidate caused."""
    before = sum(lost(coverage).values())
    failed = sum(n for reason, n in coverage.failed.items() if reason not in _NOT_LOST_LATER)
    sampled = before + failed + coverage.paired
    return (before + failed) / sampled if sampled else 0.0


def lost(coverage: Coverage) -> dict[str, int]:
    """Sampled queries that were lost on the way to the worker, by reason."""
    return {reason: n for reason, n in coverage.not_mirrored.items() if reason not in _ALIKE}
