"""The plug-in points: what an implementation of yours must do.

Plug-ins are objects handed to `Experiment`, `evaluate` or the worker; there is no registry. Each Protocol has one
contract suite in `tests/contracts/`, which any implementation can run. A Protocol names everything that is asked of an
implementation; a member with a body is a default, which comes with deriving from the Protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, runtime_checkable

from shadoweval.checks import checked_fields, checked_instance, checked_keywords, checked_number, checked_truth
from shadoweval.errors import ArgumentError
from shadoweval.protocols.store import Attempt, Look, Store, WindowStart
from shadoweval.protocols.tools import OpenWorld, Recorded, StubAnswer, StubPolicy, ToolRequest, World
from shadoweval.protocols.transport import (
    Alert,
    Batch,
    Claim,
    Condition,
    CounterSet,
    Definition,
    Ledger,
    Outbox,
    Receiver,
    Sign,
    Slot,
    Slots,
    Task,
    Transport,
)
from shadoweval.records import Answered, Effect, Pair, PairScore

__all__ = [
    "Alert",
    "Answered",
    "Attempt",
    "Batch",
    "BatchScorer",
    "Claim",
    "Condition",
    "CounterSet",
    "Definition",
    "Effect",
    "FlagProvider",
    "Ledger",
    "Look",
    "Metric",
    "Notifier",
    "OpenWorld",
    "Outbox",
    "Receiver",
    "Recorded",
    "Redactor",
    "Scorer",
    "Sign",
    "Slot",
    "Slots",
    "Store",
    "StubAnswer",
    "StubPolicy",
    "Task",
    "ToolRequest",
    "Transport",
    "WindowStart",
    "World",
]


_WORSE_END: Final = float("nan")
"""Default of `Metric.failure_scores`, told by its identity; no metric holds it."""


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """What a scorer makes: name, direction, range, and which arm it must be compared with."""

    name: str
    """ir_measures' grammar: `recall@5`, `ndcg@10`; gates over a quantile add `.p95`."""
    higher_is_better: bool = True
    low: float | None = 0.0
    high: float | None = 1.0
    """Range of a value; None: unbounded (latency, cost, tokens)."""
    like_with_like: bool = False
    """Compare with the incumbent's re-run in the worker, never with the served observation (latency, cost)."""
    failure_scores: float | None = _WORSE_END
    """What a failed run of either arm scores (what it costs the user); None: failures have no value here.

    Default: the worse end of the range, `low` where higher is better and else `high`; it must be written where that end
    is unbounded. The better end is refused: a candidate that fails would be proven better.
    """
    fact_of_run: bool = False
    """A fact of a run that comes out worse whenever the run does (failures, seconds, dollars, writes), or what people
    said of that very run.

    Any other metric is probed: a gate on it is proven only if an empty answer, or another query's, scores worse.
    """
    costly: bool = False
    """A value costs money or seconds (a model judges it), so that fewer pairs are probed."""
    descriptive: bool = False
    """Says how the arms differ, not which is better (agreement with what was served): without a gate, no harm."""
    length_sensitive: bool = False
    """A longer answer that says the same scores lower or higher; the verdict says so where the arms' lengths differ."""
    unit: str = ""
    """Behind every value that people read: `s`, `USD`, `tokens`, `MB`; `share` is said in percent. Empty: a score."""
    of_pair: bool = False
    """Says how far a run agrees with the served one, so the arms are never said to differ by it: the candidate's value
    is its agreement, the incumbent's that of its own re-run."""
    judged: bool = False
    """A model says what it is worth, which may be mistaken: it is no measurement of the answer."""
    least_chance: float = 1.0
    """The least chance with which a pair is drawn for a score (`PairScore.chance`); 1: every pair is scored."""

    def __post_init__(self) -> None:
        if not checked_instance("Metric.name", self.name, str).strip():
            raise ArgumentError("Metric.name", self.name, expected="a name", mend="Write for instance 'recall@5'.")
        checked_fields(self, "low", "high", optional=True)
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ArgumentError("Metric.low", self.low, expected=f"below Metric.high, {self.high!r}")
        flags = (
            "higher_is_better",
            "like_with_like",
            "fact_of_run",
            "costly",
            "descriptive",
            "length_sensitive",
            "of_pair",
            "judged",
        )
        checked_fields(self, *flags, check=checked_truth)
        checked_instance("Metric.unit", self.unit, str)
        self._look_at_chance()
        if self.failure_scores is _WORSE_END:
            object.__setattr__(self, "failure_scores", self._worse_end())
        else:
            checked_fields(self, "failure_scores", optional=True)
            self._look_at_failures()

    @property
    def worst(self) -> float | None:
        """The end of the range that is worst; None: unbounded."""
        return self.low if self.higher_is_better else self.high

    @property
    def best(self) -> float | None:
        """The end of the range that is best; None: unbounded."""
        return self.high if self.higher_is_better else self.low

    def _worse_end(self) -> float:
        if self.worst is None:
            raise ArgumentError(
                "Metric.failure_scores",
                "nothing",
                expected=f"written where the range has no worst value ({self.name!r}, {self._direction})",
                mend="Write the worst that a query can score, as failure_scores=30.0, or None: failures have no value.",
            )
        return self.worst

    def _look_at_chance(self) -> None:
        least = checked_number("Metric.least_chance", self.least_chance, above=0, high=1)
        if least < 1 and (self.low is None or self.high is None or self.like_with_like or self.of_pair):
            raise ArgumentError(
                "Metric.least_chance",
                least,
                expected="1 for a metric without a range, or one that is compared with the incumbent's re-run",
                mend="Give it low= and high=, or score every pair.",
            )

    def _look_at_failures(self) -> None:
        value = self.failure_scores
        if value is None:
            return
        if (self.low is not None and value < self.low) or (self.high is not None and value > self.high):
            raise ArgumentError(
                "Metric.failure_scores",
                value,
                expected=f"within the range of {self.name!r}, [{self.low}, {self.high}]",
                mend="Write a value that the metric can take, or correct low= and high=.",
            )
        if value == self.best:
            raise ArgumentError(
                "Metric.failure_scores",
                value,
                expected=f"worse than the best value of {self.name!r} ({self._direction}), or failures would count as "
                "the best answers",
                mend="Leave it out for the worst value, or write None: failures have no value.",
            )

    @property
    def _direction(self) -> str:
        return "higher is better" if self.higher_is_better else "lower is better"


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


@runtime_checkable
class BatchScorer(Scorer, Protocol):
    """A scorer that is asked for many pairs at once: one call of a model, one pass over an array.

    Optional: an evaluation asks whoever has `score_many` by it, and everybody else by `score`, which a batch scorer
    has as well. Both must say the same of a pair, whatever other pairs are asked with it.
    """

    def score_many(self, pairs: Sequence[Pair]) -> Iterable[PairScore]:
        """One PairScore for each of `metrics` and each of the pairs, whose ids differ; in any order.

        If it raises, each of the pairs is scored by itself, so that one pair costs no other its scores.
        """
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
    """Takes alerts to one receiver."""

    @property
    def receiver(self) -> str:
        """The name by which the store remembers what it was told. It is shown: no secret."""
        ...

    def notify(self, alert: Alert) -> None:
        """Tell it. Raising means that it must be told again, after `retry_after` seconds of the error where it has any.

        May be called again for an alert that was taken (a process died before it could write that down): `Alert.key`
        is the same then.
        """
        ...


class Redactor(Protocol):
    """Gives the text to send instead. Raising drops the call (`fault_redact`), never sends it as it is."""

    def __call__(self, text: str, key: str) -> str:
        """The text to send instead of `text`.

        `key`: the nearest mapping key above the text, or above that one a secret's name (`cookies`, `credentials`);
        empty where there is none, and for mapping keys themselves.
        """
        ...
