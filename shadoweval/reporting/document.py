"""The evaluation as one JSON document, for programs: schema `shadoweval.report/1`, see `docs/report.md`."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

from shadoweval.records import Evaluation, QueryRow, Score, Scored, Verdict
from shadoweval.reporting.calls import as_json
from shadoweval.reporting.side_by_side import side_by_side
from shadoweval.reporting.table import table_of
from shadoweval.reporting.texts import Texts, carrying

__all__ = ["document"]

_SCHEMA: Final = "shadoweval.report/1"
"""The number rises when a field goes or means something else; new fields come without."""
_BY_CANDIDATE: Final = (
    "asked", "coverage", "summaries", "slices", "refusals", "containment", "write_sets", "divergences", "failures",
    "history", "stages", "judges",
)  # fmt: skip


def document(evaluation: Evaluation, *, texts: Texts = "full") -> str:
    """The whole evaluation as JSON; `texts`: how much of users' words it carries."""
    evaluation = carrying(evaluation, texts)
    left_out = {"verdicts", "examples", "queries", "home", *_BY_CANDIDATE}
    content: dict[str, Any] = {"schema": _SCHEMA}
    content |= {name: _plain(value) for name, value in _fields(evaluation).items() if name not in left_out}
    content["verdicts"] = [_verdict(evaluation, verdict) for verdict in evaluation.verdicts]
    return json.dumps(content, ensure_ascii=False, indent=1, allow_nan=False, default=str) + "\n"


def _verdict(evaluation: Evaluation, verdict: Verdict) -> dict[str, Any]:
    name = verdict.candidate
    of_candidate = {part: getattr(evaluation, part).get(name) for part in _BY_CANDIDATE}
    table = table_of(evaluation, name)
    queries = {
        "pairs": table.pairs,
        "shown": len(table.rows),
        "critical": table.critical,
        "clusters": _plain(table.clusters),
        "rows": [_row(row) for row in table.rows],
        "details": [side_by_side(example) for example in table.details],
    }
    plain = {part: _plain(value) for part, value in {**_fields(verdict), **of_candidate}.items()}
    return {**plain, "live_writes_text": verdict.live_writes_text, "queries": queries}


def _row(row: QueryRow) -> dict[str, Any]:
    return {
        "id": row.id,
        "text": row.text,
        "answers": row.answers,
        "failures": row.failures,
        "attributes": row.attributes,
        "first_difference": row.parts,
        "critical_loss": row.critical,
        "clusters": row.clusters,
        "scores": {name: [_score(score) for score in both] for name, both in row.scores.items()},
    }


def _score(score: Score) -> Any:
    return score.value if isinstance(score, Scored) else {"unscored": score.reason}


def _fields(record: msgspec.Struct) -> dict[str, Any]:
    return {name: getattr(record, name) for name in record.__struct_fields__}


def _plain(value: Any) -> Any:
    """Records by the names of their fields, times as ISO 8601."""
    if isinstance(value, msgspec.Struct):
        return {name: _plain(each) for name, each in _fields(value).items()}
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}  # pyright: ignore[reportUnknownVariableType,reportUnknownArgumentType]
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, str | int | float | None):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else as_json(value)
