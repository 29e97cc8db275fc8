"""How much worse a metric may be where no gate says so of that very place: in a slice, or where no gate asks at all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from shadoweval.evidence.variables import Scale
from shadoweval.protocols import Metric
from shadoweval.verdict.gates import Gate

__all__ = ["OF_AMOUNT", "OF_RANGE", "is_looked_at", "tolerated_loss"]

OF_RANGE: Final = 0.05
"""Of a metric with a range: this share of it."""
OF_AMOUNT: Final = 0.2
"""Of an amount without one (seconds, dollars): this share of the larger one, so 1.25 times as much is tolerated."""


def is_looked_at(metric: Metric, gates: Sequence[Gate]) -> bool:
    """Whether its getting worse is harm: not where it only describes, or where all that asks for it is a dry run."""
    own = [gate for gate in gates if gate.base == metric.name]
    return any(not gate.dry_run for gate in own) or (not own and not metric.descriptive)


def tolerated_loss(metric: Metric, gates: Sequence[Gate], *, scale: Scale, incumbent: float) -> float:
    """The loss that is tolerated, as a share of the range, or of the larger amount where there is no range.

    The margin of the gates on its mean difference, the smallest one; else what gates on a level, a ratio or a quantile
    let pass, but at least 0.05 of the range, or 0.2 of an amount; that too where there is no gate.

    Args:
        metric: The metric.
        gates: Of the experiment.
        scale: The metric's range.
        incumbent: The incumbent's mean.
    """
    deciding = [gate for gate in gates if gate.base == metric.name and not gate.dry_run]
    low, high = scale.span()
    differences = [
        gate.margin / (high - low)
        for gate in deciding
        if gate.kind in {"better", "no_worse"} and gate.quantile is None and gate.margin > 0
    ]
    if scale.bounded and differences:
        return min(*differences, 0.99)
    usual = OF_RANGE if scale.bounded else OF_AMOUNT
    return min(max([usual, *(_let_pass(gate, scale, incumbent) for gate in deciding)]), 0.99)


def _let_pass(gate: Gate, scale: Scale, incumbent: float) -> float:
    """How much worse than the incumbent the candidate may be under a gate that is no mean difference."""
    limit = gate.margin
    if gate.ratio:
        limit *= incumbent
    elif gate.kind in {"better", "no_worse"}:
        limit = incumbent - gate.margin * scale.sign
    elif (gate.kind == "at_least") != scale.higher_is_better:
        return 0.0
    loss = (incumbent - limit) * scale.sign
    low, high = scale.span()
    return loss / (high - low) if scale.bounded else loss / max(abs(limit), abs(incumbent), 1e-12)
