"""In which format an answer is: JSON, JSON in a wrapping, Markdown or plain text; and whether it is what was asked for.

A program that reads JSON fails on a code fence around it, so the wrapping is named as a format of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval._optional import require
from shadoweval.checks import checked_instance, checked_keywords, checked_truth
from shadoweval.errors import ArgumentError, closest
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring.pair_scorer import NO_TEXT, PairScorer

__all__ = ["TEXT", "checked_schema", "digest_of", "fitting", "format", "format_of"]

_FENCED: Final = "JSON in a code fence"
TEXT: Final = "text"
_BROKEN: Final = "broken JSON"
_AMID: Final = "JSON amid text"
_FENCE: Final = re.compile(r"(`{3,}|~{3,})[^\n`]*\n")
_INNER_FENCE: Final = re.compile(
    r"^(`{3,}|~{3,})(?:json\w*)[ \t]*\n(.*?)\n[ \t]*\1", re.DOTALL | re.MULTILINE | re.IGNORECASE
)
_TYPES: Final = ("array", "boolean", "integer", "null", "number", "object", "string")
_VALUES: Final = frozenset({"const", "default", "enum", "examples"})
"""Keywords of a schema that hold values, and no schemas."""
_MARKDOWN: Final = re.compile(r"#{1,6} |[-*+] |\d+[.)] |```|~~~|\||> ")
"""How a line of it begins."""
_BOLD: Final = re.compile(r"\*\*\w")


def format_of(answer: str) -> str:
    """The answer's format, as a reader would name it: `"JSON"`, `"JSON in a code fence"`, ..., `"Markdown"`, `"text"`.

    JSON is an object or a list as RFC 8259 has it; a single number or word in quotes is text.
    """
    text = answer.strip()
    if text[:1] in {"{", "["} and text[-1] in {"}", "]"}:
        if isinstance(_json_of(text), dict | list):
            return "JSON"
        # [1] and [sic] are text; what begins as an object or as a list of values was meant to be read by a program
        return _BROKEN if re.match(r'\{\s*["\'}]|\[\s*[\[{"]', text) else _text_format(text)
    if text.startswith(("```", "~~~")):
        if isinstance(_json_of(_unfenced(text)), dict | list):
            return _FENCED
    elif ("```" in text or "~~~" in text) and any(
        _json_of(each[2]) is not None for each in _INNER_FENCE.finditer(text)
    ):
        return _AMID
    return _text_format(text)


def _unfenced(answer: str) -> str:
    """What a code fence around the whole answer holds; without one the answer."""
    text = answer.strip()
    fence = _FENCE.match(text)
    return text[fence.end() : -len(fence[1])] if fence and text.endswith(fence[1]) else answer


def _text_format(text: str) -> str:
    bold = "**" in text and _BOLD.search(text)
    return "Markdown" if bold or any(map(_MARKDOWN.match, text.split("\n"))) else TEXT


def _json_of(text: str) -> Any:
    """The value that a JSON text holds; None: it is none (or null, which no format here asks for)."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


@checked_keywords()
def format(schema: Mapping[str, Any] | None = None, *, fenced: bool = False) -> PairScorer:  # noqa: A001 - the metric's name
    """`format`: 1 where the answer is a JSON object or list, and fits the schema if there is one, else 0.

    A pipeline that returns a mapping or list without any text is taken by its value.

    Args:
        schema: A JSON schema (extra `store`, which brings jsonschema). What it refers to must be in it: nothing is
            fetched.
        fenced: Whether a code fence around the JSON is taken off first. By default it is not, since a program that
            reads the answer fails on it; the verdict names such answers wherever they are new.
    """
    checked_truth("format(fenced)", fenced)
    if schema is not None:
        checked_schema("format(schema)", schema)
    fits = fitting("format(schema)", schema)

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        del pair
        value = _value(observation, fenced=fenced)
        return {"format": value if isinstance(value, Unscored) else Scored(float(value is not None and fits(value)))}

    version = f"format/{'fenced' if fenced else 'bare'}/1"
    if schema is not None:
        version += f"/{digest_of(schema)}"
    return PairScorer(metrics=(Metric(name="format"),), version=version, score_one=score_one)


def _value(observation: Observation, *, fenced: bool) -> Any:
    """The object or list that a run answered with; None: its answer is none."""
    outcome = observation.outcome
    if outcome is None or outcome.answer is None:
        return outcome.value if outcome and isinstance(outcome.value, dict | list) else NO_TEXT
    text = outcome.answer
    value = _json_of(_unfenced(text) if fenced else text)
    return value if isinstance(value, dict | list) else None


def digest_of(schema: Mapping[str, Any]) -> str:
    """What tells a schema, or several by name, from another."""
    return hashlib.sha256(msgspec.json.encode(schema, order="deterministic")).hexdigest()[:12]


def checked_schema(what: str, schema: object) -> None:
    """A misspelt type is an error where it is written; the rest is looked at by jsonschema, at the first score."""
    checked_instance(what, schema, Mapping, mend="Write {'type': 'object', ...}.")
    _look_at_types(what, schema)


def _look_at_types(what: str, schema: object) -> None:
    if isinstance(schema, list | tuple):
        for part in cast("Sequence[object]", schema):
            _look_at_types(what, part)
    elif isinstance(schema, Mapping):
        for name, part in cast("Mapping[str, object]", schema).items():
            if name == "type" and isinstance(part, str) and part not in _TYPES:
                mend = closest(part, _TYPES) or f"A type is one of {', '.join(_TYPES)}."
                raise ArgumentError(what, part, expected="a JSON schema, with types of its words", mend=mend)
            if name not in _VALUES:
                _look_at_types(what, part)


def fitting(what: str, schema: Mapping[str, Any] | None) -> Callable[[Any], bool]:
    """Whether a value fits a JSON schema, of which jsonschema is loaded by the first value; nothing is fetched."""
    made: list[Any] = []

    def fits(value: Any) -> bool:
        if schema is None:
            return True
        if not made:
            jsonschema = require("jsonschema", extra="store", needed_for=what)
            referencing = require("referencing", extra="store", needed_for=what)
            kind = jsonschema.validators.validator_for(dict(schema), jsonschema.Draft202012Validator)
            kind.check_schema(dict(schema))
            made.append(kind(dict(schema), registry=referencing.Registry()))  # an own one fetches nothing
        return made[0].is_valid(value)

    return fits
