"""What slices go by: attributes of a query, declared or derived, all known before any candidate answers."""

from __future__ import annotations

import functools
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.records import Observation, Query

__all__ = ["attribute_columns", "attributes_of", "script_of"]

_LENGTHS: Final = ((40, "short"), (160, "medium"), (640, "long"))
_SCRIPT_SAMPLE: Final = 200
_PLAIN: Final = (str, int, float, bool)
_LETTER: Final = re.compile("[A-Za-z]")
_IDS: Final = re.compile(
    r"(.*[_.\- ])?(thread|session|conversation|chat|request|trace|span|run|message|correlation|event)[_.\- ]?id",
    re.IGNORECASE,
)
"""Names of attributes that hold ids of single conversations or calls: such a part of the traffic comes once."""
_AN_ID: Final = re.compile(r"(?=.*\d)[0-9a-f-]{16,}|[a-z]{1,9}[_-](?=.*\d)[0-9a-z]{16,}|\d{9,}", re.IGNORECASE)
"""Values that are ids by their form: UUIDs, digests, prefixed keys, long numbers."""
_NAMES: Final = 1_000
"""Attributes that are told apart in a batch of pairs; a name that is new with each call is no slice."""


def length_of(text: str) -> str:
    """`short` up to 40 characters, `medium` up to 160, `long` up to 640, else `very long`: fixed, so not learned."""
    size = len(text)
    for limit, name in _LENGTHS:
        if size <= limit:
            return name
    return "very long"


def script_of(text: str) -> str:
    """The script most letters of the text's beginning are in, as Unicode names it: latin, cyrillic, cjk, arabic, ..."""
    sample = text[:_SCRIPT_SAMPLE]
    if sample.isascii():  # whose letters are all of one script
        return "latin" if _LETTER.search(sample) else "none"
    letters = Counter(_script(character) for character in sample if character.isalpha())
    return letters.most_common(1)[0][0] if letters else "none"


@functools.lru_cache(maxsize=4_096)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").split(" ")[0].lower()


@functools.lru_cache(maxsize=1_024)
def _names_ids(name: str) -> bool:
    return _IDS.fullmatch(name) is not None


@functools.lru_cache(maxsize=4_096)
def _an_id(value: str) -> bool:
    return _AN_ID.fullmatch(value) is not None


def attributes_of(query: Query, served: Observation) -> dict[str, str]:
    """Attributes by name: the query's plain ones as text, its length, its script, and whether the incumbent failed.

    Ids, by the attribute's name or by their form, are none: no part of the traffic has one value for long.
    """
    plain: dict[str, Any] = query.attributes
    texts = {name: str(value) for name, value in plain.items() if isinstance(value, _PLAIN)}
    named = {name: text for name, text in texts.items() if not _names_ids(name) and not _an_id(text)}
    derived = {"length": length_of(query.text), "script": script_of(query.text)}
    if served.failure is not None:
        derived["incumbent failed"] = served.failure.step or served.failure.kind
    return {**derived, **named}


def attribute_columns(pairs: Sequence[Mapping[str, str]]) -> dict[str, AttributeColumn]:
    """A column for each attribute that any pair has, the first thousand of them."""
    codes: dict[str, list[int]] = {}
    values: dict[str, dict[str, int]] = {}
    for row, attributes in enumerate(pairs):
        for name, value in attributes.items():
            if name not in codes:
                if len(codes) == _NAMES:
                    continue
                codes[name] = [-1] * len(pairs)
                values[name] = {}
            codes[name][row] = values[name].setdefault(value, len(values[name]))
    arrays = {name: np.array(rows, dtype=np.int64) for name, rows in codes.items()}
    return {name: AttributeColumn(codes=rows, values=tuple(values[name])) for name, rows in arrays.items()}
