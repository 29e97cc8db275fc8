"""The verdict as Markdown, for pull requests and job summaries."""

from __future__ import annotations

import re
from typing import Final

from shadoweval.records import Evaluation, GateResult, Verdict
from shadoweval.reporting.quantities import number

__all__ = ["markdown"]

_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")
"""What may be escaped by a backslash, each of it (CommonMark 0.31, section 2.4)."""
_MARKS = {"holds": "✅", "broken": "❌", "open": "⏳", "error": "⚠️"}


def _cell(text: str) -> str:
    """A text that shows as it is written: no image, link, heading, table or tag, and nobody is mentioned."""
    words = " ".join(text.split())
    # GitHub looks for mentions after rendering, so that an escape does not hinder them; a word joiner does.
    return _PUNCTUATION.sub(r"\\\g<0>", words).replace("@", "@\u2060")


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
        _cell("; ".join(part for part in (gate.reason, gate.missing_text) if part)),
    ]
    return "| " + " | ".join(cells) + " |"


def _section(verdict: Verdict) -> list[str]:
    title = f"## {_cell(verdict.experiment)} / {_cell(verdict.candidate)}: {verdict.decision.upper()}"
    lines = [title, "", *(f"- {_cell(reason)}" for reason in verdict.reasons), ""]
    lines += ["| | gate | incumbent | candidate | change | bounds | n | |", "|-|-|-|-|-|-|-|-|"]
    lines += [_row(gate) for gate in verdict.gates]
    lines += ["", *(f"> {_cell(notice)}" for notice in verdict.notices)]
    live_writes = _cell(verdict.live_writes_text)
    lines += ["", f"{verdict.pairs:,} pairs, {verdict.units:,} units; live writes by candidates: {live_writes}", ""]
    return lines


def markdown(evaluation: Evaluation) -> str:
    """All verdicts of the evaluation as Markdown tables."""
    return "\n".join(line for verdict in evaluation.verdicts for line in _section(verdict))
