"""From stored pairs to an Evaluation: score, judge, and gather what the report shows."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from shadoweval.experiment import Experiment
from shadoweval.protocols import Metric, Store
from shadoweval.records import Arm, Coverage, Evaluation, Pair, PairScore, SliceResult
from shadoweval.running.cases import labels_of, read_cases
from shadoweval.running.clock import Clock, utc_now
from shadoweval.running.examples import Examples
from shadoweval.running.opening import open_receiver, open_store
from shadoweval.running.tally import Tally
from shadoweval.verdict.columns import JudgedPair, facts_of
from shadoweval.verdict.judge import Judgement, judge
from shadoweval.verdict.rules import Rules

__all__ = ["Judged", "evaluate", "judge_pairs", "score"]

_KEPT_AT_ONCE = 500

KeepScores = Callable[[Sequence[PairScore]], None]


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
    judged = {
        name: _judge_stored(experiment, name, store=store, window=(first, until), now=now, closed=closed, once=once)
        for name in names
    }
    before = store.evaluations(experiment.name)
    evaluation = _assembled(
        experiment, judged, since=first, until=until or now, now=now, looks=before[0].looks + 1 if before else 1
    )
    store.add_evaluation(evaluation)
    return evaluation


def _join_labels(experiment: Experiment, store: Store) -> None:
    if experiment.labels is not None:
        store.add_labels(labels_of(read_cases(experiment.labels)))


def _judge_stored(
    experiment: Experiment,
    candidate: Arm,
    *,
    store: Store,
    window: tuple[datetime | None, datetime | None],
    now: datetime,
    closed: bool,
    once: bool,
) -> Judged:
    since, until = window
    return judge_pairs(
        experiment,
        candidate,
        pairs=store.pairs(experiment.name, candidate, since=since, until=until),
        coverage=store.funnel(experiment.name, candidate, since=since, until=until),
        now=now,
        rules=msgspec.structs.replace(
            experiment.rules, candidates=len(experiment.candidates), closed=closed, once=once
        ),
        keep=lambda scores: store.add_scores(experiment.name, candidate, scores),
    )


def judge_pairs(
    experiment: Experiment,
    candidate: Arm,
    *,
    pairs: Iterator[Pair],
    coverage: Coverage,
    now: datetime,
    rules: Rules,
    keep: KeepScores | None = None,
) -> Judged:
    """Score and judge a stream of pairs in query order; `keep` is handed the scores in portions."""
    examples, tally = Examples(_leading_metric(experiment)), Tally(effects=experiment.stubs.effects)
    judgement = judge(
        _scored(experiment, pairs, examples=examples, tally=tally, keep=keep),
        experiment=experiment.name,
        candidate=candidate,
        metrics=list(experiment.metrics.values()),
        gates=experiment.gates,
        coverage=coverage,
        now=now,
        rules=rules,
    )
    return Judged(judgement=judgement, examples=examples, tally=tally, coverage=coverage)


def _leading_metric(experiment: Experiment) -> Metric | None:
    return experiment.metrics[experiment.gates[0].base] if experiment.gates else None


def score(experiment: Experiment, pair: Pair) -> list[PairScore]:
    """Every metric of one pair."""
    return [made for scorer in experiment.scorers for made in scorer.score(pair)]


def _scored(
    experiment: Experiment, pairs: Iterator[Pair], *, examples: Examples, tally: Tally, keep: KeepScores | None
) -> Iterator[JudgedPair]:
    portion: list[PairScore] = []
    for pair in pairs:
        scores = score(experiment, pair)
        examples.see(pair, scores)
        tally.see(pair)
        portion += scores
        if keep is not None and len(portion) >= _KEPT_AT_ONCE:
            keep(portion)
            portion = []
        yield facts_of(pair), scores
    if keep is not None and portion:
        keep(portion)


def _assembled(
    experiment: Experiment,
    judged: Mapping[Arm, Judged],
    *,
    since: datetime | None,
    until: datetime,
    now: datetime,
    looks: int,
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
    )


def _gated(experiment: Experiment, slices: Sequence[SliceResult]) -> tuple[SliceResult, ...]:
    """Slices of what some gate is about; other metrics may differ without being worse (overlap)."""
    about = {gate.base for gate in experiment.gates}
    return tuple(one for one in slices if one.metric in about)


def _overhead(experiment: Experiment) -> dict[str, float]:
    """Mirrored calls against those left alone, as the mirroring processes counted them."""
    from shadoweval.mirror import overhead  # noqa: PLC0415 - only an evaluation of a live spool needs it

    if not experiment.spool.exists():
        return {}
    receiver = open_receiver(experiment)
    return overhead(receiver.histogram("mirrored"), receiver.histogram("control"))
