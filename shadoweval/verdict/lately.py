"""Has the candidate turned worse lately? In the average over weeks a fault of this morning drowns.

The Shiryaev-Roberts detector over the newest 5000 units: it sums the evidence of every moment at which a decay could
have begun. Looking at the newest units only leaves out early beginnings, which can only weaken it, so its bound on
false alarms stays.
Source: Shin, Ramdas and Rinaldo, "E-detectors" (arXiv 2203.03532).
"""

from __future__ import annotations

from typing import Final

import numpy as np

from shadoweval.evidence import DecayDetector
from shadoweval.verdict.columns import FloatArray

__all__ = ["Lately"]

_KEPT: Final = 5_000


class Lately:
    """The newest differences of one metric.

    Args:
        margin: Loss that is tolerated, as a share of the metric's range.
        alpha: Chance of a false alarm within 20,000 units.
    """

    def __init__(self, margin: float, *, alpha: float) -> None:
        self.margin, self.alpha = margin, alpha
        self._newest: FloatArray = np.zeros(0)

    def extend(self, differences: FloatArray) -> None:
        """Count units: differences in [-1, 1], larger is better."""
        self._newest = np.concatenate([self._newest, differences[-_KEPT:]])[-_KEPT:]

    @property
    def decayed(self) -> bool:
        """Whether it turned worse than the margin."""
        return DecayDetector(margin=self.margin, alpha=self.alpha).extend(self._newest).alarmed

    def to_state(self) -> list[float]:
        """The newest differences."""
        return self._newest.tolist()

    def restore(self, state: list[float]) -> None:
        """Take up what `to_state` gave."""
        self._newest = np.array(state, dtype=np.float64)
