"""The verdict as Markdown, for pull requests and job summaries."""

from __future__ import annotations

import re
from typing import Final

from shadoweval.records import Evaluation, GateResult, Verdict
from shadoweval.reporting.quantities import number
from shadoweval.reporting.table import table_of
from shadoweval.reporting.texts import Texts, carrying

__all__ = ["markdown"]

_PUNCTUATION: Final = re.compile(r"[!-/:-@\[-`{-~]")
"""What may be escaped by a backslash, each of it (CommonMark 0.31, section 2.4)."""
_LISTED: Final = 5
"""Slices, and queries, of a candidate."""
_LONGEST: Final = 60_000
"""Bytes. GitHub takes 65,536 characters of a comment."""
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


def _others(evaluation: Evaluation, verdict: Verdict) -> list[str]:
    """Metrics, parts of the traffic that are worse, and the queries that lose most: by id, since words are users'."""
    name, lines = verdict.candidate, list[str]()
    summaries = evaluation.summaries.get(name, ())
    if summaries:
        lines += ["| metric | incumbent | candidate | change | scored |", "|-|-|-|-|-|"]
        for each in summaries:
            scored = f"{each.scored:,} of {each.scored + sum(each.unscored.values()):,}"
            change = number(each.difference, signed=True)
            cells = [_cell(each.metric), number(each.incumbent), number(each.candidate), change, scored]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    worse = [part for part in evaluation.slices.get(name, ()) if part.state == "worse"][:_LISTED]
    lines += [f"- worse where {_cell(part.slice)}: {_cell(part.metric)}, {part.n:,} units" for part in worse]
    table = table_of(evaluation, name)
    for example in [each for each in table.details if "loss" in each.why or each.candidate.failed][:_LISTED]:
        text = f": {_cell(example.text)}" if example.text else ""
        lines.append(f"- {_cell(example.why)} {_cell(example.query_id)}{text}")
    return [*lines, ""]


def markdown(evaluation: Evaluation, *, texts: Texts = "none") -> str:
    """All verdicts of the evaluation as Markdown: for a comment or a summary, cut where GitHub would refuse it.

    `texts`: how much of users' words it carries. Nothing in them makes an image, a link, a heading or a mention.
    """
    evaluation = carrying(evaluation, texts)
    parts = (part for each in evaluation.verdicts for part in (*_section(each), *_others(evaluation, each)))
    lines, room = list[str](), _LONGEST
    for line in parts:
        room -= len(line.encode("utf-8", "replace")) + 1
        if room < 0:
            return "\n".join([*lines, "", "… the rest is in the report."])
        lines.append(line)
    return "\n".join(lines)
