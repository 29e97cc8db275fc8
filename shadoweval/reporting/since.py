"""What changed since an earlier evaluation: decisions, pairs, gates, values and versions, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from shadoweval.records import Evaluation, GateResult, MetricSummary, Verdict
from shadoweval.records.changes import summary_words
from shadoweval.reporting.bar import moment

__all__ = ["since_view"]


def since_view(evaluation: Evaluation, earlier: Evaluation | None) -> dict[str, Any] | None:
    """When the earlier one was, and by candidate what changed; None: there is none to compare with."""
    if earlier is None:
        return None
    before = {verdict.candidate: verdict for verdict in earlier.verdicts}
    candidates = [
        (verdict.candidate, list(_changes(evaluation, verdict, earlier=earlier, before=before.get(verdict.candidate))))
        for verdict in evaluation.verdicts
    ]
    gone = sorted(before.keys() - {verdict.candidate for verdict in evaluation.verdicts})
    candidates += [(name, ["is no candidate of this evaluation any more"]) for name in gone]
    return {"at": moment(earlier.created_at), "id": earlier.id, "candidates": candidates}


def _changes(evaluation: Evaluation, verdict: Verdict, *, earlier: Evaluation, before: Verdict | None) -> Iterator[str]:
    name = verdict.candidate
    if before is None:
        yield "was not evaluated then"
        return
    if before.decision == verdict.decision:
        yield f"still {verdict.decision}"
    else:
        yield f"was {before.decision}, now {verdict.decision}"
    yield f"{verdict.pairs:,} pairs, then {before.pairs:,}"
    yield from _of_gates(verdict, before)
    then = {summary.metric: summary for summary in earlier.summaries.get(name, ())}
    for summary in evaluation.summaries.get(name, ()):
        yield from _of_metric(summary, then.get(summary.metric))
    for arm in ("incumbent", name):
        yield from _of_versions(arm, evaluation.versions.get(arm, {}), earlier.versions.get(arm, {}))


def _of_gates(verdict: Verdict, before: Verdict) -> Iterator[str]:
    then: dict[str, GateResult] = {gate.sentence: gate for gate in before.gates}
    for gate in verdict.gates:
        old = then.pop(gate.sentence, None)
        if old is None:
            yield f"new gate: {gate.sentence} ({gate.state})"
        elif old.state != gate.state:
            yield f"{gate.sentence}: was {old.state}, now {gate.state}"
    for sentence in then:
        yield f"a gate is gone: {sentence}"


def _of_metric(now: MetricSummary, then: MetricSummary | None) -> Iterator[str]:
    """A metric is named where its words changed and its direction, or where it is new."""
    if then is None:
        yield f"{now.metric} is new: {summary_words(now)}"
    elif now.direction != then.direction:
        was, is_now = (each.direction.replace("neither", "no judgement") for each in (then, now))
        yield f"{now.metric}: was {was} ({summary_words(then)}), now {is_now} ({summary_words(now)})"


def _of_versions(arm: str, now: Mapping[str, str], then: Mapping[str, str]) -> Iterator[str]:
    for what in sorted({*now, *then}):
        if now.get(what) != then.get(what):
            yield f"{arm}: {what} was {then.get(what, 'not known')}, now {now.get(what, 'not known')}"
