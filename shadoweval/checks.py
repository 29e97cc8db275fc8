"""What users' arguments must be. Each check returns its argument in the form that is kept, or raises."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

from shadoweval.errors import ExperimentError, ShareError, TargetError, UnknownArgumentError, UnknownMetricError
from shadoweval.records import INCUMBENT

if TYPE_CHECKING:
    from shadoweval.protocols import Metric, Scorer
    from shadoweval.verdict.gates import Gate

__all__ = [
    "checked_budget",
    "checked_candidates",
    "checked_keywords",
    "checked_metrics",
    "checked_name",
    "checked_share",
    "checked_target",
]

_T = TypeVar("_T", bound=Callable[..., Any])
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED: Final = frozenset({INCUMBENT, "ALL"})
_BUDGETS: Final = ("calls", "tokens", "usd")
_TARGET: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def checked_keywords(moved: Mapping[str, str] | None = None) -> Callable[[_T], _T]:
    """Decorates a function or class: a keyword that it does not have raises UnknownArgumentError with the mend.

    Args:
        moved: Keyword that it once had -> sentence that says what to write instead; `{name}` becomes the keyword.
    """

    def decorate(target: _T) -> _T:
        function: Any = target.__init__ if isinstance(target, type) else target
        names = [name for name in inspect.signature(function).parameters if name != "self"]
        of = target.__name__ if isinstance(target, type) else f"{target.__name__}()"

        @functools.wraps(function)
        def checked(*args: Any, **kwargs: Any) -> Any:
            for name in kwargs:
                if name not in names:
                    mend = (moved or {}).get(name, "").replace("{name}", name)
                    raise UnknownArgumentError(name, of=of, known=names, mend=mend)
            return function(*args, **kwargs)

        if not isinstance(target, type):
            return cast("_T", checked)
        cast("Any", target).__init__ = checked
        return cast("_T", target)

    return decorate


def checked_name(name: str, *, of: str) -> str:
    """A name that can become a file name; raises ExperimentError."""
    if not _NAME.fullmatch(name) or name in _RESERVED:
        raise ExperimentError(
            f"{name!r} can't be the name of {of}: use letters, digits, '.', '_' and '-', beginning with a letter or "
            f"digit, and neither {INCUMBENT!r} nor 'ALL'; the name becomes a file name."
        )
    return name


def checked_share(what: str, value: object) -> float:
    """A number from 0 to 1; raises ShareError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ShareError(what, value)
    return float(value)


def checked_budget(budget: Mapping[str, float]) -> dict[str, float]:
    """Amounts a day by name; raises ExperimentError."""
    wrong = [name for name, most in budget.items() if name not in _BUDGETS or most < 0]
    if wrong:
        raise ExperimentError(
            f"budget has {wrong[0]!r}: {budget[wrong[0]]!r}. Give a number for {', '.join(_BUDGETS)}."
        )
    return dict(budget)


def checked_target(target: str) -> str:
    """`"module:attribute"`; raises TargetError. Whether it can be imported is found out where it runs."""
    if not _TARGET.fullmatch(target):
        mend = "Write for instance 'app.rag:answer'."
        raise TargetError(target, "it is not written as 'module:attribute'", mend=mend)
    return target


def checked_candidates(experiment: str, candidates: Mapping[str, str]) -> dict[str, str]:
    """At least one named target; raises ExperimentError, TargetError."""
    if not candidates:
        raise ExperimentError(
            f"Experiment {experiment!r} has no candidate. Give candidates={{'name': 'module:attribute'}}."
        )
    return {checked_name(name, of="a candidate"): checked_target(target) for name, target in candidates.items()}


def checked_metrics(experiment: str, scorers: Sequence[Scorer], gates: Sequence[Gate]) -> dict[str, Metric]:
    """All metrics by name; raises ExperimentError for two of a name, UnknownMetricError for a gate without one."""
    metrics: dict[str, Metric] = {}
    for metric in (metric for scorer in scorers for metric in scorer.metrics):
        if metric.name in metrics:
            raise ExperimentError(f"Experiment {experiment!r} has two scorers for {metric.name!r}. Keep one of them.")
        metrics[metric.name] = metric
    for gate in gates:
        if gate.base not in metrics:
            raise UnknownMetricError(gate.base, experiment=experiment, known=metrics)
    return metrics
