"""How each judge behaved: a line in clear, and all that is known of it folded below."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from shadoweval.records import Evaluation, JudgeSeen, MetricSummary, ShareSeen
from shadoweval.records.amounts import amount
from shadoweval.reporting.lines import MANY, Line

__all__ = ["judge_lines"]

_OFTEN, _NEARLY_ALWAYS = 0.2, 0.8
"""Shares from which a preference for a place, and for the longer answer, is worth a look."""
_REASONS: Final = 5


def judge_lines(evaluation: Evaluation, candidate: str) -> list[Line]:
    """A line for each judge of a candidate's answers."""
    by_metric = {each.metric: each for each in evaluation.summaries.get(candidate, ())}
    return [_line(judge, by_metric.get(judge.metric)) for judge in evaluation.judges.get(candidate, ())]


def _line(judge: JudgeSeen, summary: MetricSummary | None) -> Line:
    against = tuple(_against(judge, summary))
    failed = any(probe.failed for probe in judge.probes)
    state = "bad" if failed else "look" if against else "good"
    where = f" at {judge.endpoint}" if judge.endpoint else ""
    cost = f", {amount(judge.usd, 'USD')}" if judge.usd is not None else ""
    tried = sum(bool(probe.of) for probe in judge.probes)
    probes = f"{tried} probes, none of which it rewards too often" if tried and not failed else ""
    words = [f"{judge.model}{where}: {_judged(judge)}; {judge.calls:,} calls{cost}", *against, *filter(None, [probes])]
    return Line(f"Judge of {judge.metric}", state, "; ".join(words), tuple(_details(judge, summary)))


def _judged(judge: JudgeSeen) -> str:
    drawn = f", drawn with chances from {judge.lowest_chance:.3g}" if judge.lowest_chance < 1 else ""
    return f"{judge.judged:,} of {judge.pairs:,} pairs judged{drawn}"


def _against(judge: JudgeSeen, summary: MetricSummary | None) -> Iterator[str]:
    """What speaks against it."""
    for probe in judge.probes:
        if probe.failed:
            yield f"it rewards {probe.name} ({probe.passed} of {probe.of} probed pairs)"
    if judge.by_place is not None and judge.by_place.n > _OFTEN * judge.by_place.of:
        yield f"it goes by the place of an answer in {_share(judge.by_place)}"
    if judge.longer is not None and judge.longer.n >= _NEARLY_ALWAYS * judge.longer.of and judge.longer.lower > 1 / 2:
        yield f"it prefers the longer answer in {_share(judge.longer)}"
    missing = 0 if summary is None else summary.lacking
    if missing > MANY * max(1, judge.pairs):
        yield f"{missing:,} pairs without a score"
    if judge.left == 0:
        yield f"nothing is left of its {judge.budget}"
    if judge.alone:
        yield "a gate goes by its word alone: hardly any person has marked these answers"


def _details(judge: JudgeSeen, summary: MetricSummary | None) -> Iterator[str]:
    cost = "no price is known" if judge.usd is None else amount(judge.usd, "USD")
    yield f"spent: {judge.calls:,} calls, {judge.input_tokens:,} tokens in and {judge.output_tokens:,} out, {cost}"
    if judge.left is not None:
        yield f"budget: {judge.budget}, of which {amount(judge.left, 'share')} is left"
    yield f"in this look: {judge.asked:,} questions answered, {judge.cached:,} of them by what it had said before"
    yield f"judged: {_judged(judge)}"
    reasons = {} if summary is None else summary.unscored
    for reason, count in sorted(reasons.items(), key=lambda each: -each[1])[:_REASONS]:
        yield f"unscored: {reason} ({count:,} pairs)"
    if judge.agreement is not None:
        yield f"asked {judge.repeats} times: on average {amount(judge.agreement, 'share')} of its replies agree"
    if judge.by_place is not None:
        yield f"the same place preferred in both orders, which counts as a tie: {_share(judge.by_place)}"
    if judge.longer is not None:
        yield f"the longer answer preferred, where either was: {_share(judge.longer)}"
    for probe in judge.probes:
        why = f"; without a score: {probe.reason}" if probe.reason else ""
        result = f"rewarded in {probe.passed} of {probe.of} pairs that tell something, {probe.tried} were probed"
        yield f"probe, {probe.name}: {result}{'; it fails' if probe.failed else ''}{why}"


def _share(share: ShareSeen) -> str:
    bounds = f"{amount(share.lower, 'share')} to {amount(share.upper, 'share')}"
    return f"{share.n:,} of {share.of:,} pairs ({bounds})"
