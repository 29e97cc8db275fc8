"""What several processes share: the way out of the request path, leases, alerts that are owed, slots of schedules."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Literal, Protocol, runtime_checkable

import msgspec

from shadoweval.records import Arm, Envelope, Verdict

__all__ = [
    "Alert", "Batch", "Claim", "Condition", "CounterSet", "Definition", "Ledger", "Outbox", "Receiver", "Sign", "Slot",
    "Slots", "Task", "Transport",
]  # fmt: skip


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One arm's run of one envelope, leased to a worker."""

    envelope: Envelope
    arm: Arm
    attempt: int
    """1 for the first try."""


class Sign(msgspec.Struct, frozen=True, kw_only=True):
    """The last sign that a worker gave."""

    owner: str
    """Its name, under which it holds leases."""
    place: str
    """What tells those who share its kernel whether its process is there."""
    definition: str
    """A digest of the experiment as it knows it."""
    seen_at: datetime
    age: timedelta
    """How long ago that was, by the store's clock."""


class Definition(msgspec.Struct, frozen=True, kw_only=True):
    """One of the definitions of an experiment under which its calls were mirrored lately."""

    definition: str
    """`Experiment.definition`."""
    entry: str
    """What was asked last, `"module:attribute"`."""
    process: str
    """A random name of the process in which it was."""
    first_at: datetime
    last_at: datetime
    """When the first and the last of its calls were asked."""


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

    def caught_up(self) -> bool:
        """Whether all that was handed over and counted before this was first asked has come; asked after a None."""
        ...

    def counters(self) -> Mapping[str, int]:
        """Sum of the counters of all writing processes, living and dead (see `counters.py`)."""
        ...


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A changed decision that a receiver is owed or was told."""

    key: str
    """The same at each try: by it a receiver knows that it has it already."""
    receiver: str
    candidate: Arm
    decision: str
    previous: str
    """What the receiver was told, or is owed, before; empty: nothing."""
    at: datetime
    """Since when it is owed."""
    state: Literal["owed", "taken", "superseded", "undelivered", "forgotten"]
    attempts: int
    """How often it was tried, this try included."""
    due: datetime
    """When it is tried next."""
    error: str = ""
    """Why the last try failed; empty: there was none, or it is under way."""
    text: str = ""
    """What it says where there is no verdict."""
    verdict: Verdict | None = None
    """None where it is not to be told any more."""


class Condition(msgspec.Struct, frozen=True, kw_only=True):
    """How something other than a verdict stands, of which receivers are told when it changes."""

    subject: str
    """What it is about, and where: `breaker (host:/home)`."""
    state: str
    """In a word: `open`."""
    well: bool
    """Whether all is well: then only those are told who were told otherwise."""
    text: str
    """In a sentence."""


class Outbox(Protocol):
    """What receivers are owed: kept until a receiver took it, whoever sends it, from whichever host.

    `Store.add_evaluation` and `owe` fill it. Of one candidate's alerts to one receiver the oldest goes first, one at a
    time.
    """

    def owe(self, experiment: str, conditions: Sequence[Condition], receivers: Sequence[str]) -> None:
        """Owe each receiver each condition that differs from the last one that it was told or is owed."""
        ...

    def claim(self, experiment: str, receiver: str, *, seconds: float) -> Alert | None:
        """The next one that is due, for `seconds` nobody else's; None: none is."""
        ...

    def taken(self, alert: Alert) -> None:
        """The receiver has it."""
        ...

    def refused(self, alert: Alert, error: str, *, wait: float) -> None:
        """It could not be told; it is due again after `wait` seconds, or given up as `undelivered`."""
        ...

    def untold(self, experiment: str) -> Sequence[Alert]:
        """What is owed, and what was given up and followed by nothing that the receiver took; oldest first."""
        ...

    def again(self, experiment: str) -> int:
        """All that `untold` lists is owed again, and due now. Returns how many."""
        ...

    def forget(self, experiment: str) -> int:
        """Nothing that `untold` lists is owed any more. Returns how many."""
        ...


class Slot(msgspec.Struct, frozen=True, kw_only=True):
    """One time of a schedule, and what became of it."""

    schedule: str
    at: datetime
    """When it was due; with the schedule's name its key."""
    state: Literal["known", "running", "done", "failed", "skipped"]
    """`known`: from here on slots count, this one is none. `skipped`: it passed, and none is caught up."""
    attempt: int
    """1 for the first try."""
    missed: int
    """Slots before this one that nobody ran."""
    began_at: datetime
    ended_at: datetime | None
    due: datetime
    """Of one that failed: when it is tried again."""
    said: str
    """What came of it, or why it failed, in a sentence."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """How a scheduler asks for the next slot of a schedule."""

    schedule: str
    now: datetime
    times: Callable[[datetime], Sequence[datetime]]
    """The schedule's times after the given one and up to `now`, oldest first."""
    missed: Literal["last", "all", "skip"]
    tries: int
    """How often one slot is tried."""
    owner: str
    """The scheduler, for those who share its kernel."""
    gone: Callable[[str], bool]
    """Whether an owner is certainly not there any more."""
    seconds: float
    """For how long it is this scheduler's, unless it says that it lives (`renew`)."""
    begin: datetime
    """From when on slots count where the schedule was not known yet."""


class Slots(Protocol):
    """Which slots were run: each of them by one scheduler, whatever dies, however many there are."""

    def claim(self, experiment: str, claim: Claim) -> Slot | None:
        """The slot to run now, for nobody else; None: none is due, or one of this schedule is being run."""
        ...

    def renew(self, experiment: str, slot: Slot, *, owner: str, seconds: float) -> bool:
        """Go on holding it. False: somebody else has it."""
        ...

    def settle(self, experiment: str, slot: Slot, *, owner: str, failed: bool, said: str, wait: float) -> bool:
        """It was run. One that failed is due again after `wait` seconds. False: somebody else has it."""
        ...

    def history(self, experiment: str, schedule: str, *, limit: int = 1) -> Sequence[Slot]:
        """The newest slots of a schedule, newest first."""
        ...
