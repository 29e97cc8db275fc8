"""What a pipeline returns and its caller consumes later: streams, futures, responses with a body to come.

What holds one of them directly is among it (`{"answer": stream, "sources": [...]}`). `parts_of` finds them without
touching them; whoever watches or consumes them puts others in their place by `substituted`. How a type is consumed is
read off its class, once.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import sys
import types
from collections.abc import AsyncGenerator, AsyncIterable, Generator, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from enum import Enum
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec

from shadoweval.capture.outcomes import ATOMS, records, settled, settled_types
from shadoweval.errors import UncopyableError

__all__ = ["Part", "astepped", "parts_of", "refuse_parts", "stepped", "substituted", "unwatchable"]

Manner = Literal[
    "data", "fields", "generator", "async generator", "coroutine", "future", "iterator", "async iterator", "awaitable",
    "stream", "response", "download", "file", "context", "async context",
]  # fmt: skip
"""How a value is consumed. `data` is no more to come; `fields`: what lies in it may be. `stream`: one of an SDK
(`_SDKS`), which hands on what the generator in its attribute `_iterator` gives."""

_DATA: Final = (
    str, bytes, bytearray, memoryview, int, float, complex, Mapping, Sequence, AbstractSet, Enum, BaseException, type,
)  # fmt: skip
_FIELDS: Final = ("__dataclass_fields__", "model_fields", "__struct_fields__", "__attrs_attrs__")
"""What classes of records have: dataclasses, pydantic's, msgspec's and attrs'."""
_CLASSES: Final[Mapping[str, Manner]] = {
    "starlette.responses:Response": "response",
    "django.http.response:HttpResponseBase": "response",
    "werkzeug.sansio.response:Response": "response",
    "aiohttp.web_response:StreamResponse": "response",
    "_asyncio:Future": "future",
    "asyncio.futures:Future": "future",
    "concurrent.futures._base:Future": "future",
}
_SDKS: Final = frozenset({"openai", "anthropic"})
_TRAITS: Final[tuple[tuple[str, Manner], ...]] = (
    ("add_done_callback", "awaitable"),
    ("__next__", "iterator"),
    ("__anext__", "async iterator"),
    ("__await__", "awaitable"),
    ("iter_content", "download"),
    ("iter_bytes", "download"),
    ("readinto", "file"),
    ("readlines", "file"),
    ("__aiter__", "async iterator"),
    ("__enter__", "context"),
    ("__aenter__", "async context"),
)
"""Methods that say how a value is consumed, the most telling first."""
_KINDS: Final[Mapping[type, Manner]] = {
    types.GeneratorType: "generator",
    types.AsyncGeneratorType: "async generator",
    types.CoroutineType: "coroutine",
    **dict.fromkeys((dict, list, tuple), "fields"),
}
_MOST_TYPES: Final = 1_000
_STREAMS: Final = frozenset(
    {"generator", "async generator", "coroutine", "future", "iterator", "async iterator", "stream", "response"}
)
_DEPTH: Final = 2
_DEEPEST: Final = 20


class Part(NamedTuple):
    """Something in a value that is consumed later, the value itself perhaps."""

    manner: Manner
    value: Any


def parts_of(value: Any) -> list[Part]:
    """Everything in a value that its caller consumes later.

    Raises:
        UncopyableError: a class in it can't be looked up.
    """
    return [] if settled(value) else _parts(value, _DEPTH)


def _parts(value: Any, depth: int, *, objects: bool = False) -> list[Part]:
    """`objects`: look into those of classes without declared fields as well."""
    parts: list[Part] = []
    try:
        _collect(value, parts, depth, objects=objects)
    except TypeError as error:
        raise UncopyableError("the returned value", f"a class in it can't be looked up: {error}") from error
    return parts


def _collect(value: Any, parts: list[Part], depth: int, *, objects: bool) -> None:
    kind = type(value)
    manner = _manner(kind)
    if manner not in {"data", "fields"}:
        if manner in {"iterator", "async iterator"} and _hands_on_a_generator(value):
            manner = "stream"
        if all(part.value is not value for part in parts):
            parts.append(Part(manner, value))
        return
    if len(settled_types) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
        settled_types.difference_update([each for each in settled_types if each.__module__ != "builtins"])
        records.clear()
    settled_types.add(kind)
    if manner == "fields" and hasattr(value, "__dict__") and not issubclass(kind, dict | list | tuple):
        records.add(kind)
    if depth > 0 and (manner == "fields" or (objects and not issubclass(kind, _DATA))):
        known = settled_types if depth == 1 else ATOMS  # of those at the bottom only the class is looked at
        for _, member in _members(value):
            if type(member) not in known:
                _collect(member, parts, depth - 1, objects=objects)


def _hands_on_a_generator(value: Any) -> bool:
    """Whether it is the stream of an SDK; what others keep in an attribute of that name is their own."""
    if _SDKS.isdisjoint(base.__module__.partition(".")[0] for base in type(value).__mro__):
        return False
    return isinstance(vars(value).get("_iterator"), types.GeneratorType | types.AsyncGeneratorType)


def _members(value: Any) -> Iterable[tuple[Any, Any]]:
    """What lies directly in a value, by key, index or name; nothing of a list of atoms, which may be long."""
    if isinstance(value, dict):
        return cast("dict[Any, Any]", value).items()
    if isinstance(value, list | tuple):
        members = cast("Sequence[Any]", value)
        return () if ATOMS.issuperset(map(type, members)) else enumerate(members)
    named = getattr(value, "__dict__", None)
    if named is not None:
        return named.items()
    kind = type(value)
    names = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", None)
    names = names or [field.name for field in getattr(kind, "__attrs_attrs__", ())] or _slots(kind)
    return [(name, getattr(value, name)) for name in names if hasattr(value, name)]


def _slots(kind: type) -> list[str]:
    return [name for base in kind.__mro__ for name, of in vars(base).items() if type(of) is types.MemberDescriptorType]


@functools.lru_cache(maxsize=_MOST_TYPES)
def _manner(kind: type) -> Manner:
    if kind in _KINDS:
        return _KINDS[kind]
    if issubclass(kind, dict | list | tuple) or any(hasattr(kind, name) for name in _FIELDS):
        return "fields"
    if issubclass(kind, _DATA) or hasattr(kind, "__fspath__"):
        return "data"
    for base in kind.__mro__:
        named = _CLASSES.get(f"{base.__module__}:{base.__qualname__}")
        if named is not None:
            return named
    for name, manner in _TRAITS:
        if hasattr(kind, name):
            return manner
    return "iterator" if _only_iterates(kind) else "data"


def _only_iterates(kind: type) -> bool:
    """Whether it can be gone through, and does not know how long it is: its chunks are made on the way."""
    return hasattr(kind, "__iter__") and not hasattr(kind, "__len__") and not hasattr(kind, "__array__")


def refuse_parts(value: Any, *, objects: bool) -> None:
    """Nothing, of a value in which nothing is to come, however deep; for values that can't be copied.

    `objects`: nor is a stream held by an object in it; what else objects hold, a lock or a client, is their own.

    Raises:
        UncopyableError: something is, where nobody can watch it.
    """
    with contextlib.suppress(RecursionError):
        for part in _parts(value, _DEEPEST):
            raise unwatchable(part.value)
        for part in _parts(value, _DEPTH, objects=True) if objects else ():
            if part.manner in _STREAMS:
                raise unwatchable(part.value)


def substituted(value: Any, others: Mapping[int, Any], *, fresh: bool, depth: int = _DEPTH) -> Any:
    """A value with others in the place of its parts, which are named by `id`.

    What can be changed is changed in place, so that it stays the same object; `fresh`: nothing is, it is copied. It is
    looked into as deep as `parts_of` looks.

    Raises:
        UncopyableError: a tuple of a class of its own, which can't be made anew.
    """
    if id(value) in others:
        return others[id(value)]
    members = _members(value) if depth and _manner(type(value)) == "fields" else ()
    changes: dict[Any, Any] = {}
    for key, member in members:
        if id(member) in others:
            changes[key] = others[id(member)]
        elif depth > 1 and type(member) not in ATOMS:
            other = substituted(member, others, fresh=fresh, depth=depth - 1)
            if other is not member:
                changes[key] = other
    if not changes:
        return value
    if isinstance(value, tuple):
        return _tuple_with(cast("tuple[Any, ...]", value), changes)
    target = copy.copy(value) if fresh else value
    for key, other in changes.items():
        _put(target, key, other)
    return target


def _put(target: Any, key: Any, other: Any) -> None:
    if isinstance(target, dict | list):
        cast("dict[Any, Any]", target)[key] = other
    elif isinstance(target, msgspec.Struct):
        msgspec.structs.force_setattr(target, key, other)
    elif "__dict__" in dir(type(target)) or hasattr(target, "__dict__"):
        vars(target)[key] = other  # neither validated nor refused, should the class be frozen
    else:
        object.__setattr__(target, key, other)


def _tuple_with(value: tuple[Any, ...], changes: Mapping[int, Any]) -> Any:
    members = [changes.get(index, member) for index, member in enumerate(value)]
    if type(value) is tuple:
        return tuple(members)
    if hasattr(value, "_make"):
        return cast("Any", value)._make(members)
    raise UncopyableError("the returned value", f"nothing can be put into a {type(value).__name__}")


def unwatchable(value: Any) -> UncopyableError:
    """What is said of a returned value that nobody can watch while its caller consumes it."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    why = (
        f"its caller consumes the {name} later, which nobody can watch without changing it; "
        "mirror the generator that makes its chunks, or return one"
    )
    return UncopyableError("the returned value", why)


def stepped(value: Any) -> Generator[Any, Any, Any]:
    """A generator over an iterator or iterable that is none, closed with it."""
    if isinstance(value, types.GeneratorType):
        return cast("Generator[Any, Any, Any]", value)
    return _each(value)


def _each(chunks: Any) -> Generator[Any, None, None]:
    yield from iter(chunks)


def astepped(value: Any) -> AsyncGenerator[Any, Any]:
    """As `stepped`, of an async iterator or iterable."""
    if isinstance(value, types.AsyncGeneratorType):
        return cast("AsyncGenerator[Any, Any]", value)
    return _aeach(value)


async def _aeach(chunks: AsyncIterable[Any]) -> AsyncGenerator[Any, None]:
    try:
        async for chunk in chunks:
            yield chunk
    finally:
        close = getattr(chunks, "aclose", None)
        if close is not None and sys.exc_info()[0] is GeneratorExit:
            await close()
