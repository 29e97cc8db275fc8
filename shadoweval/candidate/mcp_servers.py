"""MCP servers over stdio for candidates, who can start no process: the pool starts them, and listens in.

A candidate connects to a socket in the pool's scratch folder. For each connection the pool starts the command, under a
guard of its own, and passes lines of JSON-RPC to and fro. What is no read never reaches the server, whatever the
candidate's code does: of tools, those whose `readOnlyHint` the server has listed. A server that ends, says nothing for
too long or says too much is ended; a last line tells the candidate's process why (`adapters.mcp`), so that it is the
shadow's failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import json
import os
import shlex
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec

from shadoweval.candidate.forkserver import beginning
from shadoweval.candidate.guard import GuardPolicy, Supervisor
from shadoweval.candidate.guard.program import guarded_command, policy_of
from shadoweval.candidate.sandbox import Limits
from shadoweval.capture.interception import LOST

__all__ = ["Servers"]

_LONGEST: Final = 8 << 20
"""Bytes of a line."""
_MOST: Final = 64 << 20
"""Bytes that a server may say to one run."""
_AT_ONCE: Final = 64
"""Servers of a pool."""
_READS: Final = frozenset(
    {
        *("initialize", "ping", "server/discover", "logging/setLevel", "completion/complete"),
        *("tools/list", "resources/list", "resources/templates/list", "resources/read", "prompts/list", "prompts/get"),
    }
)
"""Requests that change nothing (Model Context Protocol 2025-11-25, server features)."""
_REFUSED: Final = -32000


class Servers:
    """The declared servers of a pool, by socket.

    Args:
        commands: Name -> command.
        limits: Of runs: a request may take half of a run's seconds.
    """

    def __init__(self, commands: Mapping[str, str], limits: Limits) -> None:
        self._named = dict(commands)
        self._seconds = limits.seconds / 2, limits.start_seconds
        self._memory = limits.memory_bytes
        self._policy: GuardPolicy | None = None
        self._listening: list[asyncio.Server] = []
        self._talks: set[asyncio.Task[None]] = set()
        self.commands: dict[str, list[str]] = {}
        """Path of a socket -> the words of its command."""

    async def open(self, scratch: Path, guard: GuardPolicy | None) -> None:
        """Listen, in a folder that no candidate may write to; what candidates may reach by `guard`, servers may too."""
        for number, (name, command) in enumerate(self._named.items()):
            words, path, own = shlex.split(command), str(scratch / f"mcp{number}.sock"), scratch / f"mcp{number}"
            own.mkdir()
            policy = None
            if guard is not None:
                wide = msgspec.structs.replace(guard, scratch=str(own), writable=(), memory_bytes=self._memory)
                policy = policy_of(wide)
            talk = functools.partial(self._talk, _Server(name, words, policy, *self._seconds))
            self._listening.append(await asyncio.start_unix_server(talk, path, limit=_LONGEST))
            self.commands[path] = words

    async def _talk(self, server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        if len(self._talks) >= _AT_ONCE:  # each is a process, and a candidate may connect as often as it likes
            writer.close()
            return
        self._talks.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):  # the candidate is gone, or the pool
                await _Talk(server, reader, writer).held()
        finally:
            self._talks.discard(task)
            writer.close()

    async def close(self) -> None:
        """Listen no more, and end what talks."""
        for server in self._listening:
            server.close()
        talks = tuple(self._talks)
        for task in talks:
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


class _Server(NamedTuple):
    """What is declared of one."""

    name: str
    words: list[str]
    policy: GuardPolicy | None
    seconds: float
    """In which it answers a request."""
    start_seconds: float
    """In which it answers the first one."""


class _LostError(Exception):
    """The server can't go on."""


class _Talk:
    """One candidate's run talking to a server of its own."""

    def __init__(self, server: _Server, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._server, self._reader, self._writer = server, reader, writer
        self._waiting: dict[str, float] = {}
        """Requests that the server has not answered: id -> when they were made."""
        self._listings: set[str] = set()
        """Those that ask for the list of tools."""
        self._reads: set[str] = set()
        """Tools that only read, as the server has said."""
        self._said = 0

    async def held(self) -> None:
        """Until the candidate hangs up, or the server is lost."""
        supervisor = None if self._server.policy is None else Supervisor(self._server.policy, child_policy=self._same)
        try:
            process = await self._begun(supervisor)
            try:
                await self._passed(process)
            except _LostError as error:
                why = f"the MCP server {self._server.name!r} {error}"
                self._writer.write(json.dumps({LOST: why}).encode() + b"\n")
                await self._writer.drain()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                await process.communicate()  # which closes the pipes too
        finally:
            if supervisor is not None:
                supervisor.close()

    def _same(self, _pid: int) -> GuardPolicy:
        return cast("GuardPolicy", self._server.policy)

    async def _begun(self, supervisor: Supervisor | None) -> asyncio.subprocess.Process:
        command, kept = self._server.words, ()
        if supervisor is not None:
            kept = (supervisor.candidate_fd,)
            command = guarded_command(command, self._same(0), on_refusal=supervisor.candidate_fd)
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={**beginning.environment(), "PYTHONDONTWRITEBYTECODE": "1"},
            pass_fds=kept,
            start_new_session=True,
            limit=_LONGEST,
        )
        if supervisor is not None:
            supervisor.release()
            supervisor.start()
        return process

    async def _passed(self, process: asyncio.subprocess.Process) -> None:
        """Pass lines to and fro; returns when the candidate hangs up."""
        up = asyncio.create_task(self._up(cast("asyncio.StreamWriter", process.stdin)))
        down = asyncio.create_task(self._down(process))
        watch = asyncio.create_task(self._watch())
        tasks = (up, down, watch)
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=tasks.index):
                task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _up(self, server: asyncio.StreamWriter) -> None:
        while line := await _line(self._reader):
            asked = _message(line)
            refusal = self._refusal(asked)
            if refusal:
                answer = {"jsonrpc": "2.0", "id": asked.get("id"), "error": {"code": _REFUSED, "message": refusal}}
                lost = {LOST: f"the MCP server {self._server.name!r} was not asked: {refusal}"}
                self._writer.write(f"{json.dumps(lost)}\n{json.dumps(answer)}\n".encode())
                continue
            if "method" in asked and "id" in asked:
                self._waiting[str(asked["id"])] = asyncio.get_running_loop().time()
                if asked["method"] == "tools/list":
                    self._listings.add(str(asked["id"]))
            server.write(line)
            with contextlib.suppress(ConnectionError):  # it is gone, which `_down` says
                await server.drain()

    def _refusal(self, asked: Mapping[str, Any]) -> str:
        """Why the server shall not hear of it; empty: it only reads."""
        method = asked.get("method")
        if method is None or "id" not in asked or method in _READS:  # an answer, a notification, a read
            return ""
        params = asked.get("params")
        tool = params.get("name") if isinstance(params, dict) else None
        if method == "tools/call" and tool in self._reads:
            return ""
        return f"{method} {tool or ''} was refused: this run is a shadow, and that is not known to read only."

    async def _down(self, process: asyncio.subprocess.Process) -> None:
        server = cast("asyncio.StreamReader", process.stdout)
        while True:
            try:
                line = await _line(server)
            except ValueError:
                raise _LostError(f"said more than {_LONGEST >> 20} MiB in a line") from None
            if not line:
                raise _LostError(f"ended ({await _status(process)})")
            self._said += len(line)
            if self._said > _MOST:
                raise _LostError(f"said more than {_MOST >> 20} MiB")
            self._heard(_message(line))
            self._writer.write(line)
            await self._writer.drain()

    def _heard(self, said: Mapping[str, Any]) -> None:
        answered = str(said.get("id"))
        if "method" in said or self._waiting.pop(answered, None) is None or answered not in self._listings:
            return
        self._listings.discard(answered)
        result: Any = said.get("result")
        for tool in result.get("tools", ()) if isinstance(result, dict) else ():
            annotations = tool.get("annotations") or {}
            if annotations.get("readOnlyHint") is True:
                self._reads.add(tool["name"])
            else:
                self._reads.discard(tool["name"])

    async def _watch(self) -> None:
        while True:
            seconds = self._server.seconds if self._said else self._server.start_seconds
            await asyncio.sleep(self._server.seconds / 8)
            if self._waiting and asyncio.get_running_loop().time() - min(self._waiting.values()) > seconds:
                raise _LostError(f"gave no answer within {seconds:g} s")


async def _line(reader: asyncio.StreamReader) -> bytes:
    line = await reader.readline()
    return line if line.endswith(b"\n") else b""


async def _status(process: asyncio.subprocess.Process) -> str:
    try:
        status = await asyncio.wait_for(process.wait(), 1)
    except TimeoutError:
        return "it closed its output"
    return f"signal {-status}" if status < 0 else f"exit status {status}"


def _message(line: bytes) -> dict[str, Any]:
    """The message; a batch, or what is none, as one without content, which no server of ours gets."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        message = None
    return cast("dict[str, Any]", message) if isinstance(message, dict) else {"method": "unreadable", "id": None}
