"""The verdict as Markdown, for pull requests and job summaries."""

from __future__ import annotations

from shadoweval.records import Evaluation, GateResult, Verdict
from shadoweval.reporting.view import number

__all__ = ["markdown"]

_MARKS = {"holds": "✅", "broken": "❌", "open": "⏳", "error": "⚠️"}


def _cell(text: str) -> str:
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _row(gate: GateResult) -> str:
    change = f"×{number(gate.difference)}" if gate.ratio else number(gate.difference, signed=True)
    cells = [
        _MARKS[gate.state],
        _cell(gate.sentence) + (" **critical**" if gate.critical else ""),
        number(gate.incumbent),
        number(gate.candidate),
        change,
        f"{number(gate.lower)} … {number(gate.upper)}",
        f"{gate.n:,}",
        _cell(gate.reason),
    ]
    return "| " + " | ".join(cells) + " |"


def _section(verdict: Verdict) -> list[str]:
    title = f"## {_cell(verdict.experiment)} / {_cell(verdict.candidate)}: {verdict.decision.upper()}"
    lines = [title, "", *(f"- {_cell(reason)}" for reason in verdict.reasons), ""]
    lines += ["| | gate | incumbent | candidate | change | bounds | n | |", "|-|-|-|-|-|-|-|-|"]
    lines += [_row(gate) for gate in verdict.gates]
    lines += ["", *(f"> {_cell(notice)}" for notice in verdict.notices)]
    lines += [
        "",
        f"{verdict.pairs:,} pairs, {verdict.units:,} units; live writes by candidates: {verdict.live_writes}",
        "",
    ]
    return lines


def markdown(evaluation: Evaluation) -> str:
    """All verdicts of the evaluation as Markdown tables."""
    return "\n".join(line for verdict in evaluation.verdicts for line in _section(verdict))
