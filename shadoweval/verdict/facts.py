"""What the verdict must know of pairs beside their scores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec

from shadoweval.capture.failed_results import lookalike
from shadoweval.records import Answered, Arm, Observation, Pair, WriteComparison
from shadoweval.records.labelled import has_parts, labelled_names
from shadoweval.verdict.attributes import attributes_of
from shadoweval.verdict.harm_failures import FailureClasses, classes_of
from shadoweval.verdict.labelled_hits import LabelledHits
from shadoweval.verdict.releases import Versions, met_by
from shadoweval.verdict.writes import WriteFacts

__all__ = ["MEND", "UNFAITHFUL", "Facts", "PairFacts", "facts_of"]

MEND: Final = "\0"
"""Between a cause and the line that mends it, in one text, so that they are counted together."""
UNFAITHFUL: Final[frozenset[Answered]] = frozenset({"simulated", "refused", "altered"})
"""How calls are answered that say little about production."""
_COUNTS: Final = ("live_writes", "incumbent_failed", "candidate_failed", "aborted", "reruns")
_COUNTERS: Final = ("fidelity", "unfaithful", "ended", "reruns_ended", "unjudged", "entries", "undeclared")
_MOST_CAUSES: Final = 100
"""Causes that are counted by name; a path or a port that is another each time must not fill the memory."""
_SEVERAL: Final = 2
_NUMBERS: Final = ("highest_bucket", *_COUNTS, "latest_lead")


class PairFacts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the verdict must know of a pair beside its scores. Make it with `facts_of`, or by hand for stored scores."""

    query_id: str
    key: str
    """`Query.key`: equal for duplicate queries."""
    entry: str = ""
    """What was called, as `module:attribute`."""
    text_key: str = ""
    """`Query.text_key`: equal for what reads the same."""
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
    met: dict[Arm, dict[str, str]] = {}
    """By arm: models and system prompts that its run met, where nobody names its version."""
    salt: str = ""
    bucket: float = 0.0
    live_writes: int = 0
    incumbent_failed: bool = False
    candidate_failed: bool = False
    """Each by its own doing."""
    failed_again: bool = False
    """Whether the incumbent's re-run failed by its own doing."""
    failed_as: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
    """Classes of the incumbent's and the candidate's own failure (`harm_failures`)."""
    judged: tuple[str, ...] = ()
    """Ids that the query's labels name."""
    hits: dict[str, tuple[str, ...]] = {}
    """Ids of what each of `incumbent` and `candidate` retrieved, where labels name some."""
    cut_short: bool = False
    """Whether an arm's run failed."""
    aborted: bool = False
    """The caller went away; the pair is counted, and not judged."""
    rerun: bool = False
    """Whether the incumbent was run again."""
    ended: tuple[str, ...] = ()
    """What of the shadow ended a run of the pair, with the line that mends it behind `MEND`; one, be it both runs."""
    rerun_ended: tuple[str, ...] = ()
    """The same of the incumbent's re-run."""
    unfaithful: dict[str, int] = {}
    """Tool calls of the candidate that were made up or refused, as `send_mail refused`."""
    unjudged: tuple[str, ...] = ()
    """Where the shadows could write with nobody judging what."""
    undeclared: tuple[str, ...] = ()
    """Tools whose results read like failures and count as successes, each with its arm and why behind `MEND`."""
    writes: WriteComparison | None = None
    """What the candidate wrote beside what was served; None: not compared."""

    @property
    def faulty(self) -> bool:
        """Whether the shadow had its part in what the candidate did."""
        return bool(self.ended or self.unfaithful or not UNFAITHFUL.isdisjoint(self.fidelity))


def facts_of(
    pair: Pair, *, circumstances: Mapping[str, str] | None = None, writes: WriteComparison | None = None
) -> PairFacts:
    """What the verdict must know of a pair; `circumstances` are further attributes that slices go by."""
    query, served, candidate, rerun = pair.query, pair.served, pair.candidate, pair.rerun
    runs = {"incumbent": served, candidate.arm: candidate}
    if rerun is not None:
        runs["rerun"] = rerun
    calls = candidate.tool_calls
    return PairFacts(
        query_id=query.id,
        key=query.key,
        entry=query.entry,
        text_key=query.text_key,
        judged=tuple(pair.labels.relevant),
        hits=_ids(pair) if pair.labels.relevant else {},
        unit=query.unit,
        asked_at=query.asked_at,
        ran_at=candidate.started_at,
        attributes={**attributes_of(query, served), **(circumstances or {})},
        fidelity=_counted([call.answered for call in calls]),
        versions={arm: run.versions for arm, run in runs.items()},
        met={arm: met_by(run) for arm, run in runs.items()},
        salt=query.salt,
        bucket=query.bucket,
        live_writes=candidate.live_writes + (rerun.live_writes if rerun else 0),
        rerun=rerun is not None,
        unfaithful=_counted([f"{call.name} {call.answered}" for call in calls if call.answered in UNFAITHFUL]),
        unjudged=tuple({*candidate.unjudged, *(rerun.unjudged if rerun else ())}),
        undeclared=(*_undeclared(served, "incumbent"), *_undeclared(candidate, "candidate")),
        writes=writes,
        **(_failures(pair) if any(run.failure is not None for run in runs.values()) else {}),
    )


def _failures(pair: Pair) -> dict[str, Any]:
    """The fields that tell which runs of a pair failed, and whose doing it was."""
    served, candidate, rerun = pair.served, pair.candidate, pair.rerun
    return {
        "incumbent_failed": served.owner == "incumbent",
        "candidate_failed": candidate.owner == "candidate",
        "failed_again": rerun is not None and rerun.owner == "incumbent",
        "failed_as": (classes_of(served), classes_of(candidate)),
        "aborted": served.owner == "caller",
        "cut_short": served.failed or candidate.failed,
        "ended": _either_ended(_ended(candidate), _ended(served)),
        "rerun_ended": () if rerun is None else _ended(rerun),
    }


def _ended(run: Observation) -> tuple[str, ...]:
    if run.owner != "shadow" or run.failure is None:
        return ()
    return (f"{run.failure.cause or run.failure.kind}{MEND}{run.failure.mend}",)


def _either_ended(candidate: tuple[str, ...], incumbent: tuple[str, ...]) -> tuple[str, ...]:
    """One cause for a pair: what is counted is pairs."""
    if not incumbent:
        return candidate
    if not candidate:
        return (f"the incumbent's run: {incumbent[0]}",)
    return (f"both arms' runs: {candidate[0]}",)


def _counted(names: Sequence[str]) -> dict[str, int]:
    """How often each name is there; of the few of one pair a plain dictionary counts them quickest."""
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return counts


def _undeclared(run: Observation, arm: str) -> list[str]:
    return [f"{call.name}{MEND}{arm}{MEND}{why}" for call in run.tool_calls if (why := lookalike(call))]


def _ids(pair: Pair) -> dict[str, tuple[str, ...]]:
    arms = {"incumbent": pair.served.hits, "candidate": pair.candidate.hits}
    labels = pair.labels.relevant
    ids = {arm: tuple([hit.id for hit in hits]) for arm, hits in arms.items() if hits}
    return {arm: labelled_names(names, labels) for arm, names in ids.items()} if has_parts(labels) else ids


@dataclass(slots=True, kw_only=True)
class Facts:
    """Counts over a batch that the checks of the evidence need; batches add up."""

    versions: Versions = field(default_factory=Versions)
    fidelity: Counter[str] = field(default_factory=Counter[str])
    unfaithful: Counter[str] = field(default_factory=Counter[str])
    ended: Counter[str] = field(default_factory=Counter[str])
    reruns_ended: Counter[str] = field(default_factory=Counter[str])
    unjudged: Counter[str] = field(default_factory=Counter[str])
    undeclared: Counter[str] = field(default_factory=Counter[str])
    entries: Counter[str] = field(default_factory=Counter[str])
    """What was called, and how often."""
    reruns: int = 0
    salts: set[str] = field(default_factory=set[str])
    highest_bucket: float = 0.0
    live_writes: int = 0
    incumbent_failed: int = 0
    candidate_failed: int = 0
    aborted: int = 0
    failures: FailureClasses = field(default_factory=FailureClasses)
    writes: WriteFacts = field(default_factory=WriteFacts)
    latest_lead: float = 0.0
    """Largest number of seconds by which a candidate began before its query was asked."""
    units: set[str] = field(default_factory=set[str])
    texts: set[str] = field(default_factory=set[str])
    """Units of inference and texts' keys, two at most: whether there is more than one."""
    labelled: LabelledHits = field(default_factory=LabelledHits)

    def count(self, facts: PairFacts) -> None:
        """Count one pair."""
        self.versions.count(facts.versions, facts.met, facts.asked_at)
        for how, n in facts.fidelity.items():
            self.fidelity[how] += n
        if facts.unfaithful or facts.ended or facts.rerun_ended or facts.unjudged or facts.undeclared:
            _count(self.unfaithful, facts.unfaithful)
            _count(self.ended, facts.ended)
            _count(self.reruns_ended, facts.rerun_ended)
            _count(self.unjudged, facts.unjudged)
            _count(self.undeclared, facts.undeclared)
        if facts.entry:
            _count(self.entries, (facts.entry,))
        self.reruns += facts.rerun
        self.salts.add(facts.salt)
        self.highest_bucket = max(self.highest_bucket, facts.bucket)
        if len(self.units) < _SEVERAL:
            self.units.add(facts.unit or facts.key)
        if len(self.texts) < _SEVERAL:
            self.texts.add(facts.text_key)
        self.labelled.count(facts.judged, facts.hits)
        self.live_writes += facts.live_writes
        if facts.incumbent_failed or facts.candidate_failed:
            self.incumbent_failed += facts.incumbent_failed
            self.candidate_failed += facts.candidate_failed
            self.failures.count(*facts.failed_as)
        self.writes.count(facts.writes, ended=not facts.cut_short)
        if facts.ran_at is not None:
            self.latest_lead = max(self.latest_lead, (facts.asked_at - facts.ran_at).total_seconds())

    def merge(self, other: Facts) -> None:
        """Add another batch's counts."""
        self.versions.merge(other.versions)
        for name in _COUNTERS:
            _count(getattr(self, name), getattr(other, name))
        self.salts |= other.salts
        _keep_two(self.units, other.units)
        _keep_two(self.texts, other.texts)
        self.labelled.merge(other.labelled)
        self.highest_bucket = max(self.highest_bucket, other.highest_bucket)
        self.failures.merge(other.failures)
        self.writes.merge(other.writes)
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latest_lead = max(self.latest_lead, other.latest_lead)

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "versions": self.versions.to_state(),
            "counters": {name: dict(getattr(self, name)) for name in _COUNTERS},
            "salts": sorted(self.salts),
            "units": sorted(self.units),
            "texts": sorted(self.texts),
            "failures": self.failures.to_state(),
            "writes": self.writes.to_state(),
            "labelled": self.labelled.to_state(),
            "numbers": [getattr(self, name) for name in _NUMBERS],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.versions.restore(state["versions"])
        for name in _COUNTERS:
            setattr(self, name, Counter(state["counters"][name]))
        self.salts = set(state["salts"])
        self.units, self.texts = set(state["units"]), set(state["texts"])
        self.failures.restore(state["failures"])
        self.writes.restore(state["writes"])
        self.labelled.restore(state["labelled"])
        for name, value in zip(_NUMBERS, state["numbers"], strict=True):
            setattr(self, name, value)


def _count(counter: Counter[str], more: Mapping[str, int] | Sequence[str]) -> None:
    for name, n in more.items() if isinstance(more, Mapping) else ((name, 1) for name in more):
        counter[name if name in counter or len(counter) < _MOST_CAUSES else "other causes"] += n


def _keep_two(values: set[str], more: Iterable[str]) -> None:
    for value in more:
        if len(values) == _SEVERAL:
            return
        values.add(value)
