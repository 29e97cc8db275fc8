"""What the report says, as data. Everything a page shows is decided here and tested here; templates only lay it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from markupsafe import Markup

from shadoweval.records import INCUMBENT, Coverage, Evaluation, Verdict
from shadoweval.records.amounts import amount
from shadoweval.records.sentences import summary_of_gate
from shadoweval.reporting.bar import bar_of, moment
from shadoweval.reporting.charts import bars, funnel_bar
from shadoweval.reporting.clusters import clusters_view
from shadoweval.reporting.failures import failures_view
from shadoweval.reporting.figures import forest, growth
from shadoweval.reporting.quantities import number
from shadoweval.reporting.queries import queries_view
from shadoweval.reporting.since import since_view
from shadoweval.reporting.tables import divergences_view, gate_view, slices_view, summary_view
from shadoweval.reporting.validity import PLANNED, validity_of

__all__ = ["page"]

_WHY: Final = {
    "proven": "every required gate is proven on the same pairs",
    "broken": "a gate is proven broken",
    "error": "the evidence can't be trusted yet",
    "inconclusive": "nothing is proven either way yet",
}


def _words(name: str) -> str:
    return name.replace("_", " ")


def _funnel(coverage: Coverage | None) -> dict[str, Any] | None:
    if coverage is None:
        return None
    lost = sorted(coverage.not_mirrored.items(), key=lambda item: -item[1])
    failed = sorted(coverage.failed.items(), key=lambda item: -item[1])
    first = [
        *((_words(name), n, "waits" if name in PLANNED else "lost") for name, n in lost),
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


def _verdict(evaluation: Evaluation, verdict: Verdict) -> dict[str, Any]:
    name = verdict.candidate
    total = sum(verdict.fidelity.values())
    bar = bar_of(evaluation, verdict)
    summaries = evaluation.summaries.get(name, ())
    return {
        "candidate": name,
        "decision": verdict.decision,
        "mark": bar["mark"],
        "bar": bar,
        "why": _WHY[verdict.why],
        "reasons": verdict.reasons,
        "notices": verdict.notices,
        "pairs": f"{verdict.pairs:,}",
        "units": f"{verdict.units:,}",
        "alpha": number(verdict.alpha),
        "gates": [gate_view(gate, summary_of_gate(gate, summaries)) for gate in verdict.gates],
        "forest": forest(verdict.gates),
        "growth": growth(evaluation, verdict),
        "live_writes": verdict.live_writes_text,
        "wrote": verdict.live_writes != 0,
        "fidelity": [(kind, n, f"{100 * n / total:.1f} %") for kind, n in sorted(verdict.fidelity.items())],
        "validity": validity_of(evaluation, verdict),
        "funnel": _funnel(evaluation.coverage.get(name)),
        "summaries": [summary_view(summary) for summary in summaries],
        "slices": slices_view(evaluation, name),
        "clusters": clusters_view(evaluation, verdict),
        "queries": queries_view(evaluation, verdict),
        "refusals": [(r.kind, r.detail, r.layer, r.count) for r in evaluation.refusals.get(name, ())],
        "containment": sorted(evaluation.containment.get(name, {}).items()),
        "failures": failures_view(evaluation, name),
        "write_set": sorted(evaluation.write_sets.get(name, {}).items()),
        "divergences": divergences_view(evaluation, verdict),
    }


def _overhead(name: str, value: float) -> str:
    return f"{value:,.0f} calls" if name in {"mirrored", "control"} else amount(value, "s")


def _projected(evaluation: Evaluation) -> Markup | None:
    """What all eligible calls of the window would have cost, arm by arm; None: no model has a price."""
    arms = sorted(evaluation.projected.items(), key=lambda item: item[0] != INCUMBENT)
    return bars([(arm, usd, amount(usd, "USD")) for arm, usd in arms], kind="cost") if arms else None


def page(evaluation: Evaluation, *, command: str = "", against: Evaluation | None = None) -> dict[str, Any]:
    """Everything the page shows, as plain data and safe markup; `against` is an earlier evaluation."""
    verdicts: Sequence[Verdict] = evaluation.verdicts
    return {
        "id": evaluation.id,
        "experiment": evaluation.experiment,
        "created": moment(evaluation.created_at),
        "since": moment(evaluation.since),
        "until": moment(evaluation.until),
        "looks": evaluation.looks,
        "verdicts": [_verdict(evaluation, verdict) for verdict in verdicts],
        "versions": {arm: sorted(v.items()) for arm, v in sorted(evaluation.versions.items())},
        "overhead": [(name, _overhead(name, value)) for name, value in sorted(evaluation.overhead.items())],
        "costs": [(name, amount(value, "USD")) for name, value in sorted(evaluation.costs.items())],
        "tokens": [(name, f"{value:,}") for name, value in sorted(evaluation.tokens.items())],
        "projected": _projected(evaluation),
        "provenance": [(name, sorted(made.items())) for name, made in sorted(evaluation.provenance.items())],
        "since_then": since_view(evaluation, against),
        "notes": evaluation.notes,
        "command": command,
    }
