"""The breaker: where users suffer, the mirror turns itself off.

Latency and failures of mirrored calls are compared with those of the calls that a random share leaves alone (the
mirror's `control`), in the same minutes, so that a slow hour that has nothing to do with the mirror does not count
against it. A difference counts when the mirrored calls' lower bound lies above the control calls' upper bound and the
tolerance on top. Absolute limits and gauges (memory, event loop, rate limits, spool) need no control.

Nor does our own time, which is measured and not compared: the mirror tells with each call how long it waited for us,
before the incumbent, within it and after it. What every call waits for, control calls too, is told apart (`asked`).

    closed ──something is beyond its limit──► open ──pause──► half-open ──enough good probes──► closed
                                               ▲                  │
                                               └── beyond again: twice the pause
"""

from __future__ import annotations

import itertools
import logging
import time
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from shadoweval.checks import checked_fields, checked_instance, checked_keywords, checked_list, checked_share
from shadoweval.clock import Seconds
from shadoweval.errors import ArgumentError, ShareError
from shadoweval.traffic.gauges import Gauge, LoopLag
from shadoweval.traffic.window import Waits, Window

__all__ = ["Breaker", "BreakerLimits"]

_log: Final = logging.getLogger("shadoweval.traffic")
_LAG: Final = 0.25
BreakerState = Literal["closed", "open", "half_open"]


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerLimits:
    """When to open, and how to close again. Seconds and shares.

    With `z` = 3 the control side needs more than 171 calls, by their weight now, before a comparison of p95 can open
    the breaker at all (median: 9, p99: 891): fewer calls have no upper bound. Calls come to weigh at most their rate
    times the half-life / ln 2, so with a control share of 5 % that takes more than 8 sampled calls a second for p95
    (half-life 5 min), and more than 7 for p99 (half-life 30 min).
    """

    quantiles: Sequence[float] = (0.5, 0.95, 0.99)
    """Which quantiles of latency are compared: the median sees a little more on every call, p99 much more on few."""
    slower: float = 1.10
    """Ratio mirrored / control that is tolerated."""
    slack: float = 0.005
    """Seconds that are tolerated on top. Ratio and slack hold for our own time too, which one call in 20 may exceed;
    on an event loop work that takes longer than the slack may fill as much of the time as the ratio tolerates."""
    latency: float | None = None
    """Absolute limit of the largest quantile, whoever causes it; None: none."""
    failures: float = 0.01
    """Share of failed calls, mirrored - control, that is tolerated."""
    failure_rate: float | None = None
    """Absolute limit of the share of failed calls; None: none."""
    enough: int = 200
    """Mirrored calls before anything is concluded, by their weight now."""
    half_life: float = 300.0
    rare: float = 0.98
    """Quantiles from here on are compared over a longer time, since few calls lie beyond them."""
    rare_half_life: float = 1800.0
    z: float = 3.0
    """Width of the bounds in standard errors."""
    every: float = 1.0
    """Seconds between two checks."""
    pause: float = 30.0
    longest: float = 3600.0
    """Longest pause; after as long without opening the next pause is short again."""
    probes: int = 50
    """Good mirrored calls that close a half-open breaker."""
    thin: int = 10
    """While half-open one in so many calls is let through."""

    def __post_init__(self) -> None:
        checked_fields(self, "quantiles", check=checked_list, mend="Write [0.95].")
        quantiles = tuple(checked_share("BreakerLimits.quantiles", share) for share in self.quantiles)
        object.__setattr__(self, "quantiles", quantiles)
        checked_fields(self, "rare", check=checked_share)
        for share in (*quantiles, self.rare):
            if not 0 < share < 1:
                raise ShareError("BreakerLimits.quantiles and .rare, without the ends,", share)
        if not quantiles:
            raise ArgumentError(
                "BreakerLimits.quantiles", quantiles, expected="at least one share", mend="Write [0.95]."
            )
        checked_fields(self, "slower", "half_life", "rare_half_life", "z", "every", "pause", "longest", above=0)
        if self.longest < self.pause:
            raise ArgumentError("BreakerLimits.longest", self.longest, expected=f"at least pause, {self.pause:g}")
        checked_fields(self, "enough", "probes", "thin", low=1, whole=True)
        checked_fields(self, "slack", "failures", low=0)
        checked_fields(self, "latency", "failure_rate", low=0, optional=True)


@checked_keywords()
class Breaker:
    """One process's breaker for one experiment.

    Updates take constant time. There is no lock: two threads that count at the same instant may count as one call.

    Args:
        limits: When to open; None: the defaults.
        gauges: What else must stay within its limit; None: the lag of the event loop, and what the experiment adds
            (`add_gauges`): rate limits, losses on the way out, and the worker's backlog.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        limits: BreakerLimits | None = None,
        *,
        gauges: Sequence[Gauge] | None = None,
        clock: Seconds = time.monotonic,
    ) -> None:
        self.limits = BreakerLimits() if limits is None else checked_instance("Breaker(limits)", limits, BreakerLimits)
        self._default_gauges = gauges is None
        lag = Gauge(name="event loop lag in seconds", read=LoopLag(), limit=_LAG)
        given = (lag,) if gauges is None else checked_list("Breaker(gauges)", gauges, mend="Write gauges=[Gauge(...)].")
        self.gauges = tuple(checked_instance("each of Breaker(gauges)", gauge, Gauge) for gauge in given)
        self.state: BreakerState = "closed"
        self.trips = 0
        """How often it opened."""
        self._clock = clock
        self._why: str | None = None
        now = clock()
        self._mirrored, self._control = self._window(now), self._window(now)
        self._has_rare = any(quantile >= self.limits.rare for quantile in self.limits.quantiles)
        self._rare_mirrored, self._rare_control = self._rare_window(now), self._rare_window(now)
        self._calls = 0
        self._checked = now
        self._until = now
        self._closed_at = -float("inf")
        self._pause = self.limits.pause
        self._half_open_calls = itertools.count()
        self._watch_loop = next((gauge.read.watch for gauge in self.gauges if isinstance(gauge.read, LoopLag)), None)
        self._waits = Waits(
            slack=self.limits.slack,
            slower=self.limits.slower,
            half_life=self.limits.half_life,
            probes=self.limits.probes,
            z=self.limits.z,
        )

    def add_gauges(self, *gauges: Gauge) -> None:
        """Check these too, each once, unless the user chose the gauges."""
        if self._default_gauges:
            self.gauges = (*self.gauges, *(gauge for gauge in gauges if gauge not in self.gauges))

    @property
    def kind(self) -> Hashable:
        """What two of them must have in common to be one (`go_on`)."""
        return self.limits, self._clock, self._default_gauges

    def go_on(self, earlier: Breaker) -> None:
        """Be one with an earlier one of the same kind, from here on: what either counts the other knows.

        Gauges that somebody chose are those of the later one.
        """
        if not self._default_gauges:
            earlier.gauges, earlier._watch_loop = self.gauges, self._watch_loop
        self.__dict__ = vars(earlier)

    def asked(self, seconds: float) -> None:
        """Count a call, mirrored or not, that waited so long for what is asked of each."""
        self._waits.asked(seconds)

    def observe(self, duration: float, *, failed: bool, mirrored: bool, own: float = 0.0) -> None:
        """Count a call that has ended.

        `duration` is in seconds as the user felt them, our own work included, and `own` are those of our work; a call
        that is not mirrored is one of the control share.
        """
        now = self._clock()
        if not mirrored:
            self._control.add(duration, failed=failed, now=now)
            if self._has_rare:
                self._rare_control.add(duration, failed=failed, now=now)
        elif self.state == "closed" or now - duration >= self._mirrored.began:
            # A half-open breaker does not go by calls that began before it was.
            held = own > self.limits.slack and self._waits.held_up(own, duration)
            self._mirrored.add(duration, failed=failed, now=now, held=held)
            self._calls = (self._calls + 1) & 3
            if not self._calls:  # one in four: still several for each control call, at a quarter of the cost
                if self._watch_loop is not None:
                    self._watch_loop()
                if self._has_rare:
                    self._rare_mirrored.add(duration, failed=failed, now=now)

    def open(self) -> bool:
        """Whether this call must not be mirrored. Ask once a call: while half-open it lets one in `thin` through."""
        now = self._clock()
        if not 0.0 <= now - self._checked < self.limits.every:
            self._check(now)
        if self.state == "closed":
            return False
        return self.state == "open" or next(self._half_open_calls) % self.limits.thin != 0

    def reason(self) -> str | None:
        """Why it is not closed."""
        return None if self.state == "closed" else self._why

    def _window(self, now: float) -> Window:
        return Window(now, half_life=self.limits.half_life)

    def _rare_window(self, now: float) -> Window:
        return Window(now, half_life=self.limits.rare_half_life)

    def _check(self, now: float) -> None:
        elapsed, self._checked = max(now - self._checked, 0.0), now
        if self.state == "open":
            if now < self._until:
                return
            self._mirrored, self._rare_mirrored = self._window(now), self._rare_window(now)
            self._waits.begin_anew()
            self.state = "half_open"
        known = next((window for window in (self._control, self._mirrored) if window.served(now) > 0.0), None)
        self._waits.weigh(elapsed, typical=None if known is None else known.at_least(0.5, now, z=0.0))
        why = self._beyond(now)
        if why is not None:
            self._trip(now, why)
        elif self.state == "half_open" and self._mirrored.count >= self.limits.probes:
            self.state, self._closed_at = "closed", now
            _log.info("The mirror's breaker closed", extra={"why": self._why, "probes": self._mirrored.count})

    def _trip(self, now: float, why: str) -> None:
        limits = self.limits
        lately = self.state == "half_open" or now - self._closed_at < limits.longest
        self._pause = min(self._pause * 2.0, limits.longest) if lately else limits.pause
        self.state, self._why, self._until = "open", why, now + self._pause
        self.trips += 1
        _log.warning("The mirror turned itself off: its breaker opened", extra={"why": why, "pause": self._pause})

    def _beyond(self, now: float) -> str | None:
        for gauge in self.gauges:
            why = gauge.beyond()
            if why is not None:
                return why
        mirrored = self._mirrored
        why = self._waits.too_long(mirrored, now)
        if why is not None:
            return why
        probing = self.state == "half_open"
        few = mirrored.count < self.limits.probes if probing else mirrored.n(now) < self.limits.enough
        if few:
            return None
        return self._slow(now) or self._failing(now)

    def _slow(self, now: float) -> str | None:
        limits = self.limits
        for quantile in limits.quantiles:
            mirrored, control = self._mirrored, self._control
            if quantile >= limits.rare:
                mirrored, control = self._rare_mirrored, self._rare_control
            least = mirrored.at_least(quantile, now, z=limits.z)
            name = f"p{quantile * 100:g} of mirrored calls"
            if limits.latency is not None and quantile == max(limits.quantiles) and least > limits.latency:
                return f"{name} is at least {least:.4g} s, allowed is {limits.latency:.4g} s"
            most = control.at_most(quantile, now, z=limits.z)
            if least > most * limits.slower + limits.slack:
                return f"{name} is at least {least:.4g} s, of control calls at most {most:.4g} s"
        return None

    def _failing(self, now: float) -> str | None:
        limits = self.limits
        least, _ = self._mirrored.failures(now, z=limits.z)
        if limits.failure_rate is not None and least > limits.failure_rate:
            return f"at least {least:.2%} of mirrored calls fail, allowed are {limits.failure_rate:.2%}"
        _, most = self._control.failures(now, z=limits.z)
        if least > most + limits.failures:
            return f"at least {least:.2%} of mirrored calls fail, of control calls at most {most:.2%}"
        return None
