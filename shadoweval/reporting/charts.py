"""Inline SVG, a dozen lines each: an interval with its margin, a stacked bar, two distributions.

Better is always to the right. Every text goes through markupsafe, every number through a format, so that nothing of a
query can become markup.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup, escape

__all__ = ["funnel_bar", "interval", "quantiles"]

_WIDTH = 220.0


def _scaled(values: Sequence[float], *, low: float, high: float, width: float) -> list[float]:
    span = (high - low) or 1.0
    return [round((min(max(v, low), high) - low) / span * width, 1) for v in values]


def interval(
    *, lower: float, middle: float, upper: float, threshold: float, nothing: float, state: str, label: str
) -> Markup:
    """An interval on a line, with a mark at the threshold of the gate and one at "no difference".

    Draw metrics so that right is better; `nothing` is 0, or 1 for ratios; `state` is the class of the colour (holds,
    broken, open, error), and `label` is for readers who can't see it.
    """
    points = [v for v in (lower, middle, upper, threshold, nothing) if math.isfinite(v)]
    low, high = min(points), max(points)
    pad = (high - low) * 0.08 or 0.01
    ends = [v if math.isfinite(v) else (low if v < 0 else high) for v in (lower, middle, upper, threshold, nothing)]
    a, m, b, t, z = _scaled(ends, low=low - pad, high=high + pad, width=_WIDTH)
    return Markup(
        '<svg class="interval {state}" viewBox="0 0 {w:g} 26" role="img" aria-label="{label}">'
        '<title>{label}</title><line class="axis" x1="0" x2="{w:g}" y1="13" y2="13"/>'
        '<line class="zero" x1="{z}" x2="{z}" y1="4" y2="22"/>'
        '<line class="margin" x1="{t}" x2="{t}" y1="2" y2="24"/>'
        '<line class="range" x1="{a}" x2="{b}" y1="13" y2="13"/><circle class="estimate" cx="{m}" cy="13" r="4"/></svg>'
    ).format(state=state, w=_WIDTH, label=label, z=z, t=t, a=a, b=b, m=m)


def funnel_bar(parts: Sequence[tuple[str, int, str]], *, label: str) -> Markup:
    """One bar of the parts (name, count, class), in proportion."""
    total = sum(count for _, count, _ in parts) or 1
    x, pieces = 0.0, list[Markup]()
    for name, count, kind in parts:
        width = count / total * 100
        pieces.append(
            Markup('<rect class="{}" x="{:.3f}" y="0" width="{:.3f}" height="10"><title>{}: {}</title></rect>').format(
                kind, x, width, name, count
            )
        )
        x += width
    return Markup(
        '<svg class="funnel" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(label, Markup("").join(pieces))


def quantiles(incumbent: Sequence[float], candidate: Sequence[float], *, label: str) -> Markup:
    """Both distribution functions over one axis, from quantiles at equal steps; empty where one is missing."""
    if len(incumbent) < 2 or len(candidate) < 2:
        return Markup("")
    low, high = min(*incumbent, *candidate), max(*incumbent, *candidate)

    def path(values: Sequence[float]) -> str:
        xs = _scaled(values, low=low, high=high, width=_WIDTH)
        ys = [round(30 - 28 * i / (len(values) - 1), 1) for i in range(len(values))]
        return "M" + " L".join(f"{x} {y}" for x, y in zip(xs, ys, strict=True))

    return Markup(
        '<svg class="ecdf" viewBox="0 0 {w:g} 32" role="img" aria-label="{label}"><title>{label}</title>'
        '<path class="inc" d="{inc}"/><path class="cand" d="{cand}"/></svg>'
    ).format(w=_WIDTH, label=escape(label), inc=path(incumbent), cand=path(candidate))
