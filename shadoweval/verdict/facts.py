"""What the verdict must know of pairs beside their scores, and what slices go by."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import msgspec
import numpy as np

from shadoweval.evidence.inputs import IntArray
from shadoweval.evidence.slices import AttributeColumn
from shadoweval.records import Answered, Arm, Observation, Pair, Query, WriteComparison
from shadoweval.verdict.labelled_hits import LabelledHits
from shadoweval.verdict.writes import WriteFacts

__all__ = ["MEND", "UNFAITHFUL", "Facts", "PairFacts", "attribute_columns", "facts_of"]

MEND: Final = "\0"
"""Between a cause and the line that mends it, in one text, so that they are counted together."""
UNFAITHFUL: Final[frozenset[Answered]] = frozenset({"simulated", "refused", "altered"})
"""How calls are answered that say little about production."""
_LENGTHS: Final = ((40, "short"), (160, "medium"), (640, "long"))
_SCRIPT_SAMPLE: Final = 200
_COUNTS: Final = ("live_writes", "incumbent_failed", "candidate_failed", "aborted", "reruns")
_COUNTERS: Final = ("fidelity", "unfaithful", "ended", "reruns_ended", "unjudged")
_MOST_CAUSES: Final = 100
"""Causes that are counted by name; a path or a port that is another each time must not fill the memory."""
_SEVERAL: Final = 2
_NUMBERS: Final = ("highest_bucket", *_COUNTS, "latest_lead")


class PairFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the verdict must know of a pair beside its scores. Make it with `facts_of`, or by hand for stored scores."""

    query_id: str
    key: str
    """`Query.key`: equal for duplicate queries."""
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
    salt: str = ""
    bucket: float = 0.0
    live_writes: int = 0
    incumbent_failed: bool = False
    candidate_failed: bool = False
    """Each by its own doing."""
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
    """What of the shadow ended a run of the pair, each with the line that mends it behind `MEND`."""
    rerun_ended: tuple[str, ...] = ()
    """The same of the incumbent's re-run."""
    unfaithful: dict[str, int] = {}
    """Tool calls of the candidate that were made up or refused, as `send_mail refused`."""
    unjudged: tuple[str, ...] = ()
    """Where the shadows could write with nobody judging what."""
    writes: WriteComparison | None = None
    """What the candidate wrote beside what was served; None: not compared."""


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
        text_key=query.text_key,
        judged=tuple(pair.labels.relevant),
        hits=_ids(pair) if pair.labels.relevant else {},
        unit=query.unit,
        asked_at=query.asked_at,
        ran_at=pair.candidate.started_at,
        attributes=attributes_of(query, served),
        fidelity={str(how): count for how, count in pair.candidate.fidelity.items()},
        versions=versions,
        salt=query.salt,
        bucket=query.bucket,
        live_writes=pair.candidate.live_writes + (pair.rerun.live_writes if pair.rerun else 0),
        incumbent_failed=served.owner == "incumbent",
        candidate_failed=pair.candidate.owner == "candidate",
        aborted=served.owner == "caller",
        cut_short=served.failed or pair.candidate.failed,
        rerun=pair.rerun is not None,
        ended=(*_ended(pair.candidate), *(f"the incumbent's run: {cause}" for cause in _ended(served))),
        rerun_ended=() if pair.rerun is None else _ended(pair.rerun),
        unfaithful=_unfaithful(pair.candidate),
        unjudged=tuple({*pair.candidate.unjudged, *(pair.rerun.unjudged if pair.rerun else ())}),
    )


def _ended(run: Observation) -> tuple[str, ...]:
    if run.owner != "shadow" or run.failure is None:
        return ()
    return (f"{run.failure.cause or run.failure.kind}{MEND}{run.failure.mend}",)


def _unfaithful(run: Observation) -> dict[str, int]:
    calls = Counter(f"{call.name} {call.answered}" for call in run.tool_calls if call.answered in UNFAITHFUL)
    return dict(calls)


def _ids(pair: Pair) -> dict[str, tuple[str, ...]]:
    arms = {"incumbent": pair.served, "candidate": pair.candidate}
    return {arm: tuple(hit.id for hit in run.hits) for arm, run in arms.items() if run.hits}


@dataclass(slots=True, kw_only=True)
class Facts:
    """Counts over a batch that the checks of the evidence need; batches add up."""

    versions: dict[str, dict[str, set[str]]] = field(default_factory=dict[str, dict[str, set[str]]])
    fidelity: Counter[str] = field(default_factory=Counter[str])
    unfaithful: Counter[str] = field(default_factory=Counter[str])
    ended: Counter[str] = field(default_factory=Counter[str])
    reruns_ended: Counter[str] = field(default_factory=Counter[str])
    unjudged: Counter[str] = field(default_factory=Counter[str])
    reruns: int = 0
    salts: set[str] = field(default_factory=set[str])
    highest_bucket: float = 0.0
    live_writes: int = 0
    incumbent_failed: int = 0
    candidate_failed: int = 0
    aborted: int = 0
    writes: WriteFacts = field(default_factory=WriteFacts)
    latest_lead: float = 0.0
    """Largest number of seconds by which a candidate began before its query was asked."""
    units: set[str] = field(default_factory=set[str])
    texts: set[str] = field(default_factory=set[str])
    """Units of inference and texts' keys, two at most: whether there is more than one."""
    labelled: LabelledHits = field(default_factory=LabelledHits)

    def count(self, facts: PairFacts) -> None:
        """Count one pair."""
        for arm, versions in facts.versions.items():
            for name, version in versions.items():
                self.versions.setdefault(arm, {}).setdefault(name, set()).add(version)
        self.fidelity.update(facts.fidelity)
        for counter, names in (
            (self.unfaithful, facts.unfaithful),
            (self.ended, facts.ended),
            (self.reruns_ended, facts.rerun_ended),
            (self.unjudged, facts.unjudged),
        ):
            if names:
                _count(counter, names)
        self.reruns += facts.rerun
        self.salts.add(facts.salt)
        self.highest_bucket = max(self.highest_bucket, facts.bucket)
        _keep_two(self.units, (facts.unit or facts.key,))
        _keep_two(self.texts, (facts.text_key,))
        self.labelled.count(facts.judged, facts.hits)
        self.live_writes += facts.live_writes
        self.incumbent_failed += facts.incumbent_failed
        self.candidate_failed += facts.candidate_failed
        self.writes.count(facts.writes, ended=not facts.cut_short)
        if facts.ran_at is not None:
            self.latest_lead = max(self.latest_lead, (facts.asked_at - facts.ran_at).total_seconds())

    def merge(self, other: Facts) -> None:
        """Add another batch's counts."""
        for arm, versions in other.versions.items():
            for name, values in versions.items():
                self.versions.setdefault(arm, {}).setdefault(name, set()).update(values)
        for name in _COUNTERS:
            _count(getattr(self, name), getattr(other, name))
        self.salts |= other.salts
        _keep_two(self.units, other.units)
        _keep_two(self.texts, other.texts)
        self.labelled.merge(other.labelled)
        self.highest_bucket = max(self.highest_bucket, other.highest_bucket)
        self.writes.merge(other.writes)
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.latest_lead = max(self.latest_lead, other.latest_lead)

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "versions": {arm: {name: sorted(seen) for name, seen in by.items()} for arm, by in self.versions.items()},
            "counters": {name: dict(getattr(self, name)) for name in _COUNTERS},
            "salts": sorted(self.salts),
            "units": sorted(self.units),
            "texts": sorted(self.texts),
            "writes": self.writes.to_state(),
            "labelled": self.labelled.to_state(),
            "numbers": [getattr(self, name) for name in _NUMBERS],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self.versions = {arm: {name: set(seen) for name, seen in by.items()} for arm, by in state["versions"].items()}
        for name in _COUNTERS:
            setattr(self, name, Counter(state["counters"][name]))
        self.salts = set(state["salts"])
        self.units, self.texts = set(state["units"]), set(state["texts"])
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


def length_of(text: str) -> str:
    """`short` up to 40 characters, `medium` up to 160, `long` up to 640, else `very long`: fixed, so not learned."""
    return next((name for limit, name in _LENGTHS if len(text) <= limit), "very long")


def script_of(text: str) -> str:
    """The script most letters of the text's beginning are in, as Unicode names it: latin, cyrillic, cjk, arabic, ..."""
    letters = Counter(
        unicodedata.name(character, "").split(" ")[0].lower()
        for character in text[:_SCRIPT_SAMPLE]
        if character.isalpha()
    )
    return letters.most_common(1)[0][0] if letters else "none"


def attributes_of(query: Query, served: Observation) -> dict[str, str]:
    """Attributes by name: the query's plain ones as text, its length, its script, and whether the incumbent failed."""
    plain: dict[str, Any] = query.attributes
    named = {name: str(value) for name, value in plain.items() if isinstance(value, str | int | float | bool)}
    derived = {"length": length_of(query.text), "script": script_of(query.text)}
    if served.failure is not None:
        derived["incumbent failed"] = served.failure.step or served.failure.kind
    return {**derived, **named}


def attribute_columns(pairs: Sequence[Mapping[str, str]]) -> dict[str, AttributeColumn]:
    """A column for each attribute that any pair has."""
    codes: dict[str, IntArray] = {}
    values: dict[str, dict[str, int]] = {}
    for row, attributes in enumerate(pairs):
        for name, value in attributes.items():
            if name not in codes:
                codes[name] = np.full(len(pairs), -1, dtype=np.int64)
                values[name] = {}
            codes[name][row] = values[name].setdefault(value, len(values[name]))
    return {name: AttributeColumn(codes=codes[name], values=tuple(values[name])) for name in codes}
