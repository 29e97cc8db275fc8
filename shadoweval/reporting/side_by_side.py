"""One query side by side, as data: what page, file and script show of both arms, aligned where they did alike."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from shadoweval.records import Example, Hit, Observation, Score, Scored, ToolCall
from shadoweval.reporting.calls import answer_text, as_json, call_text, result_text

__all__ = ["side_by_side"]

_ANSWER, _QUERY, _HIT, _CALL = 2_500, 600, 300, 300
"""Characters that are shown."""
_HITS, _CALLS, _STEPS = 30, 40, 40
"""How many are shown."""
_TOKEN: Final = re.compile(r"\s+|\w+\s*|[^\w\s]\s*")
_TRACE: Final = ("traceparent", "trace_id")
"""Attributes that name the trace of the served call."""

_Run = tuple[str, str]
"""A piece of two compared texts: `same` in both, `gone` with the incumbent or `came` with the candidate; and its text.

The incumbent's text is all pieces but those that came, the candidate's all but those that are gone."""


def word_diff(old: str, new: str) -> list[_Run]:
    """Two texts word by word, as one list of pieces."""
    a, b = _TOKEN.findall(old), _TOKEN.findall(new)
    first = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    shorter = min(len(a), len(b)) - first
    last = next((n for n in range(shorter) if a[-1 - n] != b[-1 - n]), shorter)
    runs = [("same", "".join(a[:first]))]
    a, b, end = a[first : len(a) - last], b[first : len(b) - last], "".join(a[len(a) - last :])
    for op, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if op == "equal":
            runs.append(("same", "".join(a[i:j])))
        else:
            runs += [("gone", "".join(a[i:j])), ("came", "".join(b[k:m]))]
    return [run for run in (*runs, ("same", end)) if run[1]]


def side_by_side(example: Example) -> dict[str, Any]:
    """All that is shown of one query: plain data, texts as they are. Docs: `docs/report.md`, `details`."""
    incumbent, candidate = example.incumbent, example.candidate
    texts = [_clipped(answer_text(run), _ANSWER) for run in (incumbent, candidate)]
    return {
        "id": example.query_id,
        "why": example.why,
        "text": _clipped(example.text, _QUERY),
        "attributes": [[name, _clipped(str(value), _CALL)] for name, value in sorted(example.attributes.items())],
        "trace": next((str(example.attributes[name]) for name in _TRACE if example.attributes.get(name)), ""),
        "course": list(example.course),
        "reference": _clipped(" | ".join(example.labels.references), _QUERY),
        "answer": [list(run) for run in word_diff(*texts)],
        "arms": [_arm(incumbent), _arm(candidate)],
        "hits": _aligned_hits(incumbent.hits, candidate.hits, grades=example.labels.relevant),
        "calls": list(_aligned_calls(incumbent.tool_calls[:_CALLS], candidate.tool_calls[:_CALLS])),
        "writes": _writes(incumbent, candidate),
        "scores": [[name, *map(_score, both)] for name, both in sorted(example.scores.items())],
    }


def _clipped(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"


def _score(score: Score) -> list[Any]:
    """Value and reason, one of them."""
    return [score.value, ""] if isinstance(score, Scored) else [None, score.reason]


def _arm(run: Observation) -> dict[str, Any]:
    failure, failed = run.failure, ""
    if failure is not None:
        what = " ".join(filter(None, (failure.error_type, failure.message)))
        failed = f"{failure.kind} ({run.owner}'s)" + (f": {_clipped(what, _CALL)}" if what else "")
    return {"arm": run.arm, "failure": failed, "seconds": run.duration, "steps": list(_steps(run))}


def _steps(run: Observation) -> Iterator[list[Any]]:
    """Kind, name, start and seconds of what the run consisted of, in order of time."""
    steps = [(step.started, step.kind, step.name, step.duration) for step in run.steps]
    named = {step.name for step in run.steps if step.kind == "tool"}
    steps += [(call.started, "tool", call.name, call.duration) for call in run.tool_calls if call.name not in named]
    for started, kind, name, duration in sorted(steps)[:_STEPS]:
        if duration or started:
            yield [kind, name, round(started, 6), round(duration, 6)]


def _aligned_hits(ours: Sequence[Hit], theirs: Sequence[Hit], *, grades: dict[str, int]) -> list[dict[str, Any]]:
    """Each document once, in the order of its better rank, with its rank in both arms."""
    ranks = [{hit.id: hit.rank for hit in hits} for hits in (ours, theirs)]
    texts = {hit.id: hit.text for hit in (*theirs, *ours) if hit.text}
    both = dict.fromkeys(hit.id for hit in (*ours, *theirs))
    order = sorted(both, key=lambda doc: min(rank[doc] for rank in ranks if doc in rank))
    return [
        {
            "id": doc,
            "ranks": [ranks[0].get(doc), ranks[1].get(doc)],
            "move": _move(ranks[0].get(doc), ranks[1].get(doc)),
            "grade": grades.get(doc),
            "text": _clipped(texts.get(doc) or "", _HIT),
        }
        for doc in order[:_HITS]
    ]


def _move(before: int | None, after: int | None) -> str:
    if before is None or after is None:
        return "only the candidate" if before is None else "only the incumbent"
    if before == after:
        return "same rank"
    return f"{'up' if after < before else 'down'} {abs(after - before)}"


def _aligned_calls(ours: Sequence[ToolCall], theirs: Sequence[ToolCall]) -> Iterator[dict[str, Any]]:
    """Both trajectories beside each other: the same calls, calls with other arguments, and calls of one arm alone."""
    names = [[call.name for call in calls] for calls in (ours, theirs)]
    for op, i, j, k, m in difflib.SequenceMatcher(None, *names, autojunk=False).get_opcodes():
        if op == "equal":
            yield from (_call_pair(a, b) for a, b in zip(ours[i:j], theirs[k:m], strict=True))
        else:
            yield from (_call_pair(call, None) for call in ours[i:j])
            yield from (_call_pair(None, call) for call in theirs[k:m])


def _call_pair(ours: ToolCall | None, theirs: ToolCall | None) -> dict[str, Any]:
    changes: list[list[str]] = []
    how = "only the candidate" if ours is None else "only the incumbent"
    if ours is not None and theirs is not None:
        for name in dict.fromkeys((*ours.arguments, *theirs.arguments)):
            said = [_argument(call, name) for call in (ours, theirs)]
            changes += [[name, *said]] if said[0] != said[1] else []
        how = "other arguments" if changes else "same call"
    return {"how": how, "changes": changes, "calls": [None if c is None else _call(c) for c in (ours, theirs)]}


def _argument(call: ToolCall, name: str) -> str:
    return _clipped(as_json(call.arguments[name]), _CALL) if name in call.arguments else "not given"


def _call(call: ToolCall) -> dict[str, str]:
    return {
        "call": _clipped(call_text(call), _CALL),
        "result": _clipped(result_text(call), _CALL),
        "answered": call.answered,
        "effect": call.effect,
    }


def _writes(incumbent: Observation, candidate: Observation) -> list[list[str]]:
    """The arms' writes: `both`, `only the incumbent` or `only the candidate`, and what was written."""
    ours, theirs = (
        [call_text(c) for c in run.tool_calls if c.writes and c.succeeded] for run in (incumbent, candidate)
    )
    rest, writes = list(theirs), list[list[str]]()
    for text in ours:
        shared = text in rest
        if shared:
            rest.remove(text)
        writes.append(["both" if shared else "only the incumbent", _clipped(text, _CALL)])
    return (writes + [["only the candidate", _clipped(text, _CALL)] for text in rest])[:_CALLS]
