"""What users' arguments must be. Each check returns its argument in the form that is kept, or raises.

Used where something is constructed: what can't be used is an error there, with the mend, and no surprise in the worker.
Each error is an ExperimentError. `what` names the argument as a reader looks for it: `Limits.seconds`, `recall(k)`.
"""

from __future__ import annotations

import functools
import inspect
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from numbers import Integral, Real
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
    "checked_candidates",
    "checked_choice",
    "checked_fields",
    "checked_file",
    "checked_function",
    "checked_instance",
    "checked_keywords",
    "checked_list",
    "checked_mapping",
    "checked_moment",
    "checked_name",
    "checked_number",
    "checked_scorer",
    "checked_share",
    "checked_strings",
    "checked_target",
    "checked_truth",
]

_T = TypeVar("_T", bound=Callable[..., Any])
_V = TypeVar("_V")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_RESERVED: Final = frozenset({INCUMBENT, "ALL"})
_DOTTED: Final = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_TARGET: Final = re.compile(f"{_DOTTED}:{_DOTTED}")


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
    """A finite number from `low` to `high`, or above `above`; neither a text nor a truth value.

    Numbers of NumPy are taken too, and kept as a plain int or float, since the wire format knows none of theirs.
    """
    number = _plain(value, whole=whole)
    if not math.isfinite(number) or not low <= number <= high or (above is not None and number <= above):
        kind = "a whole number" if whole else "a number"
        bounds = f" above {above:g}" if above is not None else "" if low == -math.inf else f" from {low:g}"
        bounds += f" to {high:g}" if high < math.inf else " up" if above is None and low > -math.inf else ""
        raise ArgumentError(what, value, expected=kind + bounds, mend=_plainly(value))
    return number


def _plain(value: object, *, whole: bool = False) -> int | float:
    """NaN for what is no number."""
    if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
        return math.nan
    return int(value) if isinstance(value, Integral) else float(value)


def _plainly(value: object) -> str:
    """How to write a number that was given as a text, or as a float where it is whole."""
    try:
        if isinstance(value, str):
            return f"Write {float(value):g}, without quotes."
        return f"Write {int(value)}." if isinstance(value, float) and value.is_integer() else ""
    except ValueError:
        return ""


def checked_fields(
    record: Any, *names: str, check: Callable[..., Any] = checked_number, optional: bool = False, **bounds: Any
) -> None:
    """Checks fields of a frozen dataclass and keeps what the check returns; `optional`: None is right too."""
    for name in names:
        value = getattr(record, name)
        if value is not None or not optional:
            object.__setattr__(record, name, check(f"{type(record).__name__}.{name}", value, **bounds))


def checked_share(what: str, value: object) -> float:
    """A number from 0 to 1; raises ShareError."""
    share = _plain(value)
    if not 0 <= share <= 1:
        raise ShareError(what, value, mend=_plainly(value) if isinstance(value, str) else "")
    return float(share)


def checked_choice(what: str, value: _V, literal: Any) -> _V:
    """One of the words of a `Literal`."""
    choices = get_args(literal)
    if not isinstance(value, str) or value not in choices:
        expected = "one of " + ", ".join(map(repr, choices))
        raise ArgumentError(what, value, expected=expected, mend=closest(str(value), choices))
    return choices[choices.index(value)]


def checked_truth(what: str, value: object) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise ArgumentError(what, value, expected="True or False")
    return value


def checked_instance(what: str, value: _V, kind: type | tuple[type, ...], *, mend: str = "") -> _V:
    """An object of a type, or with the members of a protocol."""
    if isinstance(value, type):  # a class has the members of a protocol too
        mend = f"It is a class. Call it: {value.__name__}(...)."
    if not isinstance(value, kind) or isinstance(value, type):
        names = " or ".join(each.__name__ for each in (kind if isinstance(kind, tuple) else (kind,)))
        article = "an" if names[0] in "AEIO" else "a"
        raise ArgumentError(what, value, expected=f"{article} {names}", mend=mend)
    return value


def checked_function(what: str, value: _V, *, awaited: bool = False) -> _V:
    """A function, or another callable; None passes. `awaited`: it may be async."""
    if value is None:
        return value
    if not callable(value):
        raise ArgumentError(
            what, value, expected="a function", mend="Pass the function itself, not its name or result."
        )
    if not awaited and any(map(inspect.iscoroutinefunction, (value, type(value).__call__))):
        mend = "Nobody awaits what it returns: write it with 'def'."
        raise ArgumentError(what, value, expected="a function that is not async", mend=mend)
    return value


def checked_list(what: str, value: Iterable[_V], *, mend: str = "") -> tuple[_V, ...]:
    """Several of something in any iterable but a text or a mapping."""
    if not _is_list(value):
        mend = mend or f"Write a list: {what.rpartition('.')[2]}=[...]."
        raise ArgumentError(what, value, expected="a list", mend=mend)
    return tuple(value)


def _is_list(value: object) -> bool:
    return isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping | type)


def checked_strings(what: str, value: Iterable[str]) -> tuple[str, ...]:
    """A list of texts; a single text is a common slip, since its letters would be taken one by one."""
    if isinstance(value, str):
        raise ArgumentError(what, value, expected="a list of texts", mend=f"Write [{value!r}].")
    if not _is_list(value):
        raise ArgumentError(what, value, expected="a list of texts", mend="Write ['...'].")
    return tuple(_text(checked_instance(f"each of {what}", text, str)) for text in value)


def _text(value: str) -> str:
    """As a plain str: the wire format knows no subclass of it."""
    return str.__str__(value)


def checked_mapping(what: str, value: Any) -> dict[str, Any]:
    """A mapping whose keys are names."""
    checked_instance(what, value, Mapping, mend="Write {'name': ...}.")
    return {_text(checked_instance(f"each name in {what}", name, str)): value[name] for name in value}


def checked_moment(what: str, value: object) -> datetime:
    """A time with its time zone."""
    if not isinstance(value, datetime) or value.utcoffset() is None:
        mend = "Write datetime.now(UTC); where a span is taken too, timedelta(hours=24)."
        raise ArgumentError(what, value, expected="a datetime with a time zone", mend=mend)
    return value


def checked_file(what: str, value: object) -> Path:
    """A file that is there."""
    path = Path(checked_instance(what, cast("str | Path", value), (str, os.PathLike)))
    if not path.is_file():
        where = (
            f"{str(path.absolute())!r} is a folder. " if path.is_dir() else f"There is no {str(path.absolute())!r}. "
        )
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
    return _text(name)


def checked_target(target: str, *, what: str = "the target") -> str:
    """`"module:attribute"`; raises TargetError. Whether it can be imported is found out where it runs."""
    if callable(target):
        address = f"{getattr(target, '__module__', '')}:{getattr(target, '__qualname__', '')}"
        mend = f"It is imported in a process of its own, so it is named: write {address!r}."
        if not _TARGET.fullmatch(address):
            mend = "It is imported in a process of its own: give it a name in a module, and write that."
        raise TargetError(repr(target), f"{what} is a function, not its name", mend=mend)
    if not _TARGET.fullmatch(checked_instance(what, target, str)):
        mend = "Write for instance 'app.rag:answer'."
        raise TargetError(target, f"{what} is not written as 'module:attribute'", mend=mend)
    return _text(target)


def checked_candidates(
    experiment: str, candidates: Mapping[str, _V], *, check: Callable[[_V, str], _V]
) -> dict[str, _V]:
    """At least one named target, each as `check(target, what)` gives it; raises ExperimentError, and what that does."""
    if not candidates and not isinstance(candidates, str):
        raise ExperimentError(
            f"Experiment {experiment!r} has no candidate. Give candidates={{'name': 'module:attribute'}}."
        )
    checked_instance("candidates", candidates, Mapping, mend="Write candidates={'name': 'module:attribute'}.")
    return {
        checked_name(name, of="a candidate"): check(target, f"candidate {name!r}")
        for name, target in candidates.items()
    }


def checked_scorer(scorer: _V) -> _V:
    """An object that is a `protocols.Scorer`, by what it has."""
    missing = [name for name in ("metrics", "version", "score") if not hasattr(scorer, name)]
    uncalled = isinstance(cast("object", scorer), type)
    if not missing and not uncalled:
        return scorer
    mend = f"A scorer has `metrics`, `version` and `score`, it has no {' and no '.join(missing)}; see protocols.Scorer."
    if callable(scorer):
        name = getattr(scorer, "__name__", "it")
        mend = f"It is not called. Call it: {name}({'...' if uncalled else _numbers(scorer)})."
    raise ArgumentError("scorers", scorer, expected="a list of scorers", mend=mend)


def _numbers(function: Callable[..., Any]) -> str:
    """The arguments of a function that have a number as default, as they are written."""
    try:
        arguments = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # some that are written in C have none
        return "..."
    return ", ".join(f"{each.name}={each.default!r}" for each in arguments if isinstance(each.default, int | float))
