"""Durations and failures of the last minutes, exponentially decayed, in constant time and memory.

Forward decay (Cormode, Shkapenyuk, Srivastava, Xu: Forward Decay, ICDE 2009): a call weighs 2**(age of the window), so
nothing has to be touched when time passes; everything is divided by today's weight when it is read. Durations go into
512 logarithmic bins, sixteen to the octave (4.4 % wide), from a microsecond to an hour.
"""

from __future__ import annotations

from math import log, log2, sqrt
from typing import Final

from shadoweval.traffic.gauges import running_loop

__all__ = ["Waits", "Window"]

_PER_OCTAVE: Final = 16
_BELOW_ONE: Final = 20
_BINS: Final = 512
_LONGEST: Final = 4000.0
_RESCALE: Final = 500.0
_MANY: Final = 0.05
"""Share of calls that may wait for us for longer than is tolerated."""
_LATELY: Final = 30.0
"""Half-life in seconds of what event loops waited for us."""
_UNKNOWN: Final = 0.25
"""Seconds that a call may wait for what is asked of each, while nobody knows how long calls take."""


class Window:
    """Calls of one kind since `began`; a call loses half of its weight every `half_life` seconds.

    `n` counts calls by what they weigh now. It is smaller than the number of calls that would give the same variance
    (Kish's effective size is twice as large in a steady stream), so intervals over it are wider than they need to be.
    """

    __slots__ = ("_bins", "_failed", "_half_life", "_held", "_landmark", "_served", "began", "count")

    def __init__(self, now: float, *, half_life: float) -> None:
        self.began = self._landmark = now
        self.count = 0
        self._half_life = half_life
        self._bins = [0.0] * _BINS
        self._served = 0.0
        self._failed = self._held = 0.0

    def add(self, duration: float, *, failed: bool, now: float, held: bool = False) -> None:
        """Count a call. Durations of failed calls are left out: an error is no fast answer.

        `held`: it had to wait for us for longer than is allowed.
        """
        age = (now - self._landmark) / self._half_life
        if age > _RESCALE:
            self._rescale(now)
            age = 0.0
        weight = 2.0**age
        self.count += 1
        if held:
            self._held += weight
        if failed:
            self._failed += weight
            return
        index = int((log2(min(duration, _LONGEST)) + _BELOW_ONE) * _PER_OCTAVE) if duration > 0.0 else 0
        self._bins[max(index, 0)] += weight
        self._served += weight

    def _rescale(self, now: float) -> None:
        by = 2.0 ** ((self._landmark - now) / self._half_life)
        self._bins = [weight * by for weight in self._bins]
        self._served *= by
        self._failed *= by
        self._held *= by
        self._landmark = now

    def _weight(self, now: float) -> float:
        return 2.0 ** (-(now - self._landmark) / self._half_life)

    def served(self, now: float) -> float:
        """Calls that did not fail, by their weight now."""
        return self._served * self._weight(now)

    def n(self, now: float) -> float:
        """Calls by their weight now."""
        return (self._served + self._failed) * self._weight(now)

    def failures(self, now: float, *, z: float) -> tuple[float, float]:
        """Bounds of the share of failed calls."""
        whole = self._served + self._failed
        return wilson(self._failed / whole if whole else 0.0, self.n(now), z=z)

    def held(self, now: float, *, z: float) -> float:
        """Lower bound of the share of calls that were held up."""
        whole = self._served + self._failed
        return wilson(self._held / whole if whole else 0.0, self.n(now), z=z)[0]

    def at_least(self, share: float, now: float, *, z: float) -> float:
        """Lower bound in seconds of the quantile `share`, by order statistics; 0 where there are too few calls."""
        n = self.served(now)
        rank = share - z * sqrt(share * (1.0 - share) / n) if n > 0.0 else 0.0
        return _edge(self._bin_at(rank)) if rank > 0.0 else 0.0

    def at_most(self, share: float, now: float, *, z: float) -> float:
        """Upper bound in seconds of the quantile `share`; infinite where there are too few calls for one."""
        n = self.served(now)
        rank = share + z * sqrt(share * (1.0 - share) / n) if n > 0.0 else 1.0
        return _edge(self._bin_at(rank) + 1) if rank < 1.0 else float("inf")

    def _bin_at(self, share: float) -> int:
        """Bin of a quantile, searched from above, where the quantiles of interest lie."""
        above = (1.0 - share) * self._served
        bins = self._bins
        for index in range(_BINS - 1, 0, -1):
            above -= bins[index]
            if above < 0.0:
                return index
        return 0


def _edge(index: int) -> float:
    return 2.0 ** (index / _PER_OCTAVE - _BELOW_ONE)


def wilson(share: float, n: float, *, z: float) -> tuple[float, float]:
    """Bounds of a share seen in `n` trials (Wilson 1927); (0, 1) where there were none. Checked against statsmodels."""
    if n <= 0.0:
        return 0.0, 1.0
    middle = (share + z * z / (2.0 * n)) / (1.0 + z * z / n)
    half = z / (1.0 + z * z / n) * sqrt(share * (1.0 - share) / n + z * z / (4.0 * n * n))
    return max(middle - half, 0.0), min(middle + half, 1.0)


class Waits:
    """What calls waited for us, as the mirror measured it: no comparison, so no control call is needed.

    There is no lock, as in the breaker.

    Args:
        slack, slower, half_life, probes, z: See `breaker.BreakerLimits`.
    """

    def __init__(self, *, slack: float, slower: float, half_life: float, probes: int, z: float) -> None:
        self._slack, self._ratio = slack, max(slower - 1.0, 0.0)
        self._half_life, self._probes, self._z = half_life, probes, z
        self._patience = _UNKNOWN
        self._last_asked = self._last_own = 0.0
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all calls."""
        self._calls = self._late = 0
        self._weighed, self._weighed_late = 0.0, 0.0
        self._held = self._holding = 0.0

    def asked(self, seconds: float) -> None:
        """Count a call, mirrored or not, that waited so long for what is asked of each."""
        self._calls += 1
        if seconds > self._patience:
            self._late += 1
            self._last_asked = seconds

    def held_up(self, own: float, duration: float) -> bool:
        """Whether our own work took more of a call's seconds than is tolerated; it took more than the slack."""
        if running_loop() is not None:
            self._held += own  # of everybody's time there, whatever the call's own
        held = own > self._slack + self._ratio * (duration - own)
        if held:
            self._last_own = own
        return held

    def weigh(self, elapsed: float, *, typical: float | None) -> None:
        """Fold in what came in `elapsed` seconds; `typical`: seconds that a call takes, where they are known."""
        weight = 2.0 ** (-elapsed / self._half_life)
        calls, late, held = self._calls, self._late, self._held
        self._calls, self._late, self._held = 0, 0, 0.0
        self._weighed, self._weighed_late = self._weighed * weight + calls, self._weighed_late * weight + late
        self._holding = self._holding * 2.0 ** (-elapsed / _LATELY) + held
        if typical is not None:
            self._patience = self._slack + self._ratio * typical

    def too_long(self, mirrored: Window, now: float) -> str | None:
        """Why it is too long; `mirrored`: calls of which `held_up` was asked."""
        calls = self._weighed
        least = wilson(self._weighed_late / calls, calls, z=self._z)[0] if calls >= self._probes else 0.0
        if least > _MANY:
            return (
                f"at least {least:.2%} of all calls waited more than {self._patience:.4g} s for what is asked of each "
                f"(attributes=, unit=, flags, kill switch), the last of these {self._last_asked:.4g} s"
            )
        least = mirrored.held(now, z=self._z) if mirrored.count >= self._probes else 0.0
        if least > _MANY:
            return (
                f"at least {least:.2%} of mirrored calls waited for the mirror's own work: more than {self._slack:g} s "
                f"and {self._ratio:.0%} of their own time, the last of these {self._last_own:.4g} s"
            )
        share = self._holding * log(2.0) / _LATELY
        if share > self._ratio:
            return f"the mirror's own work takes {share:.2%} of the event loop's time, allowed are {self._ratio:.0%}"
        return None
