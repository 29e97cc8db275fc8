"""Frozen bytes to the values that they were, classes by name: see `thaw`."""

from __future__ import annotations

import dataclasses
import enum
import importlib
from collections.abc import Callable
from typing import Any, Final, cast

import msgspec

from shadoweval.codec.extensions import (
    FROZENSET,
    GLOBAL,
    LATER,
    OBJECT,
    PAIRS,
    REDUCED,
    REFERENCE,
    SET,
    SHARED,
    TEXT,
    TUPLE,
    decode_raw,
    read_text,
)
from shadoweval.errors import CorruptFrameError

__all__ = ["thaw"]

_Ext: Final = msgspec.msgpack.Ext
_MODEL: Final = 4
"""Parts of the state of a pydantic model that says more than its attributes."""


def thaw(frozen: bytes) -> Any:
    """Rebuild what `freeze` wrote: import what it names, and call it, as `pickle.loads` does.

    For a process that contains a candidate, and for what this process froze; everybody else reads it as `data`.

    Raises:
        CorruptFrameError: bytes that `freeze` did not write.
        Exception: a class that can't be found in this process, or that can't be rebuilt from what it gave itself.
    """
    try:
        try:
            return _decode_simple(frozen)
        except _NotSimpleError:
            return _Thawing().decode(frozen)
    except (msgspec.DecodeError, RecursionError) as error:
        raise CorruptFrameError(str(error), frame=frozen) from error


def _global_of(name: str) -> Any:
    """The class or function of `"module:qualname"`, imported."""
    module, _, qualname = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualname.split("."):
        found = getattr(found, part)
    return found


class _Thawing:
    """One frozen value on its way back. What several places share is made once."""

    def __init__(self) -> None:
        self.shared: dict[int, Any] = {}
        self.decode = msgspec.msgpack.Decoder(ext_hook=self.hook, strict=True).decode

    def hook(self, code: int, content: memoryview) -> Any:
        """What an extension stands for."""
        if code == LATER:
            return bytes(content)
        if code in {OBJECT, REDUCED}:
            return self.instance(code, bytes(content), None)
        if code == SHARED:
            number, later = self.decode(content)
            return self.first_of_several(number, decode_raw(later))
        parts = self.decode(content)
        if code == REFERENCE:
            return self.shared[parts]
        simple = _SIMPLE.get(code)
        if simple is None:
            raise CorruptFrameError(f"unknown extension {code}")
        return simple(parts)

    def first_of_several(self, number: int, raw: Any) -> Any:
        """It is known by its number before its parts are, since they may refer to it."""
        if type(raw) is list:
            made: Any = []
            self.shared[number] = made
            made += [self.built(part) for part in cast("list[Any]", raw)]
        elif type(raw) is dict:
            made = self.shared[number] = {}
            made.update((self.built(key), self.built(part)) for key, part in cast("dict[Any, Any]", raw).items())
        elif raw.code == SET:
            made = self.shared[number] = set()
            made.update(map(self.built, decode_raw(raw.data)))
        elif raw.code == PAIRS:
            made = self.shared[number] = {}
            made.update((self.built(key), self.built(part)) for key, part in decode_raw(raw.data))
        elif raw.code in {OBJECT, REDUCED}:
            made = self.instance(raw.code, raw.data, number)
        else:
            made = self.shared[number] = self.hook(raw.code, memoryview(raw.data))
        return made

    def built(self, raw: Any) -> Any:
        """The value of what was decoded with its extensions as they are."""
        if type(raw) is _Ext:
            return self.hook(raw.code, memoryview(raw.data))
        if type(raw) is list:
            return [self.built(part) for part in cast("list[Any]", raw)]
        if type(raw) is dict:
            return {self.built(key): self.built(part) for key, part in cast("dict[Any, Any]", raw).items()}
        return raw

    def instance(self, code: int, content: bytes, number: int | None) -> Any:
        """An object; where it has a number it is known by it before its state is read."""
        if code == REDUCED:
            make, args, later = self.decode(content)
            made = _global_of(make)(*args)
            self._number(number, made)
            if later is not None:
                _complete(made, *self.decode(later))
            return made
        raw = decode_raw(content)
        kind: Any = _global_of(raw[0])
        if not isinstance(kind, type):
            raise CorruptFrameError(f"{raw[0]!r} is no class")
        if issubclass(kind, enum.Enum | msgspec.Struct):
            state = self.built(raw[1])
            made: Any = kind(state) if issubclass(kind, enum.Enum) else kind(**state)
            self._number(number, made)
            return made
        made = object.__new__(kind)
        self._number(number, made)
        _set_attributes(made, [self.built(part) for part in raw[1:]])
        return made

    def _number(self, number: int | None, made: Any) -> None:
        if number is not None:
            self.shared[number] = made


def _set_attributes(made: Any, parts: list[Any]) -> None:
    kind, state = type(made), parts[0]
    if hasattr(kind, "__pydantic_fields__") and hasattr(kind, "__setstate__"):
        names, extra, private = parts[1:] if len(parts) == _MODEL else (state, None, None)
        made.__setstate__(
            {
                "__dict__": state,
                "__pydantic_fields_set__": set(names),
                "__pydantic_extra__": extra,
                "__pydantic_private__": private,
            }
        )
    elif dataclasses.is_dataclass(kind) and hasattr(kind, "__setstate__"):  # frozen, with slots
        made.__setstate__([state[field.name] for field in dataclasses.fields(kind)])
    elif hasattr(made, "__dict__"):
        made.__dict__.update(state)
    else:
        for name, part in state.items():
            object.__setattr__(made, name, part)


def _complete(made: Any, state: Any, items: Any, pairs: Any, setter: Any) -> None:  # noqa: PLR0917 - as `pickle` has them
    """What `pickle` does after it has made an object: items, then its state."""
    if items is not None:
        extend = getattr(made, "extend", None)
        if extend is not None:
            extend(items)
        else:
            for item in items:
                made.append(item)
    for key, part in pairs or ():
        made[key] = part
    if setter is not None:
        setter(made, state)
    elif state is not None:
        _set_state(made, state)


def _set_state(made: Any, state: Any) -> None:
    if hasattr(made, "__setstate__"):
        made.__setstate__(state)
        return
    attributes, slots = (
        state if isinstance(state, tuple) and len(cast("tuple[Any, ...]", state)) == 2 else (state, None)
    )
    if attributes:
        made.__dict__.update(attributes)
    for name, part in (slots or {}).items():
        setattr(made, name, part)


_SIMPLE: Final[dict[int, Callable[[Any], Any]]] = {
    TUPLE: tuple,
    SET: set,
    FROZENSET: frozenset,
    TEXT: lambda parts: read_text(parts, exact=True),
    PAIRS: dict,
    GLOBAL: _global_of,
}


class _NotSimpleError(Exception):
    """An object, or what several places share."""


def _simple(code: int, content: memoryview) -> Any:
    make = _SIMPLE.get(code)
    if make is None:
        raise _NotSimpleError
    return make(_decode_simple(content))


# Most arguments are a text or a few: a decoder for each of them would cost more than the decoding.
_decode_simple: Final = msgspec.msgpack.Decoder(ext_hook=_simple, strict=True).decode
