"""One time in which judges are asked: a thread with the one loop of all their clients, and what is kept.

Scorers are called from anywhere: a script, a thread, a notebook or a test whose loop runs already. So judges have a
loop of their own, which begins with the first question and ends with the sitting; so do their connections.
"""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Coroutine, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Final, Protocol, TypeVar

from shadoweval.scoring.judges.endpoints import Endpoint
from shadoweval.scoring.judges.kept import Kept
from shadoweval.scoring.judges.questions import Reply, Spent

__all__ = ["Sitting", "forgetting", "sitting"]

_T = TypeVar("_T")


class Closing(Protocol):
    """What ends with a sitting."""

    async def close(self) -> None:
        """End it."""
        ...


class Sitting:
    """A loop in a thread, the endpoints that are open on it, and where replies are kept.

    Args:
        kept: None: each judge keeps its own.
        dry: Nobody is asked: what would be is added to `wanted`.
    """

    def __init__(self, kept: Kept | None = None, *, dry: bool = False) -> None:
        self.kept, self.dry = kept, dry
        self.wanted: dict[str, Spent] = {}
        """By judge, what it would take."""
        self.counted: set[str] = set()
        """Keys of the questions in `wanted`."""
        self.answered: dict[str, tuple[int, int]] = {}
        """By judge, questions that have a reply, and how many of these by what was said before."""
        self.endpoints: dict[object, Endpoint] = {}
        """By judge."""
        self.processes: dict[object, Closing] = {}
        """By scorer, processes that score for it and end with the sitting."""
        self.pending: dict[str, asyncio.Task[Any]] = {}
        """Questions that are being asked, by their key: the same one is asked once."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Do work on the loop, and wait for it."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="shadow-judges", daemon=True)
                self._thread.start()
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def count(self, judge: str, said: Sequence[Any]) -> None:
        """Count the replies of a judge."""
        replies, kept = self.answered.get(judge, (0, 0))
        cached = [each.cached for each in said if isinstance(each, Reply)]
        self.answered[judge] = replies + len(cached), kept + sum(cached)

    def close(self) -> None:
        """End what still runs, close the endpoints and the loop."""
        if self._loop is None or self._thread is None:
            return
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = None

    async def _end(self) -> None:
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        for each in (*self.endpoints.values(), *self.processes.values()):
            with suppress(Exception):  # a connection that can't be closed is gone anyway
                await each.close()
        self.endpoints.clear()
        self.processes.clear()
        await asyncio.get_running_loop().shutdown_default_executor()


_current: Final[contextvars.ContextVar[Sitting | None]] = contextvars.ContextVar("shadow_sitting", default=None)


@contextmanager
def sitting(begun: Sitting | None = None) -> Generator[Sitting]:
    """The sitting in which judges are asked here: this one, else the one around it, else one of its own."""
    around = _current.get()
    if begun is None and around is not None:
        yield around
        return
    own = begun or Sitting()
    token = _current.set(own)
    try:
        yield own
    finally:
        _current.reset(token)
        own.close()


@contextmanager
def forgetting() -> Generator[None]:
    """Within, what judges newly say is kept nowhere; what they spend is counted as ever."""
    with sitting() as here:
        around = here.kept
        here.kept = None if around is None else _Forgotten(around)
        try:
            yield
        finally:
            here.kept = around


class _Forgotten:
    """As of `Kept`, with the replies and the spending of another, to which it adds no reply."""

    def __init__(self, around: Kept) -> None:
        self._around = around

    def replies(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What is kept under these keys."""
        return self._around.replies(keys)

    def keep(self, key: str, record: bytes, *, query_id: str) -> None:
        """Nothing is kept."""

    def spend(self, judge: str, period: str, spent: Spent) -> Spent:
        """Add to what was spent on a judge in a period; returns all of it, over all processes."""
        return self._around.spend(judge, period, spent)
