"""What Kayenta's judge would have said of the same pairs: a second opinion beside the verdict, never in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec

from shadoweval.protocols import Metric
from shadoweval.records import Scored
from shadoweval.verdict.columns import JudgedPair
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.kayenta import Classification, KayentaMetric, Thresholds, classify, score, warnings

__all__ = ["SecondOpinion", "second_opinion"]


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
    """Classify the metric of each comparing gate as `NetflixACAJudge-v1.0` does, the incumbent as baseline.

    A gate's ratio becomes the allowed effect size; its other margins have no counterpart there.

    Args:
        pairs: Pairs and scores in query order.
        metrics: What the scorers make.
        gates: Gates; their groups are the judge's groups.
        passing: Least score that passes.
        marginal: Least score that is marginal.
    """
    samples: dict[str, tuple[list[float], list[float]]] = {metric.name: ([], []) for metric in metrics}
    for _facts, scores in pairs:
        for one in scores:
            if one.metric in samples:
                for side, value in zip(samples[one.metric], (one.incumbent, one.candidate), strict=True):
                    if isinstance(value, Scored):
                        side.append(value.value)
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
