"""Queries side by side, as data: both answers with what differs, hits with their moves, tool calls, scores."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, Final

from shadoweval.records import Example, Observation, Score, Scored
from shadoweval.reporting.calls import as_json, call_text, result_text
from shadoweval.reporting.quantities import number

__all__ = ["example_view"]

_LONG: Final = 1_500


def clipped(text: str, *, limit: int = _LONG) -> str:
    """Text up to a limit, saying how much is left out."""
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"


def word_diff(old: str, new: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Both texts as runs of (`same` | `gone` | `came`, text), cut at 4,000 characters each."""
    a, b = (re.findall(r"\s+|\w+|[^\w\s]", text[:4_000]) for text in (old, new))
    left: list[tuple[str, str]] = []
    right: list[tuple[str, str]] = []
    for op, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if i < j:
            left.append(("same" if op == "equal" else "gone", "".join(a[i:j])))
        if k < m:
            right.append(("same" if op == "equal" else "came", "".join(b[k:m])))
    return left, right


def _score(score: Score | None) -> dict[str, str]:
    if score is None:
        return {"text": "–", "reason": ""}
    if isinstance(score, Scored):
        return {"text": number(score.value), "reason": ""}
    return {"text": "unscored", "reason": score.reason}


def _calls(observation: Observation) -> Iterator[dict[str, str]]:
    for call in observation.tool_calls:
        yield {
            "call": clipped(call_text(call), limit=300),
            "result": clipped(result_text(call), limit=300),
            "answered": call.answered,
            "effect": call.effect,
        }


def _hits(mine: Observation, other: Observation, grades: dict[str, int]) -> Iterator[dict[str, Any]]:
    ranks = {hit.id: hit.rank for hit in other.hits}
    for hit in mine.hits:
        elsewhere = ranks.get(hit.id)
        move = (
            "only here" if elsewhere is None else ("same rank" if elsewhere == hit.rank else f"rank {elsewhere} there")
        )
        yield {"rank": hit.rank, "id": hit.id, "move": move, "grade": grades.get(hit.id)}


def _arm(observation: Observation, other: Observation, *, grades: dict[str, int]) -> dict[str, Any]:
    failure = observation.failure
    return {
        "failure": f"{failure.kind}: {failure.error_type} {failure.message} ({observation.owner}'s)" if failure else "",
        "seconds": number(observation.duration),
        "hits": list(_hits(observation, other, grades)),
        "calls": list(_calls(observation)),
    }


def _answer(observation: Observation) -> str:
    """The answer; where it is no text (a table, a number), the value that was returned."""
    outcome = observation.outcome
    if outcome is None or outcome.answer is not None or outcome.value is None:
        return (outcome.answer or "") if outcome else ""
    return as_json(outcome.value)


def example_view(example: Example) -> dict[str, Any]:
    """What the page shows of one query: texts are plain, nothing is markup yet."""
    left, right = word_diff(_answer(example.incumbent), _answer(example.candidate))
    grades = example.labels.relevant
    return {
        "id": example.query_id,
        "text": clipped(example.text, limit=600),
        "why": example.why,
        "attributes": sorted((k, str(v)) for k, v in example.attributes.items()),
        "course": example.course,
        "reference": " | ".join(example.labels.references),
        "arms": [
            {"name": "incumbent", "answer": left, **_arm(example.incumbent, example.candidate, grades=grades)},
            {"name": "candidate", "answer": right, **_arm(example.candidate, example.incumbent, grades=grades)},
        ],
        "scores": [(name, _score(a), _score(b)) for name, (a, b) in sorted(example.scores.items())],
    }
