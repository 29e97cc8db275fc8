"""Both arms side by side: a score is a value, or the reason why there is none; writes are compared one by one.

And what a person said about the answer that an arm gave to one query; and what is summed up of metrics and looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Literal

import msgspec

from shadoweval.records.acts import Effect
from shadoweval.records.keys import as_text

__all__ = [
    "NOT_RERUN",
    "Annotation",
    "AskedWhen",
    "Decision",
    "Divergence",
    "DivergenceShare",
    "GateState",
    "Mark",
    "MetricSummary",
    "PairScore",
    "PastLook",
    "Score",
    "Scored",
    "SliceResult",
    "Unscored",
    "WriteComparison",
    "standing",
]

NOT_RERUN = "the incumbent was not run again on this query"
"""The reason of a score that a re-run would have given; only a share of the queries is drawn for one."""


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


class Divergence(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The first step of a query at which the candidate did otherwise than was served."""

    kind: str
    """`other documents`, `another tool`, `another argument`, `another order`, `stops earlier`, `goes on`,
    `a call fails`, `another result`, `same calls, other answer` and their like; what is told apart in sums."""
    step: int = 0
    """Number of the agent's tool call, from 1; 0: what was retrieved before."""
    text: str = ""
    """In words."""


class DivergenceShare(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Pairs whose arms part at one kind of step."""

    kind: str
    pairs: int
    difference: float | None = None
    """Their part of the mean difference of the first gate's metric, larger is better; None: not scored in both arms."""


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


class AskedWhen(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """When the queries of the pairs were asked."""

    first: datetime
    last: datetime
    hours_of_day: int = 0
    """Hours of the day (UTC), of 24, in which at least a few pairs were asked."""


class PastLook(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What an earlier evaluation said of one candidate, or what the first one would have on its way; numbers only."""

    id: str
    """Of that evaluation; empty: a point on the way of the first one."""
    at: datetime
    decision: Decision
    pairs: int
    gates: dict[str, tuple[GateState, float, float | None, float | None, float | None]] = {}
    """Sentence of the gate -> state, share of the evidence, difference (or ratio), lower and upper bound."""
