"""What a model or function of a user is called in versions of scorers and in what is remembered of it.

Scores and judgements hold as long as the name is the same, so that two functions may have one name only where people
gave it: a function of a module or class goes by its own. A lambda, a function made in another one and a `partial` have
none that tells them apart, and go by what they do as well: code, defaults and the values that they hold.
"""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from types import CellType, CodeType, FunctionType
from typing import Any, Final, cast

__all__ = ["name_of"]

_PLAIN: Final = (str, bytes, int, float, complex, type(None), type(...))


def name_of(model: object) -> str:
    """By what a model or function can be told from another; no folder and no address is in it.

    What a function calls is not seen, nor what an object holds that a lambda uses: `version=` says that it has changed.
    """
    if isinstance(model, str | Path):
        return Path(model).name if isinstance(model, Path) or Path(model).is_absolute() else model
    if isinstance(model, functools.partial):
        return f"{name_of(cast('functools.partial[Any]', model).func)}({_digest(model)})"
    named = getattr(model, "name", None) or getattr(model, "model", None) or getattr(model, "model_name", None)
    if isinstance(named, str):
        return named
    called = getattr(model, "__qualname__", type(model).__qualname__)
    return f"{called}({_digest(model)})" if isinstance(model, FunctionType) and "<" in called else called


def _digest(function: object) -> str:
    return hashlib.sha256(_written(function, frozenset()).encode("utf-8", "replace")).hexdigest()[:8]


def _written(part: Any, within: frozenset[int]) -> str:
    """A text that is equal, in any process, for what does the same."""
    if isinstance(part, _PLAIN):
        return f"{type(part).__name__} {part!r}"
    if id(part) in within:
        return "itself"
    parts = _parts(part)
    if parts is None:
        return name_of(part)
    written = [_written(each, within | {id(part)}) for each in parts]
    return f"{type(part).__name__}[{', '.join(sorted(written) if isinstance(part, set | frozenset) else written)}]"


def _parts(part: Any) -> list[Any] | None:
    """What it is made of; None: that is not looked at."""
    match part:
        case FunctionType() if "<" in part.__qualname__:
            parts = [part.__code__, part.__defaults__, part.__kwdefaults__, *(part.__closure__ or ())]
        case CodeType():
            parts = [part.co_code, part.co_names, *part.co_consts]
        case CellType():
            parts = _held(part)
        case functools.partial():
            bound = cast("functools.partial[Any]", part)
            parts = [bound.func, bound.args, bound.keywords]
        case dict():
            parts = [each for item in cast("dict[Any, Any]", part).items() for each in item]
        case list() | tuple() | set() | frozenset():
            parts = list(cast("list[Any]", part))
        case _:
            parts = None
    return parts


def _held(cell: CellType) -> list[Any]:
    try:
        return [cell.cell_contents]
    except ValueError:  # not set yet
        return []
