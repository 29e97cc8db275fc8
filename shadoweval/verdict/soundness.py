"""Is the evidence sound? Each hole through which a wrong promotion could slip gets a check and a sentence.

A check that finds something makes the verdict hold (error), whatever the gates say for the candidate; what it leaves of
a proven rollback stands in `both_ways`. Every sentence says what was found and how to mend it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Final

from shadoweval.evidence.bets import discordant_log_e
from shadoweval.evidence.validity import control_log_e, sample_ratio_log_e, share_exceeds
from shadoweval.protocols import Metric
from shadoweval.records import Coverage, all_alike
from shadoweval.records.keys import by_labelled_ids
from shadoweval.verdict.conduct import ENDED, Problem, conduct_problems
from shadoweval.verdict.harm import harm_problems
from shadoweval.verdict.judges import judge_problems
from shadoweval.verdict.missing import losses
from shadoweval.verdict.provable import unprovable
from shadoweval.verdict.releases import named
from shadoweval.verdict.rules import NEW_WINDOW, Rules
from shadoweval.verdict.summary import MetricCounts
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.writes import WRITES, self_contradiction

__all__ = ["Problem", "problems"]

_ALARM: Final = math.log(1 / 0.01)
"""What a check's log evidence must reach; with several metrics each needs as many times more, so that all checks of one
kind together cry wolf in at most one trial of a hundred."""
_FUTURE: Final = 300.0
_DOUBLED_SHARE: Final = 0.25
_FEW: Final = 20
_GAP: Final = 0.01
_ERRING: Final = 0.05
_NAMED: Final = 5


def problems(trial: Trial, coverage: Coverage, rules: Rules, *, now: float, candidate: str) -> tuple[Problem, ...]:
    """All that is wrong with the evidence, the whole trial's before single metrics'; arguments as of `decide`."""
    return (
        *_traffic(trial, coverage, rules),
        *conduct_problems(trial, rules),
        *_clock(trial, rules, now=now),
        *_pipelines(trial),
        *_versions(trial, candidate),
        *_stages(trial),
        *_scores(trial),
        *unprovable(trial, trial.probes),
        *judge_problems(trial),
        *_controls(trial),
        *harm_problems(trial, rules),
    )


def _traffic(trial: Trial, coverage: Coverage, rules: Rules) -> Iterator[Problem]:
    if not trial.pairs:
        why = f"none of {coverage.eligible} eligible queries" if coverage.eligible else "no query came at all, so none"
        yield Problem(
            name="no_pairs",
            sentence=f"There are no pairs: {why} became one. Look at the flags, the sampling share, the spool and "
            f"whether a worker runs; not mirrored: {dict(coverage.not_mirrored)}, failed: {dict(coverage.failed)}.",
        )
        return
    lost = losses(coverage)
    sampled = lost.total() + coverage.paired
    if share_exceeds(lost.total(), sampled, 1 - rules.min_coverage):
        worst = lost.most_common(1)[0]
        yield Problem(
            name="coverage",
            sentence=f"Only {coverage.paired / sampled:.1%} of the sampled queries became pairs, at least "
            f"{rules.min_coverage:.0%} must; the most common loss is {worst[0]!r} ({worst[1]}). The lost ones may "
            f"be the hard ones: mend that, then start a new window {NEW_WINDOW}.",
        )
    if coverage.gap > max(10, _GAP * coverage.eligible):
        yield Problem(
            name="funnel",
            sentence=f"The funnel does not add up: {coverage.gap} queries are unaccounted for. Look for mirrors whose "
            "counters are not collected, or that were restarted on another folder.",
        )
    yield from _alike(trial)
    yield from _sampling(trial, coverage, rules)


def _alike(trial: Trial) -> Iterator[Problem]:
    """Queries that all count as one: nothing can be learned from them, however many there are."""
    if len(trial.facts.units) == 1 and (alike := all_alike(trial.pairs, queries=1, texts=1)):
        yield Problem(name="one_unit", sentence=alike[0].upper() + alike[1:])


def _sampling(trial: Trial, coverage: Coverage, rules: Rules) -> Iterator[Problem]:
    if len(trial.facts.salts) > 1:
        yield Problem(
            name="salt",
            sentence=f"Queries were sampled under {len(trial.facts.salts)} salts: the flag changed who is mirrored in "
            f"mid-run. Start a new window after the change {NEW_WINDOW}.",
        )
    if rules.share is None:
        return
    if trial.facts.highest_bucket >= rules.share:
        yield Problem(
            name="flag",
            sentence=f"A unit at bucket {trial.facts.highest_bucket:.4f} was mirrored although only those below "
            f"{rules.share:g} should be: the share was changed to and fro. Start a new window with one share "
            f"{NEW_WINDOW}.",
        )
    lost = losses(coverage) - Counter(coverage.failed)
    sent = coverage.mirrored + lost.total() - lost["unaccounted for"]
    offered = sent + coverage.not_mirrored.get("not_sampled", 0) + coverage.not_mirrored.get("control", 0)
    # Units are sampled, not queries: where some ask many, the share of the queries varies by itself.
    if rules.share < 1 and offered and not trial.grouped and sample_ratio_log_e(sent, offered, rules.share) >= _ALARM:
        yield Problem(
            name="sample_ratio",
            sentence=f"{sent} of {offered} queries were sampled, which does not fit the planned share {rules.share:g} "
            "(sample-ratio mismatch). Something picks queries beside the sampling: find it before judging.",
        )


def _clock(trial: Trial, rules: Rules, *, now: float) -> Iterator[Problem]:
    if trial.disordered:
        yield Problem(
            name="order",
            sentence=f"{trial.disordered} pairs came before an older one. Pairs must be judged in query order, or slow "
            "ones are left out at each look; a clock that was set back does the same. Start a new window "
            f"{NEW_WINDOW}.",
        )
    if trial.pairs and trial.last_asked > now + _FUTURE:
        yield Problem(
            name="future",
            sentence=f"The last query was asked {trial.last_asked - now:.0f} s in the future: a host's clock is wrong.",
        )
    if trial.facts.latest_lead > _FUTURE:
        yield Problem(
            name="clocks_disagree",
            sentence=f"A candidate began {trial.facts.latest_lead:.0f} s before its query was asked: the clocks of the "
            "mirror's and the worker's host disagree. Synchronise them.",
        )
    if not rules.once and trial.doubled > max(_FEW, _DOUBLED_SHARE * trial.pairs):
        yield Problem(
            name="doubled",
            sentence=f"{trial.doubled} of {trial.pairs} queries repeat the one before within a second: calls are "
            "probably mirrored twice. Mirror one layer only.",
        )


def _pipelines(trial: Trial) -> Iterator[Problem]:
    """Several functions under one name: a candidate can stand in for one of them, and fails at the others."""
    called = trial.facts.entries
    named = [entry for entry, n in called.most_common(_NAMED) if n > _GAP * trial.pairs]
    if len(named) > 1:
        yield Problem(
            name="pipelines",
            sentence=f"Several pipelines are mirrored under one name: {', '.join(f'{e} ({called[e]})' for e in named)}."
            " Give each an Experiment of its own; where all are one pipeline, mirror it where they meet, or say so: "
            f"Mirror(..., entry={named[0]!r}). Then start a new window {NEW_WINDOW}.",
        )


def _versions(trial: Trial, candidate: str) -> Iterator[Problem]:
    versions = trial.facts.versions
    for arm, name, seen in versions:
        if len(seen) > 1:
            yield Problem(
                name="version",
                sentence=f"{named(arm, name, candidate)} changed in mid-run: {', '.join(sorted(map(repr, seen)))}. "
                "Run one release at a time; a new window begins by itself once the newest alone has answered for a "
                "while.",
            )
    for _, name, again in (each for each in versions if each[0] == "rerun"):
        served = versions.of("incumbent", name) or again.keys()
        if served != again.keys() and len(served) == len(again) == 1:
            yield Problem(
                name="rerun_version",
                sentence=f"The incumbent was served with {name} {', '.join(served)!r} but run again with "
                f"{', '.join(again)!r}: it is not the same pipeline. Deploy the worker with what is served.",
            )


def _stages(trial: Trial) -> Iterator[Problem]:
    if trial.broken_fields:
        yield Problem(
            name="stages",
            sentence=f"What a stage sees changed in mid-run while no version did: {trial.broken_fields}. The pairs "
            f"before and after are of different pipelines: mend it and start a new window {NEW_WINDOW}; where it is "
            "meant, Rules(checks='notice').",
        )


def _scores(trial: Trial) -> Iterator[Problem]:
    if not trial.pairs:
        return
    for metric in trial.metrics:
        gates = [gate for gate in trial.gates if gate.base == metric.name]
        if gates:
            if by_labelled_ids(metric.name):
                for _arm, sentence in trial.facts.labelled.unknown():
                    yield Problem(name="unknown_ids", metric=metric.name, sentence=sentence)
            compared = any(gate.compares for gate in gates)
            yield from _of_metric(metric, trial.counts[metric.name], compared=compared, metrics=len(trial.metrics))


def _of_metric(metric: Metric, counts: MetricCounts, *, compared: bool, metrics: int) -> Iterator[Problem]:
    name = metric.name
    reasons = ", ".join(f"{reason} ({n})" for reason, n in counts.unscored.most_common(3))
    scored = counts.both if compared else counts.candidate_scored
    if not scored and all(ENDED in reason for reason in counts.unscored) and counts.unscored:
        return  # nothing is wrong with the scorer: the shadow ended all runs, which is said elsewhere
    if not scored:
        yield Problem(
            name="missing_metric",
            metric=name,
            sentence=f"{name} has no pair with {'a score for both arms' if compared else 'a score'}: "
            f"{reasons or 'no scorer made it'}. So it proves nothing: mend the scorer, or take the gate out if it "
            "can't be measured here.",
        )
        return
    if len(counts.versions) > 1:
        yield Problem(
            name="scorer_version",
            metric=name,
            sentence=f"{name} was scored by {len(counts.versions)} versions of its scorer "
            f"({', '.join(sorted(counts.versions))}). Score the window again with one.",
        )
    raised = Counter({r: n for r, n in counts.unscored.items() if "Error: " in r or "Exception: " in r})
    if raised.total() > _ERRING * (scored + raised.total()):
        yield Problem(
            name="scorer_errors",
            metric=name,
            sentence=f"The scorer of {name} raised {raised.total()} times, mostly {raised.most_common(1)[0][0]!r}. "
            "Mend it and score the window again.",
        )
    if compared and _unequal_log_e(metric, counts) >= _ALARM + math.log(metrics):
        yield Problem(
            name="unequal_missing",
            metric=name,
            sentence=f"{name} lacks only the candidate's score in {counts.only_incumbent} pairs and only the "
            f"incumbent's in {counts.only_candidate} ({reasons}): the arms are not judged on the same queries. Give "
            "failures a score, or mend the scorer.",
        )


def _unequal_log_e(metric: Metric, counts: MetricCounts) -> float:
    """Log evidence that one arm lacks its score more often than the other; failures that count nowhere are left out."""
    lacking = [counts.only_incumbent, counts.only_candidate]
    if metric.failure_scores is None:
        for number, arm in enumerate(("candidate", "incumbent")):
            lacking[number] -= _count_of(counts, f"{arm}: failed: ")
    for number, arm in enumerate(("candidate", "incumbent")):  # the shadow's own failures are a problem of their own
        lacking[number] = max(0, lacking[number] - _count_of(counts, f"{arm}: {ENDED}"))
    return float(max(discordant_log_e(lacking, lacking[::-1]))) - math.log(2)


def _count_of(counts: MetricCounts, reason: str) -> int:
    return sum(n for each, n in counts.unscored.items() if each.startswith(reason))


def _controls(trial: Trial) -> Iterator[Problem]:
    for metric, noise in trial.noises.items():
        mean = noise.mean
        if mean.n and control_log_e(mean) >= _ALARM + math.log(len(trial.noises)):
            yield Problem(
                name="control",
                metric=metric,
                sentence=self_contradiction(mean.mean, mean.n)
                if metric == WRITES
                else f"{metric} differs between the incumbent and its own re-run by {mean.mean:+.4f} of its range "
                f"(n={mean.n}): the comparison is biased before any candidate comes in. Look for a judge that prefers "
                "a position, a cache, or a world that changed in between.",
            )
