"""Stored pairs with their scores, row by row, for other programs: schema `shadoweval.export/1`, docs/export.md.

Read in portions, so that memory does not grow with the pairs; what was erased is in no portion.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from itertools import islice
from typing import Any, Final, Literal

from shadoweval.evaluation.progress import judged_pair
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import Arm, Observation, Pair, PairScore, Score, Scored, ToolCall
from shadoweval.reporting.calls import answer_text, as_json
from shadoweval.reporting.texts import Texts

__all__ = ["exported", "lines_of_rows"]

Format = Literal["jsonl", "csv"]
Row = dict[str, Any]

_SCHEMA: Final = "shadoweval.export/1"
"""The number rises when a field goes or means something else; new fields come without."""
_PORTION: Final = 500
_CHARACTERS: Final[Mapping[Texts, int | None]] = {"none": 0, "short": 160, "full": None}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""How a text begins that a spreadsheet would take for a formula."""


def exported(
    experiment: Experiment,
    store: Store,
    *,
    candidates: Sequence[Arm],
    since: datetime | None = None,
    texts: Texts = "full",
) -> Iterator[Row]:
    """A row for each pair of each candidate, in query order.

    Args:
        experiment: Whose pairs.
        store: Where they are.
        candidates: Names.
        since: Asked from then on; None: all there are.
        texts: How much of users' words; `short`: the first 160 characters of each.
    """
    for candidate in candidates:
        pairs = store.pairs(experiment.name, candidate, since=since)
        while portion := list(islice(pairs, _PORTION)):
            scored = store.scores_of(candidate, [pair.id for pair in portion])
            for read in portion:
                pair = judged_pair(read, experiment.sandbox.stubs.failed)
                yield _row(pair, scored.get(pair.id, ()), limit=_CHARACTERS[texts])


def _row(pair: Pair, scores: Sequence[PairScore], *, limit: int | None) -> Row:
    query = pair.query
    return {
        "schema": _SCHEMA,
        "query_id": query.id,
        "arm": pair.candidate.arm,
        "asked_at": query.asked_at.isoformat(),
        "unit": sha256(query.unit.encode("utf-8", "surrogatepass")).hexdigest() if query.unit else "",
        "attributes": {str(name): _cut(str(value), limit) for name, value in query.attributes.items()},
        "text": _cut(query.text, limit),
        "served": _run(pair.served, limit),
        "shadow": _run(pair.candidate, limit),
        "scores": {each.metric: [_score(each.incumbent, limit), _score(each.candidate, limit)] for each in scores},
    }


def _run(run: Observation, limit: int | None) -> Row:
    failure, outcome, usage = run.failure, run.outcome, run.usage
    return {
        "answer": None if outcome is None else _cut(answer_text(run), limit),
        "failure": None if failure is None else failure.kind,
        "owner": None if failure is None else run.owner,
        "seconds": run.latency,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": usage.cost_usd,
        "hits": []
        if outcome is None
        else [{"id": hit.id, "rank": hit.rank, "score": hit.score} for hit in outcome.hits],
        "tool_calls": [_call(call, limit) for call in run.tool_calls],
        "versions": run.versions,
    }


def _call(call: ToolCall, limit: int | None) -> Row:
    said = {
        "arguments": {name: _cut(as_json(value), limit) for name, value in call.arguments.items()},
        "result": _cut(as_json(call.result), limit),
        "error": None if call.error is None else _cut(call.error, limit),
    }
    return {"name": call.name, "effect": call.effect, "answered": call.answered, "failed": not call.succeeded, **said}


def _score(score: Score, limit: int | None) -> Any:
    """A number, or why there is none; without texts what stands before its first colon, since the rest may quote."""
    if isinstance(score, Scored):
        return score.value
    return {"unscored": _cut(score.reason, limit) or score.reason.partition(":")[0]}


def _cut(text: str, limit: int | None) -> str:
    if limit is None or len(text) <= limit:
        return text
    return text[: limit - 1].rstrip() + "…" if limit else ""


def lines_of_rows(rows: Iterable[Row], *, form: Format, metrics: Sequence[str]) -> Iterator[str]:
    """The rows as JSON lines, or as CSV with two columns for each of `metrics`; each with its end of line."""
    if form == "jsonl":
        yield from (f"{json.dumps(row, ensure_ascii=False, allow_nan=False, default=str)}\n" for row in rows)
        return
    first = ("query_id", "arm", "asked_at", "unit", "attributes", "text")
    of_runs = ("answer", "failure", "seconds", "input_tokens", "output_tokens", "cost_usd")
    heads = [f"{place}_{name}" for name in of_runs for place in ("served", "shadow")]
    heads += [f"{metric}.{arm}" for metric in metrics for arm in ("incumbent", "candidate")]
    yield _csv([*first, *heads])
    for row in rows:
        row["attributes"] = as_json(row["attributes"]) if row["attributes"] else ""
        cells = [row[name] for name in first]
        cells += [row[place][name] for name in of_runs for place in ("served", "shadow")]
        both = (row["scores"].get(metric, (None, None)) for metric in metrics)
        cells += [value if isinstance(value, int | float) else None for pair in both for value in pair]
        yield _csv(cells)


def _csv(cells: Sequence[Any]) -> str:
    """A line after RFC 4180; a text that begins as a formula has an apostrophe before it, numbers stay numbers."""
    safe = [f"'{each}" if isinstance(each, str) and each.startswith(_FORMULA) else each for each in cells]
    line = io.StringIO()
    csv.writer(line).writerow(safe)
    return line.getvalue()
