"""Case files: questions with what people said about them, one JSON object a line.

    {"id": "doc-001", "query": "how do I read a file line by line?", "relevant": {"topic:with": 2}, "reference": "..."}

`query` is required. `inputs` holds the keyword arguments of the pipeline; without it the pipeline is called with the
query's text. What people said is joined to live queries that have the same inputs or ask the same text, letter by
letter; where cases share a text, by their inputs alone. `relevant` maps document ids to grades (0: judged, not
relevant): of chunks, or with `"relevant_are": "document"` of documents, any part of which counts; `spans` lists
characters, `{"document": "handbook", "start": 120, "end": 260}` (docs/scorers.md). `references` lists several right
answers, of which the best one counts, `expected_calls` lists the right tool calls, `goal` says what a right run has
changed in its worlds, `attributes` are what slices go by, `unit` names the user or session.

A conversation is one line with its `turns`, cases or texts; `id`, `inputs`, `attributes` and `unit` are of all of them:

    {"id": "lamp", "history": "history", "turns": ["My lamp broke.", {"query": "Can I return it?", "reference": "..."}]}

`history` names the argument that takes the messages before, or `messages` the one that takes these and the question.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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

__all__ = ["Case", "Turn", "cases_of", "content_of", "labels_of", "lines_of", "queries_of", "read_cases"]


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


class Turn(Case, frozen=True, kw_only=True):
    """A case that is one turn of a conversation: asked with what the incumbent answered before, by both arms."""

    conversation: str
    earlier: tuple[str, ...] = ()
    """What the user said before."""
    history: str = "history"
    messages: str = ""
    """As of the line."""

    def inputs_after(self, answers: Sequence[str]) -> bytes:
        """Arguments of the pipeline after these answers, one to each of `earlier`."""
        said: list[dict[str, str]] = []
        for text, answer in zip(self.earlier, answers, strict=True):
            said += [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]
        if self.messages:
            return freeze(
                ((), {**(self.inputs or {}), self.messages: [*said, {"role": "user", "content": self.query}]})
            )
        if self.inputs is None:
            return freeze(((self.query,), {self.history: said}))
        return freeze(((), {**self.inputs, self.history: said}))

    @property
    def frozen_inputs(self) -> bytes:
        """Arguments without what was answered, which is not known yet."""
        return self.inputs_after([""] * len(self.earlier))


class _Conversation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line with turns."""

    turns: list[Case | str]
    id: str = ""
    unit: str = ""
    attributes: dict[str, str | int | float | bool] = {}
    inputs: dict[str, Any] | None = None
    history: str = "history"
    messages: str = ""

    def cases(self) -> list[Case]:
        """Each turn as a case; the conversation is their unit, where no user is named."""
        turns = [Case(query=turn) if isinstance(turn, str) else turn for turn in self.turns]
        said = tuple(turn.query for turn in turns)
        name = self.id or identity_of({"said": list(said), "inputs": self.inputs})[:8]
        made: list[Case] = []
        for place, turn in enumerate(turns):
            own = {field: getattr(turn, field) for field in Case.__struct_fields__}
            own |= {"id": turn.id or (f"{self.id}.{place + 1}" if self.id else "")}
            own |= {"unit": self.unit or f"conversation {name}", "attributes": {**self.attributes, **turn.attributes}}
            if self.inputs is not None or turn.inputs is not None:
                own["inputs"] = {**(self.inputs or {}), **(turn.inputs or {})}
            made.append(
                Turn(**own, conversation=name, earlier=said[:place], history=self.history, messages=self.messages)
            )
        return made


_decode = msgspec.json.Decoder(Case).decode
_decode_conversation = msgspec.json.Decoder(_Conversation).decode


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


def read_cases(path: str | Path, content: bytes | None = None) -> tuple[Case, ...]:
    """All cases of a file. Empty lines are passed over. `content`: of the file, where it has been read.

    Raises:
        CaseFileError: no such file; a line that is no JSON, lacks `query` or has an unknown field; an id or a query
            with the same inputs that stands twice. It names the line; nothing is skipped in silence.
    """
    cases = cases_of(lines_of(path, content), path=str(Path(path)))
    if not cases:
        raise CaseFileError(str(Path(path)), 0, "it holds no case; write one JSON object a line")
    return cases


def content_of(path: str | Path) -> bytes:
    """The file as it is now. Raises `CaseFileError` if there is none, or it can't be read."""
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise CaseFileError(str(Path(path)), 0, f"can't be read: {error}") from error


def lines_of(path: str | Path, content: bytes | None = None) -> Iterator[tuple[int, str]]:
    """The file's lines that are not empty, numbered from 1. `content`: of the file, where it has been read.

    Raises:
        CaseFileError: no such file, or it is no text.
    """
    try:
        text = (content_of(path) if content is None else content).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise CaseFileError(str(Path(path)), 0, f"can't be read: {error}") from error
    # Only newlines end a line: JSON may hold U+2028 and other separators as they are.
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return ((number, line) for number, line in enumerate(lines, start=1) if line.strip())


def cases_of(lines: Iterable[tuple[int, str]], *, path: str) -> tuple[Case, ...]:
    """The cases of numbered lines; raises as `read_cases`."""
    cases: list[Case] = []
    seen: dict[str, int] = {}
    for number, line in lines:
        for case in _cases(line, path=path, number=number):
            names = [(case.id, f"id {case.id!r}")] if case.id else []
            for name, shown in (*names, (f"\0{_known_by(case)}", case.shown)):
                if name in seen:
                    raise CaseFileError(path, number, f"{shown} stands in line {seen[name]} already; keep one of them")
                seen[name] = number
            cases.append(case)
    return tuple(cases)


def _cases(line: str, *, path: str, number: int) -> list[Case]:
    """The case of a line, or its turns."""
    try:
        if '"turns"' in line and "turns" in json.loads(line):
            cases = _decode_conversation(as_text(line)).cases()
        else:
            cases = [_decode_halves(line) if "\\ud" in line.lower() else _decode(line)]
    except msgspec.ValidationError as error:
        known = ", ".join(Case.__struct_fields__)
        marks = "; people's marks for answers come by `shadoweval labels`" if '"mark"' in line else ""
        raise CaseFileError(path, number, f"{error}; known fields are {known}{marks}") from error
    except (msgspec.DecodeError, json.JSONDecodeError) as error:
        raise CaseFileError(path, number, f"this is no JSON object: {error}") from error
    if not cases or not all(case.query.strip() for case in cases):
        raise CaseFileError(path, number, "'query' is empty; write the question as a person would ask it")
    return cases


def labels_of(cases: tuple[Case, ...]) -> Mapping[str, Labels]:
    """Labels by `Query.text_key`, where no other case has it, and by `Query.key` where inputs are named."""
    sharing = Counter(query_key(case.query) for case in cases)
    alone = (case for case in cases if sharing[query_key(case.query)] == 1 and not isinstance(case, Turn))
    by_text = {query_key(case.query): case.labels for case in alone}
    return {**by_text, **{_known_by(case): case.labels for case in cases}}


def _known_by(case: Case) -> str:
    """What no two cases of a file may share: texts that labels can't tell apart, or equal inputs."""
    return query_key(case.query) if case.inputs is None and not isinstance(case, Turn) else case.identity


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
