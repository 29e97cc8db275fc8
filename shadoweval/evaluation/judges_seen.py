"""What is known of the judges of an evaluation, one by one, for whoever asks whether their word can be trusted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from shadoweval.evaluation.failures import share_of
from shadoweval.evaluation.judging import ENOUGH_PEOPLE, MICRO, people_marked
from shadoweval.experiment import Experiment
from shadoweval.protocols import Metric, Scorer, Store
from shadoweval.records import JudgeSeen, ProbeSeen, ShareSeen
from shadoweval.scoring.cascade import Cascade
from shadoweval.scoring.judges.judge import Judge
from shadoweval.scoring.judges.of_pairs import BY_PLACE, LONGER, PAIRWISE
from shadoweval.scoring.judges.questions import Spent
from shadoweval.scoring.judges.sitting import sitting
from shadoweval.verdict.judges import fooled_by, judged_gates
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.summary import MetricCounts
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.weighing import looks_of

__all__ = ["judges_cost", "judges_seen"]

_AGREEMENT: Final = "_agreement"


def judges_seen(experiment: Experiment, trial: Trial, *, store: Store, rules: Rules) -> tuple[JudgeSeen, ...]:
    """Of each metric that a `Judge` makes what is known of it; called where judges are asked (`judging`)."""
    return tuple(
        _seen(experiment, trial, metric, judge=judge, store=store, rules=rules)
        for scorer in experiment.scorers
        for judge in [_judge_of(scorer)]
        for metric in scorer.metrics
        if judge is not None and metric.judged and not metric.descriptive
    )


def judges_cost(seen: Iterable[Sequence[JudgeSeen]]) -> dict[str, float]:
    """The ledger `judge`: USD that all judges took, each counted once; empty: none has a price."""
    by_judge = {(each.model, each.endpoint): each.usd for judges in seen for each in judges if each.usd is not None}
    return {"judge": sum(by_judge.values())} if by_judge else {}


def _judge_of(scorer: Scorer) -> Judge | None:
    """Whom it asks."""
    return _judge_of(scorer.judge) if isinstance(scorer, Cascade) else getattr(scorer, "asks", None)


def _seen(
    experiment: Experiment, trial: Trial, metric: Metric, *, judge: Judge, store: Store, rules: Rules
) -> JudgeSeen:
    counts, gated = trial.counts[metric.name], judged_gates(metric, trial.gates)
    of_pairs = metric.name == PAIRWISE
    with sitting() as here:
        asked, cached = here.answered.get(judge.name, (0, 0))
    agreement = trial.counts.get(metric.name + _AGREEMENT, MetricCounts()).means
    return JudgeSeen(
        metric=metric.name,
        model=judge.model,
        endpoint=judge.host,
        repeats=judge.repeats,
        gated=gated,
        alone=gated and people_marked(trial) < ENOUGH_PEOPLE,
        **_spent(judge, store.spending(experiment.name, judge.name)),
        asked=asked,
        cached=cached,
        judged=counts.drawn,
        pairs=counts.pairs,
        lowest_chance=counts.lowest_chance,
        agreement=None if judge.repeats == 1 or agreement is None else sum(agreement) / len(agreement),
        by_place=_share(trial, BY_PLACE, rules) if of_pairs else None,
        longer=_share(trial, LONGER, rules) if of_pairs else None,
        probes=tuple(_probes(trial, metric)),
    )


def _spent(judge: Judge, spending: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
    """What it cost in all, and what is left of its budget in the present period."""
    by_period = {period: _as_spent(spent) for period, spent in spending.items()}
    total, budget = sum(by_period.values(), Spent()), judge.budget
    said: dict[str, Any] = {
        "calls": total.calls,
        "input_tokens": total.input_tokens,
        "output_tokens": total.output_tokens,
        "usd": total.usd if judge.priced else None,
    }
    if budget is not None:
        left = budget.left(by_period.get(budget.period(judge.now()), Spent()))
        said |= {"budget": budget.words, "left": max(0.0, left)}
    return said


def _as_spent(spent: Mapping[str, int]) -> Spent:
    tokens = {name: spent[name] for name in ("calls", "input_tokens", "output_tokens")}
    return Spent(**tokens, usd=spent["micro_usd"] / MICRO)


def _share(trial: Trial, metric: str, rules: Rules) -> ShareSeen | None:
    """Of the pairs that were judged, by the scores as they were made."""
    counts = trial.counts.get(metric)
    if counts is None or not counts.drawn:
        return None
    n = round(float(counts.candidate.values.mean()) * counts.drawn)
    share = share_of(n, counts.drawn, looks=looks_of(rules), alpha=rules.alpha)
    return ShareSeen(n=n, of=share["of"], lower=share["lower"], upper=share["upper"])


def _probes(trial: Trial, metric: Metric) -> Iterator[ProbeSeen]:
    probes = trial.judge_probes.get(metric.name, {})
    fooled = fooled_by(probes)
    for name, probe in probes.items():
        yield ProbeSeen(
            name=name, passed=probe.fooled, of=probe.counted, tried=probe.tried, failed=name in fooled,
            reason=probe.reason,
        )  # fmt: skip
