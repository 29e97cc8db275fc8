"""One candidate's verdict: the numbers for people beside the evidence that decides."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Literal, cast

import msgspec

from shadoweval.evidence import HistBet
from shadoweval.protocols import Metric
from shadoweval.records import Coverage, GateResult, MetricSummary, SliceResult, Verdict
from shadoweval.verdict.claims import Claim
from shadoweval.verdict.columns import JudgedPair
from shadoweval.verdict.decide import GateEvidence, Outcome, awaited, conclude, weigh
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.looks import looks_of
from shadoweval.verdict.losses import missing_share
from shadoweval.verdict.metric_summary import noise_floor, summary_of
from shadoweval.verdict.outlook import HOURS_TO_GO, hours_to_go, with_outlook
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.soundness import problems
from shadoweval.verdict.trial import Trial
from shadoweval.verdict.variables import Beyond, Level, Variable, span

__all__ = ["Judgement", "barriers", "judge", "judge_trial"]


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict, and the numbers beside it."""

    verdict: Verdict
    summaries: tuple[MetricSummary, ...]
    slices: tuple[SliceResult, ...]


def judge(
    pairs: Iterable[JudgedPair],
    *,
    experiment: str,
    candidate: str,
    metrics: Sequence[Metric],
    gates: Sequence[Gate],
    coverage: Coverage,
    now: datetime,
    rules: Rules | None = None,
) -> Judgement:
    """Judge a candidate by its pairs.

    Args:
        pairs: What the verdict must know of each pair (`facts_of`) and its scores, in query order.
        experiment: Name of the experiment.
        candidate: Name of the candidate.
        metrics: What the scorers make.
        gates: What must hold.
        coverage: The funnel that these pairs came out of.
        now: The time, aware.
        rules: Levels and floors; the defaults suit live traffic.

    Raises:
        ExperimentError: a gate can't be decided with these metrics.
    """
    trial = Trial(metrics, gates)
    trial.add_pairs(pairs)
    return judge_trial(trial, experiment=experiment, candidate=candidate, coverage=coverage, now=now, rules=rules)


def judge_trial(
    trial: Trial,
    *,
    experiment: str,
    candidate: str,
    coverage: Coverage,
    now: datetime,
    rules: Rules | None = None,
) -> Judgement:
    """Judge the evidence of a trial as it stands; the trial is not changed and can go on."""
    rules = rules or Rules()
    evidence, slices = trial.evidence(closed=rules.once or rules.closed)
    found = problems(trial, coverage, rules, now=now.timestamp(), candidate=candidate)
    missing = missing_share(coverage)
    weighed = [weigh(claim, evidence, rules=rules, missing=missing) for claim in trial.claims]
    outcome = conclude(
        weighed,
        rules,
        problems={problem.metric: problem.sentence for problem in reversed(found)},
        barriers=barriers(trial, rules),
    )
    results = tuple(
        _gate_result(trial, gate, evidence, rules=rules, outcome=outcome, place=place)
        for place, gate in enumerate(weighed)
    )
    reasons = tuple(problem.sentence for problem in found) if outcome.why == "error" and found else outcome.reasons
    reasons = with_outlook(reasons, results)
    verdict = Verdict(
        experiment=experiment,
        candidate=candidate,
        decision=outcome.decision,
        why=cast("Literal['proven', 'broken', 'error', 'inconclusive']", outcome.why),
        reasons=reasons,
        gates=results,
        notices=(*outcome.notices, *slices.reversals(_by_metric(trial, evidence))),
        pairs=trial.pairs,
        units=max((gate.n for gate in weighed), default=0),
        live_writes=trial.facts.live_writes,
        fidelity=dict(trial.facts.fidelity),
        alpha=rules.alpha,
    )
    return Judgement(
        verdict=verdict,
        summaries=tuple(summary_of(trial, metric, evidence, rules=rules) for metric in trial.metrics),
        slices=slices.results(trial.metrics, alpha=rules.alpha),
    )


def barriers(trial: Trial, rules: Rules) -> tuple[str, ...]:
    """Why nothing is promoted yet, whatever the gates say."""
    found = [
        f"{variable.metric} has turned worse lately, whatever its average over the whole time"
        for variable, newest in trial.lately.items()
        if not rules.once and newest.decayed
    ]
    hours = (trial.last_asked - trial.first_asked) / 3600
    if rules.min_hours is not None and hours < rules.min_hours:
        found.append(f"{hours:.1f} of at least {rules.min_hours:g} hours of traffic")
    return tuple(found)


def _by_metric(trial: Trial, evidence: Mapping[Variable, HistBet]) -> dict[str, HistBet]:
    return {name: evidence[variable] for name, variable in trial.contrasts.items() if evidence[variable].n}


def _method(claim: Claim, rules: Rules) -> str:
    once = "one look, t test (betting where fewer than ten differ) of"
    return claim.method.replace("betting on", once) if rules.once else claim.method


def _gate_result(
    trial: Trial,
    weighed: GateEvidence,
    evidence: Mapping[Variable, HistBet],
    *,
    rules: Rules,
    outcome: Outcome,
    place: int,
) -> GateResult:
    claim, gate = weighed.claim, weighed.claim.gate
    state, reason = outcome.states[place], outcome.gate_reasons[place]
    needed = math.log(1 / rules.promotion_alpha)
    incumbent, candidate = _arms(trial, claim, evidence[claim.holds.variable])
    difference, lower, upper = _interval(trial, claim, evidence, rules=rules)
    floor = noise_floor(trial, claim.metric, evidence, alpha=rules.alpha) if gate.compares else None
    if state == "open" and not reason:
        reason = _why_open(weighed, evidence, difference=difference, floor=floor, rules=rules)
        if gate.ratio and upper is not None and upper <= gate.margin:
            reason = "the interval is an approximation; exact proof takes more pairs"
    needs = _pairs_needed(trial, weighed, evidence, rules=rules) if state == "open" else None
    details = _details(weighed, evidence, needed=needed, alpha=rules.alpha)
    hours = needs and hours_to_go(needs[0], seen=trial.pairs, seconds=trial.last_asked - trial.first_asked)
    if hours is not None:
        details[HOURS_TO_GO] = hours
    return GateResult(
        sentence=gate.sentence,
        metric=gate.metric,
        kind=gate.kind,
        state=state,
        margin=gate.margin,
        ratio=gate.ratio,
        critical=gate.critical,
        dry_run=gate.dry_run,
        incumbent=incumbent if gate.compares else None,
        candidate=candidate,
        difference=difference,
        lower=lower,
        upper=upper,
        level=rules.alpha,
        n=weighed.n,
        unscored=dict(trial.tallies[claim.metric.name].unscored),
        share_of_evidence=min(max(weighed.holds / needed, 0.0), 1.0),
        pairs_needed=needs,
        reason=reason,
        method=_method(claim, rules),
        source=claim.source,
        noise_floor=floor,
        details=details,
    )


def _pairs_needed(
    trial: Trial, weighed: GateEvidence, evidence: Mapping[Variable, HistBet], *, rules: Rules
) -> tuple[int, int, int] | None:
    """About how many more pairs, middle and range: what the evidence needs, and what the floor of units needs."""
    more = awaited(weighed, evidence, rules=rules)
    if more is None:
        return None
    per_unit = trial.pairs / weighed.n if weighed.n else 1.0
    middle, early, late = (math.ceil(max(n, rules.min_units - weighed.n) * per_unit) for n in more)
    return middle, early, late


def _why_open(
    weighed: GateEvidence,
    evidence: Mapping[Variable, HistBet],
    *,
    difference: float | None,
    floor: float | None,
    rules: Rules,
) -> str:
    claim = weighed.claim
    if claim.gate.kind == "better":
        needed = math.log(1 / rules.alpha)
        opposite = "less" if claim.holds.side == "greater" else "greater"
        if looks_of(rules).log_e(evidence[claim.holds.variable], claim.holds.margin, opposite) >= needed:
            return f"proven to gain less than {claim.gate.margin:g}"
    if floor is not None and difference is not None and not claim.gate.ratio and abs(difference) <= floor:
        return f"no change: inside the noise floor of {floor:.4g}"
    return ""


def _arms(trial: Trial, claim: Claim, held: HistBet) -> tuple[float | None, float | None]:
    gate, variable = claim.gate, claim.holds.variable
    tally = trial.tallies[gate.base]
    if isinstance(variable, Level):
        return None, variable.value(held.mean) if held.n else None
    if gate.quantile is not None:
        return tally.incumbent.quantile(gate.quantile), tally.candidate.quantile(gate.quantile)
    means = tally.means
    return (None, None) if means is None else means


def _interval(
    trial: Trial, claim: Claim, evidence: Mapping[Variable, HistBet], *, rules: Rules
) -> tuple[float | None, float | None, float | None]:
    """Difference (or ratio) and the one-sided bounds that decide, in the metric's own unit."""
    gate, variable = claim.gate, claim.holds.variable
    held = evidence[variable]
    incumbent, candidate = _arms(trial, claim, held)
    if gate.ratio:
        lower, upper = trial.ratios[gate.metric].interval(2 * rules.promotion_alpha)
        # The arms' quantiles come from a thinned sample, the bounds from all pairs.
        ratio = None if not incumbent or candidate is None else min(max(candidate / incumbent, lower), upper)
        return ratio, (lower if lower > 0 else None), (upper if math.isfinite(upper) else None)
    if not held.n or isinstance(variable, Beyond):
        return None, None, None
    proves = "lower" if claim.holds.side == "greater" else "upper"
    lower, upper = (
        looks_of(rules).bound(held, rules.promotion_alpha if edge == proves else rules.alpha, edge)
        for edge in ("lower", "upper")
    )
    if isinstance(variable, Level):
        return None, variable.value(lower), variable.value(upper)
    if gate.quantile is not None:
        gap = None if incumbent is None or candidate is None else (candidate - incumbent) * variable.sign
        return gap, None, None
    low, high = span(claim.metric, gate.cap)
    scale = high - low
    return held.mean * scale, lower * scale, upper * scale


def _details(
    weighed: GateEvidence, evidence: Mapping[Variable, HistBet], *, needed: float, alpha: float
) -> dict[str, float]:
    held = evidence[weighed.claim.holds.variable]
    details = {
        "log e holds": weighed.holds,
        "needed to hold": needed,
        "log e breaks": weighed.breaks,
        "needed to break": math.log(1 / alpha),
        "mean of the variable": held.mean if held.n else 0.0,
        "margin of the variable": weighed.claim.holds.margin,
    }
    if weighed.notice is not None:
        details["log e worse at all"] = weighed.notice
    capped = getattr(weighed.claim.holds.variable, "capped", None)
    if capped is not None:
        details["values counted as the cap"] = float(capped)
    return details
