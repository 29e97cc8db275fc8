"""Callable objects, mirrored: they keep methods, attributes and class. And which decorators stand where."""

from __future__ import annotations

import functools
import inspect
import logging
import types
from collections.abc import Callable, Sequence
from typing import Any, Final, cast

from shadoweval.capture.wire.inputs import Arguments
from shadoweval.errors import ArgumentError, closest
from shadoweval.seldom import Seldom

__all__ = ["bare", "like_object", "refuse_runnable", "tell_of_retries", "without"]

_RETRYING: Final = frozenset({"tenacity", "backoff", "retrying", "stamina"})
_NEAR: Final = 8
"""Frames above a call in which a decorator's own would be."""
_log: Final = logging.getLogger("shadoweval.mirror")
_said = Seldom()


class _Mirrored:
    """Stands for an object whose calls are mirrored: everything but a call is the object's own."""

    __slots__ = ("__weakref__", "__wrapped__", "_mirrored_call")

    def __init__(self, wrapped: Any, call: Callable[..., Any]) -> None:
        object.__setattr__(self, "__wrapped__", wrapped)
        object.__setattr__(self, "_mirrored_call", call)

    # A property, so that the attribute is of the kind (coroutine function, generator function) that frameworks ask for.
    __call__ = property(lambda self: self._mirrored_call)
    __class__ = property(lambda self: type(self.__wrapped__))  # pyright: ignore - as proxies do
    __doc__ = property(lambda self: self.__wrapped__.__doc__)  # pyright: ignore[reportAssignmentType]
    __module__ = property(lambda self: self.__wrapped__.__module__)  # pyright: ignore[reportAssignmentType]

    def __getattr__(self, name: str) -> Any:
        try:
            return getattr(self.__wrapped__, name)
        except AttributeError:
            if name not in {"__name__", "__qualname__"}:
                raise
            return getattr(self._mirrored_call, name)  # frameworks name routes by it

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.__wrapped__, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.__wrapped__, name)

    def __dir__(self) -> list[str]:
        return dir(self.__wrapped__)

    def __repr__(self) -> str:
        return repr(self.__wrapped__)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__wrapped__.__reduce_ex__(protocol)


class _Binding(_Mirrored):
    """One of an object that is bound where it stands in a class, as those of `functools.cache` are."""

    __slots__ = ()

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        return self if instance is None else types.MethodType(cast("Any", self), instance)


_OWN: Final = frozenset(vars(_Mirrored)) | {
    "__del__",
    "__get__",
    "__getattribute__",
    "__init__",
    "__new__",
    "__reduce__",
}
"""What making, binding, copying and calling one that stands for an object is done by; never the object's."""


def _special_methods(kind: type) -> tuple[tuple[str, bool], ...]:
    """Those that a class has beside `object`'s own: Python looks them up on classes only.

    By name; False stands for the `__hash__` of a class that compares and has none.
    """
    attributes: dict[str, Any] = {}
    for base in reversed(kind.__mro__[:-1]):
        attributes.update(vars(base))
    names = [name for name in attributes.keys() - _OWN if name[:2] == name[-2:] == "__"]
    return tuple((name, callable(attributes[name])) for name in sorted(names)
                 if callable(attributes[name]) or name == "__hash__")  # fmt: skip


@functools.lru_cache(maxsize=256)
def _kind_with(base: type[_Mirrored], special: tuple[tuple[str, bool], ...]) -> type[_Mirrored]:
    """A class of what stands for objects with these special methods."""
    methods = {name: _forwarded(name) if defined else None for name, defined in special}
    return type(base.__name__, (base,), {**methods, "__slots__": ()})


def _forwarded(name: str) -> Callable[..., Any]:
    """A special method that is the object's own; where that gives the object itself, what stands for it (`with`)."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        value = getattr(self.__wrapped__, name)(*args, **kwargs)
        return self if value is self.__wrapped__ else value

    async def aforward(self: Any, *args: Any) -> Any:
        value = await getattr(self.__wrapped__, name)(*args)
        return self if value is self.__wrapped__ else value

    return aforward if name == "__aenter__" else forward


def like_object(function: Any, call: Callable[..., Any]) -> Any:
    """What stands for a callable object whose calls go to `call`."""
    if hasattr(function, "delay") and hasattr(function, "apply_async"):
        _log.warning(
            "Only direct calls of the task %r are mirrored: .delay() runs it without. Put the mirror below the task's "
            "decorator, directly above the function",
            getattr(function, "name", function),
        )
    kind = _Binding if hasattr(type(function), "__get__") else _Mirrored
    return _kind_with(kind, _special_methods(type(function)))(function, call)


def bare(function: Any, experiment: str) -> Any:
    """What was mirrored for the same experiment before: a cell or a script that runs again replaces its mirrors."""
    while True:
        call = object.__getattribute__(function, "_mirrored_call") if _Mirrored in type(function).__mro__ else function
        mirrored = getattr(call, "__dict__", {}).get("mirrored_for")
        # A decorator above that took over the mirror's attributes wraps the mirror, and not what that wraps.
        if mirrored is None or mirrored[0] != experiment or call.__wrapped__ is not mirrored[1]:
            return function
        function = mirrored[1]


def refuse_runnable(function: Any) -> None:
    """Nothing, of what is called as a function.

    Raises:
        ArgumentError: a LangChain runnable or tool, whose callers call `invoke`.
    """
    if callable(getattr(function, "ainvoke", None)) and callable(getattr(function, "invoke", None)):
        mend = "Write mirror.runnable(...), or put the mirror below @tool, directly above the function."
        raise ArgumentError("what is mirrored", function, expected="a function, and this is a runnable", mend=mend)


def tell_of_retries(name: str) -> None:
    """Warn where a failed call was made by a decorator that will make it again: each attempt is a query of its own."""
    frame = inspect.currentframe()
    for _ in range(_NEAR):
        frame = None if frame is None else frame.f_back
        module = "" if frame is None else str(frame.f_globals.get("__name__", "")).partition(".")[0]
        if module in _RETRYING:
            if _said.due(("retries", name)):
                _log.warning(
                    "%s stands above the mirror of %r: each attempt is a query of its own. Put the mirror above it",
                    module,
                    name,
                )
            return


def without(function: Callable[..., Any], ignored: Sequence[str], *, method: bool) -> Callable[..., Arguments]:
    """Gives a call's arguments but those that are ignored.

    Raises:
        ArgumentError: the function has no such parameter.
    """
    names = list(inspect.signature(function).parameters)[1 if method else 0 :]
    for name in ignored:
        if name not in names:
            mend = f"It has: {', '.join(map(repr, names))}.{closest(name, names)}"
            raise ArgumentError("mirror(ignore)", name, expected="the name of a parameter", mend=mend)
    positions = {names.index(name) for name in ignored}

    def rest(*args: Any, **kwargs: Any) -> Arguments:
        positional = tuple(value for position, value in enumerate(args) if position not in positions)
        return Arguments(positional, {name: value for name, value in kwargs.items() if name not in ignored})

    return rest
