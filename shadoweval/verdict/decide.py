"""From evidence to promote, hold or rollback.

Rollback: some guard is proven worse than its margin (mean of the guards' e-values, valid under any dependence; a
critical guard decides alone at the full alpha). Promote: every guard is proven at the same moment, by current values
(intersection-union, Berger 1982), K candidates each at alpha / K. Unsound evidence holds, but never stops a rollback:
rollback > hold (error) > hold (inconclusive) > promote.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shadoweval.evidence.looks import ALWAYS, ONCE, Looks
from shadoweval.evidence.planning import pairs_to_go, planned_pairs
from shadoweval.evidence.validity import missing_is_tolerable
from shadoweval.records import Coverage, Decision, GateState
from shadoweval.verdict.claims import Claim
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.soundness import Problem, missing_share, problems
from shadoweval.verdict.trial import Trial

__all__ = ["Decided", "GateEvidence", "awaited", "decide", "looks_of"]

_FUTURES: Final = 60
_COARSE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class GateEvidence:
    """Current log e-values of one gate."""

    claim: Claim
    n: int
    holds: float
    breaks: float
    notice: float | None
    """Worse than the incumbent at all; None for a gate on the candidate's own level."""
    tolerable: bool
    """Whether the claim would hold whatever the missing pairs were like."""


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


def looks_of(rules: Rules) -> Looks:
    """How evidence is read under these rules."""
    return ONCE if rules.once else ALWAYS


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
    counted = trial.closed() if rules.once or rules.closed else trial
    unsound = problems(trial, coverage, rules, now=now, candidate=candidate)
    missing = missing_share(coverage, trial)
    gates = tuple(weigh(claim, rules=rules, missing=missing) for claim in counted.claims)
    named = {problem.metric: problem.sentence for problem in reversed(unsound)}
    void = {problem.metric for problem in unsound if problem.void}
    outcome = conclude(gates, rules, problems=named, void=void)
    if outcome.decision == "promote" or (all_reasons and outcome.why == "inconclusive"):
        outcome = conclude(gates, rules, problems=named, void=void, barriers=barriers(trial, rules))
    return Decided(outcome=outcome, gates=gates, problems=unsound, trial=counted)


def barriers(trial: Trial, rules: Rules) -> tuple[str, ...]:
    """Why nothing is promoted yet, whatever the gates say."""
    reasons = [
        f"{metric} has turned worse lately, whatever its average over the whole time"
        for metric, newest in trial.watched.items()
        if not rules.once and newest.decayed
    ]
    hours = (trial.last_asked - trial.first_asked) / 3600
    if rules.min_hours is not None and hours < rules.min_hours:
        reasons.append(f"{hours:.1f} of at least {rules.min_hours:g} hours of traffic")
    return tuple(reasons)


def weigh(claim: Claim, *, rules: Rules, missing: float) -> GateEvidence:
    """The evidence on one claim; `missing` is the share of sampled queries without a pair."""
    looks = looks_of(rules)
    return GateEvidence(
        claim=claim,
        n=claim.holds.mean.n,
        holds=looks.log_e(claim.holds),
        breaks=looks.log_e(claim.breaks),
        notice=looks.merged([looks.log_e(test) for test in claim.notices]) if claim.notices else None,
        tolerable=missing == 0 or _tolerable(claim, rules=rules, missing=missing),
    )


def _tolerable(claim: Claim, *, rules: Rules, missing: float) -> bool:
    mean, margin = claim.holds.mean, claim.holds.margin
    if claim.holds.side == "greater":
        lower, margin, lowest = looks_of(rules).bound(mean, rules.promotion_alpha, "lower"), -margin, mean.lo
    else:
        lower, lowest = -looks_of(rules).bound(mean, rules.promotion_alpha, "upper"), -mean.hi
    return missing_is_tolerable(lower, missing, margin=margin, lowest=lowest)


def conclude(
    gates: Sequence[GateEvidence],
    rules: Rules,
    *,
    problems: Mapping[str, str],
    void: Collection[str] = (),
    barriers: Sequence[str] = (),
) -> Outcome:
    """The decision over all gates.

    `problems` says what is wrong with the evidence, metric -> sentence, "" for the whole trial; gates on `void` metrics
    prove nothing, not even against the candidate; `barriers` are further reasons not to promote yet.
    """
    deciding = [number for number, gate in enumerate(gates) if not gate.claim.gate.dry_run]
    counting = [number for number in deciding if gates[number].claim.metric.name not in void]
    broken, alarm = _broken(gates, counting, rules)
    broken = {number for number in broken if gates[number].claim.metric.name not in void}
    judged = [
        _state(gate, rules, broken=number in broken, problem=problems.get(gate.claim.metric.name, ""))
        for number, gate in enumerate(gates)
    ]
    states: tuple[GateState, ...] = tuple(state for state, _ in judged)
    sentences = [gate.claim.gate.sentence for gate in gates]
    undecided = [sentences[number] for number in deciding if states[number] != "holds"]
    decision: Decision = "promote"
    why, reasons = "proven", tuple(f"proven: {sentences[number]}" for number in deciding)
    if alarm:
        decision, why = "rollback", "broken"
        reasons = tuple(f"proven broken: {sentences[number]}" for number in deciding if number in broken)
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
        notices=(*(problems.values() if alarm else ()), *_notices(gates, deciding, rules)),
        gate_reasons=tuple(reason for _, reason in judged),
    )


def _broken(gates: Sequence[GateEvidence], deciding: Sequence[int], rules: Rules) -> tuple[set[int], bool]:
    """Which gates are broken; dry runs are judged alone and raise no alarm."""
    needed = math.log(1 / rules.alpha)
    alone = {number for number, gate in enumerate(gates) if gate.claim.gate.critical or gate.claim.gate.dry_run}
    broken = {number for number in alone if gates[number].breaks >= needed}
    alarm = any(number in broken for number in deciding)
    shared = [number for number in deciding if number not in alone]
    if shared:
        breaks = [gates[number].breaks for number in shared]
        if looks_of(rules).merged(breaks) >= needed:
            named = looks_of(rules).named(breaks, rules.alpha) or (breaks.index(max(breaks)),)
            broken |= {shared[index] for index in named}
            alarm = True
    return broken, alarm


def _state(gate: GateEvidence, rules: Rules, *, broken: bool, problem: str) -> tuple[GateState, str]:
    if broken:
        return "broken", ""
    if problem:
        return "error", problem
    if gate.n < rules.min_units:
        return "open", f"{gate.n} of at least {rules.min_units} units"
    if gate.holds < math.log(1 / rules.promotion_alpha):
        return "open", ""
    if not gate.tolerable:
        return "open", "proven for the pairs that came, but the missing ones could tip it"
    return "holds", ""


def _notices(gates: Sequence[GateEvidence], deciding: Sequence[int], rules: Rules) -> tuple[str, ...]:
    """A regression within its margin is real, and worth saying beside any verdict."""
    compared = [(number, notice) for number in deciding if (notice := gates[number].notice) is not None]
    log_e = [notice for _, notice in compared]
    if not log_e or looks_of(rules).merged(log_e) < math.log(1 / rules.alpha):
        return ()
    named = [gates[compared[index][0]].claim.gate.metric for index in looks_of(rules).named(log_e, rules.alpha)]
    if named:
        return tuple(f"{metric} is worse than the incumbent's" for metric in dict.fromkeys(named))
    likeliest = gates[compared[log_e.index(max(log_e))][0]].claim.gate.metric
    return (f"Something is worse than the incumbent's, most likely {likeliest}",)


def awaited(gate: GateEvidence, *, rules: Rules) -> tuple[int, int, int] | None:
    """About how many more units until the gate is decided: middle, early, late; None where that can't be said."""
    test = gate.claim.holds
    if test.mean.n < 2:
        return None
    if test.gap <= 0:
        test = gate.claim.breaks
    mean = test.mean
    if test.gap <= 0 or (mean.variance == 0 and mean.bins > _COARSE):
        return None
    if mean.bins > _COARSE:
        plan = planned_pairs(mean.variance, test.gap)
        middle, late = plan.half - mean.n, plan.most - mean.n
        return (middle, max(middle // 2, 0), late) if middle > 0 else None
    to_go = pairs_to_go(mean, test.margin, test.side, alpha=rules.promotion_alpha, futures=_FUTURES)
    return None if to_go.chance < 0.5 else (to_go.median, to_go.early, to_go.late)
