"""The thread that talks to the store: a lock in a database, or a server that hangs, stops no event loop."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Final, TypeVar

from shadoweval.errors import StoreError

__all__ = ["StoreThread"]

_Result = TypeVar("_Result")
_PATIENCE: Final = 5.0
"""Seconds that a worker which was stopped waits for an answer; what it did not get to say is found out without it."""
_LOOK: Final = 0.5
"""Seconds between looks whether it was stopped."""


class StoreThread:
    """Runs calls one after the other, in the order in which they came, while the event loop goes on.

    A call that hangs holds up no process that ends. `stopping` is set when the worker is stopped.
    """

    def __init__(self, stopping: asyncio.Event) -> None:
        self._stopping, self._stopped = stopping, math.inf
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="shadow-store", daemon=True)

    async def call(
        self, act: Callable[[], _Result], *, patience: float = _PATIENCE, since: float | None = None
    ) -> _Result:
        """What `act` returns or raises. Who waits no longer leaves it to itself.

        Raises:
            StoreError: the worker was stopped, and there was no answer within `patience`; see `left`.
        """
        began = time.monotonic() if since is None else since
        answer = self._begun(act)
        try:
            while not answer.done():
                left = self.left(patience, since=began)
                if left <= 0:
                    unanswered = StoreError("The store does not answer.")
                    unanswered.passing = True
                    raise unanswered
                await asyncio.wait({answer}, timeout=min(left, _LOOK))
            return answer.result()
        finally:
            answer.cancel()

    def left(self, patience: float, *, since: float) -> float:
        """Seconds left of `patience`, which begins to run when the worker is stopped, or later, at `since`."""
        if self._stopping.is_set():
            self._stopped = min(self._stopped, time.monotonic())
        return max(self._stopped, since) + patience - time.monotonic()

    async def last_calls(self, *acts: Callable[[], object]) -> None:
        """Calls that may fail, after which there are no others; they are given up after five seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                for act in acts:
                    with contextlib.suppress(StoreError, OSError):
                        await self._begun(act)
        self._calls.put(None)

    def _begun(self, act: Callable[[], _Result]) -> asyncio.Future[_Result]:
        if self._thread.ident is None:
            self._thread.start()
        context, future = contextvars.copy_context(), Future[_Result]()
        self._calls.put((future, lambda: context.run(act)))
        return asyncio.wrap_future(future)

    def _work(self) -> None:
        while (waiting := self._calls.get()) is not None:
            future, act = waiting
            if future.set_running_or_notify_cancel():
                try:
                    result = act()
                except BaseException as error:  # noqa: BLE001 - it is raised where it is waited for
                    future.set_exception(error)
                else:
                    future.set_result(result)
