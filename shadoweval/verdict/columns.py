"""Pairs as columns: what the verdict reads, one batch at a time, in query order.

Where a score is missing its place holds 0 and the mask beside it says so; no number here means "missing".
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeAlias, cast

import numpy as np

from shadoweval.evidence.inputs import BoolArray, FloatArray, IdArray, IntArray
from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.evidence.variables import Scores
from shadoweval.protocols import Metric
from shadoweval.records import NOT_DRAWN, NOT_RERUN, PairScore, Score, Scored, Unscored
from shadoweval.verdict.attributes import attribute_columns
from shadoweval.verdict.facts import Facts, PairFacts

__all__ = ["Columns", "ScoreColumns", "ScoredPair", "against_rerun", "columns_of"]

ScoredPair: TypeAlias = tuple[PairFacts, Sequence[PairScore]]
"""What the verdict must know of a pair, and its scores."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoreColumns(Scores):
    """One metric of a batch, and why scores are missing; all arrays have shape (n,)."""

    missing_by_design: BoolArray | None = None
    """Where the incumbent has no score because it was not run again on this query."""
    uninformative: tuple[BoolArray, BoolArray] | None = None
    """Where incumbent, and candidate, lack their score for a reason that can't lie in the answer; None: nowhere."""
    unscored: Mapping[str, int] = field(default_factory=dict[str, int])
    """Reasons, `arm: reason` -> how often."""
    versions: frozenset[str] = frozenset()
    chance: FloatArray | None = None
    """With which each pair was drawn for its scores; None: all were."""
    proxies: FloatArray | None = None
    """What a cheaper scorer said of incumbent and candidate, shape (2, n); None: nothing did."""
    not_drawn: BoolArray | None = None
    """Where there is no score because the pair was not drawn for one."""
    rerun_not_drawn: BoolArray | None = None
    """Where the incumbent was run again on such a pair."""
    left_out: BoolArray | None = None
    """Where there is nothing to compare with: an outage of the incumbent's; None: nowhere."""
    raw: ScoreColumns | None = None
    """The scores as they were made, where these here are weighed by their chance (`drawn`)."""

    def of(self, which: BoolArray | IntArray | slice) -> ScoreColumns:
        """The scores of some of the pairs, without the reasons of missing ones."""
        by_design = None if self.missing_by_design is None else self.missing_by_design[which]
        plain = None if self.uninformative is None else (self.uninformative[0][which], self.uninformative[1][which])
        part = cast("ScoreColumns", Scores.of(self, which))  # slots and super() do not go together
        of_drawing = dict.fromkeys(_OF_DRAWING)  # weighed scores, which alone are divided, need none of it
        return replace(part, missing_by_design=by_design, uninformative=plain, unscored={}, **of_drawing)


_OF_DRAWING: Final = ("chance", "proxies", "not_drawn", "rerun_not_drawn", "left_out", "raw")


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
    incumbent_failed: BoolArray | None = None
    """Where what was served failed by its own doing, and its re-run, if there was one, did not; None: nowhere."""
    faulty: BoolArray | None = None
    """Where the shadow had its part in what the candidate did: it ended a run, or made up a call; None: nowhere."""

    @property
    def n(self) -> int:
        """How many pairs."""
        return self.asked_at.size

    def part(self, which: slice | IntArray | BoolArray) -> Columns:
        """Some of the pairs, without the facts, which are counts over all of them."""
        return Columns(
            asked_at=self.asked_at[which],
            key=self.key[which],
            cluster=self.cluster[which],
            alone=self.alone[which],
            scores={name: scores.of(which) for name, scores in self.scores.items()},
            attributes={name: each.part(which) for name, each in self.attributes.items()},
            incumbent_failed=None if self.incumbent_failed is None else self.incumbent_failed[which],
            faulty=None if self.faulty is None else self.faulty[which],
        )


def against_rerun(columns: Columns, metrics: Sequence[Metric], *, wanted: Collection[str]) -> Columns | None:
    """The pairs on which the incumbent was run again, its re-run in its place; None: there are none.

    Metrics that compare like with like have the re-run in its place already. The result has the `wanted` metrics.
    """
    again = np.zeros(columns.n, dtype=np.bool_)
    for scores in columns.scores.values():
        if scores.noise_scored is not None:
            again |= scores.noise_scored
    if not again.any():
        return None
    alike = {metric.name for metric in metrics if metric.like_with_like}
    nothing = np.zeros(columns.n, dtype=np.bool_)
    swapped = {
        name: replace(
            scores,
            incumbent=scores.incumbent if name in alike or scores.noise is None else scores.noise,
            incumbent_scored=scores.incumbent_scored
            if name in alike
            else nothing
            if scores.noise_scored is None
            else scores.noise_scored,
            noise=None,
            noise_scored=None,
        )
        for name, scores in columns.scores.items()
        if name in wanted
    }
    return replace(columns, scores=swapped).part(np.flatnonzero(again))


def columns_of(pairs: Iterable[ScoredPair], metrics: Sequence[Metric]) -> Columns:
    """The columns of pairs in query order; scores of metrics that are not in `metrics` are left out."""
    facts, counted = Facts(), []
    for pair in pairs:
        if pair[0].aborted:
            facts.aborted += 1
        else:
            facts.count(pair[0])
            counted.append(pair)
    by_metric: dict[str, list[PairScore | None]] = {metric.name: [None] * len(counted) for metric in metrics}
    for row, (_facts, scores) in enumerate(counted):
        for score in scores:
            if (of_metric := by_metric.get(score.metric)) is not None:
                of_metric[row] = score
    alone = np.array([not pair.unit for pair, _ in counted], dtype=np.bool_)
    cluster = np.zeros(len(counted), dtype=np.uint64)
    cluster[~alone] = _numbers([pair.unit for pair, _ in counted if pair.unit])
    return Columns(
        asked_at=np.array([pair.asked_at.timestamp() for pair, _ in counted], dtype=np.float64),
        key=_numbers([pair.key for pair, _ in counted]),
        cluster=cluster,
        alone=alone,
        scores={metric.name: _score_columns(metric, by_metric[metric.name]) for metric in metrics},
        attributes=attribute_columns([pair.attributes for pair, _ in counted]),
        facts=facts,
        incumbent_failed=np.array([p.incumbent_failed and not p.failed_again for p, _ in counted], dtype=np.bool_),
        faulty=np.array([pair.faulty for pair, _ in counted], dtype=np.bool_),
    )


def _numbers(names: Sequence[str]) -> IdArray:
    """A number of 64 bits for each name, shape (n,)."""
    digests = b"".join([hashlib.sha256(name.encode()).digest()[:8] for name in names])
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def _by_design(metric: Metric, score: PairScore) -> bool:
    """Whether the incumbent, which has no score, has none only because it was not run again on this query."""
    if not isinstance(score.incumbent, Unscored) or score.incumbent.reason == NOT_RERUN:
        return isinstance(score.incumbent, Unscored)
    again = score.noise == score.incumbent and not score.incumbent.informative
    return metric.like_with_like and (score.noise is None or again)


class _Side(NamedTuple):
    """One arm of a metric: its scores, where there are any, and which rows have none."""

    values: FloatArray
    scored: BoolArray
    missing: list[int]

    @classmethod
    def of(cls, scores: Sequence[Score | None]) -> _Side:
        """Its columns, shape (n,)."""
        missing = [row for row, each in enumerate(scores) if type(each) is not Scored]
        scored = np.ones(len(scores), dtype=np.bool_)
        if not missing:
            return cls(np.array([each.value for each in cast("Any", scores)], dtype=np.float64), scored, missing)
        scored[missing] = False
        values = np.zeros(len(scores))
        values[scored] = [each.value for each in scores if type(each) is Scored]
        return cls(values, scored, missing)

    def reasons(self, scores: Sequence[Score | None], arm: str) -> Counter[str]:
        """Why there is no score, and how often."""
        without = [scores[row] for row in self.missing]
        return Counter(
            f"{arm}: {each.reason if isinstance(each, Unscored) else 'the scorer said nothing'}"
            for each in without
            if not (isinstance(each, Unscored) and each.reason == NOT_DRAWN)
        )

    def uninformative(self, scores: Sequence[Score | None]) -> BoolArray:
        """Where there is no score for a reason that can't lie in the answer."""
        plain = np.zeros(len(scores), dtype=np.bool_)
        plain[[row for row in self.missing if isinstance(each := scores[row], Unscored) and not each.informative]] = (
            True
        )
        return plain


def _score_columns(metric: Metric, scores: Sequence[PairScore | None]) -> ScoreColumns:
    arms = [s and s.incumbent for s in scores], [s and s.candidate for s in scores]
    incumbent, candidate = map(_Side.of, arms)
    noise = _Side.of([s and s.noise for s in scores])
    by_design = np.zeros(len(scores), dtype=np.bool_)
    for row in incumbent.missing:
        score = scores[row]
        by_design[row] = score is not None and _by_design(metric, score)
    return ScoreColumns(
        incumbent=incumbent.values,
        candidate=candidate.values,
        incumbent_scored=incumbent.scored,
        candidate_scored=candidate.scored,
        noise=noise.values,
        noise_scored=noise.scored,
        missing_by_design=by_design,
        uninformative=(incumbent.uninformative(arms[0]), candidate.uninformative(arms[1])),
        unscored=incumbent.reasons(arms[0], "incumbent") + candidate.reasons(arms[1], "candidate"),
        versions=frozenset([score.scorer_version for score in scores if score is not None]),
        **_drawing(metric, scores),
    )


def _drawing(metric: Metric, scores: Sequence[PairScore | None]) -> dict[str, Any]:
    """How the pairs were drawn for a metric that not all are scored by."""
    if metric.least_chance >= 1 and all(each is None or each.chance == 1 for each in scores):
        return {}
    cheap = [(0.0, 0.0) if s is None or s.proxies is None else s.proxies for s in scores]
    not_drawn = np.array([s is not None and s.not_drawn for s in scores], dtype=np.bool_)
    again = np.array([s is not None and s.noise is not None for s in scores], dtype=np.bool_)
    return {
        "chance": np.array([1.0 if s is None else s.chance for s in scores], dtype=np.float64),
        "proxies": np.array(cheap, dtype=np.float64).reshape(-1, 2).T,
        "not_drawn": not_drawn,
        "rerun_not_drawn": not_drawn & again,
    }
