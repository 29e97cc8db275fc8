"""Scores observations: one file for each question that is asked of a pair. This is the one address of scorers.

A scorer of your own is a function under `@per_arm` or `@pairwise`, or any `shadoweval.protocols.Scorer`.
"""

from shadoweval.capture.outcomes import keep_objects
from shadoweval.scoring.answers import Similarity, answer_quality, exact_match, rouge_l, semantic_similarity, token_f1
from shadoweval.scoring.arguments import argument_validity, arguments
from shadoweval.scoring.cascade import cascade
from shadoweval.scoring.citations import citations
from shadoweval.scoring.consistency import consistency
from shadoweval.scoring.contexts import near_duplicates, redundancy
from shadoweval.scoring.embedding import Embedder, SentenceModel
from shadoweval.scoring.formats import format  # noqa: A004 - the metric's name
from shadoweval.scoring.human import human_correctness, human_preference
from shadoweval.scoring.judges.budget import JudgeBudget
from shadoweval.scoring.judges.judge import Judge
from shadoweval.scoring.judges.of_answers import (
    correctness_judge,
    faithfulness_judge,
    rubric_judge,
    task_success_judge,
)
from shadoweval.scoring.judges.of_documents import relevance_judge
from shadoweval.scoring.judges.of_pairs import pairwise_judge
from shadoweval.scoring.judges.questions import Message, Question, Reply, Spent
from shadoweval.scoring.language import language
from shadoweval.scoring.operations import (
    cost,
    cpu,
    errors,
    first_chunk,
    gpu_memory,
    latency,
    memory,
    model_latency,
    retrieval_latency,
    throughput,
    timeouts,
    tokens,
    tool_latency,
)
from shadoweval.scoring.own_scorers import OwnScorer, pairwise, per_arm
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.pooling import pool
from shadoweval.scoring.ragas.legacy import ragas_metric
from shadoweval.scoring.ragas.scorer import ragas
from shadoweval.scoring.refusals import refusal
from shadoweval.scoring.retrieval import (
    average_precision,
    bpref,
    context_precision,
    hit_rate,
    judged,
    mean_average_precision,
    mrr,
    ndcg,
    overlap,
    precision,
    r_precision,
    recall,
    recall_at_level,
)
from shadoweval.scoring.searches import cache_hits, index_recall
from shadoweval.scoring.spans import span_iou, span_precision, span_recall
from shadoweval.scoring.steps import steps
from shadoweval.scoring.support import support
from shadoweval.scoring.task_success import task_success
from shadoweval.scoring.tools import tool_calls_f1, tool_success, writes_f1
from shadoweval.scoring.trajectory import trajectory
from shadoweval.scoring.wording import length, repetition
from shadoweval.scoring.writes import writes

__all__ = [
    "Embedder",
    "Judge",
    "JudgeBudget",
    "Message",
    "OwnScorer",
    "PairScorer",
    "Question",
    "Reply",
    "SentenceModel",
    "Similarity",
    "Spent",
    "answer_quality",
    "argument_validity",
    "arguments",
    "average_precision",
    "bpref",
    "cache_hits",
    "cascade",
    "citations",
    "consistency",
    "context_precision",
    "correctness_judge",
    "cost",
    "cpu",
    "errors",
    "exact_match",
    "faithfulness_judge",
    "first_chunk",
    "format",
    "gpu_memory",
    "hit_rate",
    "human_correctness",
    "human_preference",
    "index_recall",
    "judged",
    "keep_objects",
    "language",
    "latency",
    "length",
    "mean_average_precision",
    "memory",
    "model_latency",
    "mrr",
    "ndcg",
    "near_duplicates",
    "overlap",
    "pairwise",
    "pairwise_judge",
    "per_arm",
    "pool",
    "precision",
    "r_precision",
    "ragas",
    "ragas_metric",
    "recall",
    "recall_at_level",
    "redundancy",
    "refusal",
    "relevance_judge",
    "repetition",
    "retrieval_latency",
    "rouge_l",
    "rubric_judge",
    "semantic_similarity",
    "span_iou",
    "span_precision",
    "span_recall",
    "steps",
    "support",
    "task_success",
    "task_success_judge",
    "throughput",
    "timeouts",
    "token_f1",
    "tokens",
    "tool_calls_f1",
    "tool_latency",
    "tool_success",
    "trajectory",
    "writes",
    "writes_f1",
]
