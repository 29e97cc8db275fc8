"""Whether an answer says where it has it from, and whether that was retrieved.

A citation is told by its form: `[1]`, `[1, 3-5]`, `[doc-7]`, `[^1]` with or without its footnote, a raised number,
`(source: x)`, a line `Sources: x`, a URL, or the `citations` and `annotations` that providers' messages carry.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, cast

from shadoweval.checks import checked_keywords
from shadoweval.protocols import Metric
from shadoweval.records import Hit, Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring.pair_scorer import NO_TEXT, PairScorer
from shadoweval.scoring.rankings import unknown_hits
from shadoweval.scoring.retrieved_names import RetrievedNames, address_of, folded

__all__ = ["citations", "without_citations"]

_CODE: Final = re.compile(r"^(```|~~~).*?(?:^\1|\Z)|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_ASIDE: Final = re.compile("\x00(\\d+)\x00")
_LINK: Final = re.compile(r"\[([^\[\]\n]*)\]\(<?((?:https?://|\.{0,2}/|#|www\.)?[^()\s<>]+)>?(?: \"[^\"]*\")?\)")
_MARK: Final = re.compile(r"\[\^?([^\[\]\s]{1,40})\]")
_NOTE: Final = re.compile(r"^[ \t]*(?:[-*] )?\[\^?([^\[\]\s]{1,40})\](:?)[ \t]+(\S.*)$", re.MULTILINE)
_BRACKETS: Final = re.compile(r"\[\^?([^\[\]\n]{1,200})\]|\u3010([^\u3010\u3011\n]{1,200})\u3011")
_PARENTHESES: Final = re.compile(r"[(\uff08]([^()\uff08\uff09\n]{1,200})[)\uff09]")
_SOURCE: Final = (
    r"(?:sources?|refs?|references?|cited from|quellen?|fuentes?|fontes?|fonti|bronn?en?|"
    "источники?|来源|來源|出处|出處|出典|출처)"
)
_SOURCE_IN: Final = re.compile(rf"{_SOURCE}\s*[:\uff1a]\s*(.+)", re.IGNORECASE)
_SOURCE_LINE: Final = re.compile(
    rf"^[ \t\u00a0\u3000*_#>-]*{_SOURCE}[*_]*\s*[:\uff1a][*_]*[ \t]*(\S.*)$", re.IGNORECASE | re.MULTILINE
)
_URL: Final = re.compile(r"https?://[^\s<>\"'\[\]{}|\\^`\uff08\uff09\u3010\u3011]+")
_RAISED: Final = re.compile(
    r"(?:(?<=[^\W\d_]{3})|(?<=[.,;:!?)\"\u201d\u2019]))[\u00b9\u00b2\u00b3\u2070\u2074-\u2079]+"
)
_RAISED_DIGITS: Final = str.maketrans("\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079", "0123456789")
_NUMBER: Final = re.compile(
    r"(?:(?:doc(?:ument)?|source|ref|passage|chunk|result|quelle)\.?\s*#?\s*)?(\d{1,3})(?:\u2020.*)?", re.IGNORECASE
)
_FILE: Final = re.compile(r"\d+:(\d+)\u2020(.+)")
"""OpenAI's mark of a file: which message, which file from 0 up, its name or "source"."""
_RANGE: Final = re.compile(r"(\d{1,3})\s*[-\u2013]\s*(\d{1,3})")
_DIGITS: Final = 9
"""Digits of a raised number that are read."""
_MOST: Final = 50
"""Numbers in one range; more are none."""
_DEPTH: Final = 8
_CARRIED: Final = ("citations", "annotations")
_NOT_SAID: Final = frozenset({"documents", "source_documents", "context", "hits", "retrieved", "inputs"})
"""Parts of what a pipeline returns that hold what it was given, and not what it says."""
_NAMES: Final = frozenset(
    [
        "id",
        "doc_id",
        "document_id",
        "document_ids",
        "chunk_id",
        "source_id",
        "source",
        "sources",
        "file_id",
        "filename",
        "file_name",
        "path",
        "url",
        "uri",
        "title",
        "document_title",
        "document",
        "documents",
        "name",
    ]
)
"""Fields of a structured citation that name what it points to."""
_QUOTES: Final = ("cited_text", "quote")


def citations_of(answer: str, hits: Sequence[Hit], value: Any = None) -> dict[str, bool]:
    """Each citation of an answer, and whether it points to one of the hits.

    Args:
        answer: The text.
        hits: What was retrieved. A number is a rank, unless the answer has a footnote of that number; a name is an id,
            the last part of one, or how a hit's text begins; a URL is an id, or stands in a hit's text.
        value: What the pipeline returned, in which the last message may carry citations.
    """
    retrieved = RetrievedNames(hits)
    made, _ = _Reader(retrieved).read(answer)
    for number, item in enumerate(_carried(value, _DEPTH)):
        points = _item_points(item, retrieved)
        if points is not None:
            made[f"carried {number}"] = points
    return made


def without_citations(answer: str, hits: Sequence[Hit]) -> str:
    """The text without its citations, footnotes and lines of sources: what is said."""
    return _Reader(RetrievedNames(hits)).read(answer)[1]


def _is_mark(inside: str) -> bool:
    return all(_NUMBER.fullmatch(part.strip()) or _RANGE.fullmatch(part.strip()) for part in re.split("[,;]", inside))


class _Reader:
    """Takes citations out of a text, form by form."""

    def __init__(self, retrieved: RetrievedNames) -> None:
        self._retrieved = retrieved
        self._notes: dict[str, bool] = {}
        self._made: dict[str, bool] = {}

    def read(self, answer: str) -> tuple[dict[str, bool], str]:
        """The citations, and the text that is left; code is left as it is."""
        code: list[str] = []

        def put_aside(match: re.Match[str]) -> str:
            code.append(match[0])
            return f"\x00{len(code) - 1}\x00"

        text = _CODE.sub(put_aside, answer.replace("\x00", " "))
        marks = Counter(_MARK.findall(text))
        text = _NOTE.sub(lambda match: self._note(match, marks), text)
        text = _SOURCE_LINE.sub(lambda match: self._sources(match[1]), text)
        text = _LINK.sub(self._link, text)
        text = _BRACKETS.sub(lambda match: self._bracketed(match[1] or match[2], match[0]), text)
        text = _PARENTHESES.sub(lambda match: self._bracketed(match[1], match[0], numbers=False), text)
        text = _URL.sub(lambda match: self._url(match[0]), text)
        for raised in _RAISED.findall(text):
            self._numbered(int(raised[:_DIGITS].translate(_RAISED_DIGITS)))
        return self._made, _ASIDE.sub(lambda match: code[int(match[1])], _RAISED.sub("", text))

    def _note(self, match: re.Match[str], marks: Mapping[str, int]) -> str:
        """A footnote, which is one where it has a colon or its mark stands elsewhere; the mark is the citation."""
        mark, colon, rest = match.groups()
        if not colon and marks[mark] < 2:
            return match[0]
        urls = _URL.findall(rest)
        points = any(map(self._retrieved.linked, urls)) or any(map(self._retrieved.named, _names_in(rest)))
        self._notes[mark.casefold()] = points
        self._made[f"note {mark}"] = points
        return " "

    def _sources(self, listed: str) -> str:
        listed = listed.strip().rstrip(".")
        for part in [listed] if self._retrieved.named(listed) else _names_in(listed):
            number = _NUMBER.fullmatch(part)
            if url := _URL.search(part):
                self._url(url[0])
            elif number and not self._retrieved.named(part):
                self._numbered(int(number[1]))
            else:
                self._made[folded(part)] = self._retrieved.named(part)
        return " "

    def _link(self, match: re.Match[str]) -> str:
        self._made[address_of(folded(match[2]))] = self._retrieved.linked(match[2])
        return " " if _is_mark(match[1]) else match[1]

    def _url(self, url: str) -> str:
        url = url.rstrip(".,;:!?)*_")
        self._made[address_of(folded(url))] = self._retrieved.linked(url)
        return " "

    def _bracketed(self, inside: str, whole: str, *, numbers: bool = True) -> str:
        if source := _SOURCE_IN.fullmatch(inside.strip()):
            return self._sources(source[1])
        parts = (
            [inside.strip()] if self._retrieved.named(inside) else [each.strip() for each in re.split("[,;]", inside)]
        )
        known = [self._part(part, numbers=numbers) for part in parts]
        return " " if all(known) else whole

    def _part(self, part: str, *, numbers: bool) -> bool:
        """Whether it is a citation."""
        file = _FILE.fullmatch(part)
        if file:
            part = str(int(file[1]) + 1) if file[2] == "source" else file[2]
        span, number = _RANGE.fullmatch(part), _NUMBER.fullmatch(part)
        if part.casefold() in self._notes:
            self._made[f"note {part}"] = self._notes[part.casefold()]
        elif not part.isdigit() and self._retrieved.named(part):
            self._made[folded(part)] = True
        elif numbers and span and 0 < int(span[2]) - int(span[1]) < _MOST:
            for each in range(int(span[1]), int(span[2]) + 1):
                self._numbered(each)
        elif number and (numbers or not part.isdigit()):
            self._numbered(int(number[1]))
        elif file or (not part.isdigit() and self._retrieved.like_an_id(part)):
            self._made[folded(part)] = False
        else:
            return False
        return True

    def _numbered(self, number: int) -> None:
        mark = str(number)
        self._made[f"note {mark}"] = self._notes[mark] if mark in self._notes else self._retrieved.ranked(number)


def _names_in(listed: str) -> list[str]:
    """The names of a list of sources, without brackets, quotes and the full stop at its end."""
    parts = re.split(r"[,;\u3001]|\band\b", listed)
    return [name for part in parts if (name := part.strip().strip("[]\"'\u201c\u201d*_ ").rstrip("."))]


def _carried(value: Any, depth: int) -> Iterator[Any]:
    """Structured citations in what a pipeline returned; of a list of messages, those of the last."""
    if not depth:
        return
    if isinstance(value, Mapping):
        for name, part in cast("Mapping[Any, Any]", value).items():
            if name in _NOT_SAID:
                continue
            if name in _CARRIED and isinstance(part, list | tuple):
                yield from part
            elif name == "messages" and isinstance(part, list | tuple):
                yield from _carried(part[-1:], depth - 1)
            else:
                yield from _carried(part, depth - 1)
    elif isinstance(value, list | tuple):
        for part in cast("Sequence[Any]", value):
            yield from _carried(part, depth - 1)


def _item_points(item: Any, retrieved: RetrievedNames) -> bool | None:
    """Whether a structured citation points to a hit; None: it is none."""
    if isinstance(item, str):
        return retrieved.linked(item)
    if isinstance(item, int) and not isinstance(item, bool):
        return retrieved.ranked(item)
    if not isinstance(item, Mapping):
        return None
    said: list[bool] = []
    for name, part in cast("Mapping[Any, Any]", item).items():
        if name == "document_index" and isinstance(part, int):
            said.append(retrieved.ranked(part + 1))
        elif name in _QUOTES and isinstance(part, str):
            said.append(retrieved.quoted(part))
        elif name in _NAMES and isinstance(part, str | int):
            said.append(retrieved.linked(str(part)))
        elif isinstance(part, Mapping | list | tuple):
            parts = [part] if isinstance(part, Mapping) else part
            said += [points for each in parts if (points := _item_points(each, retrieved)) is not None]
    return any(said) if said else None


@checked_keywords()
def citations() -> PairScorer:
    """`citations`: share of the answer's citations that point to what its run retrieved; 0 where it cites nothing."""

    def score_one(observation: Observation, pair: Pair) -> Mapping[str, Score]:
        outcome = observation.outcome
        if outcome is None or outcome.answer is None:
            return {"citations": NO_TEXT}
        unknown = unknown_hits(observation)
        if unknown is not None:
            return {"citations": Unscored(unknown)}
        made = citations_of(outcome.answer, observation.hits, outcome.value)
        if not made and not observation.hits:
            informative = bool(pair.served.hits or pair.candidate.hits)
            return {"citations": Unscored("nothing was retrieved, and nothing is cited", informative=informative)}
        return {"citations": Scored(sum(made.values()) / len(made) if made else 0.0)}

    return PairScorer(metrics=(Metric(name="citations"),), version="citations/1", score_one=score_one)
