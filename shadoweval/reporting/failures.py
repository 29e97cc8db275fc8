"""Failures by whose doing they were: how many, which share, and the first of each kind to look at."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import quote

from shadoweval.records import Evaluation, FailureCount
from shadoweval.reporting.table import table_of

__all__ = ["failure_words", "failures_view"]

_OWNERS: Final = {
    "candidate": "the candidate's",
    "incumbent": "the incumbent's",
    "shadow": "the shadow's",
    "infrastructure": "the infrastructure's",
    "caller": "the caller's, who went away",
}
"""In the order in which they are shown."""
_COUNTS: Final = {"candidate": "counts as what it costs a user", "incumbent": "counts as what it costs a user"}
_MISSING: Final = "no score: missing evidence"


def failures_view(evaluation: Evaluation, candidate: str) -> list[dict[str, Any]] | None:
    """By owner, what failed and how often; None: it was not counted, as in an evaluation of before."""
    counts = evaluation.failures.get(candidate)
    if counts is None:
        return None
    listed = {row.id for row in table_of(evaluation, candidate).rows}
    several = f"&candidate={quote(candidate, safe='')}" if len(evaluation.verdicts) > 1 else ""
    return [
        {
            "owner": words,
            "counts": _COUNTS.get(owner, _MISSING),
            "rows": [_row(each, several, listed=each.first in listed) for each in counts if each.owner == owner],
        }
        for owner, words in _OWNERS.items()
        if any(each.owner == owner for each in counts)
    ]


def _row(count: FailureCount, candidate: str, *, listed: bool) -> dict[str, Any]:
    return {
        "arm": count.arm or "mirrored calls",
        "kind": count.kind,
        "step": count.step,
        "words": failure_words(count),
        "first": count.first,
        "link": f"#q={quote(count.first, safe='')}{candidate}" if listed and count.first else "",
    }


def failure_words(count: FailureCount) -> str:
    """`12 of 251 runs (4.8 %, between 2.1 and 9.0 %)`."""
    share, low, high = (f"{100 * value:.1f}" for value in (count.runs / count.of, count.lower, count.upper))
    what = "runs" if count.arm else "calls"
    return f"{count.runs:,} of {count.of:,} {what} ({share} %, between {low} and {high} %)"
