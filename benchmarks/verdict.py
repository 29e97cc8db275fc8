"""How long a verdict takes: 1,000,000 pairs, 10 gates, 20 slices, one core; and how small its state is.

    OPENBLAS_NUM_THREADS=1 python -m benchmarks.verdict [pairs]

CPU seconds of this process, generation of the arrays not counted.
"""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime

import msgspec
import numpy as np

from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.protocols import Metric
from shadoweval.records import Coverage
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.columns import Columns, ScoreColumns
from shadoweval.verdict.gates import at_least, at_most, better, no_worse
from shadoweval.verdict.trial import Trial

METRICS = [
    Metric(name="recall@5"),
    Metric(name="ndcg@10"),
    Metric(name="answer_quality"),
    Metric(name="faithfulness"),
    Metric(name="tool_success"),
    Metric(name="errors", higher_is_better=False, failure_scores=1.0),
    Metric(name="latency", higher_is_better=False, high=None, like_with_like=True, failure_scores=30.0),
    Metric(name="cost", higher_is_better=False, high=None, like_with_like=True, failure_scores=None),
]
GATES = [
    no_worse("recall@5", by=0.02),
    better("ndcg@10", by=0.0),
    no_worse("answer_quality", by=0.02),
    no_worse("faithfulness", by=0.02),
    no_worse("tool_success", by=0.01),
    no_worse("errors", by=0.01, critical=True),
    at_most("latency.p95", ratio=1.20),
    at_most("latency.p50", ratio=1.10),
    at_most("cost", ratio=1.10),
    at_least("recall@5", 0.5),
]


def score_columns(metric: Metric, rng: np.random.Generator, ease: np.ndarray, *, again: np.ndarray) -> ScoreColumns:
    n = ease.size

    def one_arm() -> np.ndarray:
        if metric.high is None:
            return np.exp(0.5 * ease + rng.normal(0, 0.5, n))
        if metric.name in {"tool_success", "errors"}:
            return (rng.random(n) < (0.99 if metric.higher_is_better else 0.01)).astype(float)
        if metric.name == "recall@5":
            return rng.binomial(5, 0.6 + 0.4 * ease) / 5
        return np.clip(rng.normal(0.7 + 0.2 * ease, 0.1), 0, 1)

    all_of_them = np.ones(n, dtype=bool)
    return ScoreColumns(
        incumbent=one_arm(),
        candidate=one_arm(),
        incumbent_scored=all_of_them,
        candidate_scored=all_of_them,
        noise=one_arm(),
        noise_scored=again,
        versions=frozenset({"1"}),
    )


def made_columns(n: int) -> Columns:
    rng = np.random.default_rng(3)
    ease = rng.random(n)
    again = rng.random(n) < 0.2  # on these queries the incumbent was run again, for all metrics
    plan, language, topic = rng.integers(0, 3, n), rng.integers(0, 5, n), rng.integers(0, 12, n)
    return Columns(
        asked_at=1.7e9 + np.arange(n) * 0.1,
        key=rng.integers(0, 2**64, n, dtype=np.uint64),  # ids are hashes
        cluster=np.zeros(n, dtype=np.uint64),
        alone=np.ones(n, dtype=bool),
        scores={metric.name: score_columns(metric, rng, ease, again=again) for metric in METRICS},
        attributes={
            "plan": AttributeColumn(codes=plan, values=("free", "pro", "team")),
            "language": AttributeColumn(codes=language, values=("en", "de", "fr", "es", "ja")),
            "topic": AttributeColumn(codes=topic, values=tuple(f"t{k}" for k in range(12))),
        },
    )


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    columns = made_columns(n)
    coverage = Coverage(eligible=n, mirrored=n, paired=n, distinct=n)
    now = datetime(2030, 1, 1, tzinfo=UTC)
    began = time.process_time()
    trial = Trial(METRICS, GATES)
    trial.add(columns)
    added = time.process_time()
    judgement = assess(trial, experiment="bench", candidate="c", coverage=coverage, now=now)
    ended = time.process_time()
    print(judgement.verdict)
    print(f"{n:,} pairs, {len(GATES)} gates, {len({s.slice for s in judgement.slices})} slices")
    print(f"taking in {added - began:.2f} s, judging {ended - added:.2f} s, together {ended - began:.2f} s CPU")
    state = trial.to_state()
    books = [state["evidence"], *(side["evidence"] for side in state["sides"].values())]
    size = len(msgspec.msgpack.encode(state))
    keys = sum(len(content) for book in books for _, _, content in book["units"]["segments"])
    print(f"state without the keys of the queries: {(size - keys) / 1000:.0f} kB; keys: {keys / n:.1f} bytes a query")


if __name__ == "__main__":
    main()
