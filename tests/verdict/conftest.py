"""Worlds of pairs with known truth, as columns and as records."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shadoweval.protocols import Metric
from shadoweval.records import Coverage, PairScore, Scored, Unscored
from shadoweval.verdict.columns import Columns, ScoreColumns
from shadoweval.verdict.facts import PairFacts

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def now() -> datetime:
    return START + timedelta(days=300)


@pytest.fixture
def full() -> Callable[[int], Coverage]:
    """A funnel without losses."""
    return lambda n: Coverage(eligible=n, mirrored=n, paired=n, distinct=n)


@pytest.fixture
def metrics() -> tuple[Metric, ...]:
    return (
        Metric(name="recall@5"),
        Metric(name="errors", higher_is_better=False, failure_scores=1.0),
        Metric(name="latency", higher_is_better=False, high=None, like_with_like=True, failure_scores=30.0),
        Metric(name="cost", higher_is_better=False, high=None, like_with_like=True, failure_scores=None),
    )


@pytest.fixture
def world() -> Callable[..., Columns]:
    """N pairs: recall@5 around 0.8 with a shared difficulty, 2 % errors, log-normal latency and cost."""

    def make(n: int, *, seed=0, recall=0.0, errors=0.0, latency=1.0, session=1, attributes=None) -> Columns:
        rng = np.random.default_rng(seed)
        ease = rng.random(n)
        known = np.ones(n, dtype=bool)

        def hits(shift: float) -> np.ndarray:
            return rng.binomial(5, np.clip(0.6 + 0.4 * ease + shift, 0, 1)) / 5

        def seconds(factor: float) -> np.ndarray:
            return factor * np.exp(0.5 * ease + rng.normal(0, 0.5, n))

        def column(incumbent, candidate, noise) -> ScoreColumns:
            return ScoreColumns(
                incumbent=incumbent,
                candidate=candidate,
                incumbent_scored=known,
                candidate_scored=known,
                noise=noise,
                noise_scored=np.arange(n) % 5 == 0,
                versions=frozenset({"1"}),
            )

        served, paid = seconds(1), seconds(1)
        return Columns(
            asked_at=START.timestamp() + np.arange(n) * 60.0,
            key=np.arange(n, dtype=np.uint64) + np.uint64(seed * 10**9),
            cluster=(np.arange(n) // session).astype(np.uint64),
            alone=np.full(n, session == 1),
            scores={
                "recall@5": column(hits(0), hits(recall), hits(0)),
                "errors": column(
                    (rng.random(n) < 0.02).astype(float),
                    (rng.random(n) < 0.02 + errors).astype(float),
                    (rng.random(n) < 0.02).astype(float),
                ),
                "latency": column(served, seconds(latency), served),
                "cost": column(paid, seconds(1), paid),
            },
            attributes=attributes or {},
        )

    return make


@pytest.fixture
def rows() -> Callable[[Columns], list]:
    """The same pairs as records."""

    def of(columns: Columns) -> list:
        pairs = []
        for place in range(columns.n):
            facts = PairFacts(
                query_id=f"q{place:06}",
                key=str(columns.key[place]),
                unit="" if columns.alone[place] else f"u{columns.cluster[place]}",
                asked_at=datetime.fromtimestamp(float(columns.asked_at[place]), tz=UTC),
                attributes={
                    name: column.values[column.codes[place]]
                    for name, column in columns.attributes.items()
                    if column.codes[place] >= 0
                },
            )
            scores = [
                PairScore(
                    metric=name,
                    query_id=facts.query_id,
                    incumbent=Scored(float(s.incumbent[place])) if s.incumbent_scored[place] else Unscored("no"),
                    candidate=Scored(float(s.candidate[place])) if s.candidate_scored[place] else Unscored("no"),
                    noise=Scored(float(s.noise[place])) if s.noise_scored[place] else None,
                    scorer_version="1",
                )
                for name, s in columns.scores.items()
            ]
            pairs.append((facts, scores))
        return pairs

    return of
