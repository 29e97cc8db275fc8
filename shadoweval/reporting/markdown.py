"""The verdict as Markdown, for pull requests and job summaries."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from shadoweval.records import Evaluation, GateResult, MetricSummary, Verdict
from shadoweval.records.changes import Change, slice_words, summary_words
from shadoweval.records.sentences import (
    gate_bounds,
    gate_words,
    headline,
    lacking,
    next_step,
    sides_of,
    summary_of_gate,
)
from shadoweval.reporting.clusters import cluster_sentence
from shadoweval.reporting.judges import judge_lines
from shadoweval.reporting.table import table_of
from shadoweval.reporting.texts import Texts, carrying
from shadoweval.reporting.validity import stage_lines

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


def _row(gate: GateResult, summary: MetricSummary | None) -> str:
    cells = [
        _MARKS[gate.state],
        _cell(gate.sentence) + (" **critical**" if gate.critical else ""),
        _cell(gate_words(gate, summary)),
        _cell(gate_bounds(gate, summary)),
        f"{gate.n:,}",
        _cell("; ".join(part for part in (gate.reason, gate.outlook, gate.missing_text) if part)),
    ]
    return "| " + " | ".join(cells) + " |"


def _section(evaluation: Evaluation, verdict: Verdict) -> list[str]:
    summaries, trend = evaluation.summaries.get(verdict.candidate, ()), evaluation.trend
    sides = sides_of(verdict, summaries)
    title = f"## {_cell(verdict.experiment)} / {_cell(verdict.candidate)}: {verdict.decision.upper()}"
    lines = [title, "", _cell(headline(verdict, sides, trend=trend)), ""]
    lines += [*_side("Gets worse", sides.worse), *_side("Gets better", sides.better)]
    lines += [f"- Because: {_cell(reason)}" for reason in verdict.reasons]
    lines += [f"- Missing: {_cell(sentence)}" for sentence in filter(None, [lacking(summaries)])]
    lines += [f"- What to do now: {_cell(next_step(verdict, sides, trend=trend))}", ""]
    lines += ["| | gate | candidate, beside the incumbent | bounds that decide | units | |", "|-|-|-|-|-|-|"]
    lines += [_row(gate, summary_of_gate(gate, summaries)) for gate in verdict.gates]
    lines += ["", *(f"> {_cell(notice)}" for notice in verdict.notices)]
    live_writes = _cell(verdict.live_writes_text)
    lines += ["", f"{verdict.pairs:,} pairs, {verdict.units:,} units; live writes by candidates: {live_writes}", ""]
    return lines


def _side(title: str, changes: Sequence[Change]) -> list[str]:
    return [f"- {title}: {_cell(each.metric)} {_cell(each.words)}" for each in changes[:_LISTED]]


def _others(evaluation: Evaluation, verdict: Verdict) -> list[str]:
    """Metrics, parts of the traffic that are worse, and the queries that lose most: by id, since words are users'."""
    name, lines = verdict.candidate, list[str]()
    summaries = evaluation.summaries.get(name, ())
    if summaries:
        lines += ["| metric | mean, beside the incumbent | scored |", "|-|-|-|"]
        for each in summaries:
            scored = f"{each.scored:,} of {each.scored + sum(each.unscored.values()):,}"
            lines.append("| " + " | ".join([_cell(each.metric), _cell(summary_words(each)), scored]) + " |")
        lines.append("")
    by_name = {summary.metric: summary for summary in summaries}
    worse = [part for part in evaluation.slices.get(name, ()) if part.state == "worse"][:_LISTED]
    for part in worse:
        words = slice_words(part, by_name.get(part.metric))
        lines.append(f"- worse where {_cell(part.slice)}: {_cell(part.metric)} {_cell(words)}, {part.n:,} units")
    checked = (*judge_lines(evaluation, name), *stage_lines(evaluation.stages.get(name)))
    lines += [f"- {_cell(line.what)}: {_cell(line.words)}" for line in checked]
    table = table_of(evaluation, name)
    lines += [f"- {_cell(cluster_sentence(evaluation, verdict, each))}" for each in table.clusters[:_LISTED]]
    for example in [each for each in table.details if "loss" in each.why or each.candidate.failed][:_LISTED]:
        text = f": {_cell(example.text)}" if example.text else ""
        lines.append(f"- {_cell(example.why)} {_cell(example.query_id)}{text}")
    return [*lines, ""]


def markdown(evaluation: Evaluation, *, texts: Texts = "none") -> str:
    """All verdicts of the evaluation as Markdown: for a comment or a summary, cut where GitHub would refuse it.

    `texts`: how much of users' words it carries. Nothing in them makes an image, a link, a heading or a mention.
    """
    evaluation = carrying(evaluation, texts)
    parts = (part for each in evaluation.verdicts for part in (*_section(evaluation, each), *_others(evaluation, each)))
    lines, room = list[str](), _LONGEST
    for line in parts:
        room -= len(line.encode("utf-8", "replace")) + 1
        if room < 0:
            return "\n".join([*lines, "", "… the rest is in the report."])
        lines.append(line)
    return "\n".join(lines)
