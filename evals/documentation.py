"""Is hybrid retrieval better than BM25 for the documentation assistant?

Labels come from `documentation.jsonl`; what they are and how they were made stands in `evals/README.md`.
"""

from __future__ import annotations

from pathlib import Path

from shadoweval import Experiment, Limits, Sandbox, at_most, better, no_worse
from shadoweval.scoring import (
    answer_quality,
    errors,
    index_recall,
    latency,
    mrr,
    ndcg,
    overlap,
    recall,
    token_f1,
    tokens,
)

__all__ = ["documentation"]

documentation = Experiment(
    name="documentation",
    candidates={"hybrid": "pipelines.documentation_hybrid:answer"},
    incumbent="pipelines.documentation_bm25:answer",
    sandbox=Sandbox(warm="pipelines.warm:documentation", limits=Limits(seconds=20.0, memory_bytes=2 << 30)),
    labels=Path(__file__).with_name("documentation.jsonl"),
    scorers=[
        recall(k=5),
        mrr(k=5),
        ndcg(k=5),
        overlap(k=5),
        index_recall(),
        answer_quality(),
        token_f1(),
        latency(),
        tokens(),
        errors(),
    ],
    gates=[
        better("recall@5", by=0.02),
        no_worse("answer_quality", by=0.02),
        no_worse("errors", by=0.02),
        at_most("latency.p95", 2.0, critical=True),
    ],
)
