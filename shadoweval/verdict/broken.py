"""Which gates are broken: all of them together, of all candidates, in at most alpha of the trials in which none is.

Each candidate has an equal part of alpha. Where some gates are critical and others are not, the critical ones share one
half of that and the others the other half, so that no number of other gates dilutes what a critical one shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from shadoweval.evidence.views import View
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.weighing import GateEvidence, looks_of

__all__ = ["broken_gates", "needed_to_break"]


def broken_gates(gates: Sequence[GateEvidence], deciding: Sequence[int], rules: Rules) -> dict[int, str]:
    """Which gates are broken, and by whom if not by the units' first clusters; dry runs raise no alarm.

    Each view decides by itself at its own share of alpha (`evidence.views`); within one, the gates share it.
    """
    broken: dict[int, str] = {}
    for family in _families(gates, deciding):
        broken |= _broken_in(gates, family, rules, alpha=_alpha_of(gates, deciding, rules))
    for number, gate in enumerate(gates):
        if gate.claim.gate.dry_run:
            broken |= _broken_in(gates, [number], rules, alpha=rules.rollback_alpha)
    return broken


def needed_to_break(gates: Sequence[GateEvidence], number: int, rules: Rules) -> float:
    """What the log evidence of a gate's first clusters must reach to break it whatever the other gates show."""
    deciding = [each for each, gate in enumerate(gates) if not gate.claim.gate.dry_run]
    first = gates[number].views[0]
    for family in _families(gates, deciding):
        if number in family:
            return first.needed(_alpha_of(gates, deciding, rules)) + math.log(len(family))
    return first.needed(rules.rollback_alpha)


def _families(gates: Sequence[GateEvidence], deciding: Sequence[int]) -> Iterator[list[int]]:
    """The critical gates and the others, as far as there are any."""
    for critical in (True, False):
        if family := [number for number in deciding if gates[number].claim.gate.critical is critical]:
            yield family


def _alpha_of(gates: Sequence[GateEvidence], deciding: Sequence[int], rules: Rules) -> float:
    """A family's part of alpha."""
    return rules.rollback_alpha / len(list(_families(gates, deciding)))


def _broken_in(gates: Sequence[GateEvidence], family: Sequence[int], rules: Rules, *, alpha: float) -> dict[int, str]:
    looks = looks_of(rules)
    by_name: dict[str, dict[int, View]] = {}
    for number in family:
        for view in gates[number].views:
            by_name.setdefault(view.name, {})[number] = view
    broken: dict[int, str] = {}
    for name, views in by_name.items():
        # A gate that lacks the view has no evidence in it. Shares differ by kind of metric; the smallest one is safe.
        log_e = [views[number].log_e if number in views else 0.0 for number in family]
        smallest = min(views.values(), key=lambda view: view.log_share)
        if looks.merged(log_e) >= smallest.needed(alpha):
            own_alpha = alpha * math.exp(smallest.log_share)
            for index in looks.named(log_e, own_alpha) or (log_e.index(max(log_e)),):
                broken.setdefault(family[index], name)
    return broken
