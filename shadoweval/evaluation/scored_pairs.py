"""A verdict on scores that exist already: two columns a metric, from any pipeline and any scorer.

Nothing is run and nothing is stored. The rules are those of every verdict; what they ask of the shadow's own conduct
(funnel, fidelity, containment) has nothing to ask here.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from shadoweval.checks import checked_instance, checked_keywords, checked_mapping, checked_moment, checked_name
from shadoweval.clock import Clock, utc_now
from shadoweval.errors import ArgumentError, ExperimentError, closest
from shadoweval.evaluation.evidence_growth import Growth
from shadoweval.evaluation.past import history_after
from shadoweval.protocols import Metric
from shadoweval.records import NOTHING_RAN, Coverage, Evaluation, PairScore, Score, Scored, Unscored
from shadoweval.records.keys import query_key
from shadoweval.verdict.assessment import Assessment, assess
from shadoweval.verdict.columns import ScoredPair
from shadoweval.verdict.facts import PairFacts
from shadoweval.verdict.gates import Gate, checked_gate
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

__all__ = ["evaluate_pairs"]

_LESS_IS_BETTER: Final = frozenset({"latency", "first_chunk", "retrieval_latency", "cost", "tokens", "memory", "cpu"})
_NOT_GIVEN: Final = Unscored("no value was given")
_APART: Final = timedelta(milliseconds=1)
"""Between rows without times of their own: the rows of a unit are then one visit."""

_Values = Iterable[float | None]


@checked_keywords()
def evaluate_pairs(
    scores: Mapping[str, tuple[_Values, _Values]],
    gates: Sequence[Gate],
    *,
    metrics: Sequence[Metric] = (),
    units: Sequence[str | None] | None = None,
    queries: Sequence[str] | None = None,
    asked_at: Sequence[datetime] | None = None,
    slices: Mapping[str, Sequence[Any]] | None = None,
    name: str = "scores",
    candidate: str = "candidate",
    rules: Rules | None = None,
    clock: Clock = utc_now,
) -> Evaluation:
    """Judge scores of two arms on the same queries, row by row; a single look, as at a suite of cases.

    ::

        evaluation = evaluate_pairs({"quality": (old, new)}, [no_worse("quality", by=0.02)], units=users)

    Args:
        scores: Metric -> the incumbent's and the candidate's values, one a row. None and NaN are missing values.
        gates: What must hold.
        metrics: Direction and range of those that are neither from 0 to 1, larger being better, nor of a known name
            (`latency`, `cost`, `tokens`, ..., of which less is better and nothing is the most).
        units: User or session of each row: rows of one are not independent. None, or a row with None, stands alone.
        queries: Text of each row's query; the same text in several rows counts as one query. None: all differ.
        asked_at: When each was asked (aware). None: rows of a unit are one visit.
        slices: What parts of the traffic are told apart by: name -> a value for each row.
        name: What is compared, for the report's title.
        candidate: The candidate's name.
        rules: Levels and floors, as for an experiment.
        clock: Now.

    Raises:
        ExperimentError: a gate that can't be decided with these scores; the subclasses say why.
        ArgumentError: columns of different lengths, or values that are no numbers.
    """
    checked_mapping("evaluate_pairs(scores)", scores)
    columns = {metric: _columns(metric, both) for metric, both in scores.items()}
    rows = _same_length(columns, units=units, queries=queries, asked_at=asked_at, **(slices or {}))
    given = {metric.name: metric for metric in metrics}
    known = [given.get(name) or _metric_of(name, both) for name, both in columns.items()]
    gates = [checked_gate(gate) for gate in gates]
    for gate in gates:
        if gate.base not in columns:
            listed = ", ".join(map(repr, columns))
            why = f"{name!r} has no scores of {gate.base!r}, which a gate asks for. It has: {listed}."
            raise ExperimentError(f"{why}{closest(gate.base, columns)}")
    now = clock()
    facts = _facts(rows, units=units, queries=queries, asked_at=asked_at, slices=slices or {}, now=now)
    rules = replace(rules or Rules(), once=True)
    trial = Trial(known, gates, visits=rules.visits)
    growth = Growth(trial, rules)
    growth.add_pairs(_in_order(facts, columns))
    coverage = Coverage(eligible=rows, mirrored=rows, paired=rows, distinct=trial.distinct)
    checked_name(name, of="what is compared")
    assessment = assess(trial, experiment=name, candidate=candidate, coverage=coverage, now=now, rules=rules)
    assumed = [metric for metric in columns if metric not in given and metric not in _LESS_IS_BETTER]
    history = history_after(None, {candidate: (assessment.verdict, growth.points(trial.pairs))})
    evaluation = _evaluation(assessment, coverage, about={gate.base for gate in gates}, notes=_notes(assumed), now=now)
    return msgspec.structs.replace(evaluation, history=history)


def _metric_of(name: str, columns: tuple[Sequence[Score], Sequence[Score]]) -> Metric:
    """Direction and range of a metric that nobody declared.

    Raises:
        ExperimentError: its values lie outside 0 to 1 and its name says nothing: nobody knows what is good.
    """
    if name in _LESS_IS_BETTER:
        return Metric(name=name, higher_is_better=False, low=0.0, high=None, failure_scores=None, fact_of_run=True)
    if name == "errors":
        return Metric(name=name, higher_is_better=False, fact_of_run=True)
    values = [score.value for side in columns for score in side if isinstance(score, Scored)]
    if values and not 0 <= min(values) <= max(values) <= 1:
        raise ExperimentError(
            f"The values of {name!r} go from {min(values):g} to {max(values):g}, and nobody has said which are good. "
            f"Declare it: Metric(name={name!r}, low=1, high=5, higher_is_better=True), or on the command line "
            f"--range {name}=1:5 (the range that a value could have, not the one that these have), and "
            f"--lower-is-better {name} where less is better; --range {name}=0: has no upper end."
        )
    return Metric(name=name, failure_scores=None)


def _columns(metric: str, both: Any) -> tuple[list[Score], list[Score]]:
    try:
        incumbent, candidate = both
    except (TypeError, ValueError):
        mend = "Write {'quality': (incumbent_values, candidate_values)}."
        raise ArgumentError(f"scores[{metric!r}]", both, expected="two columns of values", mend=mend) from None
    return [_score(metric, value) for value in incumbent], [_score(metric, value) for value in candidate]


def _score(metric: str, value: Any) -> Score:
    if value is None:
        return _NOT_GIVEN
    try:
        number = float(value)
    except (TypeError, ValueError):
        mend = "Give None where there is no value."
        raise ArgumentError(f"scores[{metric!r}]", value, expected="numbers", mend=mend) from None
    if math.isnan(number):
        return _NOT_GIVEN
    if math.isinf(number):
        raise ArgumentError(f"scores[{metric!r}]", value, expected="finite numbers")
    return Scored(number)


def _same_length(columns: Mapping[str, tuple[list[Score], list[Score]]], **others: Sequence[Any] | None) -> int:
    """How many rows there are.

    Raises:
        ArgumentError: columns of different lengths.
    """
    lengths = {f"{arm} of {metric}": len(side) for metric, both in columns.items()
               for arm, side in zip(("incumbent", "candidate"), both, strict=True)}  # fmt: skip
    lengths |= {name: len(values) for name, values in others.items() if values is not None}
    if len(set(lengths.values())) > 1:
        mend = "One row is one query, with a value (or None) in each column."
        raise ArgumentError("evaluate_pairs()", lengths, expected="columns of one length", mend=mend)
    return next(iter(lengths.values()), 0)


def _facts(
    rows: int,
    *,
    units: Sequence[str | None] | None,
    queries: Sequence[str] | None,
    asked_at: Sequence[datetime] | None,
    slices: Mapping[str, Sequence[Any]],
    now: datetime,
) -> list[PairFacts]:
    facts: list[PairFacts] = []
    for row in range(rows):
        text = "" if queries is None else checked_instance("evaluate_pairs(queries)", queries[row], str)
        moment = now - (rows - row) * _APART if asked_at is None else asked_at[row]
        key = query_key(text) if text else f"row {row + 1}"
        facts.append(
            PairFacts(
                query_id=str(row + 1),
                key=key,
                text_key=key,
                unit=str(("" if units is None else units[row]) or ""),
                asked_at=checked_moment("evaluate_pairs(asked_at)", moment),
                attributes={name: str(values[row]) for name, values in slices.items() if values[row] not in {None, ""}},
            )
        )
    return facts


def _in_order(facts: Sequence[PairFacts], columns: Mapping[str, tuple[list[Score], list[Score]]]) -> list[ScoredPair]:
    """The rows in the order in which they were asked, with their scores."""
    ordered = sorted(range(len(facts)), key=lambda row: facts[row].asked_at)
    return [
        (
            facts[row],
            [
                PairScore(metric=metric, query_id=facts[row].query_id, incumbent=old[row], candidate=new[row])
                for metric, (old, new) in columns.items()
            ],
        )
        for row in ordered
    ]


def _notes(assumed: Sequence[str]) -> tuple[str, ...]:
    """What a reader must know of scores that came from elsewhere."""
    ranged = f"Nobody declared a range: {', '.join(assumed)} taken to lie from 0 to 1." if assumed else ""
    alone = "Scores that were given; nothing was run here. One look: repeated until it pleases it proves nothing."
    return tuple(filter(None, (alone, ranged)))


def _evaluation(
    assessment: Assessment, coverage: Coverage, *, about: Collection[str], notes: tuple[str, ...], now: datetime
) -> Evaluation:
    """The evaluation, which says that nothing was run: nobody knows what a candidate wrote."""
    verdict = msgspec.structs.replace(assessment.verdict, live_writes=None, unjudged=(NOTHING_RAN,))
    name = verdict.candidate
    return Evaluation(
        id=f"{now:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}",
        experiment=verdict.experiment,
        created_at=now,
        until=now,
        verdicts=(verdict,),
        coverage={name: coverage},
        summaries={name: assessment.summaries},
        slices={name: tuple(part for part in assessment.slices if part.metric in about)},
        notes=notes,
    )
