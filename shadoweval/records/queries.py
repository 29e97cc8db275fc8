"""Queries as a report shows them: side by side in full, and each in one line of a table."""

from __future__ import annotations

from typing import Any

import msgspec

from shadoweval.records.scores import Score
from shadoweval.records.traffic import Labels, Observation

__all__ = ["Example", "QueryRow", "QueryTable"]


class Example(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One query side by side, chosen for the report."""

    query_id: str
    text: str
    attributes: dict[str, Any] = {}
    incumbent: Observation
    candidate: Observation
    scores: dict[str, tuple[Score, Score]] = {}
    labels: Labels = Labels()
    why: str = ""
    """Why it was chosen: largest loss, largest gain, failure, sample."""
    course: tuple[str, ...] = ()
    """Where the arms part, and what followed from tools that failed, in words."""


class QueryRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One pair in a line of the report's table: its scores, and beginnings of its texts."""

    id: str
    """The query's."""
    text: str = ""
    answers: tuple[str, str] = ("", "")
    """Beginnings, the incumbent's first."""
    failures: tuple[str, str] = ("", "")
    """How each arm failed and whose doing it was, `timeout (candidate's)`; empty: it answered."""
    scores: dict[str, tuple[Score, Score]] = {}
    attributes: dict[str, str] = {}
    parts: str = ""
    """The kind of step at which the arms part; empty: they do not."""
    critical: bool = False
    """Whether the candidate loses on the metric of a critical gate."""


class QueryTable(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The pairs of one candidate that a report lists: all, or of very many those that matter and a sample by hash."""

    rows: tuple[QueryRow, ...] = ()
    details: tuple[Example, ...] = ()
    """Those of them that are shown whole, side by side."""
    pairs: int = 0
    """Of how many pairs `rows` are."""
    critical: int = 0
    """How many of all pairs lose on a critical gate."""
