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

from shadoweval.checks import checked_instance, checked_keywords, checked_strings
from shadoweval.clock import Clock, utc_now
from shadoweval.errors import ArgumentError
from shadoweval.evaluation.alerts import webhooks
from shadoweval.evaluation.courier import untold_sentences
from shadoweval.evaluation.events import keeping
from shadoweval.evaluation.guarded import guarded
from shadoweval.evaluation.judges_seen import judges_cost, judges_seen
from shadoweval.evaluation.judging import gated_by_judges, judge_notices
from shadoweval.evaluation.labelling import join_labels
from shadoweval.evaluation.ledger import tried_sentence, with_attempt
from shadoweval.evaluation.mirrors import mirrors_seen, slowed
from shadoweval.evaluation.past import asked_when, history_after, shortened
from shadoweval.evaluation.progress import Progress, purpose_of
from shadoweval.evaluation.provenance import provenance_of
from shadoweval.evaluation.resuming import resumed
from shadoweval.evaluation.style import looks_of
from shadoweval.evaluation.trend import as_trend
from shadoweval.evaluation.windows import (
    begin_release,
    begin_window,
    beginning,
    settled_release,
    window_of,
    window_sentences,
)
from shadoweval.experiment import Experiment
from shadoweval.logs import about, logger
from shadoweval.protocols import Look, Notifier, Store
from shadoweval.records import Arm, AskedWhen, Coverage, Evaluation, SliceResult
from shadoweval.verdict.assessment import Assessment, assess
from shadoweval.verdict.kayenta import by_kayenta
from shadoweval.verdict.rules import Rules
from shadoweval.worker.opening import open_store
from shadoweval.worker.rivals import held_for_rivals, rivals_of

__all__ = ["evaluate"]

log: Final = logger(__name__)

_CYCLE: Final = 24.0
"""Hours of a day, since traffic differs by day and night."""


class _Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What one evaluation goes by: which queries, when, and under which rules."""

    now: datetime
    since: datetime | None
    """None: as the store remembers."""
    until: datetime | None
    sliding: bool
    """Whether the window moves with the clock; then nothing of an earlier look can be taken up."""
    rules: Rules
    labels: bytes | None = None
    """The file of labels as it was read."""


class _Result(msgspec.Struct, frozen=True, kw_only=True):
    """What one candidate contributes to the Evaluation."""

    assessment: Assessment
    progress: Progress
    coverage: Coverage
    since: datetime | None
    asked: AskedWhen | None


@checked_keywords()
def evaluate(
    experiment: Experiment,
    *,
    since: datetime | timedelta | None = None,
    until: datetime | None = None,
    candidates: Sequence[Arm] | None = None,
    closed: bool = False,
    once: bool = False,
    new_window: bool = False,
    who: str = "",
    why: str = "",
    key: str = "",
    store: Store | None = None,
    notifiers: Sequence[Notifier] | None = None,
    clock: Clock = utc_now,
) -> Evaluation:
    """Score the pairs of each candidate, decide, keep the evaluation and return it.

    Labels of the experiment's case file are joined first. Look as often as you like: the verdict is valid at every
    look.

    Args:
        experiment: What to evaluate.
        since: First time of a query (aware): begins a window there, which later evaluations without `since` go by.
            Or how long before now: such a window slides with the clock, so it shows a trend and holds. None: the
            window that was begun last, else all queries.
        until: First time beyond. With `since` it is a look at the past, which begins no window.
        candidates: Names; None: all.
        closed: No more pairs will come, so that sessions count as they stand; else a session counts once it is over.
        once: This is the only look there will be (a suite of cases): sharper. Repeated at other pairs of the window it
            is told, and takes more evidence each time.
        new_window: Begin a window now: what was asked before counts no more.
        who: Who begins the window; empty: the user of this process.
        why: Why it is begun. Both are kept and shown.
        key: The evaluation's id, under which the store keeps one; empty: a new one.
        store: Where the pairs are; None: as the settings say.
        notifiers: Who is owed each changed decision, written down with the evaluation; None: the settings' webhooks.
            The worker, `shadoweval evaluate` and `shadoweval alerts` send what is owed, or a `Courier` of yours. A
            trend, a look at the past (`until`) and a suite (`once`) owe nobody anything.
        clock: Now.

    Raises:
        UnknownCandidateError: a name that the experiment does not have.
        StoreError: the store can't be used.
        CaseFileError: the labels can't be read.
    """
    checked_instance("evaluate(experiment)", experiment, Experiment, mend="Pass the object, not its name.")
    if store is not None and not hasattr(store, "look"):
        mend = "Pass open_store(experiment), or name the store by Settings(store='sqlite:///...')."
        raise ArgumentError("evaluate(store)", store, expected="a Store", mend=mend)
    now, sliding = clock(), isinstance(since, timedelta)
    begins = beginning(since, until, new_window=new_window, now=now)
    scope = _Scope(
        now=now,
        since=now - since if isinstance(since, timedelta) else None if begins is not None else since,
        until=until,
        sliding=sliding,
        rules=_rules(experiment, closed=closed, once=once, sliding=sliding),
    )
    names = experiment.candidates if candidates is None else checked_strings("evaluate(candidates)", candidates)
    for name in names:
        experiment.target(name)
    told = () if once or sliding or until is not None else webhooks(experiment) if notifiers is None else notifiers
    receivers = [notifier.receiver for notifier in told]
    place = contextlib.nullcontext(store) if store is not None else open_store(experiment)
    with about(experiment=experiment.name), place as opened:
        if begins is not None:
            begin_window(opened, experiment.name, since=begins, now=now, who=who, why=why)
        scope = msgspec.structs.replace(scope, labels=join_labels(experiment, opened))
        with guarded(experiment, opened) as held:
            results = {name: _evaluate_candidate(held, name, store=opened, scope=scope) for name in names}
        before = next(iter(opened.evaluations(experiment.name)), None)
        owed = [f"Alarm: {one}" for one in untold_sentences(opened.outbox.untold(experiment.name), now)]
        evaluation = _assembled(experiment, results, scope=scope, before=before)
        own = {"id": key or evaluation.id, "home": str(experiment.settings.folder.resolve())}
        evaluation = msgspec.structs.replace(evaluation, **own, notes=(*evaluation.notes, *owed))
        opened.add_evaluation(evaluation, receivers=receivers)
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


def _look(
    experiment: Experiment, candidate: Arm, *, store: Store, scope: _Scope, since: datetime | None
) -> tuple[Look, Progress]:
    """Take in the pairs that no look has seen, and leave that for the next one."""
    purpose = "" if scope.sliding else purpose_of(experiment)
    look_at = partial(store.look, experiment.name, candidate, since=since, until=scope.until, purpose=purpose)
    with about(candidate=candidate), keeping(experiment, candidate, store=store) as keep:
        return resumed(experiment, look_at, keep=keep, purpose=purpose, rules=scope.rules)


def _evaluate_candidate(experiment: Experiment, candidate: Arm, *, store: Store, scope: _Scope) -> _Result:
    window = window_of(store, experiment.name, candidate) if scope.since is None else None
    since = scope.since if window is None else window.since
    look, progress = _look(experiment, candidate, store=store, scope=scope, since=since)
    if scope.since is None and scope.until is None:
        release = settled_release(store, experiment.name, progress.trial, candidate=candidate)
        if release is not None:
            window = begin_release(store, experiment.name, release, candidate=candidate, now=scope.now)
            since = window.since
            look, progress = _look(experiment, candidate, store=store, scope=scope, since=since)
    trial, now, rules = progress.trial, scope.now, scope.rules
    if not scope.sliding:
        rules = with_attempt(rules, experiment, trial, store=store, candidate=candidate, since=since, now=now)
    coverage = msgspec.structs.replace(look.coverage, distinct=trial.distinct, texts=len(trial.facts.texts))
    progress.judge_stages(rules)
    trial.facts.live_writes = max(trial.facts.live_writes, look.live_writes)  # also of runs that are no pair
    trial.like_probes = progress.style.like_probes
    assessment = assess(trial, experiment=experiment.name, candidate=candidate, coverage=coverage, now=now, rules=rules)
    if experiment.rule == "kayenta":
        assessment = by_kayenta(assessment, trial, coverage=coverage, now=now, rules=rules)
    verdict = assessment.verdict
    verdict = msgspec.structs.replace(
        verdict,
        notices=(
            *window_sentences(window, experiment, now=now),
            *(tried_sentence(rules) if experiment.rule == "paired" else ()),
            *verdict.notices,
            *slowed(experiment),
            *progress.runs.notices,
            *looks_of(experiment, progress.style),
            *judge_notices(assessment.summaries, gated=gated_by_judges(experiment)),
            *progress.of_stages,
        ),
    )
    verdict = held_for_rivals(verdict, rivals_of(store, experiment.name, since=since))
    verdict = as_trend(verdict) if scope.sliding else verdict
    assessment = msgspec.structs.replace(assessment, verdict=verdict)
    progress.judges = judges_seen(experiment, trial, store=store, rules=rules)
    return _Result(assessment=assessment, progress=progress, coverage=coverage, since=since, asked=asked_when(trial))


def _assembled(
    experiment: Experiment, results: Mapping[Arm, _Result], *, scope: _Scope, before: Evaluation | None
) -> Evaluation:
    mirrored_against_control, alarm = mirrors_seen(experiment)
    costs, projected = dict[str, float](), dict[str, float]()
    versions = dict[str, dict[str, str]]()
    for result in results.values():
        costs |= dict(result.progress.runs.costs)
        projected |= result.progress.runs.projected(result.coverage.eligible)
        versions |= result.progress.runs.versions
    begins = {result.since for result in results.values()}
    return Evaluation(
        id=f"{scope.now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        experiment=experiment.name,
        created_at=scope.now,
        since=None if None in begins else min(filter(None, begins), default=None),
        until=scope.until or scope.now,
        verdicts=tuple(result.assessment.verdict for result in results.values()),
        coverage={name: result.coverage for name, result in results.items()},
        summaries={name: result.assessment.summaries for name, result in results.items()},
        slices={name: _gated(experiment, result.assessment.slices) for name, result in results.items()},
        examples={name: result.progress.examples.chosen() for name, result in results.items()},
        refusals={name: result.progress.runs.refusals for name, result in results.items()},
        containment={name: result.progress.runs.containment for name, result in results.items()},
        versions=versions,
        overhead=mirrored_against_control,
        costs=costs | judges_cost(result.progress.judges for result in results.values()),
        projected=projected,
        provenance=provenance_of(experiment, scope.labels),
        write_sets={name: dict(result.progress.runs.writes) for name, result in results.items()},
        divergences={name: result.progress.runs.divergences.shares() for name, result in results.items()},
        failures={name: result.progress.failed(result.coverage, scope.rules) for name, result in results.items()},
        stages={name: result.progress.seen for name, result in results.items() if result.progress.seen.pairs},
        looks=before.looks + 1 if before else 1,
        notes=(*alarm, *_of_coverage([result.coverage for result in results.values()])),
        trend=scope.sliding,
        asked={name: result.asked for name, result in results.items() if result.asked is not None},
        history=history_after(
            before, {name: (result.assessment.verdict, result.progress.points) for name, result in results.items()}
        ),
        judges={name: result.progress.judges for name, result in results.items() if result.progress.judges},
        tokens={arm: n for result in results.values() for arm, n in result.progress.runs.tokens.items() if n},
    )


def _of_coverage(coverages: Sequence[Coverage]) -> tuple[str, ...]:
    """Queries that are all alike, and such as are gone."""
    alike = dict.fromkeys(f"Warning: {coverage.alike}" for coverage in coverages if coverage.alike)
    return (*alike, *shortened(max((coverage.erased for coverage in coverages), default=0)))


def _gated(experiment: Experiment, slices: Sequence[SliceResult]) -> tuple[SliceResult, ...]:
    """Slices of what some gate is about; other metrics may differ without being worse (overlap)."""
    about = {gate.base for gate in experiment.gates}
    return tuple(part for part in slices if part.metric in about)
