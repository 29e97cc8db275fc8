"""What a tool call leaves beside its result, so that a replay leaves it too.

Arguments that the tool changed, what a message has besides its content, and what an exception was raised from.
`ToolCall.beside` holds it by kind and name, `{"changed": {"rows": [1, 2]}}`; what could not be kept is named under
`MISSING`, and a call that is replayed without it counts as made up.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import UNCOPYABLE, argument_data, encode, packed
from shadoweval.errors import TooLargeError, UncopyableError

__all__ = ["CHANGED", "MESSAGE", "RAISED", "changed_as", "rebuilt", "watched", "written"]

CHANGED: Final = "changed"
"""Arguments that the tool changed, as they were after the call."""
MESSAGE: Final = "message"
"""Fields of a message that the tool answered with, besides its content and the id of its call."""
RAISED: Final = "raised"
"""What an exception was raised from, see `raised.chain_of`."""
MISSING: Final = "missing"
"""Names of what can't be copied."""

_FIXED: Final = frozenset({str, int, float, bool, type(None), bytes})
_MARK: Final = UNCOPYABLE.encode()
_LARGEST: Final = 1 << 16
"""Bytes of an argument that is no data, such as a table, up to which it is looked at for changes."""
_DEPTH: Final = 64
_NO_SLOTS: Final = frozenset({"__dict__", "__weakref__"})
_decode: Final = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode
_strange: Final[set[type]] = set()
"""Types whose objects can't be copied: they are not tried anew at each call."""
_MOST_TYPES: Final = 1_000


class Watched(bytes):
    """A call's arguments as `argument_data` gives them, with the objects themselves, which the tool may change."""

    objects: Mapping[str, Any]
    states: dict[str, Any]
    """Of those that are no data, what they were before."""

    def left_by(self) -> dict[str, Any]:
        """What the tool changed."""
        now = argument_data(self.objects)
        names = set[str]()
        if now != self:
            before, after = _decode(self), _decode(now)
            names = {name for name in self.objects if before.get(name) != after.get(name)}
        names.update(name for name, state in self.states.items() if _state(self.objects[name]) != state)
        return {CHANGED: {name: self.objects[name] for name in self.objects if name in names}} if names else {}


def watched(raw: bytes, arguments: Mapping[str, Any]) -> bytes:
    """Encoded arguments, `Watched` where a tool could change one of them."""
    if not arguments or _FIXED.issuperset(map(type, arguments.values())):
        return raw
    watch = Watched(raw)
    watch.objects = arguments
    watch.states = {}
    if _MARK in raw:
        watch.states = {name: _state(value) for name, value in arguments.items() if type(value) not in _FIXED}
    return watch


def _state(value: Any) -> Any:
    """What tells whether an object that is no data was changed: its copy; of what has none its length, if any."""
    kind = type(value)
    if kind not in _strange:
        try:
            return codec.freeze(value, max_bytes=_LARGEST)
        except Exception as error:  # noqa: BLE001 - the value's own code
            if not isinstance(error, TooLargeError):
                if len(_strange) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
                    _strange.clear()
                _strange.add(kind)
    try:
        return len(value)
    except Exception:  # noqa: BLE001 - as above
        return None


def written(beside: Mapping[str, Any], max_bytes: int) -> bytes:
    """What a call left beside its result, encoded; what can't be copied, or is too large, is named as missing."""
    parts: dict[str, Any] = {}
    missing: list[str] = list(beside.get(MISSING, ()))
    for kind, named in beside.items():
        if kind == MISSING:
            continue
        for name, value in named.items():
            try:
                raw = packed(value, max_bytes)
            except (UncopyableError, UnicodeError, RecursionError):
                missing.append(name)
            else:
                max_bytes -= len(raw)
                parts.setdefault(kind, {})[name] = msgspec.Raw(raw)
    return encode({**parts, MISSING: missing} if missing else parts)


def rebuilt(beside: Mapping[str, Any]) -> dict[str, Any]:
    """What `written` wrote, with its objects; only in the guarded child, since it imports classes by name."""
    try:
        return codec.thaw(packed(beside, codec.MAX_BYTES))
    except Exception as error:  # noqa: BLE001 - the code of a class of the tool's, or its module is not there
        return {MISSING: [type(error).__name__]}


def changed_as(beside: Mapping[str, Any], arguments: Mapping[str, Any]) -> bool:
    """Change a call's arguments as the recorded call did; False: not all of them can be."""
    changed: Mapping[str, Any] = beside.get(CHANGED, {})
    try:
        done = [name in arguments and _become(arguments[name], new, []) for name, new in changed.items()]
    except Exception:  # noqa: BLE001 - the code of whatever class it is
        return False
    return all(done)


def _become(old: Any, new: Any, above: list[int]) -> bool:
    """Make a mutable object equal to another one, in place, since others may hold it; False: it can't be."""
    kind: Any = type(old)
    if old is new or id(old) in above:
        return True
    if kind is not type(new) or len(above) > _DEPTH:
        return False
    within = [*above, id(old)]
    if isinstance(old, dict):
        parts = {key: _part(old.get(key), part, within) for key, part in new.items()}
        cast("dict[Any, Any]", old).clear()
        old.update(parts)
    elif isinstance(old, list | deque):
        olds: list[Any] = [*old, *[None] * len(new)]
        parts = [_part(one, part, within) for one, part in zip(olds, new, strict=False)]
        cast("list[Any]", old).clear()
        cast("list[Any]", old).extend(parts)
    elif isinstance(old, set):
        cast("set[Any]", old).clear()
        old.update(new)
    elif isinstance(old, bytearray):
        old[:] = new
    elif isinstance(old, tuple):
        pairs = zip(cast("tuple[Any, ...]", old), new, strict=False)
        done = [_become(one, part, within) for one, part in pairs]
        return len(old) == len(new) and all(done)
    elif hasattr(kind, "dtype") and hasattr(kind, "nbytes"):
        if old.shape != new.shape or old.dtype != new.dtype:
            return False
        old[...] = new
    else:
        return _become_object(old, new, within)
    return True


def _part(old: Any, new: Any, above: list[int]) -> Any:
    """The part itself where it can be made equal to the new one, which else takes its place."""
    return old if type(old) not in _FIXED and _become(old, new, above) else new


def _become_object(old: Any, new: Any, above: list[int]) -> bool:
    kind: Any = type(old)
    slots = [name for base in kind.__mro__ for name in _names(base.__dict__.get("__slots__", ()))]
    attributes = getattr(old, "__dict__", None)
    if attributes is None and not slots:
        return bool(old == new)
    if type(attributes) is dict:
        own = hasattr(kind, "__setstate__") and not hasattr(kind, "model_fields")  # parts are what only it knows
        parts = {name: part if own else _part(attributes.get(name), part, above) for name, part in vars(new).items()}
        attributes.clear()
        attributes.update(parts)
    for name in slots:
        if hasattr(new, name):
            object.__setattr__(old, name, getattr(new, name))
        elif hasattr(old, name):
            object.__delattr__(old, name)
    return True


def _names(slots: Any) -> list[str]:
    return [name for name in ([slots] if isinstance(slots, str) else slots) if name not in _NO_SLOTS]
