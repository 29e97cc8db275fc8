"""Kayenta's judge over the same pairs: for teams that come from Spinnaker and want its score, warnings included.

Its score decides in the place of proof, so no error rate is promised. What makes evidence unsound holds here too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, Literal, TypeAlias

import msgspec

from shadoweval.protocols import Metric
from shadoweval.records import Coverage, Decision, GateResult, Scored, Verdict
from shadoweval.verdict.columns import JudgedPair
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.judge import Judgement, barriers
from shadoweval.verdict.kayenta import Classification, KayentaMetric, Thresholds, classify, score, warnings
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.soundness import problems
from shadoweval.verdict.trial import Trial

__all__ = ["SecondOpinion", "as_kayenta", "opinion_of", "second_opinion"]

_Samples: TypeAlias = tuple[Sequence[float], Sequence[float]]

_UNSOUND: Final = (
    "Judged as Kayenta does: it ignores pairing and margins, and corrects neither for looking again nor for several "
    "metrics, so false alarms and false passes are likelier than the level says"
)
_METHOD: Final = "Mann-Whitney location shift beyond 25 % of its estimate, as Kayenta's NetflixACAJudge-v1.0 classifies"
_SOURCE: Final = "spinnaker/kayenta, NetflixACAJudge.scala, MannWhitneyClassifier.scala"


class SecondOpinion(msgspec.Struct, frozen=True, kw_only=True):
    """The score of Kayenta's judge, and how it came about."""

    outcome: Literal["pass", "marginal", "fail"]
    score: float
    classifications: dict[str, Classification]
    """By the sentence of the gate."""
    warnings: tuple[str, ...]
    """Why not to trust it here."""


def second_opinion(
    pairs: Iterable[JudgedPair],
    metrics: Sequence[Metric],
    gates: Sequence[Gate],
    *,
    passing: float = 95.0,
    marginal: float = 75.0,
) -> SecondOpinion:
    """As `opinion_of`, of the scores of pairs in query order."""
    samples: dict[str, tuple[list[float], list[float]]] = {metric.name: ([], []) for metric in metrics}
    for _facts, scores in pairs:
        for one in scores:
            if one.metric in samples:
                for side, value in zip(samples[one.metric], (one.incumbent, one.candidate), strict=True):
                    if isinstance(value, Scored):
                        side.append(value.value)
    return opinion_of(samples, metrics, gates, passing=passing, marginal=marginal)


def opinion_of(
    samples: Mapping[str, _Samples],
    metrics: Sequence[Metric],
    gates: Sequence[Gate],
    *,
    passing: float = 95.0,
    marginal: float = 75.0,
) -> SecondOpinion:
    """Classify the metric of each comparing gate as `NetflixACAJudge-v1.0` does, the incumbent as baseline.

    A gate's ratio becomes the allowed effect size; its other margins have no counterpart there.

    Args:
        samples: By metric, the incumbent's and the candidate's values in query order.
        metrics: What the scorers make.
        gates: Gates; their groups are the judge's groups.
        passing: Least score that passes.
        marginal: Least score that is marginal.
    """
    direction = {metric.name: metric.higher_is_better for metric in metrics}
    found: dict[str, Classification] = {}
    grouped: list[tuple[str, Classification]] = []
    for gate in gates:
        if gate.compares and not gate.dry_run and gate.base in samples:
            found[gate.sentence] = classify(*samples[gate.base], _settings(gate, higher=direction[gate.base]))
            grouped.append((gate.group or "gates", found[gate.sentence]))
    total = score(grouped)
    said = [
        f"{name}: {warning}"
        for name in dict.fromkeys(gate.base for gate in gates if gate.base in samples)
        for warning in warnings(*samples[name])
    ]
    outcome: Literal["pass", "marginal", "fail"] = "fail"
    if total >= passing:
        outcome = "pass"
    elif total >= marginal:
        outcome = "marginal"
    return SecondOpinion(outcome=outcome, score=total, classifications=found, warnings=tuple(said))


def _settings(gate: Gate, *, higher: bool) -> KayentaMetric:
    ratio = gate.margin if gate.ratio else 1.0
    return KayentaMetric(
        direction="decrease" if higher else "increase",
        critical=gate.critical,
        effect_size=Thresholds(decrease=1.0, increase=ratio),
        must_have_data=True,
    )


def as_kayenta(judgement: Judgement, trial: Trial, *, coverage: Coverage, now: datetime, rules: Rules) -> Judgement:
    """The judgement with Kayenta's score in the place of proof: pass promotes, fail rolls back, marginal holds.

    Unsound evidence, floors and gates on the candidate's own level hold as ever; nothing is promoted that the paired
    evidence proves broken. Of more than 8,192 pairs an even part is classified.

    Args:
        judgement: What the paired evidence says.
        trial: That evidence.
        coverage: The funnel.
        now: The time, aware.
        rules: As the judgement was made by.
    """
    verdict = judgement.verdict
    tallies = {
        name: (tally.incumbent.kept.tolist(), tally.candidate.kept.tolist()) for name, tally in trial.tallies.items()
    }
    opinion = opinion_of(tallies, trial.metrics, trial.gates)
    gates = tuple(_classified(gate, opinion.classifications.get(gate.sentence)) for gate in verdict.gates)
    found = [p.sentence for p in problems(trial, coverage, rules, now=now.timestamp(), candidate=verdict.candidate)]
    few = () if verdict.units >= rules.min_units else (f"{verdict.units} of at least {rules.min_units} units",)
    waits = (*few, *barriers(trial, rules))
    decision, why, reasons = _decision(verdict, gates, opinion, problems=found, waits=waits)
    paired = () if verdict.decision == decision else (f"The paired evidence alone says {verdict.decision}",)
    told = (*(found if decision == "rollback" else ()), *paired, _UNSOUND, *opinion.warnings)
    notices = tuple(dict.fromkeys((*verdict.notices, *told)))
    changed = msgspec.structs.replace(
        verdict, decision=decision, why=why, reasons=reasons, gates=gates, notices=notices
    )
    return msgspec.structs.replace(judgement, verdict=changed)


def _classified(gate: GateResult, found: Classification | None) -> GateResult:
    if found is None:
        return gate
    label = {"Pass": "holds", "High": "broken", "Low": "broken"}.get(found.label, "error")
    details = gate.details if found.ratio is None else gate.details | {"Kayenta's ratio of means": found.ratio}
    return msgspec.structs.replace(
        gate,
        state=label,
        reason=f"Kayenta: {found.label}{', ' if found.reason else ''}{found.reason}",
        pairs_needed=None,
        method=_METHOD,
        source=_SOURCE,
        details=details,
    )


def _decision(
    verdict: Verdict,
    gates: Sequence[GateResult],
    opinion: SecondOpinion,
    *,
    problems: Sequence[str],
    waits: Sequence[str],
) -> tuple[Decision, Literal["proven", "broken", "error", "inconclusive"], tuple[str, ...]]:
    scored = f"Kayenta's score is {opinion.score:g} of 100: {opinion.outcome}"
    deciding = [gate for gate in gates if not gate.dry_run]
    broken = [gate for gate in deciding if gate.state == "broken"]
    if any(opinion.outcome == "fail" or gate.sentence not in opinion.classifications for gate in broken):
        return "rollback", "broken", (scored, *(f"broken: {gate.sentence}" for gate in broken))
    if problems or not deciding:
        return "hold", "error", tuple(problems) or verdict.reasons
    undecided = [f"not proven yet: {gate.sentence}" for gate in deciding if gate.state in {"open", "error"}]
    proven = [
        f"the paired evidence proves the contrary: {r}" for r in verdict.reasons if verdict.decision == "rollback"
    ]
    if opinion.outcome != "pass" or undecided or proven or waits:
        return "hold", "inconclusive", (scored, *undecided, *proven, *waits)
    return "promote", "proven", (scored,)
