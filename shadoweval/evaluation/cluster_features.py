"""What queries may have in common: words in any script, attributes, and what happened in either arm.

What happened is told alike of both arms. "The candidate fails" would lose by definition, so that two arms of the same
pipeline would differ in it.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from shadoweval.evidence.subgroups import Features, Rule
from shadoweval.records import Observation, Pair
from shadoweval.verdict.attributes import attributes_of

__all__ = ["FeatureRows", "asked_with", "happened"]

_READ: Final = 1_000
"""Characters of a text whose words count."""
_STEM: Final = 6
_FEW: Final = 10
"""Rows that must have a feature."""
_UNSPACED: Final = (
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_MARKS: Final = "\u0300-\u036f\u064b-\u065f\u0900-\u0963\u0966-\u0dff"
"""Vowels and accents that stand beside a letter, which `\\w` takes for the end of a word."""
_RUN: Final = re.compile(f"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[\\w{_MARKS}])+")
_WITHOUT_SPACES: Final = re.compile(f"[{_UNSPACED}]")
_ALIKE: Final = {
    "the run fails": "one arm's run fails",
    "the run succeeds": "one arm's run fails",
    "goes on": "one arm makes more calls",
    "stops earlier": "one arm makes more calls",
    "a call fails": "a call fails in one arm",
    "a call succeeds": "a call fails in one arm",
}
"""Kinds of a first difference that say which arm is the worse one."""
_OF_SLICES: Final = frozenset({"incumbent failed"})
"""Derived attributes that say which arm is the worse one."""
_WORD: Final = "one of the words"


class Has(NamedTuple):
    """A feature of a query."""

    name: str
    """The attribute's, or what kind of thing happened."""
    value: str
    """Of a word its beginning, by which its forms are told to be the same."""
    kind: str = "run"


def words_of(text: str) -> Iterator[tuple[str, str]]:
    """Words of a text's beginning: by what it is known, and as it stands there.

    A word is known by its first letters, without case. Scripts without spaces give each two characters in a row.
    """
    for run in _RUN.findall(unicodedata.normalize("NFKC", text[:_READ]).casefold()):
        if _WITHOUT_SPACES.match(run):
            yield from ((run[at : at + 2], run[at : at + 2]) for at in range(max(1, len(run) - 1)))
        else:
            yield run[:_STEM], run


def asked_with(pair: Pair) -> list[Has]:
    """Attributes of the query, all known before any arm answered."""
    attributes = attributes_of(pair.query, pair.served)
    return [Has(name, value, "attribute") for name, value in attributes.items() if name not in _OF_SLICES]


def happened(pair: Pair, parts: str) -> list[Has]:
    """How either arm failed, the kind of step at which they part, and tools that either one called.

    Of several features of the same rows the first names a part.
    """
    arms: tuple[Observation, ...] = (pair.served, pair.candidate)
    tools = dict.fromkeys(call.name for arm in arms for call in arm.tool_calls)
    failures = dict.fromkeys(arm.failure.error_type or arm.failure.kind for arm in arms if arm.failure)
    first = [Has("first difference", _ALIKE.get(parts, parts))] if parts else []
    return [*(Has("failure", kind) for kind in failures), *first, *(Has("tool", name) for name in tools)]


class FeatureRows:
    """Gathers which rows have which features, row by row."""

    def __init__(self) -> None:
        self._places: dict[Has, int] = {}
        self._rows: list[int] = []
        self._columns: list[int] = []
        self._forms: dict[str, Counter[str]] = {}
        self._names: list[Has] = []
        self._count = 0

    def add(self, having: Iterable[Has], *, text: str = "") -> None:
        """The next row, with the words of its text."""
        words = dict(words_of(text))
        for stem, form in words.items():
            self._forms.setdefault(stem, Counter())[form] += 1
        every = [*(Has(_WORD, stem, "words") for stem in words), *having]
        self._columns += [self._places.setdefault(each, len(self._places)) for each in every]
        self._rows += [self._count] * len(every)
        self._count += 1

    def features(self) -> Features:
        """Those that some rows have, and not only a few."""
        rows, columns = np.array(self._rows, dtype=np.int64), np.array(self._columns, dtype=np.int64)
        common = np.bincount(columns, minlength=len(self._places)) >= _FEW
        self._names = [each for each, place in self._places.items() if common[place]]
        kept = common[columns]
        anew = np.cumsum(common) - 1
        words = np.array([each.kind == "words" for each in self._names], dtype=bool)
        return Features(rows=rows[kept], columns=anew[columns[kept]], alternatives=words)

    def described(self, rule: Rule) -> dict[str, tuple[str, ...]]:
        """What rows of a rule over `features()` have in common, as people read it: by name any of the values."""
        either = self._named(rule.any_of)
        return either if rule.further is None else {**either, **self._named((rule.further,), also="also ")}

    def _named(self, columns: Sequence[int], *, also: str = "") -> dict[str, tuple[str, ...]]:
        having = [self._names[column] for column in columns]
        if having[0].kind != "words":
            attribute = "attribute " if having[0].kind == "attribute" else ""
            return {f"{also}{attribute}{having[0].name}": (having[0].value,)}
        forms = tuple(self._forms[each.value].most_common(1)[0][0] for each in having)
        return {also + ("the word" if len(forms) == 1 else _WORD): forms}
