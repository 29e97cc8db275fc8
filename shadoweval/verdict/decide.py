"""From evidence to promote, hold or rollback.

Rollback: some guard is proven worse than its margin (mean of the guards' e-values, valid under any dependence; critical
guards have a part of alpha of their own). Promote: every guard is proven at the same moment, by current values
(intersection-union, Berger 1982). K candidates have alpha / K each, for both. Unsound evidence holds both ways: a
rollback stands where it is proven without the fault (`both_ways`); rollback > hold (error) > hold (inconclusive) >
promote.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypedDict

from shadoweval.records import Coverage, Decision, GateState
from shadoweval.verdict.both_ways import ROLLBACKS, effects_on, withheld_sentence
from shadoweval.verdict.broken import broken_gates
from shadoweval.verdict.conduct import ended_share
from shadoweval.verdict.harm import harms_of
from shadoweval.verdict.hours import waits_for_hours
from shadoweval.verdict.missing import missing_share
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.sides import SIDES
from shadoweval.verdict.soundness import Problem, problems
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.weighing import GateEvidence, looks_of, views_of, weigh

__all__ = ["Decided", "decide"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the gates say together."""

    decision: Decision
    why: str
    states: tuple[GateState, ...]
    reasons: tuple[str, ...]
    notices: tuple[str, ...]
    gate_reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided, and on what."""

    outcome: Outcome
    gates: tuple[GateEvidence, ...]
    problems: tuple[Problem, ...]
    trial: Trial
    """The evidence that counted: the trial's, with the open sessions where no more pairs will come."""


def decide(
    trial: Trial, *, candidate: str, coverage: Coverage, now: float, rules: Rules, all_reasons: bool = True
) -> Decided:
    """Decide on the evidence of a trial as it stands; the trial is not changed and can go on.

    Args:
        trial: The evidence.
        candidate: Its name, as in the versions.
        coverage: The funnel that its pairs came out of.
        now: Seconds since 1970.
        rules: Levels and floors.
        all_reasons: Whether a verdict that holds anyway also says what else stands in the way; costs time.
    """
    counted = trial.closed() if rules.ended else trial
    unsound = problems(counted, coverage, rules, now=now, candidate=candidate)
    missing = missing_share(coverage, ended_share(counted))
    gates = tuple(
        weigh(
            claim,
            rules=rules,
            missing=missing,
            counts=trial.counts[claim.metric.name],
            coverage=coverage,
            largest=counted.largest_share,
        )
        for claim in counted.claims
    )
    gates, faults = without_fault(gates, counted, unsound, rules=rules)
    outcome = conclude(gates, rules, **faults)
    if outcome.decision == "promote" or (all_reasons and outcome.why == "inconclusive"):
        outcome = conclude(gates, rules, **faults, barriers=barriers(counted, rules, coverage))
    return Decided(outcome=outcome, gates=gates, problems=unsound, trial=counted)


class Faults(TypedDict):
    """What is wrong with the evidence, as `conclude` takes it."""

    problems: Mapping[str, str]
    void: Collection[str]
    always: Sequence[str]
    withheld: Sequence[str]


def without_fault(
    gates: Sequence[GateEvidence], trial: Trial, unsound: Sequence[Problem], *, rules: Rules
) -> tuple[tuple[GateEvidence, ...], Faults]:
    """The gates with what of the evidence against the candidate stands beside the problems, and the problems."""
    weighed: list[GateEvidence] = []
    void: set[str] = set()
    for number, gate in enumerate(gates):
        effects = effects_on(gate.claim, unsound)
        if "never" in effects:
            void.add(gate.claim.metric.name)
        sides = [trial.side(name) for name in SIDES if name in effects]
        views = gate.views
        for side in sides:
            stands = {} if side is None else {v.name: v.log_e for v in views_of(side.claims[number], rules)}
            views = tuple(v._replace(log_e=min(v.log_e, stands.get(v.name, 0.0))) for v in views)
        weighed.append(replace(gate, views=views))
    faults = Faults(
        problems={problem.metric: problem.sentence for problem in reversed(unsound)},
        void=void,
        always=[problem.sentence for problem in unsound if ROLLBACKS.get(problem.name) == "always"],
        withheld=[
            gate.claim.gate.sentence
            for gate, after in zip(gates, weighed, strict=True)
            if gate.looks_broken(rules) and (not after.looks_broken(rules) or gate.claim.metric.name in void)
        ],
    )
    return tuple(weighed), faults


def barriers(trial: Trial, rules: Rules, coverage: Coverage) -> tuple[str, ...]:
    """Why nothing is promoted yet, whatever the gates say."""
    reasons = [
        f"{metric} has turned worse lately, whatever its average over the whole time"
        for metric, newest in trial.watched
        if not rules.once and not (metric in trial.ungated and metric in rules.waive) and newest.decayed
    ]
    span, left_out = (trial.last_asked - trial.first_asked) / 3600, coverage.not_mirrored
    hours = waits_for_hours(trial.hours, span=span, least=rules.min_hours, not_mirrored=left_out)
    return (*dict.fromkeys(reasons), *harms_of(trial, rules).barriers, *hours)


def conclude(
    gates: Sequence[GateEvidence],
    rules: Rules,
    *,
    problems: Mapping[str, str],
    void: Collection[str] = (),
    always: Sequence[str] = (),
    withheld: Sequence[str] = (),
    barriers: Sequence[str] = (),
) -> Outcome:
    """The decision over all gates.

    `problems` says what is wrong with the evidence, metric -> sentence, "" for the whole trial; gates on `void` metrics
    prove nothing, not even against the candidate; `always` are reasons that roll back whatever the gates say;
    `withheld` are gates that look broken and are not without the fault; `barriers` are reasons not to promote yet.
    """
    deciding = [number for number, gate in enumerate(gates) if not gate.claim.gate.dry_run]
    counting = [number for number in deciding if gates[number].claim.metric.name not in void]
    broken = broken_gates(gates, counting, rules)
    alarm = any(number in broken for number in counting)
    broken = {number: by for number, by in broken.items() if gates[number].claim.metric.name not in void}
    judged = [
        _state(gate, rules, broken=broken.get(number), problem=problems.get(gate.claim.metric.name, ""))
        for number, gate in enumerate(gates)
    ]
    states: tuple[GateState, ...] = tuple(state for state, _ in judged)
    sentences = [gate.claim.gate.sentence for gate in gates]
    undecided = [sentences[number] for number in deciding if states[number] != "holds"]
    decision: Decision = "promote"
    why, reasons = "proven", tuple(f"proven: {sentences[number]}" for number in deciding)
    if alarm or always:
        decision, why = "rollback", "broken"
        proven = (f"proven broken: {sentences[number]}" for number in deciding if number in broken)
        reasons = (*always, *proven)
    elif problems or not deciding:
        decision, why = "hold", "error"
        reasons = tuple(problems.values()) or ("No gate decides: write one that is not a dry run.",)
    elif undecided or barriers:
        decision, why = "hold", "inconclusive"
        reasons = (*(f"not proven yet: {sentence}" for sentence in undecided), *barriers)
    return Outcome(
        decision=decision,
        why=why,
        states=states,
        reasons=reasons,
        notices=(
            *(each for each in (problems.values() if decision == "rollback" else ()) if each not in always),
            *withheld_sentence(withheld),
            *_notices(gates, deciding, rules),
        ),
        gate_reasons=tuple(reason for _, reason in judged),
    )


def _state(gate: GateEvidence, rules: Rules, *, broken: str | None, problem: str) -> tuple[GateState, str]:
    if broken is not None:
        return "broken", f"among {broken}" if broken else ""
    if problem:
        return "error", problem
    reason = _unproven(gate, rules)
    return ("holds", "") if reason is None else ("open", reason)


def _unproven(gate: GateEvidence, rules: Rules) -> str | None:
    """Why the gate is not proven, empty where only more evidence is needed; None: it is proven."""
    if gate.doubt:
        return gate.doubt
    if gate.n < rules.least_units:
        return f"{gate.n} of at least {rules.least_units} units"
    if gate.holds < math.log(1 / rules.promotion_alpha):
        return ""
    return None if gate.tolerable else "proven for the pairs that came, but the missing ones could tip it"


def _notices(gates: Sequence[GateEvidence], deciding: Sequence[int], rules: Rules) -> tuple[str, ...]:
    """A regression within its margin is real, and worth saying beside any verdict."""
    compared = [(number, notice) for number in deciding if (notice := gates[number].notice) is not None]
    log_e = [notice for _, notice in compared]
    if not log_e or looks_of(rules).merged(log_e) < math.log(1 / rules.rollback_alpha):
        return ()
    known = looks_of(rules).named(log_e, rules.rollback_alpha)
    named = [gates[compared[index][0]].claim.gate.metric for index in known]
    if named:
        return tuple(f"{metric} is worse than the incumbent's" for metric in dict.fromkeys(named))
    likeliest = gates[compared[log_e.index(max(log_e))][0]].claim.gate.metric
    return (f"Something is worse than the incumbent's, most likely {likeliest}",)
