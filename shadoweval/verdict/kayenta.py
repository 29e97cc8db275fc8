"""The rule of Kayenta's `NetflixACAJudge-v1.0` over the same pairs, for teams that come from Spinnaker.

Two samples of one metric are compared by the interval of the Mann-Whitney location shift; there is no pairing, no
margin of ours, and no correction for looking twice or for many metrics. Its score decides in the place of proof, so no
error rate is promised: `warnings` says where it is unsound. What makes evidence unsound holds under this rule too.
Source: spinnaker/kayenta, `NetflixACAJudge.scala`, `MannWhitneyClassifier.scala`, `WeightedSumScorer.scala`. Checked
against Kayenta's own test cases.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal

import msgspec
import numpy as np

from shadoweval.evidence.inputs import FloatArray
from shadoweval.evidence.rank_shift import Shift, mid_ranks, shift
from shadoweval.protocols import Metric
from shadoweval.records import Coverage, Decision, GateResult, Verdict
from shadoweval.verdict.assessment import Assessment
from shadoweval.verdict.both_ways import effects_on
from shadoweval.verdict.consistency import consistent
from shadoweval.verdict.decide import barriers
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.rules import LIVE_UNITS, Rules
from shadoweval.verdict.soundness import problems
from shadoweval.verdict.trial import Trial

__all__ = ["by_kayenta"]

_FEWEST_POINTS: Final = 50
_AUTOCORRELATION: Final = 0.2
_FEW_VALUES: Final = 20
_PASSING: Final = 95.0
_MARGINAL: Final = 75.0
_UNSOUND: Final = (
    "Judged as Kayenta does: it ignores pairing and margins, and corrects neither for looking again nor for several "
    "metrics, so false alarms and false passes are likelier than the level says"
)
_METHOD: Final = "Mann-Whitney location shift beyond 25 % of its estimate, as Kayenta's NetflixACAJudge-v1.0 classifies"
_SOURCE: Final = "spinnaker/kayenta, NetflixACAJudge.scala, MannWhitneyClassifier.scala"


class Thresholds(msgspec.Struct, frozen=True):
    """Effect sizes below and above which a change counts."""

    decrease: float = 1.0
    increase: float = 1.0


class KayentaMetric(msgspec.Struct, frozen=True, kw_only=True):
    """How one metric is classified; the defaults are Kayenta's own."""

    direction: Literal["increase", "decrease", "either"] = "either"
    tolerance: float = 0.25
    confidence: float = 0.98
    effect: Literal["meanRatio", "cles"] = "meanRatio"
    effect_size: Thresholds | None = None
    """None: 1 for the mean ratio, 0.5 for CLES."""
    critical_size: Thresholds = Thresholds()
    critical: bool = False
    must_have_data: bool = False
    missing: Literal["remove", "replace"] = "remove"
    """Whether points that are not a number are left out or count as 0."""


class Classification(msgspec.Struct, frozen=True, kw_only=True):
    """What the rule says of one metric."""

    label: Literal["Pass", "High", "Low", "Nodata", "NodataFailMetric", "Error"]
    critical: bool = False
    """Whether it fails the whole canary."""
    reason: str = ""
    ratio: float | None = None
    """Effect size that was compared; None where it is undefined."""


class Opinion(msgspec.Struct, frozen=True, kw_only=True):
    """The score over all metrics, and how it came about."""

    outcome: Literal["pass", "marginal", "fail"]
    score: float
    classifications: dict[str, Classification]
    """By the sentence of the gate."""
    warnings: tuple[str, ...]
    """Why not to trust it here."""


def by_kayenta(assessment: Assessment, trial: Trial, *, coverage: Coverage, now: datetime, rules: Rules) -> Assessment:
    """The assessment with Kayenta's score in the place of proof: pass promotes, fail rolls back, marginal holds.

    Unsound evidence, floors and gates on the candidate's own level hold as ever; nothing is promoted that the paired
    evidence proves broken. Of more than 8,192 pairs an even part is classified. Arguments as of `assess`, beside what
    it returned.
    """
    verdict = assessment.verdict
    samples = {name: (c.incumbent.values.tolist(), c.candidate.values.tolist()) for name, c in trial.counts.items()}
    opinion = opinion_of(samples, trial.metrics, trial.gates)
    gates = tuple(_classified(gate, opinion.classifications.get(gate.sentence)) for gate in verdict.gates)
    found = problems(trial, coverage, rules, now=now.timestamp(), candidate=verdict.candidate)
    unsound = [problem.sentence for problem in found]
    if not verdict.rolls_back:  # which stands on what the faults of the evidence leave
        gates = _without_fault(gates, {c.gate.sentence for c in trial.claims if effects_on(c, found)})
    least = rules.min_units or LIVE_UNITS
    few = () if verdict.units >= least else (f"{verdict.units} of at least {least} units",)
    waits = (*few, *barriers(trial, rules, coverage))
    decision, why, reasons = _decision(verdict, gates, opinion, problems=unsound, waits=waits)
    paired = () if verdict.decision == decision else (f"The paired evidence alone says {verdict.decision}",)
    added = (*(unsound if decision == "rollback" else ()), *paired, _UNSOUND, *opinion.warnings)
    notices = tuple(dict.fromkeys((*verdict.notices, *added)))
    changed = msgspec.structs.replace(
        verdict, decision=decision, why=why, reasons=reasons, gates=gates, notices=notices
    )
    if changed.promotes:
        changed = consistent(changed, trial.metrics)
    return msgspec.structs.replace(assessment, verdict=changed)


def _without_fault(gates: Sequence[GateResult], faulty: Collection[str]) -> tuple[GateResult, ...]:
    """The gates; those that look broken by evidence that is at fault are in error."""
    return tuple(
        msgspec.structs.replace(gate, state="error") if gate.state == "broken" and gate.sentence in faulty else gate
        for gate in gates
    )


def opinion_of(
    samples: Mapping[str, tuple[Sequence[float], Sequence[float]]], metrics: Sequence[Metric], gates: Sequence[Gate]
) -> Opinion:
    """Classify the metric of each comparing gate; the gates' groups are Kayenta's, a ratio the allowed effect size.

    Their other margins have no counterpart there. By metric, `samples` are the incumbent's and the candidate's values
    in query order.
    """
    decrease = {metric.name for metric in metrics if metric.higher_is_better}
    results: dict[str, Classification] = {}
    grouped: list[tuple[str, Classification]] = []
    for gate in gates:
        if gate.compares and not gate.dry_run and gate.base in samples:
            settings = KayentaMetric(
                direction="decrease" if gate.base in decrease else "increase",
                critical=gate.critical,
                effect_size=Thresholds(decrease=1.0, increase=gate.margin if gate.ratio else 1.0),
                must_have_data=True,
            )
            results[gate.sentence] = classify(*samples[gate.base], settings)
            grouped.append((gate.group or "gates", results[gate.sentence]))
    total = score(grouped)
    reasons = [
        f"{name}: {warning}"
        for name in dict.fromkeys(gate.base for gate in gates if gate.base in samples)
        for warning in warnings(*samples[name])
    ]
    outcome = "pass" if total >= _PASSING else "marginal" if total >= _MARGINAL else "fail"
    return Opinion(outcome=outcome, score=total, classifications=results, warnings=tuple(reasons))


def _classified(gate: GateResult, result: Classification | None) -> GateResult:
    if result is None:
        return gate
    state = {"Pass": "holds", "High": "broken", "Low": "broken"}.get(result.label, "error")
    details = gate.details if result.ratio is None else gate.details | {"Kayenta's ratio of means": result.ratio}
    return msgspec.structs.replace(
        gate,
        state=state,
        reason=f"Kayenta: {result.label}{', ' if result.reason else ''}{result.reason}",
        pairs_needed=None,
        outlook="",
        method=_METHOD,
        source=_SOURCE,
        details=details,
    )


def _decision(
    verdict: Verdict, gates: Sequence[GateResult], opinion: Opinion, *, problems: Sequence[str], waits: Sequence[str]
) -> tuple[Decision, Literal["proven", "broken", "error", "inconclusive"], tuple[str, ...]]:
    scored = f"Kayenta's score is {opinion.score:g} of 100: {opinion.outcome}"
    deciding = [gate for gate in gates if not gate.dry_run]
    broken = [gate for gate in deciding if gate.state == "broken"]
    if any(opinion.outcome == "fail" or gate.sentence not in opinion.classifications for gate in broken):
        return "rollback", "broken", (scored, *(f"broken: {gate.sentence}" for gate in broken))
    if problems or not deciding:
        return "hold", "error", tuple(problems) or verdict.reasons
    undecided = [f"not proven yet: {gate.sentence}" for gate in deciding if gate.state in {"open", "error"}]
    contrary = [
        f"the paired evidence proves the contrary: {r}" for r in verdict.reasons if verdict.decision == "rollback"
    ]
    if opinion.outcome != "pass" or undecided or contrary or waits:
        return "hold", "inconclusive", (scored, *undecided, *contrary, *waits)
    return "promote", "proven", (scored,)


def classify(
    control: Sequence[float], experiment: Sequence[float], metric: KayentaMetric | None = None
) -> Classification:
    """Classify one metric of a canary: the incumbent's values (control) and the candidate's, in time order."""
    metric = metric or KayentaMetric()
    base, canary = _prepared(control, metric), _prepared(experiment, metric)
    if not base.size or not canary.size:
        if metric.missing == "replace":
            return Classification(label="Pass")
        if metric.must_have_data and not metric.critical:
            return Classification(label="NodataFailMetric", reason="Missing data")
        return Classification(label="Nodata", critical=metric.critical, reason="Missing data")
    if np.array_equal(np.sort(base), np.sort(canary)) or np.unique(np.concatenate([base, canary])).size == 1:
        return Classification(label="Pass", reason="The samples are identical", ratio=_effect(base, canary, metric))
    if np.ptp(base) == 0 and np.ptp(canary) == 0:
        base, canary = _noisy(base), _noisy(canary)
    return _compared(base, canary, metric)


def _prepared(values: Sequence[float], metric: KayentaMetric) -> FloatArray:
    array = np.asarray(values, dtype=np.float64)
    return np.nan_to_num(array, nan=0.0) if metric.missing == "replace" else array[~np.isnan(array)]


def _noisy(values: FloatArray) -> FloatArray:
    """Constant samples get a little noise, so that their ranks differ; seeded, unlike the original's."""
    return values + np.random.default_rng(0).normal(0.0, 1e-5 * abs(float(values[0])) or 1e-5, values.size)


def _compared(base: FloatArray, canary: FloatArray, metric: KayentaMetric) -> Classification:
    moved = shift(base, canary, confidence=metric.confidence)
    bound = abs(metric.tolerance * moved.estimate)
    effect = _effect(base, canary, metric)
    allowed = metric.effect_size or (Thresholds() if metric.effect == "meanRatio" else Thresholds(0.5, 0.5))
    if metric.direction != "decrease" and moved.lower > bound and (effect is None or effect >= allowed.increase):
        critical = metric.critical and (effect is None or effect >= metric.critical_size.increase)
        return Classification(label="High", critical=critical, ratio=effect, reason=_reason(moved, bound))
    if metric.direction != "increase" and moved.upper < -bound and (effect is None or effect <= allowed.decrease):
        critical = metric.critical and (effect is None or effect <= metric.critical_size.decrease)
        return Classification(label="Low", critical=critical, ratio=effect, reason=_reason(moved, bound))
    return Classification(label="Pass", ratio=effect, reason=_reason(moved, bound))


def _reason(moved: Shift, bound: float) -> str:
    return f"shift {moved.estimate:.4g} in [{moved.lower:.4g}, {moved.upper:.4g}], tolerated {bound:.4g}"


def _effect(base: FloatArray, canary: FloatArray, metric: KayentaMetric) -> float | None:
    if metric.effect == "cles":
        m, n = canary.size, base.size
        ranks = mid_ranks(np.concatenate([canary, base]))[0]
        return float((2 * ranks[:m].sum() - m * (m + 1)) / (2 * m * n))
    if base.mean() == 0 or canary.mean() == 0:
        return None
    return float(canary.mean() / base.mean())


def score(results: Sequence[tuple[str, Classification]], *, weights: Mapping[str, float] | None = None) -> float:
    """The canary's score, 0 to 100, rounded to two digits.

    Args:
        results: Group and classification of each metric.
        weights: Percent of each group; groups without one share what is left equally.
    """
    if any(result.critical and result.label != "Pass" for _, result in results):
        return 0.0
    nothing = sum(result.label == "Nodata" for _, result in results)
    if not results or nothing >= len(results) / 2:
        return 0.0
    weights = dict(weights or {})
    groups = list(dict.fromkeys(group for group, _ in results))
    others = [group for group in groups if group not in weights]
    total = 0.0
    for group in groups:
        labels = [result.label for name, result in results if name == group]
        counted = sum(label in {"Pass", "High", "Low", "NodataFailMetric"} for label in labels)
        part = 100.0 * labels.count("Pass") / counted if counted else 100.0
        weight = weights.get(group, (100.0 - sum(weights.values())) / len(others) if others else 0.0)
        total += weight * part / 100
    return round(total, 2)


def warnings(control: Sequence[float], experiment: Sequence[float]) -> tuple[str, ...]:
    """Why this rule should not be trusted with these samples."""
    reasons: list[str] = []
    for name, values in (("control", np.asarray(control)), ("experiment", np.asarray(experiment))):
        if values.size < _FEWEST_POINTS:
            reasons.append(f"{name} has {values.size} points, below {_FEWEST_POINTS}: the interval is an approximation")
        if values.size > _FEWEST_POINTS and np.unique(values).size < min(_FEW_VALUES, values.size / 5):
            reasons.append(
                f"{name} takes only {np.unique(values).size} values: on such scores a large loss can pass and the "
                "answer hangs on rounding; use a gate on the paired difference"
            )
        if values.size > 2 and values.std() > 0:
            lag = float(np.corrcoef(values[:-1], values[1:])[0, 1])
            if lag > _AUTOCORRELATION:
                reasons.append(
                    f"{name} is autocorrelated ({lag:.2f} at lag 1): false alarms become several times likelier"
                )
    return tuple(reasons)
