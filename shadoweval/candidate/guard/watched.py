"""One process that the supervisor watches: what it may do by now, and what it was refused."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import msgspec

from shadoweval.candidate.guard.caller import Caller
from shadoweval.candidate.guard.policy import Containment, GuardPolicy
from shadoweval.candidate.guard.rulings import Rulings
from shadoweval.records import Refusal

__all__ = ["Phase", "Watched", "count", "process_of"]

_KINDS = 50  # different refusals that are told apart, in a run or where they are no run's doing

Phase = Literal["importing", "serving", "child"]


class Watched:
    """A fork server or a child of it.

    Attributes:
        phase: a server that is importing does what the policy allows; one that serves forks what it is asked for, and
            signals its own children; a child does what the policy allows to it.
        scratch: its folder.
        containment: what holds it, once it said so.
        refusals: since they were last taken, and how often each.
        loading: it imports for itself, so that what is refused is no run's doing.
        killed_itself: it has sent SIGKILL to itself.
    """

    def __init__(self, pid: int, policy: GuardPolicy, phase: Phase, *, scratch: str) -> None:
        self.pid, self.phase, self.scratch = pid, phase, scratch
        self.rulings = Rulings(policy)
        self.containment: Containment | None = None
        self.refusals: Counter[Refusal] = Counter()
        self.killed_itself = self.loading = False
        self._caller: Caller | None = None

    def caller(self, thread: int) -> Caller:
        """The process by its asking thread."""
        if self._caller is None:
            self._caller = Caller(self.pid)
        self._caller.thread = thread
        return self._caller

    def serve(self) -> None:
        """The import is over: what threads that it left behind try is refused from now on."""
        self.phase, self.rulings = "serving", Rulings(None)

    def announced(self, containment: Containment, policy: GuardPolicy) -> None:
        """It said what holds it, and may do no more than `policy` from now on."""
        self.containment, self.loading = containment, containment.loading
        if self.phase == "child":
            self.rulings = Rulings(policy)
            self.rulings.inherited = dict(containment.inherited)

    def take(self) -> tuple[Refusal, ...]:
        """The refusals since the last call."""
        if not self.refusals:
            return ()
        refusals, self.refusals = self.refusals, Counter()
        return tuple(
            refusal if n == 1 else msgspec.structs.replace(refusal, count=n) for refusal, n in refusals.items()
        )

    def close(self) -> None:
        """It is gone."""
        if self._caller is not None:
            self._caller.close()
            self._caller = None


def process_of(thread: int) -> int:
    """The process that a thread belongs to; OSError where nobody can tell."""
    with open(f"/proc/{thread}/status", "rb") as status:  # noqa: PTH123 - while a call waits
        return next(int(line.split()[1]) for line in status if line.startswith(b"Tgid:"))


def count(counter: Counter[Refusal], refusal: Refusal) -> None:
    """Count a refusal; beyond so many different ones as another one of its kind."""
    if refusal not in counter and len(counter) >= _KINDS:
        refusal = Refusal(kind=refusal.kind, detail="and others", layer=refusal.layer)
    counter[refusal] += 1
