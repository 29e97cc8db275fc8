"""One child as its pool sees it through the supervisor."""

from __future__ import annotations

from collections.abc import Sequence

from shadoweval.candidate.guard.supervisor import Supervisor
from shadoweval.records import Refusal

__all__ = ["ChildSeen"]


class ChildSeen:
    """What holds the child `pid`, and what it was refused; nothing of either without a supervisor.

    Attributes:
        guarded: there is a supervisor.
        killed_itself: it has sent SIGKILL to itself, so far as it asked: whoever else did is unknown. Known at its end.
        text: what holds it in words, once it said so.
    """

    def __init__(self, supervisor: Supervisor | None, pid: int) -> None:
        self._supervisor, self._pid = supervisor, pid
        self.guarded = supervisor is not None
        self._layers: tuple[str, ...] = ()
        self.text = ""
        self.killed_itself = False

    def announced(self) -> bool:
        """Whether it has said what holds it."""
        if self._supervisor is not None and not self._layers:
            containment = self._supervisor.containment_of(self._pid)
            if containment is not None:
                self._layers, self.text = containment.lines(), containment.describe()
        return bool(self._layers)

    @property
    def containment(self) -> tuple[str, ...]:
        """What holds it, and what was refused in its fork server that is no run's doing."""
        if self._supervisor is None:
            return ()
        self.announced()
        return (*self._layers, *self._supervisor.lines())

    def charge(self, runs: Sequence[list[Refusal]], *, read: bool) -> tuple[Refusal, ...]:
        """Add what was refused since the last call to each of `runs`; what is left where there is none.

        `read`: look for reports that it has sent; what the kernel asked about is known without.
        """
        if self._supervisor is None:
            return ()
        refusals = self._supervisor.take(self._pid, read=read)
        for run in runs:
            run.extend(refusals)
        return () if runs else refusals

    def close(self) -> None:
        """It is gone."""
        if self._supervisor is not None:
            self.announced()
            self.killed_itself = self._supervisor.forget(self._pid)
