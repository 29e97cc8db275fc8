"""Whether those who should see a candidate fail saw it, each asked in its own words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shadoweval.candidate.faults import MESSAGE, UNSAFE_TOOL, Fault
from shadoweval.protocols import Alert, Notifier
from shadoweval.records import Evaluation, Observation
from shadoweval.reporting.html import report

__all__ = ["Marked", "Seen", "Told", "seen_by_receivers", "seen_by_verdict", "seen_by_worker", "seen_in_report"]

_KINDS: Final[Mapping[Fault, str]] = {"raises": "error", "crash": "crash"}
"""By which kind of failure a run ends, where it does."""
_ENOUGH: Final = 150
"""Queries by which a failure of every run is proven, also for a gate on p95."""


class Seen(NamedTuple):
    """Whether one of those who should have seen the failure did."""

    who: str
    seen: bool
    words: str
    """What it saw; or what it said instead, and how to mend it."""


class Told:
    """A receiver of the drill's own: it keeps what it is told."""

    receiver = "drill"

    def __init__(self) -> None:
        self.alerts: list[Alert] = []

    def notify(self, alert: Alert) -> None:
        """Take it."""
        self.alerts.append(alert)

    def about(self, *words: str) -> bool:
        """Whether an alert has all these words."""
        texts = [str(alert.verdict or alert.text) for alert in self.alerts]
        return any(all(word in text for word in words) for text in texts)


class Marked:
    """A receiver of production's that is told of a drill as one."""

    def __init__(self, notifier: Notifier, fault: Fault) -> None:
        self._notifier, self._fault = notifier, fault
        self.receiver = notifier.receiver
        self.taken = 0

    def notify(self, alert: Alert) -> None:
        """Tell it, with a mark in front that nobody can overlook, and no verdict that a program could act on."""
        text = f"DRILL ({self._fault}): nothing has happened.\n{alert.verdict or alert.text}"
        marked = {"key": f"drill-{alert.key}", "decision": "drill", "previous": "", "verdict": None, "text": text}
        self._notifier.notify(msgspec.structs.replace(alert, **marked))
        self.taken += 1


def seen_by_worker(fault: Fault, runs: Sequence[Observation], *, later: float, folder: Path) -> Seen:
    """Whether each run failed as it was meant to, and nothing reached the world. `later`: seconds of a slow one."""
    kinds = Counter(f"{each.failure.kind} ({each.owner}'s)" for each in runs if each.failure)
    ended = f"{len(runs)} runs: {', '.join(f'{n} {kind}' for kind, n in kinds.most_common()) or 'none failed'}"
    if fault == "write":
        return _contained(runs, folder)
    if fault == "wrong":
        return Seen("worker", len(runs) > 0, f"{ended}; what is wrong with an answer is for gates to see")
    if fault == "slow":
        late = sum(each.failed or each.latency >= later for each in runs)
        return Seen("worker", 0 < late == len(runs), f"{ended}; {late} of them took {later:.2g} s longer")
    failed = sum(each.failure is not None and each.failure.kind == _KINDS[fault] for each in runs)
    return Seen("worker", 0 < failed == len(runs), ended)


def _contained(runs: Sequence[Observation], folder: Path) -> Seen:
    """Whether both attempts to write were stopped, and were written down."""
    calls = sum(any(call.name == UNSAFE_TOOL for call in each.tool_calls) for each in runs)
    files = sum(any(act.kind != "tool" for act in each.refusals) for each in runs)
    reached = sum(each.live_writes for each in runs) + (folder / "written").exists()
    words = f"{len(runs)} runs: {calls} called a tool that writes, {files} were refused a file"
    seen = 0 < len(runs) == calls == files and not reached
    return Seen("guard", seen, f"{words}; writes that reached the world: {reached}")


def seen_by_verdict(fault: Fault, made: Evaluation) -> Seen:
    """Whether the verdict is against the candidate; where it only tried to write, whether it tells so."""
    verdict = made.verdicts[0]
    said = f"{verdict.decision.upper()} ({verdict.why}): {'; '.join(verdict.reasons)}"
    if fault == "write":
        told = verdict.live_writes == 0 and bool(made.refusals.get(verdict.candidate))
        return Seen("verdict", told, f"live writes by candidates: {verdict.live_writes_text}; {said}")
    seen = verdict.rolls_back or (verdict.why == "error" and fault in _KINDS)
    return Seen("verdict", seen, said if seen else f"{said}. {_mend(fault, made)}")


def _mend(fault: Fault, made: Evaluation) -> str:
    verdict = made.verdicts[0]
    few = f"{verdict.pairs} queries may be too few to prove it. " if verdict.pairs < _ENOUGH else ""
    gate = {
        "slow": "A gate on latency sees it: at_most('latency.p95', ratio=1.1)",
        "wrong": "A gate on answers or documents sees it, over cases with references: no_worse('token_f1', by=0.05)",
    }.get(fault, "A gate on errors sees it: no_worse('errors', by=0.01)")
    return f"{few}{gate}. The gates are: {', '.join(each.sentence for each in verdict.gates) or 'none'}."


def seen_in_report(fault: Fault, made: Evaluation, path: Path) -> Seen:
    """Whether the page, which is written to `path`, says so."""
    verdict = made.verdicts[0]
    text = report(made, path, command="shadoweval drill").read_text(encoding="utf-8")
    wanted = {"raises": [MESSAGE], "crash": [_KINDS["crash"]], "write": [UNSAFE_TOOL]}.get(fault, [])
    absent = [word for word in (verdict.decision, verdict.candidate, *wanted) if word not in text]
    words = f"lacks {', '.join(map(repr, absent))}" if absent else f"says {verdict.decision}, and why"
    return Seen("report", not absent, f"{words} ({len(text) / 1000:,.0f} kB)")


def seen_by_receivers(fault: Fault, made: Evaluation, *, told: Told, others: Sequence[Marked]) -> Iterator[Seen]:
    """Whether receivers were told of the verdict, of what the guard refused, of the breaker and of the kill."""
    verdict = made.verdicts[0]
    wanted = {"verdict": (verdict.candidate, verdict.decision.upper()), "breaker": ("breaker", "OPEN")}
    wanted |= {"kill": ("kill switch", "KILLED")}
    if fault == "write":
        wanted |= {"containment": (f"containment of {verdict.candidate}", "REFUSED")}
    missing = [what for what, words in wanted.items() if not told.about(*words)]
    words = f"nobody was told of: {', '.join(missing)}" if missing else f"told of {', '.join(wanted)}"
    yield Seen("alert", not missing, f"{words} ({len(told.alerts)} alerts)")
    for each in others:
        took = f"took {each.taken} alerts, marked as a drill" if each.taken else "took none: see shadoweval alerts test"
        yield Seen(each.receiver, each.taken > 0, took)
