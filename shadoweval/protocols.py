"""The plug-in points, one screen: what an implementation of yours must do.

Plug-ins are objects handed to `Experiment`, `evaluate` or the worker; there is no registry. Each Protocol has one
contract suite in `tests/contracts/`, which any implementation can run. A Protocol names everything that is asked of an
implementation; a member with a body is a default, which comes with deriving from the Protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import msgspec

from shadoweval.checks import checked_instance, checked_number, checked_truth
from shadoweval.errors import ArgumentError
from shadoweval.records import (
    Answered,
    Arm,
    Coverage,
    Effect,
    Envelope,
    Evaluation,
    Labels,
    Observation,
    Pair,
    PairScore,
    Verdict,
)

__all__ = [
    "Batch",
    "CounterSet",
    "FlagProvider",
    "Ledger",
    "Look",
    "Metric",
    "Notifier",
    "Receiver",
    "Scorer",
    "Store",
    "StubAnswer",
    "StubPolicy",
    "Task",
    "ToolRequest",
    "Transport",
]


class Metric(msgspec.Struct, frozen=True, kw_only=True):
    """What a scorer makes: name, direction, range, and which arm it must be compared with."""

    name: str
    """ir_measures' grammar: `recall@5`, `ndcg@10`; gates over a quantile add `.p95`."""
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    """Range of a value; None: unbounded (latency, cost, tokens)."""
    like_with_like: bool = False
    """Compare with the incumbent's re-run in the worker, never with the served observation (latency, cost)."""
    failure_scores: float | None = 0.0
    """What a failed run of either arm scores (what it costs the user); None: failures have no value here."""

    def __post_init__(self) -> None:
        if not checked_instance("Metric.name", self.name, str).strip():
            raise ArgumentError("Metric.name", self.name, expected="a name", mend="Write for instance 'recall@5'.")
        for name in ("low", "high", "failure_scores"):
            if getattr(self, name) is not None:
                checked_number(f"Metric.{name}", getattr(self, name))
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ArgumentError("Metric.low", self.low, expected=f"below Metric.high, {self.high!r}")
        for name in ("higher_is_better", "like_with_like"):
            checked_truth(f"Metric.{name}", getattr(self, name))


@runtime_checkable
class Scorer(Protocol):
    """Scores a pair. Stateless; must not raise for bad data: give `Unscored(reason)`."""

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """All metrics it makes, known beforehand."""
        ...

    @property
    def version(self) -> str:
        """Changes whenever the same pair could score differently; stored with each score."""
        ...

    def score(self, pair: Pair) -> Iterable[PairScore]:
        """One PairScore for each of `metrics`."""
        ...


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


class ToolRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate's call of a tool, before it is answered."""

    name: str
    arguments: dict[str, Any]
    effect: Effect
    occurrence: int
    """How many times the candidate has made this call (tool and canonical arguments), this one included."""
    live: Callable[[], Any] | None = None
    """Runs the tool for real; None where that is impossible."""
    schema: Mapping[str, Any] | None = None
    """JSON schema of the tool's output where it declares one."""


class StubAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How a tool call was answered. With `error` the candidate sees a failing tool."""

    answered: Answered
    result: Any = None
    error: str | None = None


class StubPolicy(Protocol):
    """Answers a candidate's tool call, or passes it on to the next policy."""

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The answer, or None: this policy has none."""
        ...


@runtime_checkable
class FlagProvider(Protocol):
    """Says whether a call may be mirrored. Asked in the request path: answer from memory. Raising means no."""

    def mirrored(self, experiment: str, unit: str, attributes: Mapping[str, Any]) -> bool:
        """True: may be mirrored (sampling still decides)."""
        ...

    def loss(self, experiment: str, unit: str, attributes: Mapping[str, Any]) -> str | None:
        """Why the call is not mirrored, as a name in `counters.LOSSES`; None: it may be. Asked once a request."""
        return None if self.mirrored(experiment, unit, attributes) else "flag_off"

    def kill_reason(self, experiment: str) -> str | None:
        """What kills the experiment, what is in flight included; None: this provider does not."""
        del experiment
        return None

    def share(self, experiment: str) -> float:
        """Share of the units that may be mirrored now, from 0 to 1; tells a self-test how much silence to expect."""
        del experiment
        return 1.0

    def reason(self) -> str | None:
        """Why this provider can't be trusted now; None: it can."""
        return None


class Notifier(Protocol):
    """Told once for each change of a verdict."""

    def notify(self, verdict: Verdict, previous: Verdict | None) -> None:
        """Send it; raising is logged and does not stop the run."""
        ...
