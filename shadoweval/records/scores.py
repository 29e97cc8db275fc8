"""Both arms side by side: a score is a value, or the reason why there is none.

What a person said about the answer that an arm gave to one query; and what is summed up of gates, metrics and looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from shadoweval.records.keys import as_text

__all__ = [
    "NOT_DRAWN",
    "NOT_RERUN",
    "Annotation",
    "Decision",
    "GateResult",
    "GateState",
    "Mark",
    "MetricSummary",
    "PairScore",
    "PastLook",
    "QueryRow",
    "Score",
    "Scored",
    "SliceResult",
    "Unscored",
    "standing",
]

NOT_RERUN = "the incumbent was not run again on this query"
"""The reason of a score that a re-run would have given; only a share of the queries is drawn for one."""

NOT_DRAWN = "this pair was not drawn for a score"
"""The reason of a score that a pair lacks by design; what it was drawn with is `PairScore.chance`."""


class Scored(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="scored"):
    """A score that is a finite number."""

    value: float

    def __post_init__(self) -> None:
        if type(self.value) is not float:  # one of numpy's, or another kind that no record holds
            msgspec.structs.force_setattr(self, "value", float(self.value))
        if not math.isfinite(self.value):
            raise ValueError(f"A score is a finite number or Unscored(reason), not {self.value!r}.")


class Unscored(msgspec.Struct, frozen=True, array_like=True, gc=False, tag="unscored"):
    """Why there is no score."""

    reason: str
    informative: bool = True
    """Whether the reason may lie in the answer, so that the missing score may be a bad one. False for what would have
    come of any answer: no label, a judge that was too busy, a run that was not asked for."""

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "reason", as_text(self.reason))  # it may quote an answer


Score = Scored | Unscored


class PairScore(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One metric of one pair, for both arms."""

    metric: str
    query_id: str
    incumbent: Score
    candidate: Score
    scorer_version: str = ""
    noise: Score | None = None
    """The incumbent's re-run under the same metric; None: not re-run."""
    basis: str = ""
    """Changes with all that it rests on beside both runs, such as labels and scorer; empty: unknown."""
    chance: float = 1.0
    """With which the pair was drawn for this score, known before it was made: of the pairs that were not drawn, too."""
    proxies: tuple[float, float] | None = None
    """What a cheaper scorer said of incumbent and candidate, drawn or not; None: nothing did."""

    @property
    def not_drawn(self) -> bool:
        """Whether it has no score because the pair was not drawn for one."""
        return isinstance(self.candidate, Unscored) and self.candidate.reason == NOT_DRAWN


Mark = Literal["correct", "incorrect", "preferred", "tie"]


class Annotation(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One person's mark for one answer, or for one of two answers over the other.

    All that was ever said is kept; of each annotator the last word counts (`standing`).
    """

    arm: str
    """Whose answer: `"incumbent"` or a candidate's name."""
    mark: Mark
    """`preferred`: better than the answer of `over`; `tie`: as good as it."""
    annotator: str
    at: datetime | None = None
    """When it was said, aware; None: when it is stored."""
    over: str = ""
    """The arm whose answer it was compared with; empty for `correct` and `incorrect`."""

    def __post_init__(self) -> None:
        if self.at is not None and self.at.utcoffset() is None:
            raise ValueError(f"Annotation.at must have a time zone, got {self.at!r}. Write datetime.now(UTC).")
        if not self.annotator.strip():
            raise ValueError("Annotation.annotator is empty. Name who said it, for instance by an e-mail address.")
        pairwise = self.mark in {"preferred", "tie"}
        if pairwise != bool(self.over) or self.over == self.arm:
            need = "needs over=, the other arm" if pairwise else "is about one answer alone, so it has no over="
            raise ValueError(f"Annotation.mark {self.mark!r} of {self.arm!r} {need}; got over={self.over!r}.")

    @property
    def subject(self) -> tuple[str, frozenset[str]]:
        """Who spoke about what: a later word about the same takes the place of an earlier one."""
        return self.annotator, frozenset({self.arm, self.over or self.arm})


def standing(annotations: Iterable[Annotation]) -> list[Annotation]:
    """The last word of each annotator about each answer, and about each two; `annotations` are in order of time."""
    return list({each.subject: each for each in annotations}.values())


Decision = Literal["promote", "hold", "rollback"]

GateState = Literal["holds", "broken", "open", "error"]


class SliceResult(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One metric in one part of the traffic."""

    slice: str
    metric: str
    n: int
    difference: float | None
    lower: float | None = None
    upper: float | None = None
    state: Literal["worse", "better", "open", "too_small"]
    reason: str = ""
    discovered: bool = False


class MetricSummary(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One metric over all pairs, for people; gates decide on GateResult."""

    metric: str
    higher_is_better: bool
    incumbent: float | None
    candidate: float | None
    difference: float | None
    lower: float | None = None
    upper: float | None = None
    scored: int = 0
    unscored: dict[str, int] = {}
    noise_floor: float | None = None
    distribution: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    """Quantiles 0, 5, ..., 100 % of incumbent and candidate."""
    unit: str = ""
    """As of `Metric.unit`."""
    bounded: bool = True
    """Whether it has a range: of a score the difference is said, of an amount the ratio."""
    of_pair: bool = False
    """Whether it says how far a run agrees with what was served, which is no difference of the arms."""
    descriptive: bool = False
    """Whether it says how the arms differ, not which is better."""
    missing: dict[str, int] = {}
    """As of `GateResult.missing`, over both arms."""
    reruns: int = 0
    """Runs of the incumbent again that were scored; `noise_floor` rests on them."""
    failed_as: float | None = None
    """What a failed run counts as, where one of them does; None: none, or the metric has a range."""

    @property
    def lacking(self) -> int:
        """Pairs in which an arm, or both, should have a score and has none."""
        return sum(self.missing.get(arm, 0) for arm in ("both arms", "candidate", "incumbent"))

    @property
    def change(self) -> tuple[float, float] | None:
        """Where candidate - incumbent lies, whichever of them is better; None: there is no interval."""
        if self.lower is None or self.upper is None:
            return None
        return (self.lower, self.upper) if self.higher_is_better else (-self.upper, -self.lower)

    @property
    def direction(self) -> Literal["better", "worse", "unclear", "neither"]:
        """Of the candidate: `unclear` while its interval holds both; `neither` where the metric does not say."""
        if self.of_pair or self.descriptive:
            return "neither"
        if self.lower is not None and self.lower > 0:
            return "better"
        return "worse" if self.upper is not None and self.upper < 0 else "unclear"


class QueryRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One pair in a line of the report's table: its scores, and beginnings of its texts."""

    id: str
    """The query's."""
    text: str = ""
    answers: tuple[str, str] = ("", "")
    """Beginnings, the incumbent's first."""
    failures: tuple[str, str] = ("", "")
    """How each arm failed and whose doing it was, `timeout (candidate's)`; empty: it answered."""
    scores: dict[str, tuple[Score, Score]] = {}
    attributes: dict[str, str] = {}
    parts: str = ""
    """The kind of step at which the arms part; empty: they do not."""
    critical: bool = False
    """Whether the candidate loses on the metric of a critical gate."""
    clusters: tuple[int, ...] = ()
    """Places of those of `QueryTable.clusters` that it belongs to."""


class PastLook(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What an earlier evaluation said of one candidate, or what the first one would have on its way; numbers only."""

    id: str
    """Of that evaluation; empty: a point on the way of the first one."""
    at: datetime
    decision: Decision
    pairs: int
    gates: dict[str, tuple[GateState, float, float | None, float | None, float | None]] = {}
    """Sentence of the gate -> state, share of the evidence, difference (or ratio), lower and upper bound."""


_REASONS = 3
"""Reasons of missing scores that a verdict's table names."""


class GateResult(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one gate says, with the numbers that made it. Differences are oriented: larger is better."""

    sentence: str
    metric: str
    kind: Literal["better", "no_worse", "at_most", "at_least"]
    state: GateState
    margin: float
    ratio: bool = False
    """Whether margin, lower and upper are ratios candidate / incumbent instead of differences."""
    critical: bool = False
    dry_run: bool = False
    incumbent: float | None = None
    candidate: float | None = None
    difference: float | None = None
    lower: float | None = None
    upper: float | None = None
    """One-sided bounds at the verdict's alpha: the same that decide."""
    level: float = 0.05
    n: int = 0
    """Units of inference (clusters or distinct queries), not pairs."""
    unscored: dict[str, int] = {}
    share_of_evidence: float = 0.0
    """log e / log(1/alpha) towards promotion, clipped to [0, 1]."""
    pairs_needed: tuple[int, int, int] | None = None
    """About how many more: middle, and an 80 % range."""
    reason: str = ""
    method: str = ""
    source: str = ""
    noise_floor: float | None = None
    details: dict[str, float] = {}
    """The log e-values and other numbers behind the state, by name."""
    missing: dict[str, int] = {}
    """Pairs without the scores that it asks for, by what is lacking: `both arms`, `candidate`, `incumbent`; of them
    `may lie in the answer`. Empty: none is missing."""

    outlook: str = ""
    """How far off its decision is and towards what, in words; empty: it is decided, or can't be."""

    @property
    def missing_text(self) -> str:
        """What is missing, in words: how many pairs, of which arm, why; empty: nothing is."""
        lacking = {arm: self.missing.get(arm, 0) for arm in ("both arms", "candidate", "incumbent")}
        n = sum(lacking.values())
        if not n:
            return ""
        arms = ", ".join(f"{arm} {count}" for arm, count in lacking.items() if count)
        ranked = sorted(self.unscored.items(), key=lambda item: -item[1])
        reasons = "; ".join(f"{reason} ({count})" for reason, count in ranked[:_REASONS])
        more = f"; and {len(ranked) - _REASONS} more reasons" if len(ranked) > _REASONS else ""
        bounded = self.missing.get("may lie in the answer", 0)
        return (
            f"unscored in {n} of {n + self.missing.get('scored', 0)} pairs ({arms}; {bounded} for a reason that may "
            f"lie in the answer): {reasons}{more}"
        )
