"""About how many more pairs, and how much more time, until an open gate is decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shadoweval.records import GateResult

__all__ = ["HOURS_TO_GO", "hours_to_go", "with_outlook"]

HOURS_TO_GO: Final = "hours until decided"
"""Name of the estimate in `GateResult.details`."""


def hours_to_go(pairs: int, *, seen: int, seconds: float) -> float | None:
    """How long `pairs` more take if they come as the `seen` ones came; None where nothing can be said."""
    return pairs / seen * seconds / 3600 if seen and seconds > 0 else None


def with_outlook(reasons: Sequence[str], gates: Sequence[GateResult]) -> tuple[str, ...]:
    """The reasons of a verdict; those that name an open gate also say how far off its decision is."""
    far = {gate.sentence: _outlook(gate) for gate in gates if gate.state == "open" and not gate.dry_run}
    return tuple(
        next(
            (f"{reason} ({said})" for sentence, said in far.items() if reason == f"not proven yet: {sentence}"), reason
        )
        for reason in reasons
    )


def _outlook(gate: GateResult) -> str:
    if gate.pairs_needed is None:
        return "no end is in sight yet"
    middle, early, late = gate.pairs_needed
    hours = gate.details.get(HOURS_TO_GO)
    when = "" if hours is None else f", some {_span(hours)} at the traffic so far"
    return f"about {middle:,} more pairs, {early:,} to {late:,}{when}"


def _span(hours: float) -> str:
    for size, name in ((24.0, "days"), (1.0, "hours"), (1 / 60, "minutes")):
        if hours >= 1.5 * size:
            return f"{hours / size:,.0f} {name}"
    return "2 minutes"
