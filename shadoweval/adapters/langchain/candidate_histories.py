"""LangChain's chat histories in a shadow: read as they were before the query, never written.

Imported only where langchain_core is.
"""

from __future__ import annotations

import functools
from typing import Any, Final

from langchain_core.chat_history import InMemoryChatMessageHistory
from langchain_core.messages import BaseMessage, HumanMessage
from langchain_core.runnables.history import RunnableWithMessageHistory

from shadoweval.candidate.tools import intercept

__all__ = ["before", "patch"]

_HISTORY: Final = "message_history"


def patch() -> None:
    """Hand every RunnableWithMessageHistory of this process a copy of its history."""
    base: Any = RunnableWithMessageHistory
    merge = base._merge_configs  # noqa: SLF001 - where the history is looked up, for invoke, stream and their twins

    @functools.wraps(merge)
    def merged(self: Any, *configs: Any) -> Any:
        config = merge(self, *configs)
        session = intercept.current()
        if session is not None:
            known: Any = config["configurable"][_HISTORY]
            copied = InMemoryChatMessageHistory(messages=before(known.messages, session.text))
            config["configurable"][_HISTORY] = copied
        return config

    base._merge_configs = merged  # noqa: SLF001 - see above


def before(messages: list[BaseMessage], question: str) -> list[BaseMessage]:
    """The history before `question` was asked last: the incumbent's own turn may be in there by now.

    Messages carry no time, so the last human message with the question's text is taken for it.
    """
    for place in range(len(messages) - 1, -1, -1):
        if isinstance(messages[place], HumanMessage) and messages[place].text == question:
            return list(messages[:place])
    return list(messages)
