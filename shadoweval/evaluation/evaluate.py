"""From stored pairs to an Evaluation: score them, decide, and gather what the report shows."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import msgspec

from shadoweval.checks import checked_instance, checked_keywords, checked_moment, checked_strings
from shadoweval.clock import Clock, utc_now
from shadoweval.errors import ArgumentError, CorruptFrameError
from shadoweval.evaluation.cases import labels_of, read_cases
from shadoweval.evaluation.examples import Examples
from shadoweval.evaluation.progress import Progress, purpose_of
from shadoweval.evaluation.run_counts import RunCounts
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import Arm, Coverage, Evaluation, SliceResult
from shadoweval.verdict.assessment import Assessment, assess
from shadoweval.verdict.kayenta import by_kayenta
from shadoweval.verdict.rules import Rules
from shadoweval.worker.opening import open_receiver, open_store

__all__ = ["evaluate"]

_CYCLE: Final = 24.0
"""Hours of a day, since traffic differs by day and night."""

_SLIDES: Final = (
    "The window slides with the clock, so each look begins a trial of its own and its chances of error are those of a "
    "single look. For verdicts that hold however often you look, give no window, or one that begins at a fixed time."
)


class _Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What one evaluation goes by: which queries, when, and under which rules."""

    now: datetime
    since: datetime | None
    until: datetime | None
    sliding: bool
    """Whether the window moves with the clock; then nothing of an earlier look can be taken up."""
    rules: Rules


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one candidate contributes to the Evaluation."""

    assessment: Assessment
    examples: Examples
    runs: RunCounts
    coverage: Coverage


@checked_keywords()
def evaluate(
    experiment: Experiment,
    *,
    since: datetime | timedelta | None = None,
    until: datetime | None = None,
    candidates: Sequence[Arm] | None = None,
    closed: bool = False,
    once: bool = False,
    store: Store | None = None,
    clock: Clock = utc_now,
) -> Evaluation:
    """Score the pairs of each candidate, decide, keep the evaluation and return it.

    Labels of the experiment's case file are joined first. Look as often as you like: the verdict is valid at every
    look.

    Args:
        experiment: What to evaluate.
        since: First time of a query (aware), or how long before now.
        until: First time beyond.
        candidates: Names; None: all.
        closed: No more pairs will come, so that sessions count as they stand; else a session counts once it is over.
        once: This is the only look there will be (a suite of cases): sharper, and wrong when it is repeated.
        store: Where the pairs are; None: as the settings say.
        clock: Now.

    Raises:
        UnknownCandidateError: a name that the experiment does not have.
        StoreError: the store can't be used.
        CaseFileError: the labels can't be read.
    """
    checked_instance("evaluate(experiment)", experiment, Experiment, mend="Pass the object, not its name.")
    for name, moment in (("since", since), ("until", until)):
        if moment is not None and not isinstance(moment, timedelta):
            checked_moment(f"evaluate({name})", moment)
    if isinstance(since, timedelta) and since <= timedelta(0):
        raise ArgumentError("evaluate(since)", since, expected="how long ago", mend="Write timedelta(hours=24).")
    if isinstance(since, datetime) and until is not None and since >= until:
        raise ArgumentError("evaluate(since)", since, expected=f"before until, {until!r}", mend="Exchange them.")
    if store is not None and not hasattr(store, "look"):
        mend = "Pass open_store(experiment), or name the store by Settings(store='sqlite:///...')."
        raise ArgumentError("evaluate(store)", store, expected="a Store", mend=mend)
    now, sliding = clock(), isinstance(since, timedelta)
    scope = _Scope(
        now=now,
        since=now - since if isinstance(since, timedelta) else since,
        until=until,
        sliding=sliding,
        rules=_rules(experiment, closed=closed, once=once, sliding=sliding),
    )
    names = experiment.candidates if candidates is None else checked_strings("evaluate(candidates)", candidates)
    for name in names:
        experiment.target(name)
    with contextlib.nullcontext(store) if store is not None else open_store(experiment) as opened:
        if experiment.labels is not None:
            opened.add_labels(labels_of(read_cases(experiment.labels)))
        results = {name: _evaluate_candidate(experiment, name, store=opened, scope=scope) for name in names}
        before = opened.evaluations(experiment.name)
        evaluation = _assembled(experiment, results, scope=scope, looks=before[0].looks + 1 if before else 1)
        opened.add_evaluation(evaluation)
    return evaluation


def _rules(experiment: Experiment, *, closed: bool, once: bool, sliding: bool) -> Rules:
    rules = experiment.rules
    live = not (closed or once or sliding)
    return replace(
        rules,
        candidates=len(experiment.candidates),
        closed=closed,
        once=once,
        min_hours=_CYCLE if rules.min_hours is None and live else rules.min_hours,
    )


def _evaluate_candidate(experiment: Experiment, candidate: Arm, *, store: Store, scope: _Scope) -> _Result:
    purpose = "" if scope.sliding else purpose_of(experiment)
    look_at = partial(store.look, experiment.name, candidate, since=scope.since, until=scope.until, purpose=purpose)
    look = look_at()
    try:
        progress = Progress(experiment) if look.saved is None else Progress.restored(experiment, look.saved)
    except CorruptFrameError:
        look, progress = look_at(anew=True), Progress(experiment)
    progress.add(look.pairs, keep=lambda scores: store.add_scores(experiment.name, candidate, scores))
    if purpose:
        look.save(progress.to_state(), purpose=purpose)
    trial, now, rules = progress.trial, scope.now, scope.rules
    coverage = msgspec.structs.replace(look.coverage, distinct=trial.distinct, texts=len(trial.facts.texts))
    trial.facts.live_writes = max(trial.facts.live_writes, look.live_writes)  # also of runs that are no pair
    assessment = assess(trial, experiment=experiment.name, candidate=candidate, coverage=coverage, now=now, rules=rules)
    if experiment.rule == "kayenta":
        assessment = by_kayenta(assessment, trial, coverage=coverage, now=now, rules=rules)
    verdict = assessment.verdict
    verdict = msgspec.structs.replace(verdict, notices=(*verdict.notices, *progress.runs.notices))
    assessment = msgspec.structs.replace(assessment, verdict=verdict)
    return _Result(assessment=assessment, examples=progress.examples, runs=progress.runs, coverage=coverage)


def _assembled(experiment: Experiment, results: Mapping[Arm, _Result], *, scope: _Scope, looks: int) -> Evaluation:
    mirrored_against_control, alarm = _of_mirrors(experiment)
    costs: dict[str, float] = {}
    versions: dict[str, dict[str, str]] = {}
    for result in results.values():
        costs |= dict(result.runs.costs)
        versions |= result.runs.versions
    alike = {f"Warning: {result.coverage.alike}": None for result in results.values() if result.coverage.alike}
    once_valid = scope.sliding and not (scope.rules.closed or scope.rules.once)
    return Evaluation(
        id=f"{scope.now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        experiment=experiment.name,
        created_at=scope.now,
        since=scope.since,
        until=scope.until or scope.now,
        verdicts=tuple(result.assessment.verdict for result in results.values()),
        coverage={name: result.coverage for name, result in results.items()},
        summaries={name: result.assessment.summaries for name, result in results.items()},
        slices={name: _gated(experiment, result.assessment.slices) for name, result in results.items()},
        examples={name: result.examples.chosen() for name, result in results.items()},
        refusals={name: result.runs.refusals for name, result in results.items()},
        containment={name: result.runs.containment for name, result in results.items()},
        versions=versions,
        overhead=mirrored_against_control,
        costs=costs,
        write_sets={name: dict(result.runs.writes) for name, result in results.items()},
        looks=looks,
        notes=(*((_SLIDES,) if once_valid else ()), *alarm, *alike),
    )


def _gated(experiment: Experiment, slices: Sequence[SliceResult]) -> tuple[SliceResult, ...]:
    """Slices of what some gate is about; other metrics may differ without being worse (overlap)."""
    about = {gate.base for gate in experiment.gates}
    return tuple(part for part in slices if part.metric in about)


def _of_mirrors(experiment: Experiment) -> tuple[dict[str, float], tuple[str, ...]]:
    """Mirrored calls against those left alone, as the mirroring processes counted them; and the alarm if any.

    The alarm says that nothing new was mirrored although there were calls.
    """
    from shadoweval.mirror import overhead  # noqa: PLC0415 - only an evaluation of a live spool needs it

    if not experiment.spool.exists():
        return {}, ()
    receiver = open_receiver(experiment)
    silence = experiment.admission.selftest.check(receiver.counters())
    alarm = () if silence is None or silence.meant else (f"Alarm: {silence}",)
    return overhead(receiver.histogram("mirrored"), receiver.histogram("control")), alarm
