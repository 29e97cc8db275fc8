"""Values to frozen bytes: see `freeze`."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final

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
    encode,
    extension,
)
from shadoweval.codec.instances import State, checked_global, global_name, is_global, reader_of, reduced, said
from shadoweval.errors import TooLargeError, UncopyableError
from shadoweval.records.keys import MAX_BYTES

__all__ = ["freeze", "plain", "quick_object"]

_DEPTH: Final = 64
_SCALARS: Final = frozenset({str, bytes, int, float, bool, type(None)})
_AS_TEXT: Final = frozenset({complex, decimal.Decimal, dt.datetime, dt.date, dt.time, uuid.UUID})
_IMMUTABLE: Final = frozenset({tuple, frozenset, *_AS_TEXT})
"""Whether it is the same one at several places makes no difference."""
_MOST_TYPES: Final = 1_000
_Ext: Final = msgspec.msgpack.Ext

_rebuilt: Final[set[type]] = set()
"""Types of which one came back equal; the others of them are taken to do so."""
_not_rebuilt: Final[dict[type, str]] = {}
"""Types of which one did not, and why."""


def plain(value: Any, *, max_bytes: int = MAX_BYTES) -> Any:
    """`value` as what msgpack carries: a new structure without a reference to any mutable part of it.

    A type that says itself how it is rebuilt (`__reduce__`, `__setstate__`, a constructor that is called again) is
    believed once it has been tried: the first of its values is rebuilt, and has to become the same bytes again, or to
    have nothing but more attributes.

    Raises:
        UncopyableError: some part can't be rebuilt elsewhere; `path` says which.
        TooLargeError: it needs more than `max_bytes`.
    """
    plainer = _Plainer(max_bytes)
    made = plainer(value, "", 0)
    if plainer.repeated:
        plainer = _Plainer(max_bytes, plainer)
        made = plainer(value, "", 0)
    if plainer.untried:
        _try(made, plainer.untried, max_bytes)
    return made


def freeze(value: Any, *, max_bytes: int = MAX_BYTES) -> bytes:
    """`value` as bytes, from which `thaw` rebuilds an equal one. Raises as `plain` does."""
    return encode(plain(value, max_bytes=max_bytes))


def quick_object(value: Any, carried: Callable[[Any], bool]) -> bytes:
    """`freeze(value)` for an object whose state is plain data, by `carried`; empty where it is not, or no such object.

    Raises:
        UncopyableError: it can't be rebuilt elsewhere.
    """
    kind = type(value)
    if kind in _AS_TEXT or is_global(value):
        return b""
    reader = reader_of(kind, "")
    if reader is None:
        return b""
    try:
        state = reader.read(value)
    except Exception as error:  # noqa: BLE001 - the value's own code
        raise UncopyableError("", said(error)) from None
    return encode(_Ext(OBJECT, encode((reader.target, *state)))) if carried([*state]) else b""


def _try(made: Any, untried: Iterable[type], max_bytes: int) -> None:
    """Rebuild a copy; types whose objects come back otherwise are no longer copied."""
    from shadoweval.codec.completed import completes  # noqa: PLC0415 - seldom
    from shadoweval.codec.thawing import thaw  # noqa: PLC0415

    frozen, again, why = encode(made), b"", ""
    try:
        plainer = _Plainer(2 * max_bytes)
        value = thaw(frozen)
        again = plainer(value, "", 0)
        if plainer.repeated:
            again = _Plainer(2 * max_bytes, plainer)(value, "", 0)
        again = encode(again)
        why = "" if again == frozen or completes(frozen, again) else "what it is rebuilt as is not what it was"
    except Exception as error:  # noqa: BLE001 - the code of whatever class it is
        why = f"it can't be rebuilt: {said(error)}"
    for kinds in (_rebuilt, _not_rebuilt):
        if len(kinds) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
            kinds.clear()
    names = sorted(f"{kind.__module__}.{kind.__qualname__}" for kind in untried)
    if why:
        if len(names) == 1:  # else nobody knows which it was
            _not_rebuilt.update(dict.fromkeys(untried, why))
        raise UncopyableError("", f"{' or '.join(names)}: {why}")
    _rebuilt.update(untried)


class _Plainer:
    """Turns a value into what msgpack carries, counting bytes against the cap.

    Args:
        cap: Bytes.
        before: One that went over the same value before, and knows what is at several places in it.
    """

    __slots__ = ("alive", "cap", "first", "left", "numbers", "repeated", "seen", "untried")

    def __init__(self, cap: int, before: _Plainer | None = None) -> None:
        self.cap = self.left = cap
        self.first = before is None
        self.seen: set[int] = set()
        self.repeated: set[int] = set()
        """Identities of what was met more than once."""
        self.numbers: dict[int, int | None] = {} if before is None else dict.fromkeys(before.repeated)
        """Identity of what is at several places -> its number, once it was met."""
        self.alive: list[Any] = [] if before is None else before.alive
        """Made on the way: what takes the place of one of them must not have its identity."""
        self.untried: set[type] = set()

    def spend(self, size: int, path: str) -> None:
        self.left -= size + 1
        if self.left < 0:
            raise TooLargeError(path, cap=self.cap)

    def __call__(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind in _SCALARS:
            return self.scalar(value, path)
        if depth > _DEPTH:
            raise UncopyableError(path, f"nested deeper than {_DEPTH} levels or recursive")
        if kind is _Ext:
            self.spend(len(value.data), path)
            return value
        if kind in _IMMUTABLE:
            return self.immutable(value, path, depth + 1)
        identity = id(value)
        if identity in self.numbers:
            return self.repeat(value, path, depth)
        if identity in self.seen and self.first:
            self.repeated.add(identity)
            return None  # all is gone over once more, see `plain`
        self.seen.add(identity)
        return self.mutable(value, path, depth + 1)

    def scalar(self, value: Any, path: str) -> Any:
        kind = type(value)
        if kind is str:
            self.spend(len(value), path)
            return value if value.isascii() else _readable(value)
        if kind is bytes:
            self.spend(len(value), path)
        elif kind is int and not -(2**63) <= value < 2**64:
            self.spend(value.bit_length() // 4, path)
            return extension(TEXT, ["hex", hex(value)])
        else:
            self.spend(8, path)
        return value

    def immutable(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind is tuple:
            return extension(TUPLE, [self(part, path, depth) for part in value])
        if kind is frozenset:
            return self.members(FROZENSET, value, path=path, depth=depth)
        self.spend(32, path)
        if kind in {dt.datetime, dt.time}:
            return self.time(value, path, depth)
        return extension(TEXT, [kind.__name__, value.isoformat() if kind is dt.date else str(value)])

    def time(self, value: dt.datetime | dt.time, path: str, depth: int) -> Any:
        """Its text has no zone's name, only how far it is from UTC, and no `fold`."""
        text, zone = [type(value).__name__, value.isoformat()], value.tzinfo
        if value.fold or (zone is not None and zone is not dt.UTC):
            return extension(TEXT, [*text, value.fold, self(zone, path, depth)])
        return extension(TEXT, text)

    def repeat(self, value: Any, path: str, depth: int) -> Any:
        """What is at several places: what it is at the first, its number at the others."""
        number = self.numbers[id(value)]
        self.spend(8, path)
        if number is not None:
            return extension(REFERENCE, number)
        number = self.numbers[id(value)] = len(self.seen)  # as many are there, of which each has another
        self.seen.add(id(value))
        return extension(SHARED, [number, _Ext(LATER, encode(self.mutable(value, path, depth + 1)))])

    def mutable(self, value: Any, path: str, depth: int) -> Any:
        kind = type(value)
        if kind is dict:
            return self.mapping(value.items(), path, depth=depth)
        if kind is list:
            return [self(part, path, depth) for part in value]
        if kind is set:
            return self.members(SET, value, path=path, depth=depth)
        return self.instance(value, path, depth)

    def mapping(self, items: Iterable[tuple[Any, Any]], path: str, *, depth: int) -> Any:
        pairs = [(self(key, path, depth), self(part, _inside(path, key), depth)) for key, part in items]
        if any(type(key) not in _SCALARS for key, _ in pairs):
            return extension(PAIRS, [list(pair) for pair in pairs])
        return dict(pairs)

    def members(self, code: int, value: Any, *, path: str, depth: int) -> Any:
        """In an order that is the same in every process."""
        return extension(code, sorted((self(part, path, depth) for part in value), key=encode))

    def instance(self, value: Any, path: str, depth: int) -> Any:
        kind: Any = type(value)
        if is_global(value):
            return extension(GLOBAL, global_name(value, path))
        if kind is object or hasattr(kind, "__next__"):
            why = "is only itself" if kind is object else "can be read only once"
            raise UncopyableError(path, f"a {kind.__module__}.{kind.__qualname__} {why}")
        reader = reader_of(kind, path)
        if reader is None:
            return self.reduced(value, path, depth)
        return self.object(reader, value, path=path, depth=depth)

    def object(self, reader: State, value: Any, *, path: str, depth: int) -> Any:
        try:
            state = reader.read(value)
        except Exception as error:  # noqa: BLE001 - the value's own code, or a field that was never set
            raise UncopyableError(path, said(error)) from None
        self.alive.append(state)
        self.spend(len(reader.target), path)
        return extension(OBJECT, [reader.target, *(self.attributes(part, path, depth) for part in state)])

    def attributes(self, state: Any, path: str, depth: int) -> Any:
        """A state is its object's own: nobody else has that very mapping."""
        return self.mapping(state.items(), path, depth=depth) if type(state) is dict else self(state, path, depth)

    def reduced(self, value: Any, path: str, depth: int) -> Any:
        kind: Any = type(value)
        if kind in _not_rebuilt:
            raise UncopyableError(path, f"{kind.__module__}.{kind.__qualname__}: {_not_rebuilt[kind]}")
        parts = reduced(value, path, most=self.left)
        if isinstance(parts, str):
            return extension(GLOBAL, checked_global(parts, value, path))
        self.alive.append(parts)
        if kind not in _rebuilt:
            self.untried.add(kind)
        make, args, *rest = parts
        name = global_name(make, path)
        self.spend(len(name), path)
        arguments = [self(part, path, depth) for part in args]
        return extension(REDUCED, [name, arguments, self.rest(rest, path, depth)])

    def rest(self, rest: list[Any], path: str, depth: int) -> Any:
        """State, items, pairs and setter; None: there are none."""
        state, items, pairs, setter = rest
        if state is None and items is None and pairs is None:
            return None
        parts = [
            None if state is None else self.attributes(state, path, depth),
            None if items is None else [self(item, path, depth) for item in items],
            None if pairs is None else [[self(k, path, depth), self(v, _inside(path, k), depth)] for k, v in pairs],
            None if setter is None else self(setter, path, depth),
        ]
        return _Ext(LATER, encode(parts))


def _readable(text: str) -> Any:
    """The text; one with half characters, which msgpack refuses, as its bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return extension(TEXT, ["str", text.encode("utf-8", "surrogatepass")])
    return text


def _inside(path: str, key: Any) -> str:
    """Where the value of a key is; a key of another type may say anything of itself."""
    return f"{path}[{key!r}]" if type(key) in _SCALARS else f"{path}[{type(key).__name__}]"
