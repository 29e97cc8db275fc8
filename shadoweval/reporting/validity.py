"""Is the comparison valid? One line for each thing that could make it no comparison, the details folded below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from shadoweval.records import NOTHING_RAN, Coverage, Evaluation, MetricSummary, StagesSeen, Verdict
from shadoweval.records.amounts import amount
from shadoweval.reporting.judges import judge_lines
from shadoweval.reporting.lines import MANY, Line

__all__ = ["PLANNED", "stage_lines", "validity_of"]

PLANNED: Final = frozenset({"not_sampled", "not_targeted", "control", "off"})
"""Calls that were never meant to be mirrored: no loss."""
_HOURS: Final = 24
_WATCHED: Final = 200
_MARKS: Final = {"good": "✔", "look": "◆", "bad": "✖"}


def validity_of(evaluation: Evaluation, verdict: Verdict) -> list[dict[str, Any]]:
    """The lines of one candidate. The verdict has judged all of it already; what is marked is worth a look."""
    name = verdict.candidate
    lines = [
        *_traffic(evaluation.coverage.get(name)),
        *_hours(evaluation, name),
        *_scores(evaluation.summaries.get(name, ())),
        *_overhead(evaluation.overhead),
        *_fidelity(verdict),
        *_versions(evaluation, name),
        *judge_lines(evaluation, name),
        *stage_lines(evaluation.stages.get(name)),
        _containment(evaluation, verdict),
    ]
    return [{**line._asdict(), "mark": _MARKS[line.state]} for line in lines]


def stage_lines(stages: StagesSeen | None) -> list[Line]:
    """What the stages saw: a line for each change, or one that there is none."""
    if stages is None:
        return []
    looked = f"{stages.fields:,} fields, languages and lengths watched in {stages.pairs:,} pairs"
    looked += f"; fields beyond {_WATCHED} are not ({stages.left_out:,} sightings)" if stages.left_out else ""
    if not stages.changes:
        return [Line("What the stages saw", "good", f"nothing changed in mid-run, the arms see alike: {looked}")]
    changed = [Line("What the stages saw", "bad" if c.kind == "break" else "look", c.words) for c in stages.changes]
    return [*changed, Line("What the stages saw", "good", looked)]


def _traffic(coverage: Coverage | None) -> Iterator[Line]:
    if coverage is None:
        return
    if coverage.gap:
        yield Line("Funnel", "bad", f"{coverage.gap:,} calls are not accounted for")
    else:
        yield Line("Funnel", "good", f"all {coverage.eligible:,} eligible calls are accounted for")
    share = f" ({coverage.mirrored / coverage.eligible:.1%})".replace("%", " %") if coverage.eligible else ""
    lost = sum(n for reason, n in coverage.not_mirrored.items() if reason not in PLANNED) + sum(
        coverage.failed.values()
    )
    state = "look" if lost > MANY * max(1, coverage.mirrored + lost) else "good"
    mirrored = f"{coverage.mirrored:,} of {coverage.eligible:,} calls mirrored{share}"
    words = f"{mirrored}, {coverage.paired:,} paired, {lost:,} lost"
    yield Line("Sample", state, words)


def _hours(evaluation: Evaluation, name: str) -> Iterator[Line]:
    asked = evaluation.asked.get(name)
    if asked is not None:
        state = "good" if asked.hours_of_day == _HOURS else "look"
        hours = (asked.last - asked.first).total_seconds() / 3600
        coverage = evaluation.coverage.get(name)
        rate = f", {coverage.paired / hours:,.0f} pairs an hour" if coverage is not None and hours >= 1 else ""
        yield Line("Hours", state, f"{asked.hours_of_day} of 24 hours of the day have traffic{rate}")


def _scores(summaries: tuple[MetricSummary, ...]) -> Iterator[Line]:
    """Missing scores by arm, the metric with the most first: arms that miss unequally are no fair comparison."""
    ranked = sorted((each for each in summaries if each.lacking), key=lambda each: -each.lacking)
    if summaries and not ranked:
        yield Line("Scores", "good", f"every pair has its scores in both arms, of {len(summaries)} metrics")
    for summary in ranked[:2]:
        own = ", ".join(f"{arm} {summary.missing.get(arm, 0):,}" for arm in ("candidate", "incumbent", "both arms"))
        n, of = summary.lacking, summary.lacking + summary.scored
        yield Line("Scores", "look" if n > MANY * of else "good", f"{summary.metric}: {n:,} of {of:,} missing ({own})")


def _overhead(overhead: dict[str, float]) -> Iterator[Line]:
    if not overhead:
        return
    counted = f"{overhead.get('mirrored', 0):,.0f} mirrored against {overhead.get('control', 0):,.0f} untouched calls"
    added = [f"{amount(overhead[level], 's')} at {level}" for level in ("p50", "p95", "p99") if level in overhead]
    words = f"a mirrored call took longer by {', '.join(added)}; {counted}" if added else f"unknown yet: {counted}"
    yield Line("Overhead on the incumbent", "good" if added else "look", words)


def _fidelity(verdict: Verdict) -> Iterator[Line]:
    total = sum(verdict.fidelity.values())
    if not total:
        yield Line("Tool calls", "good", "the candidate called no tool")
        return
    ranked = sorted(verdict.fidelity.items(), key=lambda item: -item[1])
    said = ", ".join(f"{n / total:.1%} {kind}".replace("%", " %") for kind, n in ranked)
    made_up = sum(n for kind, n in ranked if kind not in {"replayed", "live"})
    yield Line("Tool calls", "look" if made_up > MANY * total else "good", f"{said}, of {total:,}")


def _versions(evaluation: Evaluation, name: str) -> Iterator[Line]:
    several = [
        f"{arm}: {what} {version}"
        for arm in ("incumbent", name)
        for what, version in sorted(evaluation.versions.get(arm, {}).items())
        if ", " in version
    ]
    if several:
        yield Line("Versions", "look", "several answered within this window: " + "; ".join(several))
    elif evaluation.versions:
        yield Line("Versions", "good", "each arm was one version all along")


def _containment(evaluation: Evaluation, verdict: Verdict) -> Line:
    layers = evaluation.containment.get(verdict.candidate, {})
    inforce = [layer for layer, state in sorted(layers.items()) if state.startswith("in force")]
    others = [layer for layer in sorted(layers) if layer not in inforce]
    refused = sum(refusal.count for refusal in evaluation.refusals.get(verdict.candidate, ()))
    words = f"live writes by candidates: {verdict.live_writes_text}; {refused:,} refused acts"
    words += f"; in force: {', '.join(inforce)}" if inforce else ""
    words += f"; not whole: {', '.join(others)}" if others else ""
    written = verdict.live_writes != 0 and NOTHING_RAN not in verdict.unjudged
    state = "bad" if written else "good" if inforce and not verdict.unjudged else "look"
    return Line("Containment", state, words)
