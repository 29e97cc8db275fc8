"""Where envelopes, observations, scores, labels and verdicts are kept, as the worker and the evaluation see it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from shadoweval.protocols.transport import Definition, Outbox, Sign, Slots, Task
from shadoweval.records import (
    Annotation,
    Arm,
    Coverage,
    Envelope,
    Evaluation,
    Labels,
    Observation,
    Pair,
    PairScore,
)

__all__ = ["Attempt", "Look", "Store", "WindowStart"]


class WindowStart(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs of queries asked from `since` on are judged, until a later start is written down."""

    since: datetime
    at: datetime
    """When it was begun."""
    who: str
    why: str
    candidate: Arm = ""
    """Whose window it is; empty: that of all candidates."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One set of gates, margins, rules and scorers that was tried on a candidate's pairs."""

    candidate: Arm
    since: datetime | None
    """Beginning of the window; None: all there is."""
    tried: str
    """What was tried; two attempts with the same text are one."""
    at: datetime
    """When it was first tried."""
    until: datetime
    """Asking time of the last query that it has seen."""
    number: int
    """1 for the first set tried on these pairs."""


class Look(Protocol):
    """One look at a candidate's pairs, which takes up where an earlier one ended."""

    @property
    def saved(self) -> bytes | None:
        """The state that an earlier look saved; None: there is none that still holds."""
        ...

    @property
    def segments(self) -> Mapping[str, bytes]:
        """By name, what was saved as parts of `saved`."""
        ...

    @property
    def pairs(self) -> Iterator[Pair]:
        """The pairs that `saved` does not know, as `Store.pairs` gives them."""
        ...

    @property
    def expected(self) -> int:
        """About how many `pairs` are still to come."""
        ...

    def scores(self, query_ids: Sequence[str]) -> Mapping[str, Sequence[PairScore]]:
        """What `Store.add_scores` was given for these queries and this candidate: of each metric the last score."""
        ...

    @property
    def coverage(self) -> Coverage:
        """The funnel of the whole window; `distinct` is left at 0."""
        ...

    @property
    def live_writes(self) -> int:
        """Live writes of all runs of the window, of broken-off ones and of those beyond the watermark too."""
        ...

    def save(self, state: bytes, *, purpose: str, segments: Mapping[str, bytes] | None = None) -> bool:
        """Save the state of everything up to the end of `pairs`. False: something changed meanwhile.

        `segments` are all of its parts that lie by themselves, by names that say what is in them: one whose name is
        there already is not written again. They are gone with the last state that has them.

        While `pairs` are being taken it is of those taken so far. What earlier looks left, or this one on the way, may
        stand beside it for a query that comes late.
        """
        ...


class Store(Protocol):
    """Where envelopes, observations, scores, labels and verdicts are kept. Adding twice is adding once.

    A `StoreError` or `OSError` says that the store can't be used now. Any other exception, and `UnstorableError`, is
    taken for the fault of what was added: several at once are added in smaller and smaller parts, and what can't be
    added alone is set aside.
    """

    def add_envelopes(
        self,
        envelopes: Sequence[Envelope],
        *,
        arms: Mapping[str, Sequence[Arm]],
        frames: Mapping[str, bytes] | None = None,
    ) -> int:
        """Keep envelopes and open one task for each arm in `arms[envelope.id]`, all or none. Returns how many were new.

        `frames` are their bytes by id, which are stored as they came; without them envelopes are encoded.
        """
        ...

    def set_aside(self, experiment: str, frame: bytes, reason: str, *, place: str = "") -> None:
        """Keep what can't be used, with its reason; the same bytes from the same place once, so often as they come.

        A whole frame needs no `place`: it holds its call's id. Damage does, for zeros in two places are two losses.
        """
        ...

    def lease(
        self, experiment: str, *, limit: int, seconds: float, owner: str, arms: Collection[Arm] | None = None
    ) -> Sequence[Task]:
        """Take open tasks for `seconds`, of `arms` alone; a task whose lease ran out is open with a higher attempt."""
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

    def sign(self, experiment: str, owner: str, *, place: str, definition: str) -> None:
        """A worker's sign of life, with its name."""
        ...

    def signs(self, experiment: str) -> Sequence[Sign]:
        """The last signs of workers that have neither signed off nor been found gone."""
        ...

    def definitions(self, experiment: str) -> Sequence[Definition]:
        """Under which definitions its calls were mirrored in the last week, in the order of their first calls."""
        ...

    def sign_off(self, experiment: str, owner: str) -> None:
        """A worker without leases has ended."""
        ...

    def add_counters(self, experiment: str, source: str, counters: Mapping[str, int]) -> None:
        """Keep the newest counters of a source (a spool, a process)."""
        ...

    def replace_counters(
        self, experiment: str, source: str, counters: Mapping[str, int], *, token: str, known: Collection[str]
    ) -> bool:
        """As `add_counters`, under a new token. False, and nothing kept: the last came under one not `known`."""
        ...

    def funnel(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Coverage:
        """Where every eligible call has gone."""
        ...

    def add_labels(self, labels: Mapping[str, Labels]) -> int:
        """Merge labels by query id or `Query.key`. Returns how many changed something."""
        ...

    def add_annotations(self, experiment: str, annotations: Sequence[tuple[str, Annotation]]) -> tuple[int, list[int]]:
        """Merge people's marks by query id: what is new, in order of time; what was said before stays.

        One without a time is said now, unless its annotator's last word about it is the same. Returns how many are new,
        and the places in `annotations` of those left out, whose query or arm's answer is not there.
        """
        ...

    def pairs(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[Pair]:
        """Pairs in query order (asked_at, id), up to the watermark: the first query with an open task ends it."""
        ...

    def pairs_of(self, experiment: str, candidate: Arm, query_ids: Sequence[str]) -> Iterator[Pair]:
        """The pairs of these queries; those that are gone are left out."""
        ...

    def values(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[tuple[str, Mapping[str, tuple[float, float]]]]:
        """By query in query order: of each metric that is scored in both arms, the incumbent's and the candidate's."""
        ...

    def scores_of(self, candidate: Arm, query_ids: Sequence[str]) -> Mapping[str, Sequence[PairScore]]:
        """What is stored for these queries: of each metric the score that came last."""
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
        """Keep scores; the same metric and query replaces."""
        ...

    def scores(
        self, experiment: str, candidate: Arm, *, since: datetime | None = None, until: datetime | None = None
    ) -> Iterator[PairScore]:
        """Stored scores in query order; of each metric the one stored last."""
        ...

    def judgements(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """What judges have said, by the keys of their questions."""
        ...

    def add_judgement(self, key: str, record: bytes, *, query_id: str) -> None:
        """Keep what a judge said about a query: once, and as long as the query is there."""
        ...

    def spending(self, experiment: str, judge: str) -> Mapping[str, Mapping[str, int]]:
        """By period, what was spent on a judge, as of `spend`; of periods that retention has left."""
        ...

    def spend(self, experiment: str, judge: str, period: str, *, spent: Mapping[str, int]) -> Mapping[str, int]:
        """Add to what was spent on a judge in a period, over all processes; returns all of it.

        Of `calls`, `input_tokens`, `output_tokens` and `micro_usd`, millionths of a dollar.
        """
        ...

    def add_evaluation(self, evaluation: Evaluation, *, receivers: Sequence[str] = ()) -> None:
        """Keep an evaluation whole, and owe each of `receivers` each decision that it was not told: both or neither."""
        ...

    @property
    def outbox(self) -> Outbox:
        """What receivers are owed."""
        ...

    @property
    def slots(self) -> Slots:
        """Which times of schedules were run."""
        ...

    def evaluations(self, experiment: str, *, limit: int = 1) -> Sequence[Evaluation]:
        """The newest evaluations, newest first."""
        ...

    def add_window(self, experiment: str, start: WindowStart) -> None:
        """Write down that a window begins; the one written last holds."""
        ...

    def windows(self, experiment: str) -> Sequence[WindowStart]:
        """All beginnings of windows, the one written last first."""
        ...

    def add_attempts(self, experiment: str, attempts: Sequence[Attempt]) -> None:
        """Write down what was tried on a window's pairs; the same candidate, window and text replaces."""
        ...

    def attempts(self, experiment: str) -> Sequence[Attempt]:
        """What was tried, the first one first."""
        ...
