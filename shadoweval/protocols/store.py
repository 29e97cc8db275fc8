"""Where envelopes, observations, scores, labels and verdicts are kept, as the worker and the evaluation see it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from shadoweval.records import Arm, Coverage, Envelope, Evaluation, Labels, Observation, Pair, PairScore

__all__ = ["Look", "Store", "Task"]


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """One arm's run of one envelope, leased to a worker."""

    envelope: Envelope
    arm: Arm
    attempt: int
    """1 for the first try."""


class Look(Protocol):
    """One look at a candidate's pairs, which takes up where an earlier one ended."""

    @property
    def saved(self) -> bytes | None:
        """The state that an earlier look saved; None: there is none that still holds."""
        ...

    @property
    def pairs(self) -> Iterator[Pair]:
        """The pairs that `saved` does not know, as `Store.pairs` gives them."""
        ...

    @property
    def coverage(self) -> Coverage:
        """The funnel of the whole window; `distinct` is left at 0."""
        ...

    @property
    def live_writes(self) -> int:
        """Live writes of all runs of the window, of broken-off ones and of those beyond the watermark too."""
        ...

    def save(self, state: bytes, *, purpose: str) -> bool:
        """Save the state of everything up to the end of `pairs`. False: something changed meanwhile."""
        ...


class Store(Protocol):
    """Where envelopes, observations, scores, labels and verdicts are kept. Adding twice is adding once."""

    def add_envelopes(self, envelopes: Sequence[Envelope], *, arms: Mapping[str, Sequence[Arm]]) -> int:
        """Keep envelopes and open one task for each arm in `arms[envelope.id]`. Returns how many were new."""
        ...

    def set_aside(self, experiment: str, frame: bytes, reason: str) -> None:
        """Keep what can't be used, with its reason."""
        ...

    def lease(self, experiment: str, *, limit: int, seconds: float, owner: str) -> Sequence[Task]:
        """Take open tasks for `seconds`; a task whose lease ran out is open again with a higher attempt."""
        ...

    def add_observation(self, observation: Observation) -> bool:
        """Keep a shadow's observation and close its task. False: it was there already, nothing changed."""
        ...

    def release(self, task: Task) -> None:
        """Give a leased task back unrun: it is open again at once, and the try does not count."""
        ...

    def owners(self, experiment: str) -> Collection[str]:
        """Who holds leases of this experiment."""
        ...

    def reopen(self, experiment: str, owner: str) -> int:
        """Open again what an owner that is gone had leased; the tries count. Returns how many."""
        ...

    def add_counters(self, experiment: str, source: str, counters: Mapping[str, int]) -> None:
        """Keep the newest counters of a source (a spool, a process)."""
        ...

    def funnel(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Coverage:
        """Where every eligible call has gone."""
        ...

    def add_labels(self, labels: Mapping[str, Labels]) -> int:
        """Merge labels by query id or `Query.key`. Returns how many changed something."""
        ...

    def pairs(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Pair]:
        """Pairs in query order (asked_at, id), up to the watermark: the first query with an open task ends it."""
        ...

    def look(
        self,
        experiment: str,
        candidate: Arm,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        purpose: str = "",
        anew: bool = False,
    ) -> Look:
        """Look at the pairs of a window; take up what a look of the same `purpose` and `since` left.

        What was left is gone as soon as a query, an observation or a label that it rests on comes, changes or is
        erased. Without a purpose, or with `anew`, nothing is taken up.
        """
        ...

    def add_scores(self, experiment: str, candidate: Arm, scores: Sequence[PairScore]) -> None:
        """Keep scores; the same metric, scorer version and query replaces."""
        ...

    def scores(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[PairScore]:
        """Stored scores in query order; of several scorer versions the one stored last."""
        ...

    def add_evaluation(self, evaluation: Evaluation) -> None:
        """Keep an evaluation whole."""
        ...

    def evaluations(self, experiment: str, *, limit: int = 1) -> Sequence[Evaluation]:
        """The newest evaluations, newest first."""
        ...
