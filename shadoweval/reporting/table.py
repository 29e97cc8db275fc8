"""The table of all queries as a page carries it: columns with shared strings, deflated, in blocks.

The page's own script unpacks a block when it comes to it, so that no step of it takes long, and lays out only the rows
that are in sight. What a row costs beyond its texts is some dozens of bytes.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from markupsafe import Markup

from shadoweval.records import Evaluation, QueryRow, QueryTable, Score, Scored, Verdict
from shadoweval.reporting.rows import row_of
from shadoweval.reporting.side_by_side import side_by_side

__all__ = ["as_script", "packed_tables", "table_of"]

_LARGEST: Final = 7_500_000
"""Characters of all tables of a page, which with everything else stays below 8 MB."""
_ROWS, _DETAILS = 500, 10
"""In a block."""
_DETAILS_SHARE: Final = 0.4
"""Of the room, at most."""

_Item = TypeVar("_Item")


def table_of(evaluation: Evaluation, candidate: str) -> QueryTable:
    """The candidate's table; of an evaluation that has none, its examples."""
    if candidate in evaluation.queries:
        return evaluation.queries[candidate]
    examples = evaluation.examples.get(candidate, ())
    pairs = next((each.pairs for each in evaluation.verdicts if each.candidate == candidate), len(examples))
    return QueryTable(rows=tuple(map(row_of, examples)), details=examples, pairs=max(pairs, len(examples)))


def packed_tables(evaluation: Evaluation, *, room: int = _LARGEST) -> list[dict[str, Any]]:
    """Each candidate's table, packed into its part of the room. What has no place in it is left out, and counted."""
    each = room // max(1, len(evaluation.verdicts))
    return [_packed(evaluation, verdict, room=each) for verdict in evaluation.verdicts]


def _packed(evaluation: Evaluation, verdict: Verdict, *, room: int) -> dict[str, Any]:
    table = table_of(evaluation, verdict.candidate)
    metrics = list(dict.fromkeys(name for row in table.rows for name in row.scores))
    details, _ = _fitting(
        (_deflated(list(map(side_by_side, some))) for some in _portions(table.details, _DETAILS)),
        room=int(room * _DETAILS_SHARE),
    )
    left = room - sum(map(len, details))
    portions = list(_portions(table.rows, _ROWS))
    blocks, whole = _fitting((_deflated(_columns(some, metrics)) for some in portions), room=left)
    shown = len(table.rows) if whole else sum(map(len, portions[: len(blocks)]))
    lower = {each.metric for each in evaluation.summaries.get(verdict.candidate, ()) if not each.higher_is_better}
    return {
        "candidate": verdict.candidate,
        "pairs": table.pairs,
        "shown": shown,
        "critical": table.critical,
        "clusters": [cluster.text for cluster in table.clusters],
        "metrics": [[name, -1 if name in lower else 1] for name in _leading_first(metrics, verdict)],
        "columns": metrics,
        "blocks": blocks,
        "details": details,
        "whole": [each.query_id for each in table.details[: len(details) * _DETAILS]],
        "perBlock": _DETAILS,
    }


def _leading_first(metrics: Sequence[str], verdict: Verdict) -> list[str]:
    """Metrics that gates are about first, in their order."""
    gated = [name for gate in verdict.gates for name in (gate.metric, gate.metric.rpartition(".")[0])]
    return list(dict.fromkeys([*(name for name in gated if name in metrics), *metrics]))


def _fitting(parts: Iterable[str], *, room: int) -> tuple[list[str], bool]:
    """The first parts that fit, and whether these are all."""
    fitting: list[str] = []
    for part in parts:
        room -= len(part)
        if room < 0:
            return fitting, False
        fitting.append(part)
    return fitting, True


def _portions(items: Iterable[_Item], count: int) -> Iterator[list[_Item]]:
    rest = iter(items)
    while portion := list(islice(rest, count)):
        yield portion


def _columns(rows: Sequence[QueryRow], metrics: Sequence[str]) -> dict[str, Any]:
    """A block of rows column by column; what many share is a place in `strings`, and a score to five digits."""
    strings: dict[str, int] = {}

    def place(text: str) -> int:
        return strings.setdefault(text, len(strings))

    def value(score: Score | None) -> Any:
        """A number, the place of a reason in a list, or null: it was not asked for."""
        if score is None:
            return None
        return float(f"{score.value:.5g}") if isinstance(score, Scored) else [place(score.reason)]

    return {
        "id": [row.id for row in rows],
        # The three texts of a pair beside each other: what they share is then near enough to cost nothing.
        "texts": [text for row in rows for text in (row.text, *row.answers)],
        "failures": [[place(text) for text in row.failures] if any(row.failures) else 0 for row in rows],
        "attributes": [[place(f"{name}: {value}") for name, value in sorted(row.attributes.items())] for row in rows],
        "parts": [place(row.parts) for row in rows],
        "critical": [int(row.critical) for row in rows],
        "clusters": [row.clusters for row in rows],
        "scores": [
            [[value(row.scores.get(name, (None, None))[arm]) for row in rows] for arm in (0, 1)] for name in metrics
        ],
        "strings": list(strings),
    }


def _deflated(content: Any) -> str:
    """Compact JSON as raw deflate in base64."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=str)
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return base64.b64encode(packer.compress(text.encode("utf-8", "replace")) + packer.flush()).decode()


def as_script(content: Any) -> Markup:
    """JSON for a `<script type="application/json">`: no `<`, so that nothing in it ends the element or begins one."""
    text = json.dumps(content, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704 - nothing that markup is made of
