"""Log lines of worker and evaluation say what they are about: experiment, candidate, decision are facts of each."""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType
from typing import Any, Final

__all__ = ["about", "about_now", "logger"]

_about: Final[ContextVar[Mapping[str, str]]] = ContextVar("shadoweval_about", default=MappingProxyType({}))


@contextmanager
def about(**facts: str) -> Generator[dict[str, str]]:
    """What lines of this block are about, beside what those around it are; what it gives may be changed meanwhile.

    Tasks and `asyncio.to_thread` begun in it are in it too, threads of their own are not.
    """
    known = {**_about.get(), **facts}
    token = _about.set(known)
    try:
        yield known
    finally:
        _about.reset(token)


def about_now() -> Mapping[str, str]:
    """What a line written now is about."""
    return _about.get()


class _Logger(logging.LoggerAdapter[logging.Logger]):
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The line's own facts go first."""
        extra: Mapping[str, object] = kwargs.get("extra") or {}
        kwargs["extra"] = {**_about.get(), **extra}
        return msg, kwargs


def logger(name: str) -> logging.LoggerAdapter[logging.Logger]:
    """The logger of this name, whose lines carry in `extra` what they are about."""
    return _Logger(logging.getLogger(name))
