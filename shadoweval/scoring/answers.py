"""How good the answer is, against what people call right (`Labels.references`): the best of several counts.

Without a reference a pair is unscored.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from functools import partial
from pathlib import Path
from typing import Final

from shadoweval.checks import checked_choice, checked_function, checked_instance, checked_keywords
from shadoweval.errors import ArgumentError
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring import text_metrics
from shadoweval.scoring.batched import BatchedPairScorer, runs_of
from shadoweval.scoring.embedding import Embedder, Embeds, embedder_of
from shadoweval.scoring.function_names import name_of
from shadoweval.scoring.pair_scorer import NO_TEXT, PairScorer
from shadoweval.scoring.reference_recall import reference_recall_of, words_of
from shadoweval.scoring.text_metrics import TokenKind, Tokens

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

    @functools.lru_cache(maxsize=1)  # all runs of a pair are held against the same ones
    def with_words(references: tuple[str, ...]) -> list[str]:
        return [reference for reference in references if words(reference)]

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        if not pair.labels.references:
            return {name: Unscored("no reference answer", informative=False)}
        references = with_words(pair.labels.references)
        if not references:
            return {name: Unscored("the reference holds no word to compare with", informative=False)}
        answer = observation.outcome.answer if observation.outcome else None
        if answer is None:
            return {name: NO_TEXT}
        return {name: Scored(max(similarity(answer, reference) for reference in references))}

    metric = Metric(name=name, length_sensitive=length_sensitive)
    return PairScorer(metrics=(metric,), version=version, score_one=score_one)


def _by_tokens(
    name: str, similarity: Callable[..., float], tokens: TokenKind | Tokens, *, version: str | None, number: int
) -> PairScorer:
    """A scorer by tokens, whose version names how a text is split."""
    if isinstance(tokens, str):
        named = checked_choice(f"{name}(tokens)", tokens, TokenKind)
        split = text_metrics.TOKENS[named]
    else:
        own, named = checked_function(f"{name}(tokens)", tokens), name_of(tokens)
        split = _listed(own)
    if version is not None:
        checked_instance(f"{name}(version)", version, str)
    score = partial(similarity, tokens=split)
    return _against_reference(name, score, version=version or f"{name}/{named}/{number}", words=split)


class _SquadF1:
    """SQuAD's F1, which compares the answers and references of many pairs beforehand, all at once."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], float] = {}

    def __call__(self, answer: str, reference: str) -> float:
        value = self._known.get((answer, reference))
        return text_metrics.token_f1_of(answer, reference) if value is None else value

    def get_ready(self, pairs: Sequence[Pair]) -> None:
        """Compare what is to be compared of these pairs; of all others nothing is remembered."""
        answers = [(run.outcome and run.outcome.answer, pair) for pair in pairs for run in runs_of(pair)]
        texts = [(said, each) for said, pair in answers if said is not None for each in pair.labels.references]
        self._known = dict(zip(texts, text_metrics.token_f1_of_all(texts), strict=True))


def _listed(own: Callable[[str], Iterable[str]]) -> Tokens:
    """A user's function, whatever iterable it returns."""
    return lambda text: list(own(text))


_ANY_SCRIPT: Final = {"any_script": "Write tokens='words'."}


@checked_keywords()
def exact_match(tokens: TokenKind | Tokens = "squad", *, version: str | None = None) -> PairScorer:
    """`exact_match`: the same tokens as a reference has, in the same order; as SQuAD's evaluation by default.

    Args:
        tokens: How both texts are split, as `token_f1` says.
        version: Change it whenever your own way to split changes.
    """
    return _by_tokens("exact_match", text_metrics.exact_match_of, tokens, version=version, number=4)


@checked_keywords(_ANY_SCRIPT)
def token_f1(tokens: TokenKind | Tokens = "squad", *, version: str | None = None) -> PairScorer:
    """`token_f1`: F1 of the two bags of words, SQuAD 2.0.

    Args:
        tokens: How both texts are split. `"squad"`: English words, as SQuAD's evaluation does; `"rouge"`: runs of ASCII
            letters and digits, as google-research/rouge (F1 is then its ROUGE-1); `"words"`: words in any script,
            single characters where a script has no spaces; `"characters"`: single letters; or a function of yours,
            text -> its tokens.
        version: Change it whenever your own way to split changes.
    """
    if tokens != "squad":
        return _by_tokens("token_f1", text_metrics.token_f1_of, tokens, version=version, number=4)
    similarity = _SquadF1()
    if version is not None:
        checked_instance("token_f1(version)", version, str)
    scorer = _against_reference(
        "token_f1", similarity, version=version or "token_f1/squad/4", words=text_metrics.TOKENS["squad"]
    )
    return BatchedPairScorer(
        metrics=scorer.metrics, version=scorer.version, score_one=scorer.score_one, get_ready=similarity.get_ready
    )


@checked_keywords()
def rouge_l(tokens: TokenKind | Tokens | None = None, *, version: str | None = None) -> PairScorer:
    """`rouge_l`: F1 of the longest common subsequence of words (Lin 2004).

    Args:
        tokens: How both texts are split, as `token_f1` says. Default: `"rouge"` where the reference is in Latin
            letters, so that values are those of google-research/rouge, which knows no others; else `"words"`.
        version: Change it whenever your own way to split changes.
    """
    if tokens is not None:
        return _by_tokens("rouge_l", _rouge_f1, tokens, version=version, number=5)

    def similarity(answer: str, reference: str) -> float:
        return _rouge_f1(answer, reference, tokens=text_metrics.tokens_for_rouge(reference))

    def words(reference: str) -> Sequence[str]:
        return text_metrics.tokens_for_rouge(reference)(reference)

    return _against_reference("rouge_l", similarity, version=version or "rouge_l/5", words=words)


def _rouge_f1(answer: str, reference: str, *, tokens: Tokens) -> float:
    return text_metrics.rouge_l_of(answer, reference, tokens=tokens).f1


@checked_keywords()
def semantic_similarity(
    similarity: Similarity | None = None, *, model: Embeds | None = None, version: str | None = None
) -> PairScorer:
    """`semantic_similarity`: cosine of sentence embeddings, negative values counted as 0.

    Texts are embedded in batches, and each distinct one once.

    Args:
        similarity: Your own function of (answer, reference), in place of embeddings.
        model: What makes vectors: a name or folder of sentence-transformers, LangChain's `Embeddings`, or a function
            from texts to vectors. Default: the packaged MiniLM model (extra `semantic`).
        version: Change it whenever `similarity` or `model` says otherwise under the same name.
    """
    name = "semantic_similarity"
    if similarity is None:
        return _by_embeddings(name, Embedder() if model is None else embedder_of(f"{name}(model)", model), version)
    if model is not None:
        mend = "Leave one of them out."
        raise ArgumentError(f"{name}(model)", model, expected="given without similarity", mend=mend)
    if isinstance(similarity, str | Path):
        mend = f"Write {name}(model={str(similarity)!r})."
        raise ArgumentError(f"{name}(similarity)", similarity, expected="a function", mend=mend)
    return _against_reference(name, similarity, version=version or f"{name}/{name_of(similarity)}/3")


def _by_embeddings(name: str, embedder: Embedder, version: str | None) -> PairScorer:
    """A scorer that embeds the texts of many pairs together."""

    def cosine(answer: str, reference: str) -> float:
        return max(0.0, embedder.similarity(answer, reference)) if answer.strip() else 0.0

    scorer = _against_reference(name, cosine, version=version or f"{name}/{embedder.name}/3")

    def get_ready(pairs: Sequence[Pair]) -> None:
        labelled = [pair for pair in pairs if pair.labels.references]
        texts = [each for pair in labelled for each in pair.labels.references]
        texts += [run.outcome.answer or "" for pair in labelled for run in runs_of(pair) if run.outcome]
        embedder.embed([text for text in texts if text.strip()])

    return BatchedPairScorer(
        metrics=scorer.metrics,
        version=scorer.version,
        score_one=scorer.score_one,
        made_by={"model": embedder.name},
        get_ready=get_ready,
    )


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
