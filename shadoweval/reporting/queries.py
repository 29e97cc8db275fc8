"""The queries of one candidate as the page says them without its script: how many are shown, and the worst in full."""

from __future__ import annotations

from typing import Any, Final

from shadoweval.records import Evaluation, Example, Verdict
from shadoweval.reporting.quantities import number
from shadoweval.reporting.side_by_side import side_by_side
from shadoweval.reporting.table import table_of

__all__ = ["queries_view"]

_PLAIN: Final = 12
"""Queries that stand in the page itself, over all candidates; each of them is some hundred nodes of it."""
_AT_LEAST: Final = 3


def queries_view(evaluation: Evaluation, verdict: Verdict) -> dict[str, Any]:
    """`sentence`, and `worst`: as `side_by_side` says it, with numbers as texts."""
    table = table_of(evaluation, verdict.candidate)
    room = max(_AT_LEAST, _PLAIN // max(1, len(evaluation.verdicts)))
    return {
        "pairs": table.pairs,
        "critical": table.critical,
        "worst": [_in_words(example) for example in table.details[:room]],
    }


def _in_words(example: Example) -> dict[str, Any]:
    shown = side_by_side(example)
    for arm in shown["arms"]:
        whole = max([arm["seconds"], *(started + seconds for _, _, started, seconds in arm["steps"])], default=0.0)
        arm["seconds"] = number(arm["seconds"])
        arm["steps"] = [_bar(step, whole) for step in arm["steps"]]
    shown["scores"] = [
        (name, *({"text": "unscored" if value is None else number(value), "reason": why} for value, why in both))
        for name, *both in shown["scores"]
    ]
    return shown


def _bar(step: list[Any], whole: float) -> dict[str, Any]:
    """A bar of the waterfall, in percent of the whole run."""
    kind, name, started, seconds = step
    scale = 100 / whole if whole > 0 else 0.0
    return {
        "kind": kind,
        "name": name,
        "seconds": number(seconds),
        "x": f"{min(99.5, started * scale):.1f}",
        "width": f"{max(0.5, min(100.0, seconds * scale)):.1f}",
    }
