"""Failures by whose doing they were: how many, which share, and the first of each kind to look at."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from shadoweval.records import Evaluation, FailureCount
from shadoweval.reporting.table import table_of

__all__ = ["failures_view"]

_OWNERS: Final = ("candidate", "incumbent", "shadow", "infrastructure", "caller")
"""In the order in which they are shown."""


def failures_view(evaluation: Evaluation, candidate: str) -> list[dict[str, Any]] | None:
    """What failed and how often, by owner; None: it was not counted, as in an evaluation of before."""
    counts = evaluation.failures.get(candidate)
    if counts is None:
        return None
    listed = {row.id for row in table_of(evaluation, candidate).rows}
    several = f"&candidate={quote(candidate, safe='')}" if len(evaluation.verdicts) > 1 else ""
    return [
        {
            "kind": each.kind,
            "arm": each.arm,
            "step": each.step,
            "owner": f"the {each.owner}’s",
            "words": _words(each),
            "first": each.first,
            "link": f"#q={quote(each.first, safe='')}{several}" if each.first in listed else "",
        }
        for owner in _OWNERS
        for each in counts
        if each.owner == owner
    ]


def _words(count: FailureCount) -> str:
    """`12 of 251 runs (4.8 %, between 2.1 and 9.0 %)`."""
    share, low, high = (f"{100 * value:.1f}" for value in (count.runs / count.of, count.lower, count.upper))
    what = "runs" if count.arm else "calls"
    return f"{count.runs:,} of {count.of:,} {what} ({share} %, between {low} and {high} %)"
