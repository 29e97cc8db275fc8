"""How an object is written: what rebuilds it, by name, and its state, as its own reduce protocol gives them."""

from __future__ import annotations

import copyreg
import dataclasses
import enum
import sys
import types
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from shadoweval.errors import TooLargeError, UncopyableError

__all__ = ["State", "checked_global", "global_name", "is_global", "made_error", "reader_of", "reduced", "said"]

REDACTED: Final = "[REDACTED]"
"""Stands for what a `SecretStr` or its like holds."""

_MOST_TYPES: Final = 1_000
_GLOBALS: Final = (type, types.FunctionType, types.BuiltinFunctionType)
_PARTS: Final = 6
"""Most parts that a reduce protocol has (`pickle`, `object.__reduce__`)."""


class State:
    """A type whose objects are made without their constructor: its name, and what reads an object's state."""

    __slots__ = ("read", "target")

    def __init__(self, target: str, read: Callable[[Any], tuple[Any, ...]]) -> None:
        self.target, self.read = target, read


class Reduced(tuple[Any, ...]):
    """Callable, arguments, state, items, pairs and setter."""

    __slots__ = ()


_readers: Final[dict[type, State | None]] = {}
"""Type -> what reads it; None: by its own `__reduce_ex__`."""


def reader_of(kind: type, path: str) -> State | None:
    """What reads the objects of a type; None: its `__reduce_ex__`, see `reduced`.

    Raises:
        UncopyableError: no other process can import it.
    """
    if kind in _readers:
        return _readers[kind]
    if len(_readers) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
        _readers.clear()
    reader = _readers[kind] = _reader(kind, path)
    return reader


def _reader(kind: Any, path: str) -> State | None:
    read = _reading(kind)
    return None if read is None else State(global_name(kind, path), read)


def _reading(kind: Any) -> Callable[[Any], tuple[Any, ...]] | None:
    """What reads the state of an object that is rebuilt out of nothing else."""
    if hasattr(kind, "get_secret_value"):
        return _redacted
    if kind in copyreg.dispatch_table:
        return None
    if issubclass(kind, enum.Enum) and kind.__reduce_ex__ is enum.Enum.__reduce_ex__:
        return lambda value: (value._value_,)
    if issubclass(kind, msgspec.Struct) and kind.__reduce__ is msgspec.Struct.__reduce__:
        return _attributes(kind.__struct_fields__)
    return _state_of_object(kind) if _made_by_object(kind) else None


def _state_of_object(kind: Any) -> Callable[[Any], tuple[Any, ...]] | None:
    if kind.__getstate__ is object.__getstate__ and not hasattr(kind, "__setstate__") and _only_a_dict(kind):
        return lambda value: (value.__dict__,)
    if _is_model(kind):
        return _model_state
    if dataclasses.is_dataclass(kind) and _made_by_dataclasses(kind.__getstate__):  # frozen, with slots
        return _attributes(field.name for field in dataclasses.fields(kind))
    return None


def _made_by_dataclasses(method: Any) -> bool:
    return getattr(method, "__module__", "") == "dataclasses"  # what C has made has no module


def _attributes(names: Iterable[str]) -> Callable[[Any], tuple[dict[str, Any]]]:
    names = tuple(names)
    return lambda value: ({name: getattr(value, name) for name in names},)


def _made_by_object(kind: Any) -> bool:
    """Whether its objects are rebuilt as `object.__reduce_ex__` says, out of nothing but their state."""
    return (
        kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is object.__reduce__
        and kind.__new__ is object.__new__
        and not hasattr(kind, "__getnewargs__")
        and not hasattr(kind, "__getnewargs_ex__")
    )


def _only_a_dict(kind: Any) -> bool:
    # What the C library makes has state of its own.
    return bool(kind.__dictoffset__) and all(
        base is object or (base.__flags__ & _HEAP_TYPE and not base.__dict__.get("__slots__")) for base in kind.__mro__
    )


_HEAP_TYPE: Final = 1 << 9  # Py_TPFLAGS_HEAPTYPE


def _is_model(kind: Any) -> bool:
    """A pydantic model that keeps its state as pydantic does; pydantic itself is not imported here."""
    base = next((b for b in kind.__mro__ if b.__module__ == "pydantic.main" and b.__name__ == "BaseModel"), None)
    return base is not None and kind.__getstate__ is base.__getstate__ and kind.__setstate__ is base.__setstate__


def _model_state(value: Any) -> tuple[Any, ...]:
    fields, state = value.__dict__, value.__getstate__
    names, extra, private = value.__pydantic_fields_set__, value.__pydantic_extra__, value.__pydantic_private__
    if private:
        private = state()["__pydantic_private__"]  # without what is undefined
    if not extra and private is None and len(names) == len(fields) and names.issuperset(fields):
        return (fields,)
    return fields, sorted(names), extra, private


def _redacted(value: Any) -> tuple[Any, ...]:
    hidden = value.get_secret_value()
    return ({"_secret_value": REDACTED.encode() if isinstance(hidden, bytes) else REDACTED},)


def is_global(value: Any) -> bool:
    """Whether it is copied as its name: a class, a function of a module."""
    return isinstance(value, _GLOBALS)


def global_name(value: Any, path: str) -> str:
    """`"module:qualname"` of a class or function, under which it is found in a process that imports the module.

    Raises:
        UncopyableError: it is not found there.
    """
    qualname: str = getattr(value, "__qualname__", "") or value.__class__.__name__
    module = getattr(value, "__module__", None) or _module_of_owner(value)
    return checked_global(f"{module}:{qualname}", value, path)


def checked_global(name: str, value: Any, path: str) -> str:
    """The name, where it is the value's. Raises as `global_name` does."""
    module, _, qualname = name.partition(":")
    if "<" in qualname or module == "__main__":
        raise UncopyableError(path, f"{qualname!r} can't be imported by another process")
    place: Any = sys.modules.get(module)
    try:
        for part in qualname.split("."):
            place = getattr(place, part)
    except AttributeError:
        place = None
    if place is not value and not (isinstance(value, types.BuiltinFunctionType) and place == value):
        raise UncopyableError(path, f"{module}.{qualname} is another one, or can't be imported by another process")
    return name


def _module_of_owner(value: Any) -> str:
    """Of a method of a class that is written in C."""
    return getattr(getattr(value, "__self__", None), "__module__", None) or "builtins"


def reduced(value: Any, path: str, *, most: int) -> Reduced | str:
    """What an object's `__reduce_ex__` gives; a text is the name of a global.

    Raises:
        UncopyableError: it can't be rebuilt, in its own words.
    """
    kind: Any = type(value)
    reduce = copyreg.dispatch_table.get(kind)
    try:
        size = value.nbytes if hasattr(kind, "nbytes") else 0
        fits = type(size) is not int or size <= most  # else it would be written out in vain
        reduce = reduce or (_reduced_error if _is_plain_error(kind) else None)
        parts: Any = (value.__reduce_ex__(4) if reduce is None else reduce(value)) if fits else None
    except Exception as error:  # noqa: BLE001 - the value's own code
        raise UncopyableError(path, f"a {kind.__module__}.{kind.__qualname__} can't be copied: {said(error)}") from None
    if not fits:
        raise TooLargeError(path, cap=most)
    if isinstance(parts, str):
        return f"{getattr(value, '__module__', None) or kind.__module__}:{parts}"
    if not isinstance(parts, tuple) or not 2 <= len(parts) <= _PARTS or not callable(parts[0]):  # pyright: ignore[reportUnknownArgumentType]
        raise UncopyableError(path, f"{kind.__module__}.{kind.__qualname__}.__reduce_ex__ gives no way to rebuild it")
    return Reduced((*parts, *(None,) * (_PARTS - len(parts))))


def made_error(kind: Any, *args: Any) -> BaseException:
    """An exception as its builtin base makes it: the constructor of its class may want other arguments than `args`."""
    error: BaseException = kind.__new__(kind, *args)
    _builtin_base(kind).__init__(error, *args)
    return error


def _builtin_base(kind: Any) -> Any:
    return next(base for base in kind.__mro__ if not base.__flags__ & _HEAP_TYPE)


def _reduced_error(error: Any) -> Any:
    _, args, *state = error.__reduce__()
    return made_error, (type(error), *args), *state


def _is_plain_error(kind: Any) -> bool:
    """Whether it is an exception that leaves it to its builtin base how it is made and reduced."""
    return (
        issubclass(kind, BaseException)
        and bool(kind.__flags__ & _HEAP_TYPE)
        and kind.__reduce_ex__ is object.__reduce_ex__
        and kind.__reduce__ is _builtin_base(kind).__reduce__
        and isinstance(kind.__new__, types.BuiltinFunctionType)
    )


def said(error: BaseException) -> str:
    """What an error of a value's own code says, if it can be had."""
    try:
        return f"{type(error).__name__}: {error}"
    except Exception:  # noqa: BLE001 - its class's own code too
        return type(error).__name__
