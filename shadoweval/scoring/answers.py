"""How good the answer is, against what people call right (`Labels.references`): the best of several counts.

Without a reference a pair is unscored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from functools import partial
from typing import Any

from shadoweval.checks import checked_function, checked_keywords
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring import text_metrics
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.scoring.reference_recall import reference_recall_of, words_of

__all__ = ["Similarity", "answer_quality", "exact_match", "rouge_l", "semantic_similarity", "token_f1"]

Similarity = Callable[[str, str], float]
"""(answer, reference) -> a number in [0, 1]."""


def _against_reference(
    name: str,
    similarity: Similarity,
    *,
    version: str,
    words: Callable[[str], Sized] = str.strip,
    length_sensitive: bool = True,
) -> PairScorer:
    """A scorer of the answer against the reference nearest to it; `words` is what the two are compared by."""
    checked_function(f"{name}(similarity)", similarity)

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        if not pair.labels.references:
            return {name: Unscored("no reference answer", informative=False)}
        references = [reference for reference in pair.labels.references if words(reference)]
        if not references:
            return {name: Unscored("the reference holds no word to compare with", informative=False)}
        answer = observation.outcome.answer if observation.outcome else None
        if answer is None:
            return {name: Unscored("the pipeline returned no text; give outcome= to the mirror")}
        return {name: Scored(max(similarity(answer, reference) for reference in references))}

    metric = Metric(name=name, length_sensitive=length_sensitive)
    return PairScorer(metrics=(metric,), version=version, score_one=score_one)


@checked_keywords()
def exact_match() -> PairScorer:
    """`exact_match`: equal after SQuAD normalisation."""
    words = text_metrics.squad_tokens
    return _against_reference("exact_match", text_metrics.exact_match_of, version="exact_match/3", words=words)


@checked_keywords()
def token_f1(*, any_script: bool = False) -> PairScorer:
    """`token_f1`: F1 of the two bags of words, SQuAD 2.0.

    Args:
        any_script: Words of text in any script (`text_metrics.unicode_tokens`), in place of SQuAD's English ones.
    """
    if any_script:
        similarity = partial(text_metrics.token_f1_of, tokens=text_metrics.unicode_tokens)
        words = text_metrics.unicode_tokens
        return _against_reference("token_f1", similarity, version="token_f1/any_script/3", words=words)
    words = text_metrics.squad_tokens
    return _against_reference("token_f1", text_metrics.token_f1_of, version="token_f1/3", words=words)


@checked_keywords()
def rouge_l() -> PairScorer:
    """`rouge_l`: F1 of the longest common subsequence (Lin 2004).

    ASCII texts are split as google-research/rouge does; texts in any other script by `text_metrics.unicode_tokens`.
    """

    def similarity(answer: str, reference: str) -> float:
        tokens = text_metrics.script_tokens(answer, reference)
        return text_metrics.rouge_l_of(answer, reference, tokens=tokens).f1

    def words(reference: str) -> list[str]:
        return text_metrics.script_tokens(reference, reference)(reference)

    return _against_reference("rouge_l", similarity, version="rouge_l/4", words=words)


def _cosine() -> Similarity:
    embedders: list[Any] = []

    def similarity(answer: str, reference: str) -> float:
        if not embedders:  # the model is loaded by the first score, in the worker, never by the definition
            from shadoweval.scoring.embedding import Embedder  # noqa: PLC0415 - see above

            embedders.append(Embedder())
        return max(0.0, embedders[0].similarity(answer, reference))

    return similarity


@checked_keywords()
def semantic_similarity(similarity: Similarity | None = None) -> PairScorer:
    """`semantic_similarity`: cosine of sentence embeddings, negative values counted as 0.

    Args:
        similarity: your own; default: the packaged MiniLM model (extra `semantic`).
    """
    return _against_reference("semantic_similarity", similarity or _cosine(), version="semantic_similarity/minilm/2")


@checked_keywords()
def answer_quality(similarity: Similarity | None = None, *, version: str | None = None) -> PairScorer:
    """`answer_quality`: what you call a good answer, as one number in [0, 1].

    By default how much of what the reference says is said, in one passage, whatever else the answer says
    (`reference_recall.reference_recall_of`). Unlike the other scorers of answers it goes neither by length nor by what
    stands around it, and orders real systems as people do (docs/scorers.md).

    Args:
        similarity: your own definition of (answer, reference).
        version: change it whenever your definition changes.
    """
    if similarity is None:
        return _against_reference(
            "answer_quality",
            reference_recall_of,
            version=version or "answer_quality/recall/1",
            words=words_of,
            length_sensitive=False,
        )
    return _against_reference("answer_quality", similarity, version=version or "answer_quality/own/2")
