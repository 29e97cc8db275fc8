"""How many runs a second may begin, over all workers of an experiment: each waits for its time, before it begins.

A run's time comes from the store, the one place that all workers share: next to the last one's, and never earlier than
now (the generic cell rate algorithm of ITU-T I.371, without a tolerance for bursts). What a run waits for it is no part
of the run, so it counts as nobody's latency.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from shadoweval.errors import StoreError

__all__ = ["LONGEST_WAIT", "RateLimit"]

LONGEST_WAIT: Final = 30.0
"""Seconds for which a run waits; one whose time is later is given back, for any worker to take."""
_LOOK: Final = 0.05
_PAUSE: Final = 2.0


class RateLimit:
    """Lets runs begin at most so often.

    Args:
        rates: Endpoint -> runs a second. Nobody knows where a run will connect, so each counts at all of them.
        reserve: Called with an endpoint and the seconds between two runs, gives the seconds until this one's time, or
            more than `LONGEST_WAIT` where none was reserved (`store.sql.SqlStore.reserve`).
    """

    def __init__(self, rates: Mapping[str, float], reserve: Callable[[str, float], float]) -> None:
        self._rates, self._reserve = dict(rates), reserve

    async def enter(self, closed: Callable[[], bool]) -> bool:
        """Wait for a run's time. False: it must not begin, since `closed` said so, or its time is not in sight."""
        loop = asyncio.get_running_loop()
        for endpoint, most in self._rates.items():
            try:
                wait = self._reserve(endpoint, 1.0 / most)
            except (StoreError, OSError):  # the worker hears of it too, as it gives the run back
                wait = float("inf")
            in_sight = wait <= LONGEST_WAIT
            until = loop.time() + (wait if in_sight else _PAUSE)
            while (left := until - loop.time()) > 0:
                if closed():
                    return False
                await asyncio.sleep(min(left, _LOOK))
            if not in_sight or closed():
                return False
        return True
