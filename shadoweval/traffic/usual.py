"""What a breaker looks at where nobody chose: all of it is a value in memory, or a file of a few bytes in `home`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Final

from shadoweval.traffic.backlog import Backlog
from shadoweval.traffic.gauges import Gauge, Losses, Throttling

__all__ = ["usual_gauges"]

_LOST: Final = 0.1
_REFUSED: Final = 5.0
_OLDEST: Final = 3600.0
_FILL: Final = 0.8


def usual_gauges(
    experiment: str, *, home: Callable[[], Path], counters: Callable[[], Mapping[str, int]]
) -> tuple[Gauge, ...]:
    """Losses on the way out, rate limits of the candidates' providers, and the worker's backlog.

    Args:
        experiment: Name of the experiment.
        home: Gives the folder of settings `home`; asked at the first look, since definitions read no settings.
        counters: Gives what became of the calls of this process.
    """

    @cache
    def throttling() -> Throttling:
        return Throttling(experiment, home=home())

    @cache
    def backlog() -> Backlog:
        return Backlog(experiment, home=home())

    def refused() -> float:
        return throttling()()

    def oldest() -> float:
        return backlog().age()

    def fill() -> float:
        return backlog().fill()

    return (
        Gauge(name="share of calls lost on the way out", read=Losses(counters), limit=_LOST),
        Gauge(name="rate limits that candidates met lately", read=refused, limit=_REFUSED),
        Gauge(name="age of the oldest waiting query in seconds", read=oldest, limit=_OLDEST),
        Gauge(name="fill of the spool", read=fill, limit=_FILL),
    )
