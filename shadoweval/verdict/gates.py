"""What must hold before a candidate may serve. A gate is one claim, and proof of it is what promotion asks for.

    better("recall@5", by=0.02)                    the gain exceeds 0.02
    no_worse("answer_quality", by=0.01)            the loss, if any, stays below 0.01
    at_most("latency.p95", ratio=1.10)             the candidate's 95th percentile is at most 1.10 times the incumbent's
    at_most("cost", 0.02), at_least("recall@5", 0.8)   the candidate's own level, whatever the incumbent does

`.p50` ... `.p99.9` after a metric's name speaks of that quantile, any other name of the mean. Margins have no default.
Further keywords of all four: `cap`, `critical`, `dry_run` and `group`, as fields of `Gate`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from numbers import Real
from typing import Final, Literal, TypedDict, Unpack

import msgspec

from shadoweval.checks import checked_instance, checked_keywords, checked_number, checked_truth
from shadoweval.errors import ArgumentError, ExperimentError, MissingMarginError, UnknownMetricError
from shadoweval.protocols import Metric, Scorer

__all__ = ["Gate", "at_least", "at_most", "better", "checked_gate", "checked_metrics", "no_worse"]

GateKind = Literal["better", "no_worse", "at_most", "at_least"]

_QUANTILE: Final = re.compile(r"^(?P<metric>.+)\.p(?P<percent>\d{1,2}(?:\.\d+)?)$")


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """One claim about one metric. Make it with `better`, `no_worse`, `at_most` or `at_least`."""

    metric: str
    kind: GateKind
    margin: float
    ratio: bool = False
    """Whether `margin` is a ratio candidate / incumbent."""
    cap: float | None = None
    """Largest value one query can have where the metric has no range of its own; larger ones count as the cap."""
    critical: bool = False
    """Breaking is judged at a part of alpha (one half) that only critical gates share, whatever the others show."""
    dry_run: bool = False
    """Shown, but decides nothing."""
    group: str | None = None
    """Heading in the report; the group it scores in under the Kayenta judge."""

    @property
    def base(self) -> str:
        """The metric that a scorer makes: `latency` for `latency.p95`."""
        match = _QUANTILE.match(self.metric)
        return match["metric"] if match else self.metric

    @property
    def quantile(self) -> float | None:
        """0.95 for `latency.p95`; None where the gate speaks of the mean."""
        match = _QUANTILE.match(self.metric)
        return float(match["percent"]) / 100 if match else None

    @property
    def sentence(self) -> str:
        """The claim as people say it: `recall@5 is better by 0.02`."""
        margin = f"{self.margin:g}"
        if self.kind == "better":
            return f"{self.metric} is better by {margin}"
        if self.kind == "no_worse":
            return f"{self.metric} is no worse by {margin}"
        bound = "at most" if self.kind == "at_most" else "at least"
        return f"{self.metric} is {bound} {margin}{' x incumbent' if self.ratio else ''}"

    @property
    def compares(self) -> bool:
        """Whether it speaks of both arms, and not of the candidate's own level."""
        return self.ratio or self.kind in {"better", "no_worse"}


class _Options(TypedDict, total=False):
    cap: float | None
    critical: bool
    dry_run: bool
    group: str | None


def _made(kind: GateKind, metric: str, margin: object, *, ratio: bool = False, **options: Unpack[_Options]) -> Gate:
    for name in ("critical", "dry_run"):
        checked_truth(f"{kind}({name})", options.get(name, False))
    if options.get("cap") is not None:
        options["cap"] = checked_number(f"{kind}({metric!r}, cap)", options.get("cap"), above=0)
    if options.get("group") is not None:
        checked_instance(f"{kind}({metric!r}, group)", options.get("group"), str)
    if not checked_instance(f"the metric of {kind}()", metric, str) or not metric or metric != metric.strip():
        raise ExperimentError(f"{kind}() needs the name of a metric such as 'recall@5', got {metric!r}.")
    if isinstance(margin, bool) or not isinstance(margin, Real) or not math.isfinite(margin):
        raise ExperimentError(f"{kind}({metric!r}) needs a finite number as its margin, got {margin!r}.")
    gate = Gate(metric=str.__str__(metric), kind=kind, margin=float(margin), ratio=ratio, **options)
    if gate.quantile is not None and not 0 < gate.quantile < 1:
        raise ExperimentError(f"{metric!r} asks for a quantile outside (0, 1). Write '.p50' up to '.p99.9'.")
    if kind in {"better", "no_worse"} and gate.margin < 0:
        raise ExperimentError(f"{kind}({metric!r}, by={margin:g}): a margin is a size, so it can't be negative.")
    if ratio and gate.margin <= 0:
        raise ExperimentError(f"at_most({metric!r}, ratio={margin:g}): a ratio is above 0; 1.10 allows 10 %.")
    return gate


@checked_keywords(options=_Options.__annotations__)
def better(metric: str, by: float | None = None, **options: Unpack[_Options]) -> Gate:
    """Promotion needs proof that the candidate's gain exceeds `by`, in the metric's own unit; 0 asks for any gain.

    Broken, so that it rolls back, once the candidate is proven worse than the incumbent.

    Raises:
        MissingMarginError: no `by`.
        ExperimentError: a margin, cap or name that can't be used.
    """
    if by is None:
        raise MissingMarginError("better", metric, mend=f"better({metric!r}, by=0.02), with your own number")
    return _made("better", metric, by, **options)


@checked_keywords(options=_Options.__annotations__)
def no_worse(metric: str, by: float | None = None, **options: Unpack[_Options]) -> Gate:
    """Promotion needs proof that the candidate's loss stays below `by`; broken once the loss is proven to exceed it.

    `by` of 0 could never be proven of equals, and is refused.

    Raises:
        MissingMarginError: no `by`.
        ExperimentError: a margin, cap or name that can't be used.
    """
    if by is None:
        raise MissingMarginError("no_worse", metric, mend=f"no_worse({metric!r}, by=0.01), with your own number")
    gate = _made("no_worse", metric, by, **options)
    if gate.margin == 0:
        raise ExperimentError(
            f"no_worse({metric!r}, by=0) can never be proven of a candidate that is just as good. Write how much "
            f"worse is still good enough, or better({metric!r}, by=0) to ask for a gain."
        )
    return gate


@checked_keywords(options=_Options.__annotations__)
def at_most(
    metric: str, value: float | None = None, *, ratio: float | None = None, **options: Unpack[_Options]
) -> Gate:
    """Promotion needs proof that the candidate is at most `value`, or at most `ratio` times the incumbent.

    Raises:
        MissingMarginError: neither `value` nor `ratio`.
        ExperimentError: both, or one that can't be used.
    """
    if value is None and ratio is None:
        mend = f"at_most({metric!r}, ratio=1.10) or at_most({metric!r}, 2.0), with your own number"
        raise MissingMarginError("at_most", metric, mend=mend)
    if value is not None and ratio is not None:
        raise ExperimentError(f"at_most({metric!r}) takes a value or a ratio, not both: write two gates.")
    return _made("at_most", metric, value if ratio is None else ratio, ratio=ratio is not None, **options)


@checked_keywords(options=_Options.__annotations__)
def at_least(metric: str, value: float | None = None, **options: Unpack[_Options]) -> Gate:
    """Promotion needs proof that the candidate itself reaches `value`.

    Raises:
        MissingMarginError: no `value`.
        ExperimentError: a value, cap or name that can't be used.
    """
    if value is None:
        raise MissingMarginError("at_least", metric, mend=f"at_least({metric!r}, 0.8), with your own number")
    return _made("at_least", metric, value, **options)


def checked_gate(gate: Gate) -> Gate:
    """A gate of a user's list."""
    if not isinstance(gate, Gate):  # pyright: ignore[reportUnnecessaryIsInstance] - users' lists
        raise ArgumentError("gates", gate, expected="a list of gates", mend="Write better('recall@5', by=0.02).")
    return gate


def checked_metrics(experiment: str, scorers: Sequence[Scorer], gates: Sequence[Gate]) -> dict[str, Metric]:
    """All metrics by name, `writes` among them.

    Raises:
        ExperimentError: two of a name.
        UnknownMetricError: a gate without one.
    """
    metrics: dict[str, Metric] = {}
    for scorer in scorers:
        for metric in scorer.metrics:
            checked_instance(f"each of {type(scorer).__name__}.metrics", metric, Metric, mend="Write Metric(name=...).")
            if metric.name in metrics:
                raise ExperimentError(
                    f"Experiment {experiment!r} has two scorers for {metric.name!r}, but gates, stored scores and the "
                    "report know a metric by its name alone. Leave one of them out, or give one another name: "
                    f"scorer.named('{metric.name}_2'), @per_arm(name=...), Metric(name=...)."
                )
            metrics[metric.name] = metric
    metrics.setdefault("writes", Metric(name="writes", fact_of_run=True))
    for gate in gates:
        if gate.base not in metrics:
            raise UnknownMetricError(gate.base, experiment=experiment, known=metrics)
    return metrics
