"""LangChain's memory in a shadow: caches of model answers, and chat histories.

A cache that production shares would hand the candidate what the incumbent has just stored for this very query, at no
cost and in no time, and would serve users what a candidate said. Entries carry no time, so a cache can't be read as it
was when the query was asked: a run finds in it what the run itself has put there. A history is read as it was before
the query, and never written.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from shadoweval.candidate.tools import intercept
from shadoweval.candidate.tools.session import Session

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

__all__ = ["memories", "patch_caches", "patch_histories", "remember"]

_HISTORY: Final = "message_history"
_entries: Final[weakref.WeakKeyDictionary[Session, dict[Any, Any]]] = weakref.WeakKeyDictionary()
"""What each run has put into caches: (id of the cache, prompt, model) -> answer."""


memories: Final[weakref.WeakKeyDictionary[Session, bytes]] = weakref.WeakKeyDictionary()
"""Run -> history of a graph's thread, as it came with the query (see `mirror_keywords`)."""


def remember(memory: bytes | None) -> None:
    """The history of the thread came with the query of this run: production keeps it in its own memory."""
    session = intercept.current()
    if session is not None and memory:
        memories[session] = memory


def patch_caches(caches: ModuleType) -> None:
    """Replace every cache of this process (of `langchain_core.caches`), those of classes that are defined later too."""
    base: Any = caches.BaseCache
    classes: list[Any] = [base]
    while classes:
        cache_class = classes.pop()
        classes += cache_class.__subclasses__()
        _replace_methods(cache_class)

    def defined(cls: Any, **options: Any) -> None:
        super(base, cls).__init_subclass__(**options)
        _replace_methods(cls)

    base.__init_subclass__ = classmethod(defined)


def _replace_methods(cache_class: Any) -> None:
    for name, replacement in _METHODS.items():
        method = cache_class.__dict__.get(name)
        if method is not None and not getattr(method, "__isabstractmethod__", False):
            setattr(cache_class, name, replacement)


def _entries_of_run() -> dict[Any, Any]:
    session = intercept.current()
    return {} if session is None else _entries.setdefault(session, {})


def _lookup(self: Any, prompt: str, llm_string: str) -> Any:
    return _entries_of_run().get((id(self), prompt, llm_string))


def _update(self: Any, prompt: str, llm_string: str, return_val: Any) -> None:  # noqa: PLR0917 - LangChain's signature
    _entries_of_run()[id(self), prompt, llm_string] = return_val


def _clear(self: Any, **_: Any) -> None:
    entries = _entries_of_run()
    for key in [key for key in entries if key[0] == id(self)]:
        del entries[key]


def _awaited(method: Callable[..., Any]) -> Callable[..., Any]:
    async def awaited(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *args, **kwargs)

    return awaited


_METHODS: Final[dict[str, Callable[..., Any]]] = {
    "lookup": _lookup,
    "update": _update,
    "clear": _clear,
    "alookup": _awaited(_lookup),
    "aupdate": _awaited(_update),
    "aclear": _awaited(_clear),
}


def patch_histories(history: ModuleType) -> None:
    """Hand every RunnableWithMessageHistory (of `langchain_core.runnables.history`) a copy of its history."""
    base: Any = history.RunnableWithMessageHistory
    merge = base._merge_configs  # noqa: SLF001 - where the history is looked up, for invoke, stream and their twins

    @functools.wraps(merge)
    def merged(self: Any, *configs: Any) -> Any:
        from langchain_core.chat_history import InMemoryChatMessageHistory  # noqa: PLC0415 - not yet importable when caches are patched

        config = merge(self, *configs)
        session = intercept.current()
        if session is not None:
            messages = messages_before(config["configurable"][_HISTORY].messages, session.text)
            config["configurable"][_HISTORY] = InMemoryChatMessageHistory(messages=messages)
        return config

    base._merge_configs = merged  # noqa: SLF001 - see above


def messages_before(messages: list[BaseMessage], question: str) -> list[BaseMessage]:
    """The history before `question` was asked last: the incumbent's own turn may be in there by now.

    Messages carry no time, so the last human message with the question's text is taken for it.
    """
    from langchain_core.messages import HumanMessage  # noqa: PLC0415 - see above

    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], HumanMessage) and messages[index].text == question:
            return list(messages[:index])
    return list(messages)
