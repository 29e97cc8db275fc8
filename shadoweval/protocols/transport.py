"""The way out of the request path, as the mirror and the worker see it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol, runtime_checkable

__all__ = ["Batch", "CounterSet", "Ledger", "Receiver", "Transport"]


class CounterSet(Protocol):
    """Counts by name, of one process."""

    def add(self, name: str, count: int = 1, /) -> None:
        """Add to a count; never raises for a known name."""
        ...

    def snapshot(self) -> dict[str, int]:
        """All counts that are not 0."""
        ...


class Ledger(Protocol):
    """What became of the calls of one process, and how long they took; kept where a worker can read it."""

    def count(self, reason: str, /) -> None:
        """One eligible call, and what became of it: a name in `counters.LOSSES`, or `mirrored`."""
        ...

    @property
    def main(self) -> CounterSet:
        """What became of calls."""
        ...

    @property
    def mirrored(self) -> CounterSet:
        """Durations of mirrored calls by bin, see `mirror.overhead`."""
        ...

    @property
    def control(self) -> CounterSet:
        """Durations of calls that were left alone to compare with, by bin."""
        ...


@runtime_checkable
class Transport(Protocol):
    """The writing end: from the request path towards the worker. Never raises, never waits, starts no thread."""

    @property
    def ledger(self) -> Ledger | None:
        """Counters that the reading end adds up; None: calls are counted in the memory of their process."""
        return None

    @property
    def drafts(self) -> bool:
        """Whether its reading end finishes drafts (observations whose parts were encoded one by one)."""
        return False

    def offer(self, frame: bytes) -> str | None:
        """Hand over one frame: None when it is out of the caller's hands for good, else the reason of its loss.

        Reasons are names in `counters.LOSSES` (`full`, `transport_error`).
        """
        ...

    def close(self) -> None:
        """Let go of descriptors; frames handed over stay."""
        ...


class Batch(Protocol):
    """Frames taken from a transport; they come again unless settled."""

    @property
    def frames(self) -> Sequence[bytes]:
        """In the order in which they were handed over, per writing process."""
        ...

    @property
    def corrupt(self) -> Sequence[tuple[bytes, str]]:
        """Damaged stretches, set aside, with the reason."""
        ...

    def settle(self) -> None:
        """These frames are stored durably; they won't come again."""
        ...


class Receiver(Protocol):
    """The reading end, in the worker."""

    def receive(self, limit: int) -> Batch | None:
        """At most `limit` frames, at once; None when there are none. May give a frame again after a crash."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Sum of the counters of all writing processes, living and dead (see `counters.py`)."""
        ...
