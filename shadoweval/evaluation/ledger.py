"""What was tried on the same pairs: who tries enough gates, margins, rules, scorers or candidates promotes something.

The store keeps a ledger. The first set that is tried on a window's pairs promotes at alpha, the k-th one at
alpha / (k (k + 1)), whatever order they come in and however often each is looked at: the sum over all that will ever
be tried is 1.5 alpha. A set that was tried before has its number for good; on pairs that nobody has looked at the next
one is the first. A suite's single look (`once`) is a set of its own each time its pairs are others.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec

from shadoweval.experiment import Experiment
from shadoweval.protocols import Attempt, Store
from shadoweval.records import Arm
from shadoweval.verdict.rules import NEW_WINDOW, Rules
from shadoweval.verdict.trial import Trial

__all__ = ["tried_sentence", "with_attempt"]

_FLOORS: Final = ("alpha", "min_units", "min_hours", "min_coverage", "min_fidelity", "max_incumbent_failures")
_STEP: Final = timedelta(microseconds=1)


def with_attempt(
    rules: Rules,
    experiment: Experiment,
    trial: Trial,
    *,
    store: Store,
    candidate: Arm,
    since: datetime | None,
    now: datetime,
) -> Rules:
    """The rules with the number that this try on a candidate's pairs has; it is written down."""
    if not trial.pairs:
        return rules
    began, until = _moment(trial.first_asked), _moment(trial.last_asked)
    for release in trial.facts.versions.releases(candidate):
        until = min(until, release.since - _STEP)  # not settled: what came since will have a window of its own
    tried = _tried(experiment, trial if rules.once else None)
    known = {(each.candidate, each.since, each.tried): each for each in store.attempts(experiment.name)}
    mine = known.get((candidate, since, tried))
    if mine is None:
        ours = {each for each in experiment.candidates if each != candidate}  # tried at once, at a part of alpha each
        others = [each for each in known.values() if each.until >= began and each.candidate not in ours]
        number = len(others) + 1
        mine = Attempt(candidate=candidate, since=since, tried=tried, at=now, until=until, number=number)
    elif until > mine.until:
        mine = msgspec.structs.replace(mine, until=until)
    if known.get((candidate, since, tried)) != mine:
        store.add_attempts(experiment.name, [mine])
    return replace(rules, attempt=mine.number)


def _tried(experiment: Experiment, trial: Trial | None) -> str:
    """A digest of all that decides; with the pairs, as far as they are scored, where a single look is meant."""
    gates = [gate for gate in experiment.gates if not gate.dry_run]
    bases = {gate.base for gate in gates}
    scorers = [
        [scorer.version, sorted(metric.name for metric in scorer.metrics)]
        for scorer in experiment.scorers
        if not bases.isdisjoint(metric.name for metric in scorer.metrics)
    ]
    floors = [getattr(experiment.rules, name) for name in _FLOORS]
    claims = sorted(msgspec.json.encode(msgspec.structs.replace(gate, group=None)).decode() for gate in gates)
    seen: Any = None
    if trial is not None:
        scored = [[trial.counts[base].both, trial.counts[base].candidate_scored] for base in sorted(bases)]
        seen = [trial.pairs, trial.last_asked, scored]
    return hashlib.sha256(msgspec.json.encode([claims, sorted(scorers), floors, experiment.rule, seen])).hexdigest()


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def tried_sentence(rules: Rules) -> tuple[str, ...]:
    """What the ledger makes of a verdict; nothing where this is the first that was tried."""
    if rules.attempt == 1:
        return ()
    what = "promotes and rolls back" if rules.once else "promotes"
    first = rules.alpha / rules.candidates
    sentence = (
        f"Tried on pairs that were looked at before: this is number {rules.attempt} of the sets of gates, margins, "
        f"rules, scorers and candidates, or of the single looks, so it {what} at {rules.promotion_alpha:.2g} where the "
        f"first one did at {first:.2g}. A new window starts anew {NEW_WINDOW}"
    )
    return (sentence,)
