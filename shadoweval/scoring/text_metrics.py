"""How alike an answer and a gold answer are, word by word; every value lies in [0, 1].

Tokens decide what "alike" means, so each function says which it uses: `squad_tokens` and `rouge_tokens` are
the published definitions, made for English; `unicode_tokens` and `character_tokens` are ours, for text in any script.
"""

from __future__ import annotations

import functools
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from shadoweval.scoring.answer_tokens import SEPARATED, UNSPACED, plain_letters

__all__ = [
    "TOKENS",
    "TokenKind",
    "Tokens",
    "character_tokens",
    "exact_match_of",
    "rouge_l_of",
    "token_f1_of",
    "token_f1_of_all",
    "tokens_for_rouge",
    "unicode_tokens",
]

TokenKind = Literal["squad", "rouge", "words", "characters"]
Tokens = Callable[[str], Sequence[str]]
"""How a text is split: text -> its tokens, in order."""

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)
_PUNCTUATION = string.punctuation.encode()
_ARTICLE = frozenset({"a", "an", "the"})
_WORDS = (string.ascii_lowercase + string.digits + " \t\n\r\v\f\x1c\x1d\x1e\x1f").encode()
"""What words, and the spaces between them, are made of once their case is lowered and punctuation is gone."""
_ROUGE = bytes(byte if byte in string.ascii_lowercase.encode() + string.digits.encode() else 32 for byte in range(256))
"""A space for each byte but the letters and digits of ASCII."""
_AT_ONCE = 64
"""Texts that are split together: the words of a thousand don't fit the processor's cache, and take twice as long."""
_UNSPACED_LETTER = re.compile(f"([{UNSPACED}])")  # XQuAD and MLQA score Chinese one character at a time, too.


def squad_normalise(text: str) -> str:
    """Lower the case, drop ASCII punctuation and English articles, and squeeze white space.

    The definition of the SQuAD evaluation script (Rajpurkar et al. 2016, `normalize_answer`), of the text in NFC.
    """
    text = unicodedata.normalize("NFC", text)
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_ASCII_PUNCTUATION)).split())


@functools.lru_cache(maxsize=16)  # a reference is compared with both arms' answers
def squad_tokens(text: str) -> Sequence[str]:
    """Words of the text as SQuAD's F1 counts them: those of `squad_normalise`. Not to be changed."""
    if text.isascii():
        words = text.encode().translate(None, _PUNCTUATION).lower().decode().split()
        if "".join(words).isalnum():  # so that an article is a word of its own, and nothing else ends one
            return words if _ARTICLE.isdisjoint(words) else _without_articles(words)
    return squad_normalise(text).split()


def _squad_tokens_of_all(texts: Sequence[str]) -> list[Sequence[str]]:
    """`squad_tokens` of each text; what it does to one in a dozen steps is done to all of them at once."""
    joined = "\0".join(texts)
    if joined.isascii():
        plain = joined.encode().translate(None, _PUNCTUATION).lower()
        if len(plain.translate(None, _WORDS)) == len(texts) - 1:  # nothing but words, spaces and what stands between
            split = [text.split() for text in plain.decode().split("\0")]
            return [words if _ARTICLE.isdisjoint(words) else _without_articles(words) for words in split]
    return [squad_tokens(text) for text in texts]


def _without_articles(words: Sequence[str]) -> list[str]:
    return [word for word in words if word not in _ARTICLE]


@functools.lru_cache(maxsize=16)
def rouge_tokens(text: str) -> Sequence[str]:
    """Runs of ASCII letters and digits in lower case, as in google-research/rouge without stemming.

    Other letters separate words ("Röntgen" is "r", "ntgen"), so use `unicode_tokens` where they matter.
    """
    return text.lower().encode("ascii", "replace").translate(_ROUGE).decode().split()


@functools.lru_cache(maxsize=16)
def unicode_tokens(text: str) -> Sequence[str]:
    """Words of text in any script and normal form: case folded, digits in ASCII, without punctuation or symbols.

    In scripts written without spaces each character is a token, as in MLQA's evaluation of Chinese (Lewis et
    al. 2020). Punctuation and symbols (Unicode categories P and S) separate words, except the apostrophe
    inside one; characters that are not seen (a joiner or soft hyphen) and vowel points that may be left out are as if
    they were not there. Accents and articles stay.
    """
    joined = re.sub(r"(?<=\w)'(?=\w)", "", plain_letters(text, accents=True).casefold())
    return _UNSPACED_LETTER.sub(r" \1 ", joined.translate(SEPARATED)).split()


def character_tokens(text: str) -> list[str]:
    """Letters and digits of text in any script, each with the marks that belong to it; folded as `unicode_tokens`."""
    letters: list[str] = []
    for letter in plain_letters(text, accents=True).casefold().translate(SEPARATED):
        if letters and unicodedata.category(letter)[0] == "M":
            letters[-1] += letter
        elif not letter.isspace():
            letters.append(letter)
    return letters


TOKENS: Final[dict[str, Tokens]] = {
    "squad": squad_tokens,
    "rouge": rouge_tokens,
    "words": unicode_tokens,
    "characters": character_tokens,
}
"""The ways to split that have a name."""


@functools.lru_cache(maxsize=4096)
def tokens_for_rouge(gold: str) -> Tokens:
    """How to split both texts: `rouge_tokens` where the gold answer is in Latin letters, else `unicode_tokens`.

    The gold answer alone decides, so that both arms' answers are held against it by one measure.
    """
    latin = gold.isascii() or all("LATIN" in unicodedata.name(each, "") for each in gold if each.isalpha())
    return rouge_tokens if latin else unicode_tokens


def exact_match_of(answer: str, gold: str, *, tokens: Tokens = squad_tokens) -> float:
    """1.0 if both have the same tokens in the same order, else 0.0; by default as SQuAD's evaluation says it."""
    return float(tokens(answer) == tokens(gold))


def token_f1_of(answer: str, gold: str, *, tokens: Tokens = squad_tokens) -> float:
    """F1 of the two bags of words.

    With `squad_tokens` this is SQuAD 2.0's F1 (Rajpurkar et al. 2018): where either side has no words left,
    1.0 if both have none, else 0.0.
    """
    words, (gold_words, size) = tokens(answer), _bag(gold, tokens)
    if not words or not size:
        return float(not words and not size)
    return _f1(_common_words(words, gold_words), len(words) + size)


def token_f1_of_all(compared: Sequence[tuple[str, str]]) -> list[float]:
    """`token_f1_of` with `squad_tokens` of each answer and gold answer, to the bit, and quicker."""
    parts = (compared[start : start + _AT_ONCE] for start in range(0, len(compared), _AT_ONCE))
    return [value for part in parts for value in _token_f1_of_part(part)]


def _token_f1_of_part(compared: Sequence[tuple[str, str]]) -> list[float]:
    golds = list({gold: None for _, gold in compared})
    split = _squad_tokens_of_all(golds)
    bags = {gold: (_counted(words), len(words)) for gold, words in zip(golds, split, strict=True)}
    values: list[float] = []
    answers = _squad_tokens_of_all([answer for answer, _ in compared])
    for (_, gold), words in zip(compared, answers, strict=True):
        bag, size = bags[gold]
        known = words and size
        values.append(_f1(_common_words(words, bag), len(words) + size) if known else float(not words and not size))
    return values


def _counted(words: Sequence[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for word in words:
        counts[word] = counts.get(word, 0) + 1
    return counts


@functools.lru_cache(maxsize=16)  # a reference is compared with both arms' answers
def _bag(text: str, tokens: Tokens) -> tuple[Mapping[str, int], int]:
    """How often each word stands in a text, and how many words it has."""
    words = tokens(text)
    return Counter(words), len(words)


def _common_words(words: Sequence[str], others: Mapping[str, int]) -> int:
    left, common = dict(others), 0
    count = left.get
    for word in words:
        if n := count(word):
            left[word] = n - 1
            common += 1
    return common


class RougeL(NamedTuple):
    """Longest common subsequence over the answer's words, over the gold's, and the F1 of the two."""

    precision: float
    recall: float
    f1: float


def rouge_l_of(answer: str, gold: str, *, tokens: Tokens = rouge_tokens) -> RougeL:
    """ROUGE-L, sentence level (Lin 2004, section 3.1, beta = 1).

    With `rouge_tokens` the values are those of google-research/rouge (`rougeL`, no stemmer), against whose
    published cases the tests check it; with no words on either side all three are 0.0, as there.
    """
    words, gold_words = tokens(answer), tokens(gold)
    if not words or not gold_words:
        return RougeL(0.0, 0.0, 0.0)
    common = _common_subsequence(words, gold_words)
    f1 = _f1(common, len(words) + len(gold_words))
    return RougeL(common / len(words), common / len(gold_words), f1)


def _f1(common: int, both: int) -> float:
    # Equal to 2PR / (P + R), without dividing by zero where nothing is common.
    return 2 * common / both


def _common_subsequence(left: Sequence[str], right: Sequence[str]) -> int:
    """Length of the longest common subsequence, a machine word of columns at a time (Hyyrö 2004)."""
    columns: dict[str, int] = {}  # token -> a bit for each column of `left` that holds it
    bit = 1
    for token in left:
        columns[token] = columns.get(token, 0) | bit
        bit += bit
    row = full = bit - 1  # A 0 bit marks a column where the length rises; bits above `full` mean nothing.
    for column in filter(None, map(columns.get, right)):
        matched = row & column
        row = (row + matched) | (row ^ matched)
    return full.bit_count() - (row & full).bit_count()
