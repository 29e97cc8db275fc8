"""The plug-in points: what an implementation of yours must do.

Plug-ins are objects handed to `Experiment`, `evaluate` or the worker; there is no registry. Each Protocol has one
contract suite in `tests/contracts/`, which any implementation can run. A Protocol names everything that is asked of an
implementation; a member with a body is a default, which comes with deriving from the Protocol.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from shadoweval.checks import checked_fields, checked_instance, checked_keywords, checked_truth
from shadoweval.errors import ArgumentError
from shadoweval.protocols.store import Look, Store, Task
from shadoweval.protocols.tools import OpenWorld, Recorded, StubAnswer, StubPolicy, ToolRequest, World
from shadoweval.protocols.transport import Batch, CounterSet, Ledger, Receiver, Transport
from shadoweval.records import Answered, Effect, Pair, PairScore, Verdict

__all__ = [
    "Answered",
    "Batch",
    "CounterSet",
    "Effect",
    "FlagProvider",
    "Ledger",
    "Look",
    "Metric",
    "Notifier",
    "OpenWorld",
    "Receiver",
    "Recorded",
    "Redactor",
    "Scorer",
    "Store",
    "StubAnswer",
    "StubPolicy",
    "Task",
    "ToolRequest",
    "Transport",
    "World",
]


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
    failure_scores: float | None = 0.0
    """What a failed run of either arm scores (what it costs the user); None: failures have no value here."""

    def __post_init__(self) -> None:
        if not checked_instance("Metric.name", self.name, str).strip():
            raise ArgumentError("Metric.name", self.name, expected="a name", mend="Write for instance 'recall@5'.")
        checked_fields(self, "low", "high", "failure_scores", optional=True)
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ArgumentError("Metric.low", self.low, expected=f"below Metric.high, {self.high!r}")
        checked_fields(self, "higher_is_better", "like_with_like", check=checked_truth)


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


class Redactor(Protocol):
    """Gives the text to send instead. Raising drops the call (`fault_redact`), never sends it as it is."""

    def __call__(self, text: str, key: str) -> str:
        """The text to send instead of `text`.

        `key`: the nearest mapping key above the text, or above that one a secret's name (`cookies`, `credentials`);
        empty where there is none, and for mapping keys themselves.
        """
        ...
