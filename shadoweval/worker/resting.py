"""A worker rests in minutes drawn at random, and finds out whether the incumbent is quicker then.

A shadow may slow down what it shares with the incumbent: a vector store, a model server, a quota. That hits control
calls as it hits mirrored ones, so no control share shows it. But no run begins in a minute of rest. The durations of
live calls of such minutes are compared with those of the others (`evidence.resting`). Where runs slow the incumbent
down by more than its breaker tolerates, they are halved in number, halved again, then stopped, until
`shadoweval resume` takes that back.

Which minutes those are is a function of the time (UTC) and the experiment's name: all its workers rest together, on
every host, and need not talk about it. Durations are those that the mirrors count in this home anyway. Each minute's
first 15 seconds are left out, in working minutes as well: runs that began before a rest have ended by then, and what
others do at the full minute is in neither.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.buckets import within
from shadoweval.clock import Clock, utc_now
from shadoweval.evidence.resting import Minute, RestTest
from shadoweval.logs import logger
from shadoweval.mirror.overhead import bin_from, quantile
from shadoweval.private import replace_private

__all__ = ["Resting", "forget_slowed", "read_slowed"]

log: Final = logger(__name__)

_ALARM: Final = math.log(1 / 0.01)
"""A shadow that slows nothing is taken for one that does in at most one experiment of a hundred, however long it runs;
likewise after each halving."""
_MINUTE: Final = 60
_WASHED: Final = 15
"""Seconds of each minute that are not compared."""
_LATE: Final = 15
"""A look that comes later than this many seconds belongs to no minute."""
_LEVELS: Final = 3
_GRACE: Final = 300.0
_USUAL: Final = 0.1
"""How much the newest minute weighs in the mean number of runs that begin in one."""


class Slowed(msgspec.Struct, kw_only=True):
    """What was found, and how the worker goes on; kept in its home."""

    level: int = 0
    """0: as fast as it can; 1: half of the runs; 2: a quarter; 3: none."""
    since: datetime | None = None
    """When the last level began."""
    ratio: float = 1.0
    """How many times as long calls took in working minutes, at the quantile that differs most."""
    usual: float = 0.0
    """Runs that begin in a working minute, on average."""
    most: float | None = None
    """Runs that may begin in a minute; None: as many as can."""
    test: RestTest = msgspec.field(default_factory=RestTest)

    @property
    def sentence(self) -> str:
        """For people; empty: nothing was found."""
        if not self.level:
            return ""
        done = "no more runs begin" if self.level >= _LEVELS else f"at most {self.most or 0:.3g} runs a minute begin"
        return (
            f"candidates slow the incumbent down: {self.ratio:.2g}x in working minutes, against minutes in which no "
            f"run begins. So {done} since {self.since:%Y-%m-%d %H:%M} UTC, until `shadoweval resume`"
        )


def is_rest(experiment: str, at: float, *, share: float) -> bool:
    """Whether the minute of a time (seconds since 1970) is one of rest: the same for everybody who asks."""
    return within(share, f"rest:{experiment}", str(int(at) // _MINUTE))


def read_slowed(folder: Path, name: str) -> Slowed:
    """What the worker of this home found; as if nothing, where none did or it can't be read."""
    try:
        return msgspec.json.decode(_path(folder, name).read_bytes(), type=Slowed)
    except (OSError, msgspec.DecodeError):
        return Slowed()


def forget_slowed(folder: Path, name: str) -> bool:
    """Let the worker of this home go on as fast as it can. Whether it was slowed."""
    slowed = read_slowed(folder, name).level > 0
    if slowed:
        _path(folder, name).unlink(missing_ok=True)
    return slowed


class Resting:
    """Says how many runs may begin, and looks at each minute's calls.

    Args:
        experiment: Its name.
        folder: The home, where the findings are kept.
        share: Of the minutes, in which no run begins, in (0, 1).
        durations: Sum over all mirrors of this home so far: calls by bin (`mirror.overhead`).
        slower: Ratio of durations that is tolerated.
        slack: Seconds that are tolerated on top.
        grace: Seconds after its beginning in which a worker does not rest: who starts one wants to see it work.
        clock: Now.
    """

    def __init__(
        self,
        experiment: str,
        *,
        folder: Path,
        share: float,
        durations: Callable[[], Mapping[str, int]],
        slower: float = 1.10,
        slack: float = 0.005,
        grace: float = _GRACE,
        clock: Clock = utc_now,
    ) -> None:
        self._name, self._folder, self._share = experiment, folder, share
        self._durations, self._clock = durations, clock
        self._from = clock().timestamp() + grace
        self._tolerated: Callable[[int], int] = lambda least: bin_from(least, ratio=slower, seconds=slack)
        self.found = read_slowed(folder, experiment)
        self._kept = _path(folder, experiment).exists()
        self._minute = -1
        self._washed: Counter[str] | None = None
        """Counts when this minute's first seconds were over."""
        self._began = 0
        self._next_at = 0.0
        """When the next run may begin, where the rate is halved."""

    def room(self, wanted: int) -> int:
        """How many of so many runs may begin now."""
        at = self._clock().timestamp()
        if self._rests(at) or self.found.level >= _LEVELS:
            return 0
        most = self.found.most
        if not most:
            return wanted
        waits = 0.0 < self._next_at - at <= _MINUTE / most  # longer: the clock was set back
        return 0 if waits else min(wanted, 1)

    def begun(self, count: int) -> None:
        """So many runs began."""
        self._began += count
        if count and self.found.most:
            self._next_at = self._clock().timestamp() + count * _MINUTE / self.found.most

    def left(self) -> float:
        """Seconds of rest that are left of this minute; 0 in a working one."""
        at = self._clock().timestamp()
        return _MINUTE - at % _MINUTE if self._rests(at) else 0.0

    def _rests(self, at: float) -> bool:
        return at >= self._from and is_rest(self._name, at, share=self._share)

    def step(self) -> None:
        """Look, as often as once a turn; a minute's calls are compared at its end."""
        at = self._clock().timestamp()
        minute, second = divmod(at, _MINUTE)
        if minute != self._minute:
            seen = minute == self._minute + 1 and second < _LATE and self._washed is not None
            if seen and self._minute * _MINUTE >= self._from:
                self._add(int(self._minute), self._durations())
            self._minute, self._washed, self._began = minute, None, 0
            self._resume()
        elif self._washed is None and _WASHED <= second < _WASHED + _LATE:
            self._washed = Counter(self._durations())

    def _add(self, minute: int, after: Mapping[str, int]) -> None:
        """One minute is over."""
        resting = is_rest(self._name, minute * _MINUTE, share=self._share)
        before = self._washed or Counter()
        bins = {int(name): count - before[name] for name, count in after.items() if count != before[name]}
        if min(bins.values(), default=0) < 0:  # the folder was removed
            return
        found = self.found
        if not resting and self._began:
            weight = _USUAL if found.usual else 1.0
            found.usual += weight * (self._began - found.usual)
        hour = minute // _MINUTE
        found.test.add(Minute(resting, bins), share=self._share, hour=hour, tolerated=self._tolerated)
        if found.test.log_e >= _ALARM and found.level < _LEVELS:
            self._slow()
        with contextlib.suppress(OSError):  # a home that can't be written is told elsewhere
            replace_private(_path(self._folder, self._name), msgspec.json.encode(found))
            self._kept = True

    def _slow(self) -> None:
        """Runs are halved in number, or stopped; evidence for the next level is what comes from now on."""
        found, test = self.found, self.found.test
        found.level += 1
        found.since, found.ratio = self._clock(), ratio_of(test)
        found.most = min(found.most or math.inf, max(found.usual, 1.0)) / 2
        found.test = RestTest(minutes=test.minutes)
        log.warning(
            "candidates slow the incumbent down: fewer runs begin",
            extra={"experiment": self._name, "shadow": True, "ratio": round(found.ratio, 2), "why": found.sentence},
        )

    def _resume(self) -> None:
        """Somebody took the finding back."""
        if self._kept and self.found.level and not _path(self._folder, self._name).exists():
            self.found = Slowed(usual=self.found.usual)


def ratio_of(test: RestTest) -> float:
    """How many times as long calls take in working minutes, at the median or p90, whichever is worse."""
    working, resting = (
        {str(index): n for index, n in test.durations(resting=resting).items()} for resting in (False, True)
    )
    return max(quantile(working, share) / quantile(resting, share) for share in (0.5, 0.9))


def _path(folder: Path, name: str) -> Path:
    return folder / f"resting-{name}.json"
