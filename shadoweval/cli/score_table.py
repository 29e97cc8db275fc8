"""A CSV file of scores as columns: which are whose, which name users, times and parts of the traffic."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from shadoweval.errors import CaseFileError, closest

__all__ = ["ScoreTable", "read_table"]

_ARMS: Final = ("incumbent", "candidate")
_SCORE: Final = re.compile(
    r"(?P<metric>.+?)[._ -](?P<arm>incumbent|candidate)|(?P<before>incumbent|candidate)(?:[._ -](?P<named>.+))?",
    re.IGNORECASE,
)
_ROLES: Final = {
    "unit": ("unit", "user", "user_id", "session", "session_id"),
    "time": ("asked_at", "time", "timestamp"),
    "query": ("query", "question", "input", "prompt"),
}
_MISSING: Final = frozenset({"", "-", "na", "n/a", "nan", "none", "null"})
_MOST_PARTS: Final = 20
"""Different values of a column that is taken for a slice without being asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreTable:
    """What a file holds, row by row."""

    scores: dict[str, tuple[list[float | None], list[float | None]]]
    units: list[str] | None = None
    times: list[datetime] | None = None
    queries: list[str] | None = None
    slices: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    left_out: tuple[str, ...] = ()
    """Columns that were not read."""
    rows: int = 0

    @property
    def sentence(self) -> str:
        """What was read as what."""
        parts = [f"{self.rows} rows; scores: {', '.join(self.scores)}"]
        for name, there in (("units", self.units), ("times", self.times), ("queries", self.queries)):
            parts += [name] if there is not None else []
        parts += [f"slices: {', '.join(self.slices)}"] if self.slices else []
        parts += [f"left out: {', '.join(self.left_out)}"] if self.left_out else []
        return "; ".join(parts)


def read_table(
    path: str, *, named: Mapping[str, tuple[str, str]], unit: str | None = None, slices: Sequence[str] = ()
) -> ScoreTable:
    """Read a file with a line of names.

    Score columns are `METRIC.incumbent` and `METRIC.candidate` (or `incumbent_METRIC`), plain `incumbent` and
    `candidate` for a metric called `score`, or those that `named` gives (metric -> both columns).

    Raises:
        CaseFileError: no such file or column, no scores, or a cell that is no number; it names the line.
    """
    header, rows = _rows(path)
    pairs = dict(named) or _score_columns(header)
    wanted = [*(name for both in pairs.values() for name in both), *([unit] if unit else []), *slices]
    for name in wanted:
        if name not in header:
            raise CaseFileError(
                path, 1, f"there is no column {name!r}; it has {', '.join(header)}.{closest(name, header)}"
            )
    if not pairs:
        why = f"no scores: name two columns `incumbent` and `candidate`, or give --scores; it has {', '.join(header)}"
        raise CaseFileError(path, 1, why)
    roles = {role: next((h for h in header if h.lower() in names), None) for role, names in _ROLES.items()}
    roles["unit"] = unit or roles["unit"]
    rest = [name for name in header if name not in wanted and name not in roles.values()]
    parts = list(slices) or [name for name in rest if 2 <= len({row[name] for _, row in rows}) <= _MOST_PARTS]
    columns = {role: None if name is None else [row[name] for _, row in rows] for role, name in roles.items()}
    times = columns["time"]
    return ScoreTable(
        scores={metric: (_numbers(path, rows, old), _numbers(path, rows, new)) for metric, (old, new) in pairs.items()},
        units=columns["unit"],
        times=None if times is None else [_time(path, line, text) for (line, _), text in zip(rows, times, strict=True)],
        queries=columns["query"],
        slices={name: [row[name] for _, row in rows] for name in parts},
        left_out=tuple(name for name in rest if name not in parts),
        rows=len(rows),
    )


def _rows(path: str) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """The names of the columns, and each row with its line."""
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise CaseFileError(path, 0, f"can't be read: {error}") from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    reader = csv.reader(text.splitlines(keepends=True), delimiter=delimiter)
    try:
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(row)]
    except csv.Error as error:
        raise CaseFileError(path, reader.line_num, f"this is no CSV: {error}") from error
    twice = {name for name in header if header.count(name) > 1}
    if twice:
        raise CaseFileError(path, 1, f"several columns have the name {min(twice)!r}; keep one")
    for line, row in rows:
        if len(row) != len(header):
            raise CaseFileError(path, line, f"it has {len(row)} cells, and the first line names {len(header)}")
    return header, [(line, dict(zip(header, row, strict=True))) for line, row in rows]


def _score_columns(header: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Metric -> the columns of incumbent and candidate, as their names say."""
    found: dict[str, dict[str, str]] = {}
    for name in header:
        match = _SCORE.fullmatch(name)
        if match:
            arm = (match["arm"] or match["before"]).lower()
            found.setdefault(match["metric"] or match["named"] or "score", {})[arm] = name
    return {metric: (arms["incumbent"], arms["candidate"]) for metric, arms in found.items() if len(arms) == len(_ARMS)}


def _numbers(path: str, rows: Sequence[tuple[int, Mapping[str, str]]], column: str) -> list[float | None]:
    return [_number(path, line, cell=row[column], column=column) for line, row in rows]


def _number(path: str, line: int, *, cell: str, column: str) -> float | None:
    if cell.lower() in _MISSING:
        return None
    if cell.lower() in {"true", "false"}:
        return float(cell.lower() == "true")
    try:
        return float(cell)
    except ValueError:
        why = f"{column!r} holds {cell!r:.60}, which is no number; leave the cell empty where there is none"
        raise CaseFileError(path, line, why) from None


def _time(path: str, line: int, text: str) -> datetime:
    try:
        moment = datetime.fromtimestamp(float(text), UTC) if re.fullmatch(r"\d+(\.\d+)?", text) else None
        moment = moment or datetime.fromisoformat(text)
    except (ValueError, OverflowError, OSError):
        why = f"{text!r:.60} is no time; write 2026-01-31T12:00:00Z, or seconds since 1970"
        raise CaseFileError(path, line, why) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
