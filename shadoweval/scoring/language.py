"""In which language an answer is: the one that was asked for, or the query's own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from shadoweval._optional import require
from shadoweval.checks import checked_instance, checked_keywords, checked_strings
from shadoweval.errors import ArgumentError, closest
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring.pair_scorer import NO_TEXT, PairScorer

__all__ = ["language"]

_FEWEST: Final = 20
"""Letters from which on a language can be told."""
_READ: Final = 2_000
_LEAST_SURE: Final = 0.25
"""Probability below which nothing is said: of answers in English of 20 to 30 letters that is every wrong one."""
_NO_LANGUAGE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+", re.DOTALL)
_CODE: Final = re.compile(r"[a-z]{2,3}")
_UNKNOWN: Final = frozenset({"und", "zxx"})


def language_of(text: str, among: tuple[str, ...] = ()) -> str | None:
    """ISO 639 code of the text's language; None: it has fewer than 20 letters beside code and links, or can't be told.

    By py3langid, among the languages that it knows or those given.
    """
    return _language_of(text[:_READ], among)


@lru_cache(maxsize=4096)
def _language_of(beginning: str, among: tuple[str, ...]) -> str | None:
    words = _NO_LANGUAGE.sub(" ", beginning)
    if sum(map(str.isalpha, words)) < _FEWEST:
        return None
    code, _ = _identifier(among).classify(words)
    return None if code in _UNKNOWN else code


@lru_cache(maxsize=16)
def _identifier(among: tuple[str, ...]) -> Any:
    langid = require("py3langid.langid", extra="store", needed_for="language()")
    made = langid.LanguageIdentifier.from_model_file(langid.MODEL_FILE, norm_probs=True, min_confidence=_LEAST_SURE)
    if among:
        made.set_languages(among)
    return made


@lru_cache(maxsize=16)
def _check_known(codes: tuple[str, ...]) -> None:
    """A code that py3langid does not know would be no answer's language, ever."""
    known = sorted(_identifier(()).nb_classes)
    for code in codes:
        if code not in known:
            mend = closest(code, known).strip() or f"It knows {', '.join(known)}."
            raise ArgumentError("language()", code, expected="a language that py3langid knows", mend=mend)


@checked_keywords()
def language(expected: str | None = None, *, among: Sequence[str] = ()) -> PairScorer:
    """`language`: 1 where the answer is in the expected language, 0 where it is in another.

    Args:
        expected: ISO 639 code, such as `"en"`. Default: the language of the query.
        among: Codes of all languages that come into question; the fewer they are, the surer are short texts.
    """
    codes = tuple(_checked_code("each of language(among)", code) for code in checked_strings("language(among)", among))
    if expected is not None:
        _checked_code("language(expected)", expected)
        if codes and expected not in codes:
            mend = f"Write among={[expected, *codes]!r}."
            raise ArgumentError("language(expected)", expected, expected="one of among=", mend=mend)

    named = codes if expected is None else (*codes, expected)

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        _check_known(named)
        wanted = language_of(pair.query.text, codes) if expected is None else expected
        if wanted is None:
            return {"language": Unscored("the query's language can't be told", informative=False)}
        answer = observation.outcome.answer if observation.outcome else None
        if answer is None:
            return {"language": NO_TEXT}
        if not answer.strip():
            return {"language": Scored(0.0)}
        said = language_of(answer, codes)
        return {
            "language": Unscored("the answer's language can't be told")
            if said is None
            else Scored(float(said == wanted))
        }

    version = f"language/{expected or 'of the query'}/{'+'.join(codes) or 'any'}/1"
    return PairScorer(metrics=(Metric(name="language"),), version=version, score_one=score_one)


def _checked_code(what: str, code: str) -> str:
    if not _CODE.fullmatch(checked_instance(what, code, str)):
        mend = "Write it in small letters, without a country: 'en', 'de', 'zh'."
        raise ArgumentError(what, code, expected="an ISO 639 code", mend=mend)
    return code
