"""Who watches for a turn to the worse that the average over the whole time hides: every gate, and facts of runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from shadoweval.evidence.capped import CappedRatio
from shadoweval.evidence.decay import Newest
from shadoweval.evidence.variables import Variable
from shadoweval.verdict.claims import Claim
from shadoweval.verdict.harm_margins import OF_AMOUNT, OF_RANGE

__all__ = ["watch_for_decay"]

_ALPHA: Final = 0.05


def watch_for_decay(claims: Sequence[Claim], ungated: Mapping[str, Variable] | None = None) -> list[tuple[str, Newest]]:
    """Let the newest units of every gate that decides be watched; who watches, and over which metric.

    The null is that the gate is not broken of late: no loss beyond the margin, no loss at all of what must be better, a
    level inside its limit. Of facts of runs that no gate asks for it is that they are no worse than is tolerated. They
    share one chance of a false alarm.

    Args:
        claims: Of the gates.
        ungated: By metric, what compares the arms by facts of runs that no gate asks for.
    """
    deciding, unasked = [claim for claim in claims if not claim.gate.dry_run], dict(ungated or {})
    alpha = _ALPHA / max(1, len(deciding) + len(unasked))
    watchers: list[tuple[str, Newest]] = []
    for claim in deciding:
        breaks = claim.breaks
        variable, row = claim.broken_row
        best = variable.hi if breaks.side == "less" else variable.lo
        newest = Newest(breaks.margin, best, alpha=alpha, tight=isinstance(variable, CappedRatio))
        variable.newest.append((row, newest))
        watchers.append((claim.gate.metric, newest))
    for metric, variable in unasked.items():
        newest = Newest(-(OF_RANGE if variable.scale.bounded else OF_AMOUNT), variable.hi, alpha=alpha)
        variable.newest.append((0, newest))
        watchers.append((metric, newest))
    return watchers
