"""Which pictures a report has: forest plot, evidence and differences over the looks, distributions of both arms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from shadoweval.records import Evaluation, GateResult, MetricSummary, PastLook, Verdict
from shadoweval.records.amounts import amount
from shadoweval.records.changes import quantile_of
from shadoweval.reporting.charts import Axis, Line, interval, plot

__all__ = ["distributions", "forest", "growth"]

_REACH: Final = 3.0
"""Margins that the forest plot shows on each side."""
_COLOURS: Final = 6
_LEVELS: Final = (0.0, 0.25, 0.5, 0.75, 1.0)
_FEWEST: Final = 2
"""Points that make a line."""


def forest(gates: Sequence[GateResult]) -> Markup:
    """All gates on one axis, in margins: right is better, what is shaded is worse than the gate allows."""
    rows = [row for gate in gates if (row := _row(gate))]
    if not rows:
        return Markup("")
    return Markup(
        '<figure class="forest"><figcaption>Each gate’s interval, in its own margins: right is better. Shaded: not '
        "what the gate asks for. Dashed: no difference. The gate holds where its bar lies right of the shade."
        '</figcaption>{}<div class="x" aria-hidden="true"><span>worse</span><span>no difference</span>'
        "<span>better</span></div></figure>"
    ).format(Markup("").join(rows))


def _row(gate: GateResult) -> Markup:
    scale = _Scale(gate)
    if gate.lower is None or gate.upper is None:
        return Markup("")
    ends = sorted(scale(value) for value in (gate.lower, gate.upper))
    level = gate.candidate if _is_level(gate) else gate.difference
    middle = None if level is None else scale(level)
    threshold = scale(-gate.margin if gate.kind == "no_worse" else gate.margin)
    label = f"{gate.sentence}: {gate.state}, between {gate.lower:.4g} and {gate.upper:.4g}"
    drawn = interval(lower=ends[0], middle=middle, upper=ends[1], margin=threshold, state=gate.state, label=label)
    return Markup('<div class="row"><span><bdi>{}</bdi></span>{}</div>').format(gate.sentence, drawn)


def _is_level(gate: GateResult) -> bool:
    """Whether the gate asks about the candidate's own level, and not about both arms."""
    return gate.kind in {"at_most", "at_least"} and not gate.ratio


class _Scale:
    """From the gate's own unit to the axis from -1 (worse) to 1 (better), 0 is no difference.

    For a gate on the candidate's own level, 0 is the limit.
    """

    def __init__(self, gate: GateResult) -> None:
        self.zero = gate.margin if _is_level(gate) else 1.0 if gate.ratio else 0.0
        step = abs(gate.margin - 1.0) if gate.ratio else abs(gate.margin)
        if _is_level(gate):
            step = abs(gate.margin) / _REACH
        self.unit = (step or 0.01) * _REACH * (-1 if gate.kind == "at_most" else 1)

    def __call__(self, value: float) -> float:
        if not math.isfinite(value):
            return math.copysign(1.0, value * self.unit)
        return min(max((value - self.zero) / self.unit, -1.0), 1.0)


def growth(evaluation: Evaluation, verdict: Verdict) -> Markup:
    """How the evidence of each gate grew over the looks, and how its difference came; of few pairs a sentence."""
    past = evaluation.history.get(verdict.candidate, ())
    if not past:
        text = "How the evidence of these gates grows is shown once there are more pairs."
        return Markup('<p class="small soft">{}</p>').format(text)
    now = PastLook(
        id=evaluation.id,
        at=evaluation.created_at,
        decision=verdict.decision,
        pairs=verdict.pairs,
        gates={g.sentence: (g.state, g.share_of_evidence, g.difference, g.lower, g.upper) for g in verdict.gates},
    )
    looks = (*past, now)
    evidence = _evidence(looks, [gate.sentence for gate in verdict.gates])
    each = Markup("").join(_difference(looks, gate) for gate in verdict.gates)
    title = f"How the intervals narrowed, gate by gate, {_over(looks)}"
    return evidence + Markup('<details><summary>{}</summary><div class="charts">{}</div></details>').format(title, each)


def _over(looks: Sequence[PastLook]) -> str:
    """Over looks, and the points on the way of the first one."""
    made = sum(bool(look.id) for look in looks)
    return f"over {made} looks" if made > 1 else "as the pairs of this look came"


def _evidence(looks: Sequence[PastLook], sentences: Sequence[str]) -> Markup:
    x = _over_pairs(looks)
    y = Axis(0.0, 100.0, ("0 %", "50 %", "100 %"), "evidence, of what the proof takes")
    lines, said = list[Line](), list[str]()
    for place, sentence in enumerate(sentences):
        points = [(look.pairs, 100 * look.gates[sentence][1]) for look in looks if sentence in look.gates]
        if points:
            lines.append(Line(sentence, f"s{place % _COLOURS}", points))
            said.append(f"{sentence} {points[0][1]:.0f} % to {points[-1][1]:.0f} %")
    caption = f"How the evidence grew {_over(looks)}: " + "; ".join(said) + "."
    return plot(lines, x=x, y=y, caption=caption)


def _over_pairs(looks: Sequence[PastLook]) -> Axis:
    low, high = min(look.pairs for look in looks), max(look.pairs for look in looks)
    dates = f"{looks[0].at:%Y-%m-%d} to {looks[-1].at:%Y-%m-%d}"
    return Axis(low, high, (f"{low:,}", f"{(low + high) // 2:,}", f"{high:,}"), f"pairs, {dates}")


def _difference(looks: Sequence[PastLook], gate: GateResult) -> Markup:
    rows = [(look.pairs, *look.gates[gate.sentence][2:]) for look in looks if gate.sentence in look.gates]
    points = [(pairs, middle) for pairs, middle, _, _ in rows if middle is not None]
    band = [(pairs, low, up) for pairs, _, low, up in rows if low is not None and up is not None]
    values = [v for _, v in points] + [v for _, low, up in band for v in (low, up) if math.isfinite(v)]
    if len(rows) < _FEWEST or not values:
        return Markup("")
    low, high = min(values), max(values)
    what = "ratio candidate / incumbent" if gate.ratio else "difference, larger is better"
    y = Axis(low, high, (f"{low:.3g}", f"{(low + high) / 2:.3g}", f"{high:.3g}"), what)
    ends = [f"{a:.3g} … {b:.3g}" for _, a, b in (band[0], band[-1])] if band else ["–", "–"]
    caption = f"{gate.sentence}: from {ends[0]} at first to {ends[1]} now."
    return plot([Line("", "cand", points, band)], x=_over_pairs(looks), y=y, caption=caption)


def distributions(summary: MetricSummary) -> tuple[Markup, ...]:
    """Both arms' distribution functions, and by how much each quantile differs; nothing where an arm has no scores."""
    incumbent, candidate = summary.distribution
    if summary.of_pair or len(incumbent) < _FEWEST or len(incumbent) != len(candidate):
        return ()
    return _cumulated(summary), _shifts(summary)


def _cumulated(summary: MetricSummary) -> Markup:
    incumbent, candidate = summary.distribution
    steps = len(incumbent) - 1
    low, high = min(*incumbent, *candidate), max(*incumbent, *candidate)
    if not summary.bounded and steps > 1:  # the largest value of all would squeeze the rest
        high = max(incumbent[-2], candidate[-2])
    x = Axis(low, high, [amount(low + (high - low) * part, summary.unit) for part in _LEVELS[::2]], summary.metric)
    y = Axis(0.0, 1.0, ("0 %", "50 %", "100 %"), "share of the queries at or below")
    lines = [
        Line(name, kind, [(value, i / steps) for i, value in enumerate(values)])
        for name, kind, values in (("incumbent", "inc", incumbent), ("candidate", "cand", candidate))
    ]
    said = ", ".join(
        f"{level:.0%} of the queries at or below {amount(quantile_of(candidate, level), summary.unit)} "
        f"(incumbent {amount(quantile_of(incumbent, level), summary.unit)})".replace("%", " %", 1)
        for level in (0.5, 0.95)
    )
    return plot(lines, x=x, y=y, caption=f"{summary.metric}: {said}.")


def _shifts(summary: MetricSummary) -> Markup:
    incumbent, candidate = summary.distribution
    steps = len(incumbent) - 1
    points = [(i / steps, candidate[i] - incumbent[i]) for i in range(1, steps)]
    if not points:
        return Markup("")
    low, high = min(0.0, *(gap for _, gap in points)), max(0.0, *(gap for _, gap in points))
    worst = max(points, key=lambda point: abs(point[1]))
    x = Axis(0.0, 1.0, ("0 %", "50 %", "100 %"), "quantile")
    ticks = [amount(value, summary.unit) for value in (low, (low + high) / 2, high)]
    y = Axis(low, high, ticks, "candidate - incumbent")
    zero = Line("no difference", "inc", [(0.0, 0.0), (1.0, 0.0)])
    caption = (
        f"{summary.metric}, quantile by quantile: the candidate differs most at {worst[0]:.0%}".replace("%", " %")
        + f", by {amount(worst[1], summary.unit)}."
    )
    return plot([zero, Line("candidate - incumbent", "cand", points)], x=x, y=y, caption=caption)
