"""How much of an answer stands in what was retrieved: sentence by sentence, by words, by meaning or by your model.

It is called support and not faithfulness. It tells a text that answers from its neighbour, and hardly a wrong sentence
in the text's own words (figures: docs/scorers.md); how far it agrees with people about long answers is not measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Final

from shadoweval.checks import checked_function, checked_instance, checked_keywords
from shadoweval.errors import ArgumentError
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring.batched import BatchedPairScorer, runs_of
from shadoweval.scoring.citations import without_citations
from shadoweval.scoring.embedding import Embedder, Embeds, embedder_of
from shadoweval.scoring.function_names import name_of
from shadoweval.scoring.pair_scorer import NO_TEXT, PairScorer
from shadoweval.scoring.rankings import unknown_hits
from shadoweval.scoring.reference_recall import Said, words_of

__all__ = ["said_by", "support", "texts_of", "unsupported"]

Entails = Callable[[str, str], float]
"""(a retrieved text, a sentence of the answer) -> how surely the text says it, in [0, 1]; True and False will do."""

_REMEMBERED, _ASKED = 64, 2_000
"""Texts, which a pair's arms have in common, and answers of `entails=`: few, since they may be as long as a book."""
_CODE: Final = re.compile(r"^(```|~~~).*?(?:^\1|\Z)", re.DOTALL | re.MULTILINE)
_ABBREVIATED: Final = re.compile(
    r"\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|etc|approx|ca|e\.g|i\.e|z\.B|d\.h|bzw|Fig|Inc|Ltd|Co|Jr|Sr|vol)\.$"
)
_ENUMERATED: Final = re.compile(r"\W*\d{1,3}\.")
_ENDS: Final = re.compile(
    r"(?<=[.!?\u2026])[\"')\]\u201d\u2019]*\s+|(?<=[\u3002\uff01\uff1f\u0964\u06d4\u061f])[\u300d\u300f\u201d)]*\s*|\n+"
)
_FILLING: Final = re.compile(
    "[a-z\u00df-\u024f\u0370-\u052f]{1,3}|that|this|these|those|there|here|which|what|when|where|while|have|having|been|"
    "were|will|would|could|should|also|they|them|their|then|than|from|into|your|some|such|very|about|according|therefore|"
    "however|please|known"
)
"""Words that say nothing of their own: up to three Latin, Greek or Cyrillic letters, and longer ones of English."""
_MARKS: Final = re.compile(r"^\W*(?:\d{1,3}[.)]\s+)?|[*_`#|]+", re.MULTILINE)


def sentences_of(text: str) -> list[str]:
    """The text's sentences that say something, in any script; without code, marks of lists and citations."""
    sentences: list[list[str]] = []
    for part in _ENDS.split(_CODE.sub("\n", text)):
        if sentences and _goes_on(sentences[-1]):
            sentences[-1].append(part)
        else:
            sentences.append([part])
    return [plain for parts in sentences if words_of(plain := _MARKS.sub("", " ".join(parts)).strip())]


def _goes_on(parts: Sequence[str]) -> bool:
    """Whether what looks like a sentence's end is none: it is an abbreviation's, or that of a list's number."""
    return bool(_ABBREVIATED.search(parts[-1]) or (len(parts) == 1 and _ENUMERATED.fullmatch(parts[0])))


@lru_cache(maxsize=_REMEMBERED)
def _said(text: str) -> Said:
    return Said(text)


def _by_words(sentences: Sequence[str], texts: Sequence[str]) -> list[float]:
    """The share of each sentence's words that one passage of a text says."""
    said, wanted = [_said(text) for text in texts], [words_of(sentence) for sentence in sentences]
    telling = [[word for word in words if word.number or not _FILLING.fullmatch(word.keys[0])] for words in wanted]
    return [max(text.recall(some or words) for text in said) for some, words in zip(telling, wanted, strict=True)]


def _by_meaning(embedder: Embedder, sentences: Sequence[str], texts: Sequence[str]) -> list[float]:
    """The cosine of each sentence and the sentence of the texts that is nearest to it; negative ones count as 0."""
    passages = [sentence for text in texts for sentence in _sentences(text)]
    if not passages:
        return [0.0] * len(sentences)
    nearest = (embedder.embed(sentences) @ embedder.embed(passages).T).max(axis=1)
    return [min(1.0, max(0.0, float(each))) for each in nearest]


@lru_cache(maxsize=_REMEMBERED)
def _sentences(text: str) -> tuple[str, ...]:
    return tuple(sentences_of(text))


def said_by(observation: Observation) -> list[str]:
    """The sentences of a run's answer."""
    answer = observation.outcome.answer if observation.outcome else None
    return sentences_of(without_citations(answer, observation.hits)) if answer else []


def texts_of(observation: Observation) -> list[str]:
    """The texts that a run retrieved."""
    return [hit.text for hit in observation.hits if hit.text and hit.text.strip()]


@checked_keywords()
def support(model: Embeds | None = None, *, entails: Entails | None = None, version: str | None = None) -> PairScorer:
    """`support`: mean over the answer's sentences of how well the best of the retrieved texts supports each.

    By default by words: the share of the sentence's words that stand in one passage of the text, half of it where a
    number is missing (`answer_quality`, the other way round). An answer that says nothing has no support: 0.

    Args:
        model: By meaning as well, half and half: the cosine with the nearest sentence of the texts. A name or folder of
            sentence-transformers, `SentenceModel()` for the packaged model, LangChain's `Embeddings` or a function
            from texts to vectors (extra `semantic`).
        entails: By this alone: a model of natural language inference, or a judge. It is asked once for each text and
            sentence.
        version: Change it whenever `entails` or `model` says otherwise under the same name.
    """
    if model is not None and entails is not None:
        raise ArgumentError("support(entails)", entails, expected="given without model=", mend="Leave one of them out.")
    checked_function("support(entails)", entails)
    if version is not None:
        checked_instance("support(version)", version, str)
    if entails is not None:
        asked = lru_cache(maxsize=_ASKED)(entails)

        def entailed(sentences: Sequence[str], texts: Sequence[str]) -> list[float]:
            return [max(float(asked(text, sentence)) for text in texts) for sentence in sentences]

        judge = name_of(entails)
        made_by = {"model": judge}
        return _scorer(entailed, version=version or f"support/entails {judge}/1", costly=True, made_by=made_by)
    if model is None:
        return _scorer(_by_words, version=version or "support/words/1")
    embedder = embedder_of("support(model)", model)

    def alike(sentences: Sequence[str], texts: Sequence[str]) -> list[float]:
        by_words, by_meaning = _by_words(sentences, texts), _by_meaning(embedder, sentences, texts)
        return [(words + meaning) / 2 for words, meaning in zip(by_words, by_meaning, strict=True)]

    return _scorer(
        alike,
        version=version or f"support/words+{embedder.name}/1",
        made_by={"model": embedder.name},
        embedder=embedder,
    )


def _scorer(
    supported: Callable[[Sequence[str], Sequence[str]], list[float]],
    *,
    version: str,
    costly: bool = False,
    made_by: Mapping[str, str] | None = None,
    embedder: Embedder | None = None,
) -> PairScorer:
    """A scorer by how well each of an answer's sentences is supported by the best of the texts."""

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        score = unsupported(observation, pair)
        if score is None:
            values = supported(said_by(observation), texts_of(observation))
            score = Scored(sum(values) / len(values))
        return {"support": score}

    metrics = (Metric(name="support", costly=costly),)
    if embedder is None:
        return PairScorer(metrics=metrics, version=version, score_one=score_one, made_by=made_by or {})

    def get_ready(pairs: Sequence[Pair]) -> None:
        runs = [run for pair in pairs for run in runs_of(pair)]
        texts = dict.fromkeys(text for run in runs for text in texts_of(run))
        passages = [each for text in texts for each in _sentences(text)]
        embedder.embed([*passages, *(each for run in runs for each in said_by(run))])

    return BatchedPairScorer(
        metrics=metrics, version=version, score_one=score_one, made_by=made_by or {}, get_ready=get_ready
    )


def unsupported(observation: Observation, pair: Pair) -> Score | None:
    """The score of a run of which no sentence can be held against a text."""
    outcome = observation.outcome
    if outcome is None or outcome.answer is None:
        return NO_TEXT
    unknown = None if observation.hits else unknown_hits(observation)
    if unknown is not None:
        return Unscored(unknown)
    if observation.hits and not texts_of(observation):
        return Unscored("the hits were recorded without their text; hand documents with text to record_hits()")
    if not outcome.answer.strip() or (observation.hits and not said_by(observation)):
        return Scored(0.0)
    if not observation.hits:
        return Unscored("nothing was retrieved", informative=bool(pair.served.hits or pair.candidate.hits))
    return None
