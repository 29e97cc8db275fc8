"""What a text says, token by token, so that another spelling of the same is the same: any script, any normal form.

A word is compared without case, accents and other optional marks; a number by its value, in any script's digits and
with either decimal sign; text without spaces (Chinese, Japanese, Thai; Korean, whose particles join) by two characters
at a time.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from typing import Final, NamedTuple

__all__ = ["SEPARATED", "UNSPACED", "Token", "plain_letters", "tokens_of"]

_FUNCTION_WORDS: Final = "a|an|and|at|by|for|in|is|of|on|the|to|was|with"
_WITHIN: Final = r"['\w]"
"""What stands beside a part of a word."""
_UNSAYING: Final = re.compile(
    rf"(?<!{_WITHIN})(?:{_FUNCTION_WORDS})(?!{_WITHIN})|^\W*(?:{_FUNCTION_WORDS.title()})(?!{_WITHIN})"
)
"""English words that any text holds; a capital that begins no text is a name's, as in vitamin A."""
UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3100-\u312f\u31a0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uf900-\ufaff\U00020000-\U0003ffff"
)
"""Scripts written without spaces, where a word can't be told without a dictionary: Thai, Lao, Myanmar, Khmer, kana,
bopomofo, Han; as ranges of a regular expression."""
_SPACELESS: Final = re.compile(f"[{UNSPACED}\uac00-\ud7af]+")
_NUMBER: Final = re.compile(
    r"(?:(?<![\w)\]-])[-\u2212])?"  # after a word or another number it is a hyphen
    r"(?:(?<!\d)(?<!\d )\d{1,3}(?: \d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,']\d+)*)"
)
_ORDINAL: Final = re.compile(r"(?<=\d)(?:st|nd|rd|th)\b")
_SIGNS: Final = str.maketrans({"\u066b": ".", "\u066c": ",", "\u2019": "'", "\u0640": None})
_GROUPED: Final = {
    ",": re.compile(r"[1-9]\d{0,2}(?:,\d{3})+|[1-9]\d?(?:,\d\d)+,\d{3}"),  # the second as in India
    ".": re.compile(r"[1-9]\d{0,2}(?:\.\d{3})+"),
}
_TO_TWENTY: Final = (
    "zero|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen|"
    "eighteen|nineteen|twenty"
)
_TENS: Final = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_UNITS: Final = _TO_TWENTY.split("|")[1:10]
_NUMBER_WORDS: Final = {word: str(number) for number, word in enumerate(_TO_TWENTY.split("|"))} | {
    word: str(10 * tens) for tens, word in enumerate(_TENS, start=2)
}
_SCALES: Final = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_POINTS: Final = range(10, 37)
"""Combining classes of vowel points in Hebrew, Arabic and Syriac, which may be left out."""
_ACCENTS: Final = range(200, 256)
"""Those of accents. Thai and Indic vowels are others."""


class _Table(dict[int, str | None]):
    """What `str.translate` asks once for each character that it meets."""

    def __init__(self, of: Callable[[str], str | None]) -> None:
        super().__init__()
        self._of = of

    def __missing__(self, code: int) -> str | None:
        return self.setdefault(code, self._of(chr(code)))


def _shown(letter: str, *optional: range) -> str | None:
    unseen = unicodedata.category(letter) == "Cf" or any(unicodedata.combining(letter) in of for of in optional)
    return None if unseen else str(unicodedata.decimal(letter)) if letter.isdecimal() else letter


_ACCENTED: Final = _Table(lambda letter: _shown(letter, _POINTS))
_BARE: Final = _Table(lambda letter: _shown(letter, _POINTS, _ACCENTS))
SEPARATED: Final = _Table(lambda letter: " " if unicodedata.category(letter)[0] in "PSZC" else letter)
"""For `str.translate`: a space for whatever parts words."""


class Token(NamedTuple):
    """One place of a text: what it may be known by, and whether it is a number."""

    keys: tuple[str, ...]
    number: bool = False


def tokens_of(text: str, *, unsaying: bool = True) -> list[Token]:
    """The text's tokens, in order.

    Args:
        text: Any text.
        unsaying: With English function words; without them only where another word is left. And in text without spaces
            with single characters beside pairs.
    """
    plain = plain_letters(text)
    if not unsaying:
        said = _scaled(_tokens(_UNSAYING.sub("_", plain), single=False))
        if said:
            return said
    return _scaled(_tokens(plain, single=unsaying))


def _scaled(tokens: Iterable[Token]) -> list[Token]:
    """With a number and the million after it as one number, and so twenty and the one after it."""
    said: list[Token] = []
    for token in tokens:
        zeros = _SCALES.get(token.keys[0].removesuffix("s"))
        values = [key for key in said[-1].keys if key[0] == "#"] if zeros and said else []
        if zeros and values:
            said[-1] = Token(tuple(_times(value, zeros) for value in values), number=True)
        elif said and said[-1].keys[0] in _TENS and token.keys[0] in _UNITS:
            tens, unit = (int(_NUMBER_WORDS[each.keys[0]]) for each in (said[-1], token))
            said[-1] = Token((f"#{tens + unit}",), number=True)
        else:
            said.append(token)
    return said


def _times(value: str, zeros: int) -> str:
    whole, _, part = value.lstrip("#-").partition(".")
    part = part.ljust(zeros, "0")
    return f"#{'-' if value[1] == '-' else ''}{_plain(whole + part[:zeros], part[zeros:])}"


def plain_letters(text: str, *, accents: bool = False) -> str:
    """NFKC, digits in ASCII, without optional marks and characters that are not seen; accents stay where asked for."""
    parts = unicodedata.normalize("NFKD", text).translate(_SIGNS).translate(_ACCENTED if accents else _BARE)
    return unicodedata.normalize("NFC", parts)


def _tokens(plain: str, *, single: bool) -> Iterator[Token]:
    text, after = _ORDINAL.sub("", plain.casefold()), 0
    for number in _NUMBER.finditer(text):
        yield from _words(text[after : number.start()], single=single)
        yield from _numbers(number.group())
        after = number.end()
    yield from _words(text[after:], single=single)


def _words(text: str, *, single: bool) -> Iterator[Token]:
    joined = re.sub(r"(?<=\w)'(?=\w)", "", text)
    for word in _SPACELESS.sub(r" \g<0> ", joined.translate(SEPARATED)).split():
        if _SPACELESS.match(word):
            pairs = [word[place : place + 2] for place in range(len(word) - 1)]
            if single:
                yield from (Token((pair[0], pair)) for pair in pairs)
                yield Token((word[-1],))
            else:
                yield from (Token((pair,)) for pair in pairs or [word])
        elif word in _NUMBER_WORDS:
            yield Token((word, f"#{_NUMBER_WORDS[word]}"), number=word != "one")
        else:
            yield Token((word,))


def _numbers(literal: str) -> Iterator[Token]:
    """A number, or those in a date, version or list; it may be read in two ways (1.500)."""
    sign = "-" if literal[0] in "-\u2212" else ""
    digits = literal.lstrip("-\u2212").replace(" ", "").replace("'", "")
    values = _values(digits)
    if values:
        yield Token(tuple(f"#{sign}{value}" for value in values), number=True)
    else:
        yield from (Token((f"#{_plain(part)}",), number=True) for part in re.split("[.,]", digits))


def _values(digits: str) -> list[str]:
    marks = set(digits) & set(".,")
    last = max(digits.rfind("."), digits.rfind(","))
    if not marks:
        return [_plain(digits)]
    whole, decimal, part = digits[:last], digits[last], digits[last + 1 :]
    values: list[str] = []
    if len(marks) == 1 and _GROUPED[decimal].fullmatch(digits):
        values.append(_plain(re.sub("[.,]", "", digits)))
        if decimal == ",":  # 1,500 is fifteen hundred; 1.500 may be one and a half
            return values
    other = "." if decimal == "," else ","
    if whole.isdigit() or _GROUPED[other].fullmatch(whole):
        values.append(_plain(whole.replace(other, ""), part))
    return values


def _plain(whole: str, part: str = "") -> str:
    fraction = part.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "")
