"""Pairs as columns: what the verdict reads, one batch at a time, in query order.

Where a score is missing its place holds 0 and the mask beside it says so; no number here means "missing".
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from shadoweval.protocols import Metric
from shadoweval.records import Arm, Pair, PairScore, Score, Scored
from shadoweval.verdict.attributes import AttributeColumn, attribute_columns, attributes_of

__all__ = ["Columns", "Facts", "JudgedPair", "PairFacts", "ScoreColumns", "batches", "columns_of", "facts_of"]

FloatArray: TypeAlias = NDArray[np.float64]
BoolArray: TypeAlias = NDArray[np.bool_]
IdArray: TypeAlias = NDArray[np.uint64]


class PairFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the verdict must know of a pair beside its scores. Make it with `facts_of`, or by hand for stored scores."""

    query_id: str
    key: str
    """`Query.key`: equal for duplicate queries."""
    unit: str = ""
    """User or session; empty: the query stands alone."""
    asked_at: datetime
    ran_at: datetime | None = None
    """When the candidate began."""
    attributes: dict[str, str] = {}
    """What slices go by: the query's attributes and what `attributes_of` derives."""
    fidelity: dict[str, int] = {}
    """How the candidate's tool calls were answered."""
    versions: dict[Arm, dict[str, str]] = {}
    """By arm (`incumbent`, `rerun`, the candidate's name): what decided the answer."""
    salt: str = ""
    bucket: float = 0.0
    live_writes: int = 0
    incumbent_failed: bool = False
    candidate_failed: bool = False
    aborted: bool = False
    """The caller went away; the pair is counted, and not judged."""


JudgedPair: TypeAlias = tuple[PairFacts, Sequence[PairScore]]


def facts_of(pair: Pair) -> PairFacts:
    """What the verdict must know of a pair."""
    versions: dict[str, dict[str, str]] = {
        "incumbent": pair.served.versions,
        pair.candidate.arm: pair.candidate.versions,
    }
    if pair.rerun is not None:
        versions["rerun"] = pair.rerun.versions
    query, served = pair.query, pair.served
    return PairFacts(
        query_id=query.id,
        key=query.key,
        unit=query.unit,
        asked_at=query.asked_at,
        ran_at=pair.candidate.started_at,
        attributes=attributes_of(query, served),
        fidelity={str(how): count for how, count in pair.candidate.fidelity.items()},
        versions=versions,
        salt=query.salt,
        bucket=query.bucket,
        live_writes=pair.candidate.live_writes + (pair.rerun.live_writes if pair.rerun else 0),
        incumbent_failed=served.failed,
        candidate_failed=pair.candidate.failed,
        aborted=served.failure is not None and served.failure.kind == "aborted",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreColumns:
    """One metric of a batch; all arrays have shape (n,)."""

    incumbent: FloatArray
    candidate: FloatArray
    incumbent_scored: BoolArray
    candidate_scored: BoolArray
    noise: FloatArray | None = None
    """The incumbent's re-run; None: nothing was re-run."""
    noise_scored: BoolArray | None = None
    missing_by_design: BoolArray | None = None
    """Where the incumbent has no score because it was not run again on this query."""
    unscored: Mapping[str, int] = field(default_factory=dict[str, int])
    """Reasons, `arm: reason` -> how often."""
    versions: frozenset[str] = frozenset()

    @property
    def both(self) -> BoolArray:
        """Where both arms have a score."""
        return self.incumbent_scored & self.candidate_scored


@dataclass(slots=True, kw_only=True)
class Facts:
    """Counts over a batch that the checks of the evidence need; batches add up."""

    versions: dict[str, dict[str, set[str]]] = field(default_factory=dict[str, dict[str, set[str]]])
    fidelity: Counter[str] = field(default_factory=Counter[str])
    salts: set[str] = field(default_factory=set[str])
    highest_bucket: float = 0.0
    live_writes: int = 0
    incumbent_failed: int = 0
    candidate_failed: int = 0
    aborted: int = 0
    latest_lead: float = 0.0
    """Largest number of seconds by which a candidate began before its query was asked."""

    def count(self, facts: PairFacts) -> None:
        """Count one pair."""
        for arm, versions in facts.versions.items():
            for name, version in versions.items():
                self.versions.setdefault(arm, {}).setdefault(name, set()).add(version)
        self.fidelity.update(facts.fidelity)
        self.salts.add(facts.salt)
        self.highest_bucket = max(self.highest_bucket, facts.bucket)
        self.live_writes += facts.live_writes
        self.incumbent_failed += facts.incumbent_failed
        self.candidate_failed += facts.candidate_failed
        if facts.ran_at is not None:
            self.latest_lead = max(self.latest_lead, (facts.asked_at - facts.ran_at).total_seconds())

    def merge(self, other: Facts) -> None:
        """Add another batch's counts."""
        for arm, versions in other.versions.items():
            for name, found in versions.items():
                self.versions.setdefault(arm, {}).setdefault(name, set()).update(found)
        self.fidelity.update(other.fidelity)
        self.salts |= other.salts
        self.highest_bucket = max(self.highest_bucket, other.highest_bucket)
        self.live_writes += other.live_writes
        self.incumbent_failed += other.incumbent_failed
        self.candidate_failed += other.candidate_failed
        self.aborted += other.aborted
        self.latest_lead = max(self.latest_lead, other.latest_lead)

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "versions": {arm: {name: sorted(found) for name, found in by.items()} for arm, by in self.versions.items()},
            "fidelity": dict(self.fidelity),
            "salts": sorted(self.salts),
            "numbers": [getattr(self, name) for name in _NUMBERS],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.versions = {arm: {name: set(found) for name, found in by.items()} for arm, by in state["versions"].items()}
        self.fidelity, self.salts = Counter(state["fidelity"]), set(state["salts"])
        for name, value in zip(_NUMBERS, state["numbers"], strict=True):
            setattr(self, name, value)


_NUMBERS: Final = (
    "highest_bucket",
    "live_writes",
    "incumbent_failed",
    "candidate_failed",
    "aborted",
    "latest_lead",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """A batch of pairs in query order."""

    asked_at: FloatArray
    """Seconds since 1970, shape (n,), not falling."""
    key: IdArray
    """Equal for duplicate queries."""
    cluster: IdArray
    """Equal within a session or user."""
    alone: BoolArray
    """Whether the query belongs to no session or user; its cluster is then not read."""
    scores: Mapping[str, ScoreColumns]
    attributes: Mapping[str, AttributeColumn] = field(default_factory=dict[str, AttributeColumn])
    facts: Facts = field(default_factory=Facts)

    @property
    def n(self) -> int:
        """How many pairs."""
        return self.asked_at.size


_BATCH: Final = 20_000


def batches(pairs: Iterable[JudgedPair], metrics: Sequence[Metric], *, size: int = _BATCH) -> Iterator[Columns]:
    """Columns of at most `size` pairs each, so that a million pairs need little memory."""
    source = iter(pairs)
    while chunk := list(islice(source, size)):
        yield columns_of(chunk, metrics)


def columns_of(pairs: Iterable[JudgedPair], metrics: Sequence[Metric]) -> Columns:
    """The columns of pairs in query order; scores of metrics that are not in `metrics` are left out."""
    facts, kept = Facts(), []
    for pair in pairs:
        if pair[0].aborted:
            facts.aborted += 1
        else:
            facts.count(pair[0])
            kept.append(pair)
    by_metric: dict[str, list[PairScore | None]] = {metric.name: [None] * len(kept) for metric in metrics}
    for place, (_facts, scores) in enumerate(kept):
        for score in scores:
            if score.metric in by_metric:
                by_metric[score.metric][place] = score
    return Columns(
        asked_at=np.array([pair.asked_at.timestamp() for pair, _ in kept], dtype=np.float64),
        key=np.array([_number(pair.key) for pair, _ in kept], dtype=np.uint64),
        cluster=np.array([_number(pair.unit) if pair.unit else 0 for pair, _ in kept], dtype=np.uint64),
        alone=np.array([not pair.unit for pair, _ in kept], dtype=np.bool_),
        scores={metric.name: _score_columns(metric, by_metric[metric.name]) for metric in metrics},
        attributes=attribute_columns([pair.attributes for pair, _ in kept]),
        facts=facts,
    )


def _number(name: str) -> int:
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])


def _side(scores: Sequence[Score | None], arm: str, unscored: Counter[str]) -> tuple[FloatArray, BoolArray]:
    values, scored = np.zeros(len(scores)), np.zeros(len(scores), dtype=np.bool_)
    for place, score in enumerate(scores):
        if isinstance(score, Scored):
            values[place], scored[place] = score.value, True
        elif arm:
            unscored[f"{arm}: {'the scorer said nothing' if score is None else score.reason}"] += 1
    return values, scored


def _by_design(metric: Metric, score: PairScore | None) -> bool:
    """Whether the incumbent has no score only because it was not run again on this query."""
    if score is None or isinstance(score.incumbent, Scored):
        return False
    return score.noise == score.incumbent or (metric.like_with_like and score.noise is None)


def _score_columns(metric: Metric, scores: Sequence[PairScore | None]) -> ScoreColumns:
    unscored: Counter[str] = Counter()
    by_design = np.array([_by_design(metric, score) for score in scores], dtype=np.bool_)
    incumbent, incumbent_scored = _side([s and s.incumbent for s in scores], "incumbent", unscored)
    candidate, candidate_scored = _side([s and s.candidate for s in scores], "candidate", unscored)
    noise, noise_scored = _side([s and s.noise for s in scores], "", unscored)
    return ScoreColumns(
        incumbent=incumbent,
        candidate=candidate,
        incumbent_scored=incumbent_scored,
        candidate_scored=candidate_scored,
        noise=noise,
        noise_scored=noise_scored,
        missing_by_design=by_design,
        unscored=unscored,
        versions=frozenset(score.scorer_version for score in scores if score is not None),
    )
