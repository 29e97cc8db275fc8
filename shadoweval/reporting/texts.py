"""How much of what users wrote and pipelines answered a report carries: nothing, beginnings, or all of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

import msgspec

from shadoweval.checks import checked_choice
from shadoweval.records import (
    Evaluation,
    Example,
    GateResult,
    JudgeSeen,
    Labels,
    LossCluster,
    MetricSummary,
    Observation,
    QueryRow,
    QueryTable,
    Score,
    ToolCall,
    Unscored,
    Verdict,
)
from shadoweval.reporting.calls import answer_text, as_json

__all__ = ["Texts", "carrying"]

Texts = Literal["none", "short", "full"]
"""`none`: ids, numbers and names alone; `short`: beginnings of texts; `full`: all that an evaluation holds."""

_SHORT, _VALUE = 160, 60
"""Characters of a text, and of an argument or a result, in a short one."""

_NO_WORDS: Final = frozenset({"failure", "first difference", "tool"})
"""Features of a loss cluster whose values are no words of users."""


def carrying(evaluation: Evaluation, texts: Texts) -> Evaluation:
    """The evaluation with so much of users' words.

    Names are no words of users: of metrics, slices, tools, documents, steps and versions. Of a reason why there is no
    score stays what stands before its first colon, since the rest may quote an answer.

    Raises:
        ArgumentError: not one of the three.
    """
    checked_choice("report(texts)", texts, Texts)
    if texts == "full":
        return evaluation
    limit = _SHORT if texts == "short" else 0
    return msgspec.structs.replace(
        evaluation,
        examples={name: tuple(_example(e, limit) for e in each) for name, each in evaluation.examples.items()},
        queries={name: _table(table, limit) for name, table in evaluation.queries.items()},
        verdicts=evaluation.verdicts if limit else tuple(map(_verdict, evaluation.verdicts)),
        summaries=evaluation.summaries
        if limit
        else {name: tuple(map(_summary, each)) for name, each in evaluation.summaries.items()},
        judges=evaluation.judges
        if limit
        else {name: tuple(map(_judge, each)) for name, each in evaluation.judges.items()},
    )


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    return text[: limit - 1].rstrip() + "…" if limit else ""


def _reason(reason: str) -> str:
    return reason.partition(":")[0]


def _reasons(unscored: Mapping[str, int]) -> dict[str, int]:
    merged: dict[str, int] = {}
    for reason, count in unscored.items():
        merged[_reason(reason)] = merged.get(_reason(reason), 0) + count
    return merged


def _verdict(verdict: Verdict) -> Verdict:
    return msgspec.structs.replace(verdict, gates=tuple(map(_gate, verdict.gates)))


def _gate(gate: GateResult) -> GateResult:
    return msgspec.structs.replace(gate, unscored=_reasons(gate.unscored))


def _summary(summary: MetricSummary) -> MetricSummary:
    return msgspec.structs.replace(summary, unscored=_reasons(summary.unscored))


def _judge(judge: JudgeSeen) -> JudgeSeen:
    probes = (msgspec.structs.replace(probe, reason=_reason(probe.reason)) for probe in judge.probes)
    return msgspec.structs.replace(judge, probes=tuple(probes))


def _score(score: Score, limit: int) -> Score:
    if not isinstance(score, Unscored):
        return score
    return Unscored(_cut(score.reason, limit) if limit else _reason(score.reason), informative=score.informative)


def _scores(scores: Mapping[str, tuple[Score, Score]], limit: int) -> dict[str, tuple[Score, Score]]:
    return {name: (_score(a, limit), _score(b, limit)) for name, (a, b) in scores.items()}


def _table(table: QueryTable, limit: int) -> QueryTable:
    return msgspec.structs.replace(
        table,
        rows=tuple(_row(row, limit) for row in table.rows),
        details=tuple(_example(each, limit) for each in table.details),
        clusters=tuple(_cluster(each, limit) for each in table.clusters),
    )


def _cluster(cluster: LossCluster, limit: int) -> LossCluster:
    features = {
        name: values
        if name.removeprefix("also ") in _NO_WORDS
        else tuple(_cut(value, limit) for value in values if limit)
        for name, values in cluster.features.items()
    }
    return msgspec.structs.replace(cluster, features=features)


def _row(row: QueryRow, limit: int) -> QueryRow:
    return msgspec.structs.replace(
        row,
        text=_cut(row.text, limit),
        answers=(_cut(row.answers[0], limit), _cut(row.answers[1], limit)),
        scores=_scores(row.scores, limit),
        attributes=row.attributes if limit else {},
    )


def _example(example: Example, limit: int) -> Example:
    return msgspec.structs.replace(
        example,
        text=_cut(example.text, limit),
        attributes={name: _cut(str(value), limit) for name, value in example.attributes.items()} if limit else {},
        incumbent=_run(example.incumbent, limit),
        candidate=_run(example.candidate, limit),
        scores=_scores(example.scores, limit),
        labels=Labels(relevant=example.labels.relevant),
        course=example.course if limit else (),
    )


def _run(run: Observation, limit: int) -> Observation:
    """The run with its ids, names, times and ranks; its texts cut. Further runs of the same query are left out."""
    calls = tuple(_call(call, limit) for call in run.tool_calls)
    failure, outcome = run.failure, run.outcome
    if outcome is not None:
        hits = tuple(msgspec.structs.replace(hit, text=_cut(hit.text or "", limit) or None) for hit in outcome.hits)
        answer = _cut(answer_text(run), limit) if limit else None
        outcome = msgspec.structs.replace(outcome, answer=answer, value=None, hits=hits, tool_calls=calls)
    if failure is not None:
        failure = msgspec.structs.replace(failure, message=_cut(failure.message, limit), cause="", mend="")
    kept = {"calls": calls if outcome is None else (), "outcome": outcome, "failure": failure}
    return msgspec.structs.replace(run, **kept, writes=(), changed=None, again=(), refusals=())


def _call(call: ToolCall, limit: int) -> ToolCall:
    arguments = {name: _value(value) if limit else "…" for name, value in call.arguments.items()}
    error = call.error and (_cut(call.error, limit) or "error")
    failed = call.failed and (_cut(call.failed, limit) or "failed")
    result = _value(call.result) if limit else None
    return msgspec.structs.replace(call, arguments=arguments, result=result, error=error, failed=failed, beside={})


def _value(value: Any) -> Any:
    text = value if isinstance(value, str) else as_json(value)
    return value if len(text) <= _VALUE else _cut(text, _VALUE)
