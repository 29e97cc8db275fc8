"""One candidate's verdict: the numbers for people beside the evidence that decides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Final, Literal, cast

import msgspec

from shadoweval.evidence.looks import MarginTest
from shadoweval.evidence.quantiles import Exceedances
from shadoweval.evidence.returning import DAY
from shadoweval.evidence.slices import FEWEST_UNITS
from shadoweval.evidence.variables import Level
from shadoweval.records import NO_GUARD, Coverage, GateResult, GateState, MetricSummary, SliceResult, Verdict
from shadoweval.verdict.broken import needed_to_break
from shadoweval.verdict.caps import cap_notices
from shadoweval.verdict.claims import Claim
from shadoweval.verdict.conduct import ended_notices, undeclared_notice
from shadoweval.verdict.consistency import consistent
from shadoweval.verdict.decide import Decided, decide
from shadoweval.verdict.drawn import drawn_notices
from shadoweval.verdict.explain import with_outlook
from shadoweval.verdict.harm import Harms, harms_of
from shadoweval.verdict.outlook import Outlook, outlook_of
from shadoweval.verdict.returning import population_notice
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.summary import noise_floor, summary_of
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.weighing import GateEvidence, looks_of
from shadoweval.verdict.writes import WRITES, notice_of_writes

__all__ = ["Assessment", "assess", "gates_so_far"]

_SHOWN: Final = ("sentence", "metric", "kind", "margin", "ratio", "critical", "dry_run")
"""What a result repeats of its gate."""
_COPIED: Final = 20_000
"""Pairs of a trial that is copied to see what its open sessions would say; of more, those that are over will do."""
_ONE_LOOK: Final = "one look, Gaffke's test (exact at any size) of"


class Assessment(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, and the numbers beside it."""

    verdict: Verdict
    summaries: tuple[MetricSummary, ...]
    slices: tuple[SliceResult, ...]


def assess(
    trial: Trial,
    *,
    experiment: str,
    candidate: str,
    coverage: Coverage,
    now: datetime,
    rules: Rules | None = None,
) -> Assessment:
    """Assess the evidence of a trial as it stands; the trial is not changed and can go on.

    Args as of `decide`, `now` as an aware time; without `rules` those for live traffic.
    """
    rules = rules or Rules()
    decided = decide(trial, candidate=candidate, coverage=coverage, now=now.timestamp(), rules=rules)
    trial, outcome = decided.trial, decided.outcome
    floors = {
        metric.name: noise_floor(metric, noise and noise.mean, alpha=rules.alpha)
        for metric in trial.metrics
        for noise in [trial.noises.get(metric.name)]
    }
    results = tuple(_gate_result(decided, number, floors, rules=rules) for number in range(len(decided.gates)))
    unsound = tuple(problem.sentence for problem in decided.problems)
    reasons = with_outlook(unsound if outcome.why == "error" and unsound else outcome.reasons, results)
    harms = harms_of(trial, rules)
    summaries = _summaries(trial, floors, rules=rules)
    verdict = Verdict(
        experiment=experiment,
        candidate=candidate,
        decision=outcome.decision,
        why=cast("Literal['proven', 'broken', 'error', 'inconclusive']", outcome.why),
        reasons=reasons if outcome.decision == "rollback" else (*reasons, *harms.lines),
        gates=results,
        notices=(*notice_of_writes(trial.facts.writes, rules), *outcome.notices, *_of_trial(trial, rules, harms)),
        pairs=trial.pairs,
        units=max((gate.n for gate in decided.gates), default=0),
        live_writes=trial.facts.live_writes or (None if NO_GUARD in trial.facts.unjudged else 0),
        fidelity=dict(trial.facts.fidelity),
        alpha=rules.alpha,
        unjudged=tuple(sorted(trial.facts.unjudged)),
        summaries=tuple(msgspec.structs.replace(each, unscored={}) for each in summaries),
        ended=rules.ended,
    )
    return Assessment(
        verdict=consistent(verdict, trial.metrics),
        summaries=summaries,
        slices=_slices(trial, alpha=rules.alpha),
    )


def gates_so_far(
    trial: Trial, rules: Rules
) -> dict[str, tuple[GateState, float, float | None, float | None, float | None]]:
    """How far each gate has come, as of `PastLook.gates`; for a picture: whether the evidence is sound is not asked."""
    seen = trial.closed() if rules.ended and trial.pairs <= _COPIED else trial
    looks, needed = looks_of(rules), math.log(1 / rules.promotion_alpha)
    return {
        claim.gate.sentence: (
            "open",
            min(max(looks.log_e(claim.holds) / needed, 0.0), 1.0),
            *_interval(claim, *_arms(seen, claim), rules=rules),
        )
        for claim in seen.claims
    }


def _of_trial(trial: Trial, rules: Rules, harms: Harms) -> tuple[str, ...]:
    """What is worth a note whatever was decided."""
    return (
        *harms.notices,
        *trial.outages.notices(trial.pairs),
        *ended_notices(trial, rules),
        *undeclared_notice(trial),
        *cap_notices(trial.claims),
        *population_notice(trial.claims, rules, days=(trial.last_asked - trial.first_asked) / DAY),
        *trial.representative.notices(),
        *drawn_notices(trial.metrics, trial.counts),
        *_reversals(trial),
    )


def _summaries(trial: Trial, floors: Mapping[str, float | None], *, rules: Rules) -> tuple[MetricSummary, ...]:
    """Of each metric, but of `writes` only where something was written or a gate asks for it."""
    asked = trial.facts.writes.pairs or any(gate.base == WRITES for gate in trial.gates)
    return tuple(
        summary_of(
            metric,
            trial.counts[metric.name],
            trial.contrasts[metric.name],
            looks=looks_of(rules),
            alpha=rules.alpha,
            floor=floors[metric.name],
            noise=trial.noises[metric.name].mean if metric.name in trial.noises else None,
        )
        for metric in trial.metrics
        if metric.name != WRITES or asked
    )


def _slices(trial: Trial, *, alpha: float) -> tuple[SliceResult, ...]:
    scales = {metric: contrast.scale for metric, contrast in trial.contrasts.items()}
    widths = {m: high - low if s.bounded else 1.0 for m, s in scales.items() for low, high in [s.span()]}
    return tuple(
        SliceResult(
            **asdict(each), reason=f"{each.n} of at least {FEWEST_UNITS} units" if each.state == "too_small" else ""
        )
        for each in trial.slices.results(widths, alpha=alpha)
    )


def _reversals(trial: Trial) -> tuple[str, ...]:
    overall = {metric: contrast.mean for metric, contrast in trial.contrasts.items() if contrast.mean.n}
    return tuple(
        f"{metric} is {'better' if overall[metric].mean > 0 else 'worse'} overall but the opposite in each of the "
        f"{parts} larger slices by {attribute} (Simpson's paradox): look at the mix of traffic"
        for metric, attribute, parts in trial.slices.reversals(overall)
    )


def _gate_result(decided: Decided, number: int, floors: Mapping[str, float | None], *, rules: Rules) -> GateResult:
    weighed, trial = decided.gates[number], decided.trial
    claim, gate = weighed.claim, weighed.claim.gate
    state, reason = decided.outcome.states[number], decided.outcome.gate_reasons[number]
    needed = math.log(1 / rules.promotion_alpha)
    incumbent, candidate = _arms(trial, claim)
    difference, lower, upper = _interval(claim, incumbent, candidate, rules=rules)
    floor = floors[claim.metric.name] if gate.compares else None
    if state == "open" and not reason:
        reason = _why_open(weighed, difference=difference, floor=floor, rules=rules)
        if gate.ratio and upper is not None and upper <= gate.margin:
            reason = "the interval is an approximation; exact proof takes more pairs"
    outlook = outlook_of(weighed, trial, rules) if state == "open" else Outlook(text="")
    details = _details(weighed, needed=needed, to_break=needed_to_break(decided.gates, number, rules))
    return GateResult(
        **{name: getattr(gate, name) for name in _SHOWN},
        state=state,
        incumbent=incumbent if gate.compares else None,
        candidate=candidate,
        difference=difference,
        lower=lower,
        upper=upper,
        level=rules.alpha,
        n=weighed.n,
        unscored=dict(trial.counts[claim.metric.name].unscored),
        share_of_evidence=min(max(weighed.holds / needed, 0.0), 1.0),
        pairs_needed=outlook.pairs,
        outlook=outlook.text,
        reason=reason,
        method=claim.method.replace("betting on", _ONE_LOOK) if rules.once else claim.method,
        source=claim.source,
        noise_floor=floor,
        details=details,
        missing=trial.counts[claim.metric.name].missing(compared=gate.compares),
    )


def _why_open(weighed: GateEvidence, *, difference: float | None, floor: float | None, rules: Rules) -> str:
    claim, variable = weighed.claim, weighed.claim.variables[0]
    if isinstance(variable, Exceedances) and variable.among_failures:
        return (
            f"so many of the incumbent's own runs failed that its {claim.gate.metric} is one of them, and nothing can"
            " be allowed beyond that: mend them, or gate a lower quantile beside errors"
        )
    if claim.gate.kind == "better":
        test = claim.holds
        opposite = MarginTest(mean=test.mean, margin=test.margin, side="less" if test.side == "greater" else "greater")
        if looks_of(rules).log_e(opposite) >= math.log(1 / rules.alpha):
            return f"proven to gain less than {claim.gate.margin:g}"
    if floor is not None and difference is not None and not claim.gate.ratio and abs(difference) <= floor:
        return f"no change: inside the noise floor of {floor:.4g}"
    return ""


def _arms(trial: Trial, claim: Claim) -> tuple[float | None, float | None]:
    """Level of incumbent and candidate: the mean or quantile over all pairs."""
    gate, variable, counts = claim.gate, claim.variables[0], trial.counts[claim.metric.name]
    if isinstance(variable, Level):
        return None, variable.value(variable.traffic.mean) if variable.traffic.n else None
    if gate.quantile is not None:
        return counts.incumbent.quantile(gate.quantile), counts.candidate.quantile(gate.quantile)
    means = counts.means
    return (None, None) if means is None else means


def _interval(
    claim: Claim, incumbent: float | None, candidate: float | None, *, rules: Rules
) -> tuple[float | None, float | None, float | None]:
    """Difference (or ratio) and the one-sided bounds that decide, in the metric's own unit."""
    gate = claim.gate
    difference, lower, upper = claim.interval(looks_of(rules), promotion_alpha=rules.promotion_alpha, alpha=rules.alpha)
    if gate.ratio and incumbent and candidate is not None:
        difference = candidate / incumbent
    elif gate.compares and not gate.ratio and gate.quantile is not None and claim.holds.mean.n:
        gap = None if incumbent is None or candidate is None else candidate - incumbent
        difference = None if gap is None else gap * claim.variables[0].scale.sign
    return difference, lower, upper


def _details(weighed: GateEvidence, *, needed: float, to_break: float) -> dict[str, float]:
    test = weighed.claim.holds
    details = {
        "log e holds": weighed.holds,
        "needed to hold": needed,
        "log e breaks": weighed.breaks,
        "needed to break": to_break,
        "mean of the variable": test.mean.mean if test.mean.n else 0.0,
        "margin of the variable": test.margin,
    }
    if weighed.notice is not None:
        details["log e worse at all"] = weighed.notice
    cut = getattr(weighed.claim.variables[0], "cut", None)
    if cut is not None:
        details["values counted as the cap"] = float(cut.candidate)
    return details
