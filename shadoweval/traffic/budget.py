"""Daily budgets of calls, tokens and dollars, shared by the processes of a host.

One small file a day (UTC) and experiment, `HOME/budget/NAME.YYYY-MM-DD`: a row for each process that spent something.
Only its owner writes a row, so nobody ever waits, and what was charged before a SIGKILL stays charged. The sum of the
rows is what was spent; it is read again after each charge of this process, so that processes overspend by at most the
calls they have in flight, however old their view of the others is.

What can't be read, written or summed counts as spent.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from shadoweval.clock import Seconds
from shadoweval.errors import SettingsError
from shadoweval.traffic.shared_sums import SharedSums, Sums, plus

__all__ = ["Budget"]

_log: Final = logging.getLogger("shadoweval.traffic")
_DAY: Final = 86_400
_NANO: Final = 1_000_000_000
_LARGEST: Final = float(1 << 63)
_CHECK: Final = 1.0
_FRESH: Final = 0.05
_NOTHING: Final[Sums] = (0, 0, 0)


class Spending(NamedTuple):
    """What was spent, or may be."""

    calls: int = 0
    tokens: int = 0
    usd: float = 0.0


class Budget:
    """Today's budget of one experiment.

    Tokens and dollars are those of the shadow runs; None is no limit. `home` lies on a disk of this host; `clock` gives
    seconds since 1970.

    Raises:
        SettingsError: a negative limit.
    """

    def __init__(
        self,
        experiment: str,
        *,
        home: Path,
        calls: int | None = None,
        tokens: int | None = None,
        usd: float | None = None,
        clock: Seconds = time.time,
    ) -> None:
        for name, limit in (("calls", calls), ("tokens", tokens), ("usd", usd)):
            if limit is not None and not limit >= 0:
                raise SettingsError(f"budget.{name}", limit, why="a budget is a number from 0 up, or None")
        self.limits = (calls, tokens, None if usd is None else round(usd * _NANO))
        self._folder = home.absolute() / "budget"
        self._experiment = experiment
        self._clock = clock
        self._answer, self._answered = True, -float("inf")
        self._checked = self._retry_at = -float("inf")
        self._fault: str | None = None
        self._sums: tuple[int, SharedSums] | None
        self._pending: Sums
        self._reset()

    def _reset(self) -> None:
        self._pid, self._lock, self._sums, self._pending = os.getpid(), threading.Lock(), None, _NOTHING

    def _forked(self) -> None:
        if self._pid != os.getpid():  # a child gets a row of its own, and a lock that nobody holds
            self._reset()

    def spent(self) -> bool:
        """Whether today's budget is used up, or can't be known. Holds for 50 ms, or until this process charges."""
        now = self._clock()
        if not 0.0 <= now - self._answered < _FRESH:
            self._answered = now
            self._answer = self.reason() is not None
        return self._answer

    def charge(self, *, calls: int = 0, tokens: int = 0, usd: float = 0.0) -> bool:
        """Add to what was spent today. False: it can't be written yet; until it can, the budget counts as spent.

        Raises:
            ValueError: something negative or no number.
        """
        nano = round(min(usd * _NANO, _LARGEST)) if usd == usd else -1  # noqa: PLR0124 - which is no number
        if min(calls, tokens, nano) < 0:
            raise ValueError(f"A charge can't be negative: calls={calls!r}, tokens={tokens!r}, usd={usd!r}.")
        self._forked()
        with self._lock:
            self._pending = plus(self._pending, (calls, tokens, nano))
        try:
            self._settle()
        except (OSError, ValueError) as error:
            self._warn(error)
            return False
        finally:
            self._answered = -float("inf")
        return True

    def spending(self) -> Spending:
        """What was spent today by all processes of the host.

        Raises:
            OSError, ValueError: the file can't be read, or is damaged.
        """
        calls, tokens, nano = self._today().sums()
        return Spending(calls, tokens, nano / _NANO)

    def reason(self, *, runs: bool = False) -> str | None:
        """Why nothing more may be spent today; None: something may.

        With `runs` what was mirrored already is asked about: tokens and dollars count, the number of calls does not.
        """
        limits = (None, *self.limits[1:]) if runs else self.limits
        if limits == (None, None, None):
            return None
        try:
            self._settle()
            return _exceeded(limits, self._today().sums())
        except (OSError, ValueError) as error:
            self._warn(error)
            return f"The budget of {self._experiment!r} can't be read or written and counts as spent: {error}"

    def _settle(self) -> None:
        """Write what was charged and is not written yet."""
        if self._pending == _NOTHING:
            return
        sums = self._today()
        with self._lock:
            pending, self._pending = self._pending, _NOTHING
        try:
            sums.add(pending)
        except (OSError, ValueError):
            with self._lock:
                self._pending = plus(self._pending, pending)
            raise

    def _today(self) -> SharedSums:
        now = self._clock()
        number = int(now // _DAY)
        self._forked()
        if self._sums is None or self._sums[0] != number:
            self._sums = (number, self._opened(number, now))
        sums = self._sums[1]
        if not 0.0 <= now - self._checked < _CHECK:
            sums.check()
            self._checked = now
        return sums

    def _opened(self, number: int, now: float) -> SharedSums:
        if 0.0 < self._retry_at - now <= _CHECK:
            raise OSError(self._fault)
        day = datetime.fromtimestamp(number * _DAY, UTC).date().isoformat()
        with self._lock:
            if self._sums is not None and self._sums[0] == number:
                return self._sums[1]
            try:
                return SharedSums(self._folder / f"{self._experiment}.{day}")
            except OSError:
                self._retry_at = now + _CHECK
                raise

    def _warn(self, error: Exception) -> None:
        why = str(error)
        if why != self._fault:
            self._fault = why
            _log.warning(
                "The budget can't be read or written and counts as spent: nothing is mirrored",
                extra={"experiment": self._experiment, "why": why},
            )


def _exceeded(limits: tuple[int | None, ...], sums: Sums) -> str | None:
    for name, unit, limit, value in zip(("calls", "tokens", "USD"), (1, 1, _NANO), limits, sums, strict=True):
        if limit is not None and value >= limit:
            return f"{value / unit:,.12g} of {limit / unit:,.12g} {name} are spent today"
    return None
