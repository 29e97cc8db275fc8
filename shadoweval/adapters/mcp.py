"""MCP (Model Context Protocol): tools of servers, recorded in recordings and answered by the sandbox in a shadow.

Every client calls them by `ClientSession.call_tool`, `mcp.Client` and langchain-mcp-adapters too, in versions 1 and 2
of the SDK. What a tool does to the world its server says (`readOnlyHint`, specification 2025-06-18, ToolAnnotations)
when its tools are listed; of a session that has listed none nothing is known, which counts as a write. Results are
recorded as the protocol has them, as JSON, and become the SDK's objects again where they are replayed.
"""

from __future__ import annotations

import contextlib
import functools
import json
import shlex
import sys
import weakref
from collections.abc import AsyncGenerator, Mapping
from contextvars import ContextVar
from types import ModuleType
from typing import Any, Final, Self

from shadoweval import capture
from shadoweval.candidate.tools import intercept
from shadoweval.capture.interception import LOST, installed
from shadoweval.capture.misfits import UNKNOWN_TOOL, unfit
from shadoweval.capture.recorder import current
from shadoweval.capture.said_effects import said_effect
from shadoweval.records import Effect

__all__ = ["patch", "patch_stdio", "register"]

_MODULE: Final = "mcp.client.session"
_CONFIG: Final = "langchain_core.runnables.config"
_LOST: Final = f'{{"{LOST}"'.encode()
_START: Final = "_create_platform_compatible_process"
_MARK: Final = "__shadoweval__"
_effects: Final[weakref.WeakKeyDictionary[Any, dict[str, Effect]]] = weakref.WeakKeyDictionary()
"""Session -> what the tools that it has listed do to the world."""
_schemas: Final[weakref.WeakKeyDictionary[Any, dict[str, Any]]] = weakref.WeakKeyDictionary()
"""Session -> JSON schemas of the arguments of the tools that it has listed."""


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

        # What the server would refuse nobody answers: it fails here as it does there.
        why = "" if installed.interceptor is None else _refused(_schemas.get(self), name, arguments or {})
        if why:
            refusal = {"content": [{"type": "text", "text": why}], "isError": True}
            await capture.acall_tool(name, dict(arguments or {}), effect=effect, live=lambda: refusal, unfit=True)
            return _result(session.types, refusal)
        answer = await capture.acall_tool(name, dict(arguments or {}), effect=effect, live=live)
        return results[0] if results else _result(session.types, answer)

    @functools.wraps(list_tools)
    async def listed(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = await list_tools(self, *args, **kwargs)
        known, schemas = _effects.setdefault(self, {}), _schemas.setdefault(self, {})
        for tool in result.tools:
            known[tool.name] = said_effect(None, annotations=tool.annotations)
            schemas[tool.name] = tool.model_dump(mode="json", by_alias=True).get("inputSchema")
        return result

    setattr(called, _MARK, True)
    base.call_tool, base.list_tools = called, listed


def _refused(schemas: Mapping[str, Any] | None, name: str, arguments: Mapping[str, Any]) -> str:
    """Why a server refuses a call, as far as the tools that it has listed say it; empty: it does not."""
    if not schemas:
        return ""
    return unfit(arguments, schemas[name], coerced=True) if name in schemas else f"{UNKNOWN_TOOL}{name!r}"


class ServerError(Exception):
    """A server over stdio can't be had here, which is the shadow's doing: `shadow_cause` says so, and what to write."""

    def __init__(self, what: str, mend: str) -> None:
        self.shadow_cause = what, mend
        super().__init__(what)


class _Pooled:
    """A server that the pool has started, in the place of the process that the SDK would have started."""

    def __init__(self, connection: Any) -> None:
        self.stdin = self.stdout = self
        self.pid = self._process = 0
        self.returncode: int | None = None
        self.lost = ""
        self._connection, self._rest = connection, b""
        self.send = connection.send
        run = intercept.current()
        self._starting = contextlib.ExitStack()
        if run is not None:  # until it says something it starts, which is not the candidate's time
            self._starting.enter_context(run.clock)

    async def receive(self) -> bytes:
        """Whole lines of what it says."""
        while True:
            said, newline, self._rest = (self._rest + await self._connection.receive()).rpartition(b"\n")
            self._starting.close()
            lines = said.split(b"\n")
            for line in lines:
                if line.startswith(_LOST):
                    self.lost = json.loads(line)[LOST]
            said = b"\n".join(line for line in lines if not line.startswith(_LOST))
            if said:
                return said + newline

    async def wait(self) -> int:
        """As soon as it is asked to end it has."""
        await self.aclose()
        return 0

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Hang up, by which it ends."""
        self.returncode = 0
        self._starting.close()
        await self._connection.aclose()


def patch_stdio(stdio: Any) -> None:
    """Have `stdio_client` (by `mcp.client.stdio`) talk to the servers that the sandbox declares."""
    stdio_client, start = stdio.stdio_client, getattr(stdio, _START, None)
    if start is None:  # an early version 1 of the SDK
        return
    pooled: ContextVar[_Pooled | None] = ContextVar("shadoweval_mcp_server", default=None)

    @functools.wraps(stdio_client)
    async def opened(server: Any, *args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        command = [server.command, *server.args]
        process = None
        for path, words in getattr(installed.interceptor, "servers", {}).items():
            if list(words) == command:
                process = _Pooled(await stdio.anyio.connect_unix(path))
        pooled.set(process)
        begun = False
        try:
            async with stdio_client(server, *args, **kwargs) as streams:
                begun = True
                yield streams
        except Exception as error:
            if process is not None and process.lost:
                raise ServerError(
                    process.lost, "stub its tools; run its command in a shell to see how it fails"
                ) from error
            if begun or not isinstance(error, PermissionError):
                raise
            said = shlex.join(command)
            what = f"the MCP server {said!r} is a process, which no candidate may start"
            raise ServerError(what, f"Sandbox(mcp={{'NAME': {said!r}}})") from error

    async def started(*args: Any, **kwargs: Any) -> Any:
        process = pooled.get()
        pooled.set(None)
        return await start(*args, **kwargs) if process is None else process

    stdio.stdio_client = contextlib.asynccontextmanager(opened)
    setattr(stdio, _START, started)


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
