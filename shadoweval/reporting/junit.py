"""The verdict as JUnit XML, which every CI shows: a suite for each candidate, a case for each gate."""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

from shadoweval.records import Evaluation, GateResult, MetricSummary, Verdict
from shadoweval.records.sentences import gate_bounds, gate_words, summary_of_gate
from shadoweval.reporting.texts import Texts, carrying

__all__ = ["junit"]

_FORBIDDEN: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no place for (section 2.2)."""
_KINDS: Final = {"broken": "failure", "error": "error", "open": "skipped"}


def junit(evaluation: Evaluation, *, texts: Texts = "none") -> str:
    """One `<testsuites>`: a gate that holds passes, a broken one fails, one without sound evidence is an error.

    An undecided gate, and one on trial (`dry_run`), is skipped. The first case of each suite is the verdict itself.
    `texts`: how much of users' words it carries.
    """
    evaluation = carrying(evaluation, texts)
    root = ET.Element("testsuites", name=_clean(evaluation.experiment))
    for verdict in evaluation.verdicts:
        root.append(_suite(evaluation, verdict))
    ET.indent(root)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _suite(evaluation: Evaluation, verdict: Verdict) -> ET.Element:
    name = _clean(f"{verdict.experiment}.{verdict.candidate}")
    suite = ET.Element("testsuite", name=name, timestamp=evaluation.created_at.isoformat(timespec="seconds"), time="0")
    properties = ET.SubElement(suite, "properties")
    facts = {
        "decision": verdict.decision,
        "why": verdict.why,
        "pairs": str(verdict.pairs),
        "units": str(verdict.units),
        "live writes by candidates": verdict.live_writes_text,
        "evaluation": evaluation.id,
    }
    for fact, value in facts.items():
        ET.SubElement(properties, "property", name=f"shadoweval.{fact}", value=_clean(value))
    summaries = evaluation.summaries.get(verdict.candidate, ())
    gates = (_case(gate, name, summary=summary_of_gate(gate, summaries)) for gate in verdict.gates)
    cases = [_whole(verdict, name), *gates]
    suite.extend(cases)
    suite.set("tests", str(len(cases)))
    for plural, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(plural, str(sum(case.find(kind) is not None for case in cases)))
    return suite


def _whole(verdict: Verdict, suite: str) -> ET.Element:
    case = ET.Element("testcase", classname=suite, name="verdict", time="0")
    kind = {"broken": "failure", "error": "error", "inconclusive": "skipped"}.get(verdict.why)
    said = "; ".join(verdict.reasons) or verdict.why
    if kind:
        ET.SubElement(case, kind, message=_clean(f"{verdict.decision}: {said}")).text = _clean(str(verdict))
    return case


def _case(gate: GateResult, suite: str, *, summary: MetricSummary | None) -> ET.Element:
    case = ET.Element("testcase", classname=suite, name=_clean(gate.sentence), time="0")
    kind = "skipped" if gate.dry_run else _KINDS.get(gate.state)
    numbers = f"{gate_words(gate, summary)}; bounds {gate_bounds(gate, summary)}"
    said = "; ".join(part for part in (gate.reason, gate.outlook, gate.missing_text) if part)
    if kind:
        where = "on trial; " if gate.dry_run else ""
        ET.SubElement(case, kind, message=_clean(f"{where}{gate.state}: {said or numbers}"))
    ET.SubElement(case, "system-out").text = _clean(f"{numbers}, n={gate.n}" + (f"; {said}" if said else ""))
    return case


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)
