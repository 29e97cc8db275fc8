"""What users' arguments must be. Each check returns its argument in the form that is kept, or raises.

Used where something is constructed: what can't be used is an error there, with the mend, and no surprise in the worker.
Each error is an ExperimentError. `what` names the argument as a reader looks for it: `Limits.seconds`, `recall(k)`.
"""

from __future__ import annotations

import functools
import inspect
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar, cast, get_args

from shadoweval.errors import (
    ArgumentError,
    ExperimentError,
    ShareError,
    TargetError,
    UnknownArgumentError,
    closest,
)
from shadoweval.records import INCUMBENT

__all__ = [
    "checked_budget",
    "checked_candidates",
    "checked_choice",
    "checked_endpoint",
    "checked_file",
    "checked_function",
    "checked_instance",
    "checked_keywords",
    "checked_mapping",
    "checked_moment",
    "checked_name",
    "checked_number",
    "checked_share",
    "checked_strings",
    "checked_target",
    "checked_truth",
]

_T = TypeVar("_T", bound=Callable[..., Any])
_V = TypeVar("_V")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED: Final = frozenset({INCUMBENT, "ALL"})
_BUDGETS: Final = ("calls", "tokens", "usd")
_TARGET: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_ENDPOINT: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^:\s/]+):(?P<port>\d{1,5})")


def checked_keywords(moved: Mapping[str, str] | None = None, *, options: Iterable[str] = ()) -> Callable[[_T], _T]:
    """Decorates a function or class: a keyword that it does not have raises UnknownArgumentError with the mend.

    Args:
        moved: Keyword that it once had -> sentence that says what to write instead; `{name}` becomes the keyword.
        options: Names that its `**options` take.
    """

    def decorate(target: _T) -> _T:
        function: Any = target.__init__ if isinstance(target, type) else target
        names = [name for name in inspect.signature(function).parameters if name not in {"self", "options"}]
        names += options
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


def checked_number(
    what: str,
    value: object,
    *,
    low: float = -math.inf,
    high: float = math.inf,
    above: float | None = None,
    whole: bool = False,
) -> Any:
    """A finite number from `low` to `high`, or above `above`; neither a text nor a truth value."""
    wrong = isinstance(value, bool) or not isinstance(value, int if whole else int | float)
    number = math.nan if wrong else cast("float", value)
    if not math.isfinite(number) or not low <= number <= high or (above is not None and number <= above):
        kind = "a whole number" if whole else "a number"
        bounds = f" above {above:g}" if above is not None else "" if low == -math.inf else f" from {low:g}"
        bounds += f" to {high:g}" if high < math.inf else " up" if above is None and low > -math.inf else ""
        raise ArgumentError(what, value, expected=kind + bounds, mend=_unquoted(value))
    return value


def _unquoted(value: object) -> str:
    try:
        return f"Write {float(value):g}, without quotes." if isinstance(value, str) else ""
    except ValueError:
        return ""


def checked_share(what: str, value: object) -> float:
    """A number from 0 to 1; raises ShareError."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ShareError(what, value, mend=_unquoted(value))
    return float(value)


def checked_choice(what: str, value: _V, literal: Any) -> _V:
    """One of the words of a `Literal`."""
    choices = get_args(literal)
    if not isinstance(value, str) or value not in choices:
        expected = "one of " + ", ".join(map(repr, choices))
        raise ArgumentError(what, value, expected=expected, mend=closest(str(value), choices))
    return value


def checked_truth(what: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(what, value, expected="True or False")
    return value


def checked_instance(what: str, value: _V, kind: type | tuple[type, ...], *, mend: str = "") -> _V:
    """An object of a type of ours."""
    if not isinstance(value, kind):
        names = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        article = "an" if names[0] in "AEIO" else "a"
        raise ArgumentError(what, value, expected=f"{article} {names}", mend=mend)
    return value


def checked_function(what: str, value: _V) -> _V:
    """A function, or another callable."""
    if value is not None and not callable(value):
        raise ArgumentError(
            what, value, expected="a function", mend="Pass the function itself, not its name or result."
        )
    return value


def checked_strings(what: str, value: Iterable[str]) -> tuple[str, ...]:
    """A list of texts; a single text is a common slip, since its letters would be taken one by one."""
    if isinstance(value, str):
        raise ArgumentError(what, value, expected="a list of texts", mend=f"Write [{value!r}].")
    return tuple(checked_instance(f"each of {what}", text, str) for text in checked_instance(what, value, Iterable))


def checked_mapping(what: str, value: Any) -> dict[str, Any]:
    """A mapping whose keys are names."""
    for name in checked_instance(what, value, Mapping, mend="Write {'name': ...}."):
        checked_instance(f"each name in {what}", name, str)
    return dict(value)


def checked_endpoint(what: str, value: str) -> str:
    """`"host:port"`."""
    match = _ENDPOINT.fullmatch(value)
    if not match or not 0 < int(match["port"]) < 1 << 16:
        mend = "Write host and port, without scheme or path: 'api.openai.com:443'."
        raise ArgumentError(what, value, expected="'host:port'", mend=mend)
    return value


def checked_moment(what: str, value: object) -> datetime:
    """A time with its time zone."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        mend = "Write datetime.now(UTC), or timedelta(hours=24) for how long ago."
        raise ArgumentError(what, value, expected="a datetime with a time zone", mend=mend)
    return value


def checked_file(what: str, value: object) -> Path:
    """A file that is there."""
    path = Path(checked_instance(what, cast("str | Path", value), (str, Path)))
    if not path.is_file():
        where = f"There is no {str(path.absolute())!r}. "
        mend = where + "Name it from the module's own place: Path(__file__).with_name(...)."
        raise ArgumentError(what, str(value), expected="a file that exists", mend=mend)
    return path


def checked_name(name: str, *, of: str) -> str:
    """A name that can become a file name; raises ExperimentError."""
    if not _NAME.fullmatch(checked_instance(f"the name of {of}", name, str)) or name in _RESERVED:
        raise ExperimentError(
            f"{name!r} can't be the name of {of}: use letters, digits, '.', '_' and '-', beginning with a letter or "
            f"digit, and neither {INCUMBENT!r} nor 'ALL'; the name becomes a file name."
        )
    return name


def checked_budget(budget: Mapping[str, float]) -> dict[str, float]:
    """Amounts a day by name."""
    for name, most in checked_mapping("budget", budget).items():
        if name not in _BUDGETS:
            raise ExperimentError(
                f"budget has no {name!r}. Give a number for {', '.join(_BUDGETS)}.{closest(name, _BUDGETS)}"
            )
        checked_number(f"budget[{name!r}]", most, low=0)
    return dict(budget)


def checked_target(target: str, *, what: str = "the target") -> str:
    """`"module:attribute"`; raises TargetError. Whether it can be imported is found out where it runs."""
    if callable(target):
        address = f"{getattr(target, '__module__', '?')}:{getattr(target, '__qualname__', type(target).__qualname__)}"
        mend = f"It is imported in a process of its own, so it is named: write {address!r}."
        if not _TARGET.fullmatch(address):
            mend = "It is imported in a process of its own: make it a function of a module, and name that."
        raise TargetError(repr(target), f"{what} is a function, not its name", mend=mend)
    if not _TARGET.fullmatch(checked_instance(what, target, str)):
        mend = "Write for instance 'app.rag:answer'."
        raise TargetError(target, f"{what} is not written as 'module:attribute'", mend=mend)
    return target


def checked_candidates(experiment: str, candidates: Mapping[str, str]) -> dict[str, str]:
    """At least one named target; raises ExperimentError, TargetError."""
    if not candidates:
        raise ExperimentError(
            f"Experiment {experiment!r} has no candidate. Give candidates={{'name': 'module:attribute'}}."
        )
    checked_instance("candidates", candidates, Mapping, mend="Write candidates={'name': 'module:attribute'}.")
    return {
        checked_name(name, of="a candidate"): checked_target(target, what=f"candidate {name!r}")
        for name, target in candidates.items()
    }
