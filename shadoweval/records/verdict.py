"""Pairs and what comes out of them: coverage, writes compared, where the arms part, verdict, evaluation."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from shadoweval.records.acts import NO_GUARD, NOTHING_RAN, Effect, Refusal, StagesSeen
from shadoweval.records.judging import JudgeSeen
from shadoweval.records.keys import all_alike
from shadoweval.records.scores import (
    Decision,
    GateResult,
    MetricSummary,
    PastLook,
    QueryRow,
    SliceResult,
)
from shadoweval.records.traffic import Example, Labels, LossCluster, Observation, Query

__all__ = [
    "AskedWhen",
    "Coverage",
    "DivergenceShare",
    "Evaluation",
    "FailureCount",
    "Pair",
    "QueryTable",
    "Verdict",
    "WriteComparison",
]


class Pair(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Both observations of one query, and the incumbent's re-run where there is one."""

    query: Query
    served: Observation
    candidate: Observation
    rerun: Observation | None = None
    """The incumbent again, in the worker: the like-with-like arm for latency, cost and noise."""
    labels: Labels = Labels()
    stored: tuple[bytes, ...] = ()
    """What was stored of the three runs, for scorers that have objects rebuilt (`PairScorer.rebuild`)."""

    @property
    def id(self) -> str:
        """The query's id."""
        return self.query.id

    @property
    def runs(self) -> tuple[Observation, ...]:
        """What was served, the candidate's run and, where there is one, the incumbent's re-run."""
        return (self.served, self.candidate) if self.rerun is None else (self.served, self.candidate, self.rerun)


class Coverage(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The funnel: eligible = not mirrored (by reason) + mirrored; mirrored = paired + failed (by reason) + waiting."""

    eligible: int
    not_mirrored: dict[str, int] = {}
    mirrored: int
    failed: dict[str, int] = {}
    waiting: int = 0
    paired: int
    distinct: int = 0
    """Distinct queries among the pairs."""
    texts: int = 0
    """Distinct texts among them."""
    erased: int = 0
    """Mirrored queries that were purged or erased, and are in no other number; of a begun window it is not known."""

    @property
    def alike(self) -> str:
        """See `all_alike`."""
        return all_alike(self.paired, queries=self.distinct, texts=self.texts)

    @property
    def gap(self) -> int:
        """What the funnel can't account for; 0 when it adds up."""
        before = self.eligible - sum(self.not_mirrored.values()) - self.mirrored
        after = self.mirrored - self.paired - sum(self.failed.values()) - self.waiting
        return abs(before) + abs(after)


class WriteComparison(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What the candidate wrote for one query beside what the served incumbent wrote.

    Incumbent = same + changed + missing; candidate = same + changed + extra + duplicated.
    """

    same: int = 0
    changed: int = 0
    """The same tool with another argument."""
    missing: int = 0
    extra: int = 0
    """The incumbent made no such write."""
    duplicated: int = 0
    """Made more often than by the incumbent."""
    reordered: int = 0
    """Pairs of dependent writes among the same ones that came in the other order."""
    differences: tuple[str, ...] = ()
    """What differs, in words: `refund with another cents`."""
    tools: dict[str, Effect] = {}
    """Tools that either arm wrote with; empty: neither wrote."""
    unclear: str = ""
    """Why it can't be said whether the writes differ; empty: it can."""

    @property
    def counts(self) -> dict[str, int]:
        """By kind."""
        kinds = ("same", "changed", "missing", "extra", "duplicated", "reordered")
        return {kind: getattr(self, kind) for kind in kinds}

    @property
    def differing(self) -> int:
        """How many writes are not the same."""
        return self.changed + self.missing + self.extra + self.duplicated + self.reordered

    @property
    def equal(self) -> bool:
        """Both wrote the same."""
        return not self.differing


class DivergenceShare(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Pairs whose arms part at one kind of step."""

    kind: str
    pairs: int
    difference: float | None = None
    """Their part of the mean difference of the first gate's metric, larger is better; None: not scored in both arms."""


class FailureCount(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Runs that failed in one way, in numbers and names: what they said is in their pairs."""

    arm: str
    """`incumbent` as served, `incumbent again`, or a candidate's name; empty: calls that never became a pair."""
    owner: str
    """As of `FailureOwner`; `infrastructure`: of calls that never became a pair."""
    kind: str
    """As of `FailureKind`, with the exception's type, `error: KeyError`; or why there is no pair."""
    step: str = ""
    runs: int
    of: int
    """Runs of that arm, or mirrored calls."""
    lower: float
    upper: float
    """Where the share lies, both together wrong with a chance of at most the verdict's alpha."""
    first: str = ""
    """Id of the first query."""


class AskedWhen(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """When the queries of the pairs were asked."""

    first: datetime
    last: datetime
    hours_of_day: int = 0
    """Hours of the day (UTC), of 24, in which at least a few pairs were asked."""


class Verdict(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Promote, hold or rollback, with its reasons."""

    experiment: str
    candidate: str
    decision: Decision
    why: Literal["proven", "broken", "error", "inconclusive"]
    reasons: tuple[str, ...] = ()
    gates: tuple[GateResult, ...] = ()
    notices: tuple[str, ...] = ()
    pairs: int = 0
    units: int = 0
    live_writes: int | None = 0
    """Writes that reached the world by candidates' tools, of all runs; None: nobody knows, since there was no guard."""
    fidelity: dict[str, int] = {}
    alpha: float = 0.05
    unjudged: tuple[str, ...] = ()
    """Where candidates could write with nobody judging what: endpoints that the sandbox allows, or `NO_GUARD`."""
    summaries: tuple[MetricSummary, ...] = ()
    """Of each metric, without the reasons of missing scores, as it stood when the verdict was made."""
    trend: bool = False
    """As of `Evaluation`."""
    ended: bool = False
    """Whether no more pairs come, as of a suite of cases."""

    @property
    def promotes(self) -> bool:
        """Every required gate is proven."""
        return self.decision == "promote"

    @property
    def holds(self) -> bool:
        """Undecided, or something is wrong with the evidence."""
        return self.decision == "hold"

    @property
    def rolls_back(self) -> bool:
        """Some gate is proven broken."""
        return self.decision == "rollback"

    @property
    def live_writes_text(self) -> str:
        """The count of live writes, and what it does not know."""
        if NOTHING_RAN in self.unjudged:
            return f"unknown: {NOTHING_RAN} here"
        if NO_GUARD in self.unjudged:
            return "unknown: no guard" + (f"; at least {self.live_writes} by tools" if self.live_writes else "")
        if self.unjudged:
            return f"{self.live_writes} by tools; what went to {', '.join(self.unjudged)} is not judged"
        return str(self.live_writes)

    def __str__(self) -> str:
        from shadoweval.records.sentences import table  # noqa: PLC0415 - not in the request path

        return table(self)


class QueryTable(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The pairs of one candidate that a report lists: all, or of very many those that matter and a sample by hash."""

    rows: tuple[QueryRow, ...] = ()
    details: tuple[Example, ...] = ()
    """Those of them that are shown whole, side by side."""
    pairs: int = 0
    """Of how many pairs `rows` are."""
    critical: int = 0
    """How many of all pairs lose on a critical gate."""
    clusters: tuple[LossCluster, ...] = ()
    """Parts of the traffic in which the candidate is worse, or better, and that nobody named; the worst first."""


class Evaluation(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One run over many pairs: all that a report shows."""

    id: str
    experiment: str
    created_at: datetime
    since: datetime | None = None
    until: datetime | None = None
    verdicts: tuple[Verdict, ...] = ()
    coverage: dict[str, Coverage] = {}
    """By candidate."""
    summaries: dict[str, tuple[MetricSummary, ...]] = {}
    slices: dict[str, tuple[SliceResult, ...]] = {}
    examples: dict[str, tuple[Example, ...]] = {}
    refusals: dict[str, tuple[Refusal, ...]] = {}
    containment: dict[str, dict[str, str]] = {}
    """By candidate: layer -> "in force", or why it is not."""
    versions: dict[str, dict[str, str]] = {}
    """By arm: what decided the answers."""
    overhead: dict[str, float] = {}
    """Mirrored against control calls: seconds at p50, p95, p99, and the number of both."""
    costs: dict[str, float] = {}
    """USD by ledger: incumbent, candidate, judge, rerun."""
    notes: tuple[str, ...] = ()
    write_sets: dict[str, dict[str, int]] = {}
    """By candidate: writes against the incumbent's, by kind (see `WriteComparison`)."""
    looks: int = 1
    trend: bool = False
    """Whether the window slid with the clock: nothing may act on its verdicts, which hold."""
    divergences: dict[str, tuple[DivergenceShare, ...]] = {}
    """By candidate: at which kinds of steps the arms part, the largest loss first."""
    projected: dict[str, float] = {}
    """By arm: USD that all eligible calls of the window would have cost; of arms whose models have prices."""
    provenance: dict[str, dict[str, str]] = {}
    """Metric -> who made its scores: `scorer`, `version` and, where they are known, `model`, `prompt`, `labels`."""
    queries: dict[str, QueryTable] = {}
    """By candidate, for a report (see `evaluation.queries.with_queries`); the store never keeps them."""
    asked: dict[str, AskedWhen] = {}
    """By candidate: when the queries of its pairs were asked; without those that have no pair."""
    history: dict[str, tuple[PastLook, ...]] = {}
    """By candidate: the looks before at the same gates, oldest first; thinned where there were many."""
    tokens: dict[str, int] = {}
    """By arm: input and output tokens of its runs, as far as its models reported them."""
    failures: dict[str, tuple[FailureCount, ...]] = {}
    """By candidate: how runs failed and whose doing it was, the most frequent first."""
    home: str = ""
    """Folder of the experiment's files on the host that evaluated; empty: it has none."""
    stages: dict[str, StagesSeen] = {}
    """By candidate: what its stages and the incumbent's saw, where somebody looked."""
    judges: dict[str, tuple[JudgeSeen, ...]] = {}
    """By candidate: the models whose word its scores are, one for each metric."""
