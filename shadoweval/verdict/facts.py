"""What the verdict must know of pairs beside their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from shadoweval.records import Arm, Pair
from shadoweval.verdict.attributes import attributes_of

__all__ = ["Facts", "PairFacts", "facts_of"]


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
