"""The process in which ragas runs, as an evaluation sees it: runs go in, scores come out, the judge is asked here."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from shadoweval.records import Score, Scored, Unscored

__all__ = ["RagasChild"]

_PROGRAM: Final = Path(__file__).with_name("child.py")
_LINE: Final = 2**28
_AT_ONCE: Final = 32
_SHOWN: Final = 300

AskJudge = Callable[[str, Mapping[str, Any], str], Awaitable[tuple[Mapping[str, Any] | Unscored, float]]]
"""What the judge says to a prompt, with the schema of its reply, about this query; and with which chance."""


@dataclass(eq=False)
class _Run:
    """A run that is being scored."""

    query_id: str
    score: asyncio.Future[Score]
    silent: Unscored | None = None
    """Why the judge said nothing: ragas may make a number of that, which is none."""
    chance: float = 1.0
    """The least with which the judge was asked: who is drawn at it is drawn at all."""


class RagasChild:
    """Begins with the first run, and ends with the sitting that it was begun in.

    Args:
        python: The interpreter whose environment has ragas.
        named: The metric and its settings, for `child.py`.
        ask: Asks the judge.
        deadline: Seconds for one run.
    """

    def __init__(self, python: str, named: Mapping[str, Any], *, ask: AskJudge, deadline: float) -> None:
        self._python, self._named, self._ask, self._deadline = python, named, ask, deadline
        self._numbers = itertools.count()
        self._runs: dict[int, _Run] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._ended: Unscored | None = None
        self._beginning, self._turns = asyncio.Lock(), asyncio.Semaphore(_AT_ONCE)
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - open until close()

    async def score(self, query_id: str, arguments: Mapping[str, Any]) -> tuple[Score, float]:
        """What ragas gives for one run, or why there is no score; and the chance with which the query was drawn."""
        async with self._turns:
            await self._begin()
            if self._ended is not None:
                return self._ended, 1.0
            number, run = next(self._numbers), _Run(query_id, asyncio.get_running_loop().create_future())
            self._runs[number] = run
            self._say(run=number, arguments=arguments)
            try:
                async with asyncio.timeout(self._deadline):
                    return await run.score, run.chance
            except TimeoutError:
                return Unscored(f"ragas gave nothing within {self._deadline:g} s", informative=False), run.chance
            finally:
                del self._runs[number]

    async def close(self) -> None:
        """End it."""
        if self._process is not None and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                self._process.kill()
            await self._process.wait()
        self._errors.close()

    async def _begin(self) -> None:
        async with self._beginning:
            if self._process is not None:
                return
            pipe = asyncio.subprocess.PIPE
            self._process = await asyncio.create_subprocess_exec(
                self._python, str(_PROGRAM), stdin=pipe, stdout=pipe, stderr=self._errors, limit=_LINE
            )
            self._say(**self._named)
            self._keep(asyncio.create_task(self._listen(self._process)))

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _say(self, **message: Any) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.write(msgspec.json.encode(message) + b"\n")

    async def _listen(self, process: asyncio.subprocess.Process) -> None:
        why = ""
        while process.stdout is not None and (line := await process.stdout.readline()):
            message = msgspec.json.decode(line)
            if "broken" in message:
                why = message["broken"]
            elif "ask" in message:
                self._keep(asyncio.create_task(self._answer(message)))
            elif message["run"] in self._runs:
                self._settle(self._runs[message["run"]], message)
        self._errors.seek(0)
        lines = self._errors.read().decode("utf-8", "replace").strip().splitlines()
        why = why or (lines[-1] if lines else f"code {await process.wait()}")
        self._ended = Unscored(f"the process of ragas ended: {why[:_SHOWN]}", informative=False)
        for run in self._runs.values():
            if not run.score.done():
                run.score.set_result(self._ended)

    async def _answer(self, message: Mapping[str, Any]) -> None:
        run = self._runs.get(message["run"])
        content: Mapping[str, Any] | None = None
        if run is not None and run.silent is None:  # ragas asks again up to ten times where nothing was said
            said, chance = await self._ask(message["prompt"], message["schema"], run.query_id)
            run.chance = min(run.chance, chance)
            if isinstance(said, Unscored):
                run.silent = said
            else:
                content = said
        self._say(answer=message["ask"], content=content)

    def _settle(self, run: _Run, message: Mapping[str, Any]) -> None:
        if not run.score.done():
            run.score.set_result(run.silent or _score_of(message))


def _score_of(message: Mapping[str, Any]) -> Score:
    if "error" in message:
        return Unscored(f"ragas raised {message['error'][:_SHOWN]}")
    value = float(message["value"])
    if not math.isfinite(value):
        return Unscored("ragas gave no number")
    # Shares of floating point may end a rounding beyond the end of the range.
    near = min(1.0, max(0.0, value))
    return Scored(near) if abs(near - value) < 1e-9 else Unscored(f"ragas gave {value:g}, outside [0, 1]")
