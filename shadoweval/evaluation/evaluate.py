"""From stored pairs to an Evaluation: score and judge them, and gather what the report shows."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from shadoweval.clock import Clock, utc_now
from shadoweval.errors import CorruptFrameError
from shadoweval.evaluation.cases import labels_of, read_cases
from shadoweval.evaluation.examples import Examples
from shadoweval.evaluation.progress import Progress, purpose_of
from shadoweval.evaluation.tally import Tally
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import Arm, Coverage, Evaluation, SliceResult
from shadoweval.verdict.canary import as_kayenta
from shadoweval.verdict.judge import Judgement, judge_trial
from shadoweval.verdict.rules import Rules
from shadoweval.worker.opening import open_receiver, open_store

__all__ = ["Judged", "evaluate"]

_CYCLE: Final = 24.0
"""Hours of a day, since traffic differs by day and night."""

_SLIDES: Final = (
    "The window slides with the clock, so each look begins a trial of its own and its chances of error are those of a "
    "single look. For verdicts that hold however often you look, give no window, or one that begins at a fixed time."
)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One candidate, judged: what goes into the Evaluation."""

    judgement: Judgement
    examples: Examples
    tally: Tally
    coverage: Coverage


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
    """Score and judge the pairs of each candidate, keep the evaluation and return it.

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
    if store is None:
        with open_store(experiment) as opened:
            return evaluate(
                experiment,
                since=since,
                until=until,
                candidates=candidates,
                closed=closed,
                once=once,
                store=opened,
                clock=clock,
            )
    now = clock()
    first = now - since if isinstance(since, timedelta) else since
    names = list(experiment.candidates) if candidates is None else list(candidates)
    for name in names:
        experiment.target(name)
    _join_labels(experiment, store)
    sliding = isinstance(since, timedelta)
    rules = _rules(experiment, closed=closed, once=once, sliding=sliding)
    judged = {
        name: _judge_stored(experiment, name, store=store, window=(first, until), sliding=sliding, now=now, rules=rules)
        for name in names
    }
    before = store.evaluations(experiment.name)
    evaluation = _assembled(
        experiment,
        judged,
        since=first,
        until=until or now,
        now=now,
        looks=before[0].looks + 1 if before else 1,
        sliding=sliding and not (closed or once),
    )
    store.add_evaluation(evaluation)
    return evaluation


def _rules(experiment: Experiment, *, closed: bool, once: bool, sliding: bool) -> Rules:
    given = experiment.rules
    live = not (closed or once or sliding)
    return msgspec.structs.replace(
        given,
        candidates=len(experiment.candidates),
        closed=closed,
        once=once,
        min_hours=_CYCLE if given.min_hours is None and live else given.min_hours,
    )


def _join_labels(experiment: Experiment, store: Store) -> None:
    if experiment.labels is not None:
        store.add_labels(labels_of(read_cases(experiment.labels)))


def _judge_stored(
    experiment: Experiment,
    candidate: Arm,
    *,
    store: Store,
    window: tuple[datetime | None, datetime | None],
    sliding: bool,
    now: datetime,
    rules: Rules,
) -> Judged:
    since, until = window
    purpose = "" if sliding else purpose_of(experiment)
    look = store.look(experiment.name, candidate, since=since, until=until, purpose=purpose)
    try:
        progress = Progress(experiment) if look.left is None else Progress.restored(experiment, look.left)
    except CorruptFrameError:
        look = store.look(experiment.name, candidate, since=since, until=until, purpose=purpose, anew=True)
        progress = Progress(experiment)
    progress.add(look.pairs, keep=lambda scores: store.add_scores(experiment.name, candidate, scores))
    if purpose:
        look.leave(progress.to_state(), purpose=purpose)
    coverage = msgspec.structs.replace(look.coverage, distinct=progress.trial.distinct)
    trial = progress.trial
    judgement = judge_trial(
        trial, experiment=experiment.name, candidate=candidate, coverage=coverage, now=now, rules=rules
    )
    if experiment.rule == "kayenta":
        judgement = as_kayenta(judgement, trial, coverage=coverage, now=now, rules=rules)
    return Judged(judgement=judgement, examples=progress.examples, tally=progress.tally, coverage=coverage)


def _assembled(
    experiment: Experiment,
    judged: Mapping[Arm, Judged],
    *,
    since: datetime | None,
    until: datetime,
    now: datetime,
    looks: int,
    sliding: bool,
) -> Evaluation:
    costs: dict[str, float] = {}
    versions: dict[str, dict[str, str]] = {}
    for one in judged.values():
        costs |= dict(one.tally.costs)
        versions |= one.tally.versions
    return Evaluation(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        experiment=experiment.name,
        created_at=now,
        since=since,
        until=until,
        verdicts=tuple(one.judgement.verdict for one in judged.values()),
        coverage={name: one.coverage for name, one in judged.items()},
        summaries={name: one.judgement.summaries for name, one in judged.items()},
        slices={name: _gated(experiment, one.judgement.slices) for name, one in judged.items()},
        examples={name: one.examples.chosen() for name, one in judged.items()},
        refusals={name: one.tally.refusals for name, one in judged.items()},
        containment={name: one.tally.containment for name, one in judged.items()},
        versions=versions,
        overhead=_overhead(experiment),
        costs=costs,
        write_sets={name: dict(one.tally.writes) for name, one in judged.items()},
        looks=looks,
        notes=(*((_SLIDES,) if sliding else ()), *_alarm(experiment)),
    )


def _gated(experiment: Experiment, slices: Sequence[SliceResult]) -> tuple[SliceResult, ...]:
    """Slices of what some gate is about; other metrics may differ without being worse (overlap)."""
    about = {gate.base for gate in experiment.gates}
    return tuple(one for one in slices if one.metric in about)


def _alarm(experiment: Experiment) -> tuple[str, ...]:
    """That nothing new was mirrored although there were calls."""
    if not experiment.spool.exists():
        return ()
    silence = experiment.admission.selftest.check(open_receiver(experiment).counters())
    return () if silence is None or silence.meant else (f"Alarm: {silence}",)


def _overhead(experiment: Experiment) -> dict[str, float]:
    """Mirrored calls against those left alone, as the mirroring processes counted them."""
    from shadoweval.mirror import overhead  # noqa: PLC0415 - only an evaluation of a live spool needs it

    if not experiment.spool.exists():
        return {}
    receiver = open_receiver(experiment)
    return overhead(receiver.histogram("mirrored"), receiver.histogram("control"))
