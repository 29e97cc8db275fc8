"""Rows of the report's tables of gates, metrics and slices, in words."""

from __future__ import annotations

from typing import Any, Final

from shadoweval.records import Evaluation, GateResult, MetricSummary, Verdict
from shadoweval.records.amounts import amount, change_words, range_words
from shadoweval.records.changes import slice_bounds, slice_words, summary_words
from shadoweval.records.sentences import gate_bounds, gate_words, summary_of_gate
from shadoweval.reporting.figures import distributions
from shadoweval.reporting.quantities import number

__all__ = ["divergences_view", "gate_view", "slices_view", "summary_view"]

_STATES: Final = {"holds": "✔ holds", "broken": "✖ broken", "open": "… open", "error": "! error"}
_DIRECTIONS: Final = {"better": "▲ better", "worse": "▼ worse", "unclear": "not clear", "neither": "no judgement"}


def gate_view(gate: GateResult, summary: MetricSummary | None) -> dict[str, Any]:
    """One gate as the table shows it."""
    unit = "" if summary is None else summary.unit
    return {
        "sentence": gate.sentence,
        "metric": gate.metric,
        "state": gate.state,
        "mark": _STATES[gate.state],
        "critical": gate.critical,
        "dry_run": gate.dry_run,
        "words": gate_words(gate, summary),
        "bounds": gate_bounds(gate, summary),
        "n": f"{gate.n:,}",
        "evidence": round(100 * gate.share_of_evidence),
        "needed": gate.outlook if gate.pairs_needed else "",
        "reason": gate.reason,
        "missing": gate.missing_text,
        "method": gate.method,
        "source": gate.source,
        "noise": ""
        if gate.noise_floor is None
        else f"Two runs of the incumbent may differ by {amount(gate.noise_floor, unit)} on average.",
        "unscored": sorted(gate.unscored.items()),
        "details": sorted((name, number(value)) for name, value in gate.details.items()),
    }


def summary_view(summary: MetricSummary) -> dict[str, Any]:
    """One metric as the table shows it."""
    better = "higher is better" if summary.higher_is_better else "lower is better"
    change = None if summary.of_pair else summary.change
    return {
        "metric": summary.metric,
        "better": "how far the arms agree" if summary.of_pair else better,
        "direction": summary.direction,
        "direction_words": _DIRECTIONS[summary.direction],
        "words": summary_words(summary),
        "interval": "–" if change is None else range_words(*change, summary.unit),
        "noise": _noise(summary),
        "scored": f"{summary.scored:,} of {summary.scored + summary.lacking:,}",
        "unscored": sorted(summary.unscored.items(), key=lambda item: -item[1]),
        "charts": distributions(summary),
    }


def _noise(summary: MetricSummary) -> str:
    """What is known of two runs of the incumbent under this metric."""
    if summary.noise_floor is not None:
        return f"differ by at most {amount(summary.noise_floor, summary.unit)} on average"
    return f"{summary.reruns:,} re-runs: too few, or none differed" if summary.reruns else "not measured"


def divergences_view(evaluation: Evaluation, verdict: Verdict) -> list[tuple[str, str, str]]:
    """Kind of the step at which the arms part, pairs, and their part of candidate - incumbent of the first gate."""
    summaries = evaluation.summaries.get(verdict.candidate, ())
    leading = summary_of_gate(verdict.gates[0], summaries) if verdict.gates else None
    unit, sign = ("", 1) if leading is None else (leading.unit, 1 if leading.higher_is_better else -1)
    return [
        (
            share.kind,
            f"{share.pairs:,}",
            "–" if share.difference is None else change_words(0.0, sign * share.difference, unit),
        )
        for share in evaluation.divergences.get(verdict.candidate, ())
    ]


def slices_view(evaluation: Evaluation, candidate: str) -> list[dict[str, Any]]:
    """Parts of the traffic, worst first."""
    by_name = {summary.metric: summary for summary in evaluation.summaries.get(candidate, ())}
    return [
        {
            "slice": part.slice,
            "metric": part.metric,
            "n": f"{part.n:,}",
            "difference": slice_words(part, by_name.get(part.metric)),
            "bounds": slice_bounds(part, by_name.get(part.metric)),
            "state": part.state.replace("_", " "),
            "reason": part.reason,
            "discovered": part.discovered,
            "decided": part.state in {"worse", "better"},
        }
        for part in evaluation.slices.get(candidate, ())
    ]
