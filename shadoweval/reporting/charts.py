"""Inline SVG that scales from a phone to paper: lines and bars are drawn, words and numbers stand beside them as text.

Every text goes through markupsafe, every number through a format, so that nothing of a query can become markup. Each
picture has a label that says in words what it shows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from markupsafe import Markup

__all__ = ["Axis", "Line", "bars", "funnel_bar", "interval", "plot"]

_WIDTH: Final = 200.0
_HEIGHT: Final = 100.0
_DEEP: Final = 28.0


class Line(NamedTuple):
    """One line of a plot."""

    name: str
    kind: str
    """Class of its colour and dashes: `inc`, `cand`, `s0`, ..., `s5`."""
    points: Sequence[tuple[float, float]]
    band: Sequence[tuple[float, float, float]] = ()
    """x, lower and upper: what is shaded around it."""


class Axis(NamedTuple):
    """One axis: from where to where, and what is written along it, from low to high."""

    low: float
    high: float
    ticks: Sequence[str]
    title: str

    def share(self, value: float) -> float:
        """How far along the axis, from 0 to 1."""
        span = self.high - self.low
        return 0.5 if span <= 0 else min(max((value - self.low) / span, 0.0), 1.0)


def interval(*, lower: float, middle: float | None, upper: float, margin: float, state: str, label: str) -> Markup:
    """An interval on an axis from -1 to 1 on which right is better: 0 is in the middle.

    Args:
        lower: Left end, as the others from -1 to 1; what lies beyond is cut.
        middle: The estimate; None: there is none.
        upper: Right end.
        margin: What the gate asks for; from there to the left it is broken, which is shaded.
        state: Class of the colour: holds, broken, open, error.
        label: For readers who can't see it.
    """
    a, m, b, t, z = (
        round((min(max(v, -1.0), 1.0) + 1) / 2 * _WIDTH, 1)
        for v in (lower, lower if middle is None else middle, upper, margin, 0.0)
    )
    estimate = "" if middle is None else Markup('<line class="estimate" x1="{m}" x2="{m}" y1="7" y2="21"/>').format(m=m)
    return Markup(
        '<svg class="interval {state}" viewBox="0 0 {w:g} {d:g}" preserveAspectRatio="none" role="img" '
        'aria-label="{label}"><rect class="lost" x="0" y="2" width="{t}" height="24"/>'
        '<line class="zero" x1="{z}" x2="{z}" y1="0" y2="{d:g}"/><line class="margin" x1="{t}" x2="{t}" y1="0" '
        'y2="{d:g}"/><line class="range" x1="{a}" x2="{b}" y1="14" y2="14"/>{estimate}</svg>'
    ).format(state=state, w=_WIDTH, d=_DEEP, label=label, a=a, b=b, t=t, z=z, estimate=estimate)


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
    said = f"{label}: " + ", ".join(f"{name} {count}" for name, count, _ in parts if count)
    return Markup(
        '<svg class="funnel" viewBox="0 0 100 10" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(said, Markup("").join(pieces))


def plot(lines: Sequence[Line], *, x: Axis, y: Axis, caption: str) -> Markup:
    """Lines over two axes with what is written along them, a legend, and a caption that says it in words."""
    drawn = Markup("").join(_drawn(line, x, y) for line in lines)
    legend = Markup("").join(
        Markup('<li class="{}"><bdi>{}</bdi></li>').format(line.kind, line.name) for line in lines if line.name
    )
    return Markup(
        '<figure class="plot"><figcaption>{caption}</figcaption><div class="y" aria-hidden="true">{ys}</div>'
        '<svg viewBox="0 0 {w:g} {h:g}" preserveAspectRatio="none" role="img" aria-label="{label}">{drawn}</svg>'
        '<div class="x" aria-hidden="true">{xs}</div><p class="axes small soft">{xt}; {yt}</p>'
        '<ul class="legend">{legend}</ul></figure>'
    ).format(
        caption=caption,
        ys=_ticks(reversed(y.ticks)),
        xs=_ticks(x.ticks),
        w=_WIDTH,
        h=_HEIGHT,
        label=caption,
        drawn=drawn,
        xt=f"across: {x.title}",
        yt=f"up: {y.title}",
        legend=legend,
    )


def bars(parts: Sequence[tuple[str, float, str]], *, kind: str) -> Markup:
    """Bars in proportion to the largest: name, value, and the value in words."""
    most = max((value for _, value, _ in parts if math.isfinite(value)), default=0.0) or 1.0
    rows = Markup("").join(
        Markup(
            '<li><span><bdi>{}</bdi></span><svg class="{}" viewBox="0 0 100 10" preserveAspectRatio="none" '
            'aria-hidden="true"><rect x="0" y="0" width="{:.2f}" height="10"/></svg><span><bdi>{}</bdi></span></li>'
        ).format(name, kind, min(value / most, 1.0) * 100, words)
        for name, value, words in parts
    )
    return Markup('<ul class="bars">{}</ul>').format(rows)


def _ticks(texts: Iterable[str]) -> Markup:
    return Markup("").join(Markup("<span>{}</span>").format(text) for text in texts)


def _drawn(line: Line, x: Axis, y: Axis) -> Markup:
    def place(across: float, up: float) -> str:
        return f"{x.share(across) * _WIDTH:.1f} {(1 - y.share(up)) * _HEIGHT:.1f}"

    band = Markup("")
    if len(line.band) > 1:
        there = [place(across, upper) for across, _, upper in line.band]
        back = [place(across, lower) for across, lower, _ in reversed(line.band)]
        band = Markup('<path class="band {}" d="M{}Z"/>').format(line.kind, " L".join([*there, *back]))
    if not line.points:
        return band
    path = " L".join(place(across, up) for across, up in line.points)
    return band + Markup('<path class="line {}" d="M{}"/>').format(line.kind, path)
