"""Case files: questions with what people said about them, one JSON object a line.

    {"id": "doc-001", "query": "how do I read a file line by line?", "relevant": {"topic:with": 2}, "reference": "..."}

`query` is required. `inputs` holds the keyword arguments of the pipeline; without it the pipeline is called with the
query's text. What people said is joined to live queries that have the same inputs or ask the same text, letter by
letter; where cases share a text, by their inputs alone. `relevant` maps document ids to grades (0: judged, not
relevant): of chunks, or with `"relevant_are": "document"` of documents, any part of which counts; `spans` lists
characters, `{"document": "handbook", "start": 120, "end": 260}` (docs/scorers.md). `references` lists several right
answers, of which the best one counts, `expected_calls` lists the right tool calls, `goal` says what a right run has
changed in its worlds, `attributes` are what slices go by, `unit` names the user or session.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from shadoweval.capture.wire.questions import arguments_by_name, identity_of
from shadoweval.clock import Clock, utc_now
from shadoweval.codec import freeze
from shadoweval.errors import CaseFileError
from shadoweval.records import Effect, Labels, Query, ToolCall, query_key
from shadoweval.records.keys import as_text
from shadoweval.records.labelled import DOCUMENT, span_name, span_of

__all__ = ["Case", "cases_of", "labels_of", "lines_of", "queries_of", "read_cases"]


class ExpectedCall(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A tool call that the right run makes."""

    name: str
    arguments: dict[str, Any] = {}
    effect: Effect = "unknown"


class LabelledSpan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Characters of a document that are relevant, the last one not included."""

    document: str
    start: int
    end: int
    grade: int = 1
    text: str = ""
    """What it reads, for people."""

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end:
            raise ValueError(f"a span runs from start up to end, not from {self.start} to {self.end}")


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a case file."""

    query: str
    id: str = ""
    inputs: dict[str, Any] | None = None
    attributes: dict[str, str | int | float | bool] = {}
    relevant: dict[str, int] = {}
    relevant_are: Literal["chunk", "document", "span"] = "chunk"
    spans: list[LabelledSpan] = []
    reference: str | None = None
    references: list[str] = []
    expected_calls: list[ExpectedCall] | None = None
    goal: dict[str, Any] | None = None
    unit: str = ""

    @property
    def labels(self) -> Labels:
        """What people said about it."""
        calls = self.expected_calls
        return Labels(
            relevant=self.graded,
            reference=self.reference,
            references=tuple(self.references),
            goal=self.goal,
            expected_calls=None
            if calls is None
            else tuple(ToolCall(name=c.name, arguments=c.arguments, effect=c.effect) for c in calls),
        )

    @property
    def graded(self) -> dict[str, int]:
        """What is relevant, by ids whose form says what they name (`records.labelled`)."""
        spans = {span_name(span.document, span.start, span.end): span.grade for span in self.spans}
        end = DOCUMENT if self.relevant_are == "document" else ""
        return {**{f"{name.removesuffix(end)}{end}": grade for name, grade in self.relevant.items()}, **spans}

    def __post_init__(self) -> None:
        if self.relevant_are == "span":
            for name in self.relevant:
                if span_of(name) is None:
                    raise ValueError(f"{name!r} names no span; write 'handbook#char=120,260', or spans=[...]")

    @property
    def frozen_inputs(self) -> bytes:
        """Arguments of the pipeline as the mirror would have taken them."""
        return freeze(((self.query,), {}) if self.inputs is None else ((), self.inputs))

    @property
    def identity(self) -> str:
        """`Query.identity` of the query that it makes."""
        return identity_of(arguments_by_name(self.frozen_inputs, ()))

    @property
    def shown(self) -> str:
        """Its question, and its inputs where it names them, to be told by."""
        return f"query {self.query!r}" + ("" if self.inputs is None else f" with inputs {self.inputs!r:.200}")


_decode = msgspec.json.Decoder(Case).decode


def _decode_halves(line: str) -> Case:
    """The case of a line with half characters, which the faster decoder takes for a line that is cut.

    They are read as `?`, as everywhere in records; inputs keep them, since a live query's do.
    """
    try:
        exact = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise msgspec.DecodeError(str(error)) from error
    case = json.loads(as_text(json.dumps(exact, ensure_ascii=False)))
    return msgspec.convert(case | {"inputs": exact["inputs"]} if "inputs" in case else case, Case)


def read_cases(path: str | Path) -> tuple[Case, ...]:
    """All cases of a file. Empty lines are passed over.

    Raises:
        CaseFileError: no such file; a line that is no JSON, lacks `query` or has an unknown field; an id or a query
            with the same inputs that stands twice. It names the line; nothing is skipped in silence.
    """
    cases = cases_of(lines_of(path), path=str(Path(path)))
    if not cases:
        raise CaseFileError(str(Path(path)), 0, "it holds no case; write one JSON object a line")
    return cases


def lines_of(path: str | Path) -> Iterator[tuple[int, str]]:
    """The file's lines that are not empty, numbered from 1.

    Raises:
        CaseFileError: no such file, or it is no text.
    """
    file = Path(path)
    try:
        # Only newlines end a line: JSON may hold U+2028 and other separators as they are.
        lines = file.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise CaseFileError(str(file), 0, f"can't be read: {error}") from error
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def cases_of(lines: Iterable[tuple[int, str]], *, path: str) -> tuple[Case, ...]:
    """The cases of numbered lines; raises as `read_cases`."""
    cases: list[Case] = []
    seen: dict[str, int] = {}
    for number, line in lines:
        case = _case(line, path=path, number=number)
        names = [(case.id, f"id {case.id!r}")] if case.id else []
        for name, shown in (*names, (f"\0{_known_by(case)}", case.shown)):
            if name in seen:
                raise CaseFileError(path, number, f"{shown} stands in line {seen[name]} already; keep one of them")
            seen[name] = number
        cases.append(case)
    return tuple(cases)


def _case(line: str, *, path: str, number: int) -> Case:
    try:
        case = _decode_halves(line) if "\\ud" in line.lower() else _decode(line)
    except msgspec.ValidationError as error:
        known = ", ".join(Case.__struct_fields__)
        marks = "; people's marks for answers come by `shadoweval labels`" if '"mark"' in line else ""
        raise CaseFileError(path, number, f"{error}; known fields are {known}{marks}") from error
    except msgspec.DecodeError as error:
        raise CaseFileError(path, number, f"this is no JSON object: {error}") from error
    if not case.query.strip():
        raise CaseFileError(path, number, "'query' is empty; write the question as a person would ask it")
    return case


def labels_of(cases: tuple[Case, ...]) -> Mapping[str, Labels]:
    """Labels by `Query.text_key`, where no other case has it, and by `Query.key` where inputs are named."""
    sharing = Counter(query_key(case.query) for case in cases)
    by_text = {query_key(case.query): case.labels for case in cases if sharing[query_key(case.query)] == 1}
    return {**by_text, **{_known_by(case): case.labels for case in cases}}


def _known_by(case: Case) -> str:
    """What no two cases of a file may share: texts that labels can't tell apart, or equal inputs."""
    return query_key(case.query) if case.inputs is None else case.identity


def queries_of(cases: tuple[Case, ...], *, entry: str, clock: Clock = utc_now) -> Iterator[Query]:
    """Queries as a mirror would have made them, in the file's order."""
    for number, case in enumerate(cases, start=1):
        yield Query(
            id=case.id or f"case-{number}",
            text=case.query,
            inputs=case.frozen_inputs,
            entry=entry,
            unit=case.unit,
            attributes=dict(case.attributes),
            asked_at=clock(),
            identity=case.identity,
        )
