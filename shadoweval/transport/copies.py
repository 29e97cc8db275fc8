"""What an application counts in the memory that it shares with its collector gets into its files.

The numbers are all that it counted there since its first call: a copy replaces the last one, whoever made that.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Final

from shadoweval.counters import copy_counts
from shadoweval.transport.ledger import KINDS
from shadoweval.transport.locks import lock
from shadoweval.transport.ring import Ring

__all__ = ["CountCopies"]


class CountCopies:
    """Copies of an application's counts in its files, which they hold as the living do.

    Args:
        ring: Where it counts.
        folder: Where its files lie.
    """

    def __init__(self, ring: Ring, folder: Path) -> None:
        self._ring, self._folder = ring, folder
        self._stem = ""
        self._descriptors: list[int] = []
        self._copied: Final[list[bytes]] = [b""] * len(KINDS)

    def update(self) -> bool:
        """Copy what has changed. False: it can't be written now."""
        stem, counts = self._ring.stem, self._ring.counts
        try:
            if stem != self._stem:
                self._open(stem)
            for n, descriptor in enumerate(self._descriptors):
                numbers = counts[KINDS[n]]
                if numbers != self._copied[n]:
                    copy_counts(descriptor, numbers)
                    self._copied[n] = numbers
        except OSError:
            return False
        return True

    def _open(self, stem: str) -> None:
        """Other files: the application's first ones, or those that it made because the folder had been removed."""
        self.close()
        for kind in KINDS if stem else ():
            path = self._folder / f"{stem}.{kind}.counters"
            self._descriptors.append(os.open(path, os.O_WRONLY | os.O_CLOEXEC))
            lock(self._descriptors[-1])
        self._stem = stem

    def close(self) -> None:
        """Let go of the files: a reader may add them to its total."""
        for descriptor in self._descriptors:
            with contextlib.suppress(OSError):
                os.close(descriptor)
        self._descriptors.clear()
        self._copied[:] = [b""] * len(KINDS)
        self._stem = ""
