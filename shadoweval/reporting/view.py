"""What the report says, as data. Everything a page shows is decided here and tested here; templates only lay it out."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from shadoweval.records import (
    Coverage,
    Evaluation,
    GateResult,
    MetricSummary,
    Verdict,
)
from shadoweval.reporting.charts import funnel_bar, interval, quantiles
from shadoweval.reporting.quantities import number
from shadoweval.reporting.queries import queries_view

__all__ = ["page"]

_MARKS: Final = {"promote": "✔", "hold": "◆", "rollback": "✖"}
_STATES: Final = {"holds": "✔ holds", "broken": "✖ broken", "open": "… open", "error": "! error"}
_WHY: Final = {
    "proven": "every required gate is proven on the same pairs",
    "broken": "a gate is proven broken",
    "error": "the evidence can't be trusted yet",
    "inconclusive": "nothing is proven either way yet",
}
_PLANNED: Final = frozenset({"not_sampled", "not_targeted", "control", "off"})
"""Calls that were never meant to be mirrored: no loss."""


def _words(name: str) -> str:
    return name.replace("_", " ")


def when(moment: datetime | None) -> str:
    """A UTC time to the second."""
    return "–" if moment is None else moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _gate_chart(gate: GateResult) -> Markup:
    if gate.difference is None or gate.lower is None or gate.upper is None:
        return Markup("")
    threshold = {"better": gate.margin, "no_worse": -gate.margin}.get(gate.kind, gate.margin)
    lower, middle, upper = gate.lower, gate.difference, gate.upper
    nothing = 1.0 if gate.ratio else 0.0
    if gate.kind == "at_most":  # small is good: mirror the axis so that better stays to the right
        lower, middle, upper, threshold, nothing = -upper, -middle, -lower, -threshold, -nothing
    label = f"{gate.sentence}: {number(gate.difference)} between {number(gate.lower)} and {number(gate.upper)}"
    return interval(
        lower=lower, middle=middle, upper=upper, threshold=threshold, nothing=nothing, state=gate.state, label=label
    )


def _gate(gate: GateResult) -> dict[str, Any]:
    return {
        "sentence": gate.sentence,
        "metric": gate.metric,
        "state": gate.state,
        "mark": _STATES[gate.state],
        "critical": gate.critical,
        "dry_run": gate.dry_run,
        "incumbent": number(gate.incumbent),
        "candidate": number(gate.candidate),
        "difference": ("×" + number(gate.difference)) if gate.ratio else number(gate.difference, signed=True),
        "bounds": f"{number(gate.lower)} … {number(gate.upper)}",
        "n": f"{gate.n:,}",
        "evidence": round(100 * gate.share_of_evidence),
        "needed": gate.outlook if gate.pairs_needed else "",
        "reason": gate.reason,
        "missing": gate.missing_text,
        "method": gate.method,
        "source": gate.source,
        "noise": number(gate.noise_floor),
        "unscored": sorted(gate.unscored.items()),
        "details": sorted((name, number(value)) for name, value in gate.details.items()),
        "chart": _gate_chart(gate),
    }


def _funnel(coverage: Coverage | None) -> dict[str, Any] | None:
    if coverage is None:
        return None
    lost = sorted(coverage.not_mirrored.items(), key=lambda item: -item[1])
    failed = sorted(coverage.failed.items(), key=lambda item: -item[1])
    first = [
        *((_words(name), n, "waits" if name in _PLANNED else "lost") for name, n in lost),
        ("mirrored", coverage.mirrored, "kept"),
    ]
    second = [
        *((_words(name), n, "lost") for name, n in failed),
        ("waiting", coverage.waiting, "waits"),
        ("paired", coverage.paired, "kept"),
    ]
    return {
        "eligible": f"{coverage.eligible:,}",
        "lost": [(_words(name), f"{n:,}") for name, n in lost],
        "mirrored": f"{coverage.mirrored:,}",
        "failed": [(_words(name), f"{n:,}") for name, n in failed],
        "waiting": f"{coverage.waiting:,}",
        "paired": f"{coverage.paired:,}",
        "distinct": f"{coverage.distinct:,}",
        "gap": coverage.gap,
        "first": funnel_bar(first, label="eligible calls by what became of them"),
        "second": funnel_bar(second, label="mirrored calls by what became of them"),
    }


def _summary(summary: MetricSummary) -> dict[str, Any]:
    missing = sum(summary.unscored.values())
    inc, cand = summary.distribution
    return {
        "metric": summary.metric,
        "better": "higher" if summary.higher_is_better else "lower",
        "incumbent": number(summary.incumbent),
        "candidate": number(summary.candidate),
        "difference": number(summary.difference, signed=True),
        "bounds": f"{number(summary.lower)} … {number(summary.upper)}",
        "noise": number(summary.noise_floor),
        "scored": f"{summary.scored:,} of {summary.scored + missing:,}",
        "unscored": sorted(summary.unscored.items(), key=lambda item: -item[1]),
        "chart": quantiles(inc, cand, label=f"distribution of {summary.metric}, incumbent and candidate"),
    }


def _verdict(evaluation: Evaluation, verdict: Verdict) -> dict[str, Any]:
    name = verdict.candidate
    total = sum(verdict.fidelity.values())
    return {
        "candidate": name,
        "decision": verdict.decision,
        "mark": _MARKS[verdict.decision],
        "why": _WHY[verdict.why],
        "reasons": verdict.reasons,
        "notices": verdict.notices,
        "pairs": f"{verdict.pairs:,}",
        "units": f"{verdict.units:,}",
        "alpha": number(verdict.alpha),
        "gates": [_gate(gate) for gate in verdict.gates],
        "live_writes": verdict.live_writes_text,
        "wrote": verdict.live_writes != 0,
        "fidelity": [(kind, n, f"{100 * n / total:.1f} %") for kind, n in sorted(verdict.fidelity.items())],
        "funnel": _funnel(evaluation.coverage.get(name)),
        "summaries": [_summary(s) for s in evaluation.summaries.get(name, ())],
        "slices": _slices(evaluation, name),
        "queries": queries_view(evaluation, verdict),
        "refusals": [(r.kind, r.detail, r.layer, r.count) for r in evaluation.refusals.get(name, ())],
        "containment": sorted(evaluation.containment.get(name, {}).items()),
        "write_set": sorted(evaluation.write_sets.get(name, {}).items()),
        "divergences": [
            (share.kind, f"{share.pairs:,}", number(share.difference, signed=True))
            for share in evaluation.divergences.get(name, ())
        ],
    }


def _slices(evaluation: Evaluation, candidate: str) -> list[dict[str, Any]]:
    return [
        {
            "slice": s.slice,
            "metric": s.metric,
            "n": f"{s.n:,}",
            "difference": number(s.difference, signed=True),
            "bounds": f"{number(s.lower)} … {number(s.upper)}",
            "state": s.state.replace("_", " "),
            "reason": s.reason,
            "discovered": s.discovered,
            "decided": s.state in {"worse", "better"},
        }
        for s in evaluation.slices.get(candidate, ())
    ]


def page(evaluation: Evaluation, *, command: str = "") -> dict[str, Any]:
    """Everything the page shows, as plain data and safe markup."""
    verdicts: Sequence[Verdict] = evaluation.verdicts
    return {
        "id": evaluation.id,
        "experiment": evaluation.experiment,
        "created": when(evaluation.created_at),
        "since": when(evaluation.since),
        "until": when(evaluation.until),
        "looks": evaluation.looks,
        "verdicts": [_verdict(evaluation, verdict) for verdict in verdicts],
        "versions": {arm: sorted(v.items()) for arm, v in sorted(evaluation.versions.items())},
        "overhead": [(name, number(value)) for name, value in sorted(evaluation.overhead.items())],
        "costs": [(name, number(value)) for name, value in sorted(evaluation.costs.items())],
        "projected": [(name, number(value)) for name, value in sorted(evaluation.projected.items())],
        "provenance": [(name, sorted(made.items())) for name, made in sorted(evaluation.provenance.items())],
        "notes": evaluation.notes,
        "command": command,
    }
