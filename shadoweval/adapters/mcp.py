"""MCP (Model Context Protocol): tools of servers, recorded in recordings and answered by the sandbox in a shadow.

Every client calls them by `ClientSession.call_tool`, `mcp.Client` and langchain-mcp-adapters too, in versions 1 and 2
of the SDK. What a tool does to the world its server says (`readOnlyHint`, specification 2025-06-18, ToolAnnotations)
when its tools are listed; of a session that has listed none nothing is known, which counts as a write. Results are
recorded as the protocol has them, as JSON, and become the SDK's objects again where they are replayed.
"""

from __future__ import annotations

import functools
import json
import sys
import weakref
from collections.abc import Mapping
from types import ModuleType
from typing import Any, Final

from shadoweval import capture
from shadoweval.capture.interception import installed
from shadoweval.capture.recorder import current
from shadoweval.capture.tools import said_effect
from shadoweval.records import Effect

__all__ = ["patch", "register"]

_MODULE: Final = "mcp.client.session"
_CONFIG: Final = "langchain_core.runnables.config"
_MARK: Final = "__shadoweval__"
_effects: Final[weakref.WeakKeyDictionary[Any, dict[str, Effect]]] = weakref.WeakKeyDictionary()
"""Session -> what the tools that it has listed do to the world."""


def register() -> None:
    """Record what sessions do in recordings from now on; once a process, whoever calls it again."""
    patch(sys.modules[_MODULE])


def patch(session: ModuleType) -> None:
    """Have every call of a tool (by `mcp.client.session`) recorded, and answered where there is an interceptor."""
    base: Any = session.ClientSession
    if hasattr(base.call_tool, _MARK):
        return
    call_tool, list_tools = base.call_tool, base.list_tools

    @functools.wraps(call_tool)
    async def called(self: Any, name: str, arguments: Any = None, *args: Any, **kwargs: Any) -> Any:
        original = functools.partial(call_tool, self, name, arguments, *args, **kwargs)
        if installed.interceptor is None and current.get() is None:
            return await original()
        effect: Effect = _effects.get(self, {}).get(name, "unknown")
        # A tool of LangChain's is recorded and answered as such; what it runs for real may read, and no more.
        if _inside_a_tool() and (installed.interceptor is None or effect == "read"):
            return await original()
        results: list[Any] = []

        async def live() -> Any:
            results.append(await original())
            return results[0].model_dump(mode="json", by_alias=True, exclude_none=True)

        answer = await capture.acall_tool(name, dict(arguments or {}), effect=effect, live=live)
        return results[0] if results else _result(session.types, answer)

    @functools.wraps(list_tools)
    async def listed(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await list_tools(self, *args, **kwargs)
        known = _effects.setdefault(self, {})
        for tool in result.tools:
            known[tool.name] = said_effect(None, annotations=tool.annotations)
        return result

    setattr(called, _MARK, True)
    base.call_tool, base.list_tools = called, listed


def _result(types: Any, answer: Any) -> Any:
    """The SDK's object of what the incumbent got, or of what a stub gives: the protocol's JSON, a text, other data."""
    if isinstance(answer, Mapping) and "content" in answer:
        return types.CallToolResult.model_validate(answer)
    if isinstance(answer, Mapping) and "inputRequests" in answer:
        return types.InputRequiredResult.model_validate(answer)
    text = answer if isinstance(answer, str) else json.dumps(answer, default=str)
    return types.CallToolResult(content=[types.TextContent(type="text", text=text)])


def _inside_a_tool() -> bool:
    """Whether a LangChain tool makes this call."""
    loaded: Any = sys.modules.get(_CONFIG)
    config = None if loaded is None else loaded.var_child_runnable_config.get()
    manager: Any = (config or {}).get("callbacks")
    parent = getattr(manager, "parent_run_id", None)
    return any(parent in getattr(handler, "tools", ()) for handler in getattr(manager, "handlers", ()))
