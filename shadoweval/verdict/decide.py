"""From evidence to promote, hold or rollback.

Rollback: some guard is proven worse than its margin (mean of the guards' e-values, valid under any dependence; a
critical guard decides alone at the full alpha). Promote: every guard is proven at the same moment, by current values
(intersection-union, Berger 1982), K candidates each at alpha / K. Unsound evidence holds, but never stops a rollback:
rollback > hold (error) > hold (inconclusive) > promote.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from shadoweval.evidence import HistBet, missing_is_tolerable, pairs_to_go, planned_pairs
from shadoweval.records import Decision, GateState
from shadoweval.verdict.claims import Claim, Test
from shadoweval.verdict.looks import looks_of
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.variables import Variable

__all__ = ["GateEvidence", "Outcome", "awaited", "conclude", "weigh"]

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


def weigh(claim: Claim, evidence: Mapping[Variable, HistBet], *, rules: Rules, missing: float) -> GateEvidence:
    """The evidence on one claim; `missing` is the share of sampled queries without a pair."""
    held = evidence[claim.holds.variable]
    return GateEvidence(
        claim=claim,
        n=held.n,
        holds=claim.holds.log_e(evidence, looks_of(rules)),
        breaks=claim.breaks.log_e(evidence, looks_of(rules)),
        notice=claim.notice_log_e(evidence, looks_of(rules)),
        tolerable=missing == 0 or _tolerable(claim.holds, held, rules=rules, missing=missing),
    )


def _tolerable(test: Test, held: HistBet, *, rules: Rules, missing: float) -> bool:
    if test.side == "greater":
        lower, margin, lowest = looks_of(rules).bound(held, rules.promotion_alpha, "lower"), -test.margin, held.lo
    else:
        lower, margin, lowest = -looks_of(rules).bound(held, rules.promotion_alpha, "upper"), test.margin, -held.hi
    return missing_is_tolerable(lower, missing, margin=margin, lowest=lowest)


def conclude(
    gates: Sequence[GateEvidence],
    rules: Rules,
    *,
    problems: Mapping[str, str],
    barriers: Sequence[str] = (),
) -> Outcome:
    """The decision over all gates.

    Args:
        gates: Evidence on every gate.
        rules: Levels and floors.
        problems: What is wrong with the evidence: metric -> sentence, "" for the whole trial.
        barriers: Further reasons not to promote yet.
    """
    deciding = [place for place, gate in enumerate(gates) if not gate.claim.gate.dry_run]
    broken, alarm = _broken(gates, deciding, rules)
    states: list[GateState] = []
    reasons: list[str] = []
    for place, gate in enumerate(gates):
        state, reason = _state(gate, rules, broken=place in broken, problem=problems.get(gate.claim.metric.name, ""))
        states.append(state)
        reasons.append(reason)
    named = [gates[place].claim.gate.sentence for place in deciding if place in broken]
    undecided = [gates[place].claim.gate.sentence for place in deciding if states[place] != "holds"]
    why, said = "proven", tuple(f"proven: {gates[place].claim.gate.sentence}" for place in deciding)
    decision: Decision = "promote"
    if alarm:
        decision, why = "rollback", "broken"
        said = tuple(f"proven broken: {sentence}" for sentence in named)
    elif problems or not deciding:
        decision, why = "hold", "error"
        said = tuple(problems.values()) or ("No gate decides: write one that is not a dry run.",)
    elif undecided or barriers:
        decision, why = "hold", "inconclusive"
        said = (*(f"not proven yet: {sentence}" for sentence in undecided), *barriers)
    notices = (*(problems.values() if alarm else ()), *_notices(gates, deciding, rules))
    return Outcome(
        decision=decision,
        why=why,
        states=tuple(states),
        reasons=said,
        notices=notices,
        gate_reasons=tuple(reasons),
    )


def _broken(gates: Sequence[GateEvidence], deciding: Sequence[int], rules: Rules) -> tuple[set[int], bool]:
    """Which gates are broken; dry runs are judged alone and raise no alarm."""
    needed = math.log(1 / rules.alpha)
    alone = {place for place, gate in enumerate(gates) if gate.claim.gate.critical or gate.claim.gate.dry_run}
    broken = {place for place in alone if gates[place].breaks >= needed}
    alarm = any(place in broken for place in deciding)
    shared = [place for place in deciding if place not in alone]
    if shared:
        breaks = [gates[place].breaks for place in shared]
        if looks_of(rules).merged(breaks) >= needed:
            named = looks_of(rules).named(breaks, rules.alpha) or (breaks.index(max(breaks)),)
            broken |= {shared[place] for place in named}
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
    compared = [(place, notice) for place in deciding if (notice := gates[place].notice) is not None]
    log_e = [notice for _, notice in compared]
    if not log_e or looks_of(rules).merged(log_e) < math.log(1 / rules.alpha):
        return ()
    named = [gates[compared[place][0]].claim.gate.metric for place in looks_of(rules).named(log_e, rules.alpha)]
    if named:
        return tuple(f"{metric} is worse than the incumbent's" for metric in dict.fromkeys(named))
    likeliest = gates[compared[log_e.index(max(log_e))][0]].claim.gate.metric
    return (f"Something is worse than the incumbent's, most likely {likeliest}",)


def awaited(gate: GateEvidence, evidence: Mapping[Variable, HistBet], *, rules: Rules) -> tuple[int, int, int] | None:
    """About how many more units until the gate is decided: middle, early, late; None where that can't be said."""
    held = evidence[gate.claim.holds.variable]
    if held.n < 2:
        return None
    test = gate.claim.holds
    gap = held.mean - test.margin if test.side == "greater" else test.margin - held.mean
    if gap <= 0:
        test = gate.claim.breaks
        held = evidence[test.variable]
        gap = held.mean - test.margin if test.side == "greater" else test.margin - held.mean
    if gap <= 0 or (held.variance == 0 and held.bins > _COARSE):
        return None
    if held.bins > _COARSE:
        plan = planned_pairs(held.variance, gap)
        middle, late = plan.half - held.n, plan.most - held.n
        return (middle, max(middle // 2, 0), late) if middle > 0 else None
    to_go = pairs_to_go(held, test.margin, test.side, alpha=rules.promotion_alpha, futures=_FUTURES)
    return None if to_go.chance < 0.5 else (to_go.median, to_go.early, to_go.late)
