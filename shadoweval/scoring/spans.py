"""Which of the labelled characters were retrieved: for chunkings that cut documents differently.

Labels name spans (`handbook#char=120,260`, or `spans` in a case file). A hit is a span by its id; with `documents=`
also by its text, looked up in the document that its id begins with. Definitions of Smith and Troynikov 2024
("Evaluating chunking strategies for retrieval"): characters count once where they are labelled, and as often as they
were retrieved where they are not, so that chunks that overlap pay for it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from shadoweval.checks import checked_keywords, checked_mapping, checked_number
from shadoweval.protocols import Metric
from shadoweval.records import Hit, Observation, Pair, Score, Scored, Unscored
from shadoweval.records.labelled import Span, span_of
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.rankings import ranked_hits, unknown_hits

__all__ = ["span_iou", "span_precision", "span_recall"]

Documents = Mapping[str, str]
_Kind = Literal["recall", "precision", "iou"]


def span_scores_of(retrieved: Sequence[Span], relevant: Sequence[Span]) -> tuple[float, float, float]:
    """Recall, precision and IoU of characters; `relevant` holds some, and precision of nothing is 0."""
    wanted, given = _merged(relevant), _merged(retrieved)
    both = sum(one.shared(other) for one in wanted for other in given)
    of_wanted, taken = _length(wanted), _length(retrieved)
    return both / of_wanted, both / taken if taken else 0.0, both / (taken + of_wanted - both)


def _length(spans: Iterable[Span]) -> int:
    return sum(span.end - span.start for span in spans)


def _merged(spans: Iterable[Span]) -> list[Span]:
    """The same characters in spans that don't overlap."""
    merged: list[Span] = []
    for span in sorted(spans):
        if merged and merged[-1].document == span.document and span.start <= merged[-1].end:
            merged[-1] = merged[-1]._replace(end=max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return merged


def _located(hit: Hit, documents: Documents) -> Span | None:
    """The characters that a hit is; None: that can't be told."""
    own = span_of(hit.id)
    if own is not None or not hit.text:
        return own
    name = hit.id
    while name and name not in documents:
        name = name.rpartition("#")[0]
    start = documents[name].find(hit.text) if name else -1
    return Span(name, start, start + len(hit.text)) if start >= 0 else None


def _over_spans(kind: _Kind, k: int, documents: Documents | None) -> PairScorer:
    k = checked_number(f"span_{kind}(k)", k, low=1, whole=True)
    texts: Documents = {} if documents is None else checked_mapping(f"span_{kind}(documents)", documents)
    version = f"span_{kind}@{k}/1{f' of {len(texts)} documents' if texts else ''}"
    name, place = f"span_{kind}@{k}", ("recall", "precision", "iou").index(kind)

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        labelled = [span for label, grade in pair.labels.relevant.items() if grade > 0 and (span := span_of(label))]
        if not labelled:
            return {name: Unscored("no span is labelled relevant to this query", informative=False)}
        unknown = unknown_hits(observation)
        if unknown is not None:
            return {name: Unscored(unknown)}
        spans = [_located(hit, texts) for hit in ranked_hits(observation)[:k]]
        known = [span for span in spans if span is not None]
        if len(known) < len(spans):
            return {
                name: Unscored("a hit is no span of a known document; give hits ids as doc#char=0,99, or documents=")
            }
        return {name: Scored(span_scores_of(known, labelled)[place])}

    return PairScorer(metrics=(Metric(name=name),), version=version, score_one=score_one)


@checked_keywords()
def span_recall(k: int = 5, *, documents: Documents | None = None) -> PairScorer:
    """`span_recall@k`: share of the labelled characters that are in the first k hits.

    Args:
        k: how many hits are looked at.
        documents: id -> text, for hits whose ids say no characters.
    """
    return _over_spans("recall", k, documents)


@checked_keywords()
def span_precision(k: int = 5, *, documents: Documents | None = None) -> PairScorer:
    """`span_precision@k`: share of the first k hits' characters that are labelled; arguments as `span_recall`'s."""
    return _over_spans("precision", k, documents)


@checked_keywords()
def span_iou(k: int = 5, *, documents: Documents | None = None) -> PairScorer:
    """`span_iou@k`: labelled characters in the first k hits, over all that are either; arguments as `span_recall`'s."""
    return _over_spans("iou", k, documents)
