"""A finished run is kept until the store has it: what it cost is not paid twice because the store was away or busy."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final, TypeVar

from shadoweval.errors import StoreError
from shadoweval.logs import logger
from shadoweval.protocols import Store, Task
from shadoweval.records import Failure, Observation
from shadoweval.seldom import Seldom
from shadoweval.worker.parts import is_away, reason_of
from shadoweval.worker.store_thread import StoreThread

__all__ = ["Keeping"]

log: Final = logger(__name__)

_Result = TypeVar("_Result")
_seldom: Final = Seldom()
_FIRST: Final = 0.1
_LONGEST: Final = 5.0
"""Seconds between tries; each wait is twice the one before."""
_AFTER_STOP: Final = 15.0
"""Seconds for which a worker that was stopped still tries: many supervisors kill after 30."""


class Keeping:
    """Hands ends of runs to a store that may be away. A run that waits for it holds its place among those in flight."""

    def __init__(self, store: Store, *, thread: StoreThread) -> None:
        self._store, self._thread = store, thread
        self.trouble = ""
        """What the store said last; empty: it takes what it is given."""

    async def add(self, observation: Observation) -> Observation | None:
        """The observation that is stored now; None: one was there already.

        What the store can't hold is stored as a failure of the shadow, with the reason.

        Raises:
            StoreError, OSError: the store is still away although the worker was stopped some time ago.
        """
        try:
            new = await self._tried(lambda: self._store.add_observation(observation))
        except Exception as error:
            if is_away(error):
                raise
            cause = "the store can't hold what it did"
            log.warning(cause, extra={"query": observation.query_id, "arm": observation.arm, "why": reason_of(error)})
            observation = _stand_in(observation, error, cause)
            new = await self._tried(lambda: self._store.add_observation(observation))
        return observation if new else None

    async def release(self, task: Task) -> None:
        """Give a task back unrun. Raises as `add` does."""
        await self._tried(lambda: self._store.release(task))

    async def _tried(self, act: Callable[[], _Result]) -> _Result:
        wait, began = _FIRST, time.monotonic()
        while True:
            try:
                result = await self._thread.call(act, patience=_AFTER_STOP, since=began)
            except (StoreError, OSError) as error:
                if not is_away(error) or self._thread.left(_AFTER_STOP, since=began) <= 0:
                    raise
                self.trouble = str(error)
                if _seldom.due("away"):
                    log.warning("the store is away; finished runs wait for it", extra={"why": str(error)})
            else:
                self.trouble = ""
                return result
            await asyncio.sleep(wait)
            wait = min(2 * wait, _LONGEST)


def _stand_in(observation: Observation, error: Exception, cause: str) -> Observation:
    """What is stored in place of an observation: that the shadow lost it, and why; what it wrote and used stays."""
    failure = Failure(
        kind="error", error_type=type(error).__name__, message=reason_of(error), owner="shadow", cause=cause
    )
    duration = observation.duration if math.isfinite(observation.duration) else 0.0
    return Observation(
        query_id=observation.query_id,
        arm=observation.arm,
        place=observation.place,
        failure=failure,
        started_at=observation.started_at,
        duration=duration,
        usage=observation.usage,
        live_writes=observation.live_writes,
    )
