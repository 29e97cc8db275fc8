"""LangChain's caches of model answers, exact and semantic, in a shadow: never read, never written.

A cache that production shares would hand the candidate what the incumbent has just stored for this very query, at no
cost and in no time, and would serve users what a candidate said. Entries carry no time, so a cache can't be read as it
was when the query was asked: a run finds in it what the run itself has put there.

Imported only where langchain_core is.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Final

from langchain_core.caches import BaseCache

from shadoweval.candidate.tools import intercept
from shadoweval.candidate.tools.session import Session

__all__ = ["patch"]

_own: Final[weakref.WeakKeyDictionary[Session, dict[Any, Any]]] = weakref.WeakKeyDictionary()


def patch() -> None:
    """Take every cache of this process aside, those of classes that are defined later too."""
    base: Any = BaseCache
    known: list[Any] = [base]
    while known:
        kind = known.pop()
        known += kind.__subclasses__()
        _shadow(kind)

    def defined(cls: Any, **facts: Any) -> None:
        super(base, cls).__init_subclass__(**facts)
        _shadow(cls)

    base.__init_subclass__ = classmethod(defined)


def _shadow(kind: Any) -> None:
    for name, stand_in in _STAND_INS.items():
        method = kind.__dict__.get(name)
        if method is not None and not getattr(method, "__isabstractmethod__", False):
            setattr(kind, name, stand_in)


def _entries() -> dict[Any, Any]:
    session = intercept.current()
    return {} if session is None else _own.setdefault(session, {})


def _lookup(self: Any, prompt: str, llm_string: str) -> Any:
    return _entries().get((id(self), prompt, llm_string))


def _update(self: Any, prompt: str, llm_string: str, return_val: Any) -> None:  # noqa: PLR0917 - LangChain's signature
    _entries()[id(self), prompt, llm_string] = return_val


def _clear(self: Any, **_: Any) -> None:
    entries = _entries()
    for key in [key for key in entries if key[0] == id(self)]:
        del entries[key]


async def _alookup(self: Any, prompt: str, llm_string: str) -> Any:
    return _lookup(self, prompt, llm_string)


async def _aupdate(self: Any, prompt: str, llm_string: str, return_val: Any) -> None:  # noqa: PLR0917 - see above
    _update(self, prompt, llm_string, return_val)


async def _aclear(self: Any, **_: Any) -> None:
    _clear(self)


_STAND_INS: Final[dict[str, Callable[..., Any]]] = {
    "lookup": _lookup,
    "update": _update,
    "clear": _clear,
    "alookup": _alookup,
    "aupdate": _aupdate,
    "aclear": _aclear,
}
