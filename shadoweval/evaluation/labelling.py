"""Labels that come later: judgements and references from a case file, and people's marks for the arms' answers.

A label file has one JSON object a line, a case (see `cases`) or a mark:

    {"id": "q-17", "arm": "hybrid", "mark": "correct", "annotator": "ann", "at": "2026-11-30T09:00:00Z"}
    {"id": "q-17", "arm": "hybrid", "mark": "preferred", "over": "incumbent", "annotator": "ben"}

`id` is the query's (the report and `Pair.id` name it), `arm` says whose answer it is about: `incumbent` or a candidate.
Marks are `correct`, `incorrect`, `preferred` and `tie`; `over` is by default the incumbent, or of its own answers the
only candidate. Without `at` it is said when it is stored. Reading a file twice is reading it once; all that was ever
said is kept, and of each annotator the last word counts.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from shadoweval.checks import checked_instance
from shadoweval.errors import ArgumentError, CaseFileError, ExperimentError, ShadowEvalError
from shadoweval.evaluation.cases import Case, cases_of, content_of, labels_of, lines_of, read_cases
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import Store
from shadoweval.records import INCUMBENT, Annotation, Arm, Mark
from shadoweval.worker.opening import open_store
from shadoweval.worker.parts import add_in_parts

__all__ = ["add_label_file", "join_labels", "label", "not_kept"]

log: Final = logger(__name__)

_NAMED = 5
"""Lines that an error names."""


class Labelled(NamedTuple):
    """What a label file brought."""

    cases: int
    changed: int
    """Labels of cases that are new or changed."""
    marks: int
    new: int
    """Marks that were not there yet."""


class MarkLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line about one answer."""

    id: str
    arm: str
    mark: Mark
    annotator: str
    at: datetime | None = None
    over: str = ""


class _Kind(msgspec.Struct):
    mark: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(MarkLine).decode
_kind = msgspec.json.Decoder(_Kind).decode


def label(
    experiment: Experiment,
    query_id: str,
    *,
    arm: Arm,
    mark: Mark,
    annotator: str,
    at: datetime | None = None,
    over: Arm | None = None,
    store: Store | None = None,
) -> bool:
    """Keep what a person says about the answer that an arm gave. Returns whether that is new.

    Args:
        experiment: Whose queries.
        query_id: The query's id.
        arm: Whose answer: `"incumbent"` or a candidate's name.
        mark: `"correct"`, `"incorrect"`, `"preferred"` (to the answer of `over`), or `"tie"`.
        annotator: Who says so; the last word of each counts.
        at: When it was said (aware); None: now.
        over: The other arm; None: the incumbent, or of its own answer the only candidate.
        store: Where the pairs are; None: as the settings say.

    Raises:
        UnknownCandidateError: the experiment has no such arm.
        ArgumentError: no such query, the arm did not run it, or a mark that can't be.
    """
    checked_instance("label(experiment)", experiment, Experiment, mend="Pass the object, not its name.")
    try:
        line = msgspec.convert(
            {"id": query_id, "arm": arm, "mark": mark, "annotator": annotator, "at": at, "over": over or ""}, MarkLine
        )
        annotation = _annotation(experiment, line)
    except (msgspec.ValidationError, ValueError) as error:
        raise ArgumentError("label()", mark, expected="a mark for an arm's answer", mend=f"{error}.") from error
    with contextlib.nullcontext(store) if store is not None else open_store(experiment) as opened:
        new, unknown = opened.add_annotations(experiment.name, [(query_id, annotation)])
    if unknown:
        mend = "Take the id from the report or from a pair; an answer can be marked once it is stored."
        raise ArgumentError(
            "label(query_id)", query_id, expected=f"that of a query which {_arms(line)} answered", mend=mend
        )
    return bool(new)


def add_label_file(experiment: Experiment, path: str | Path, *, store: Store, content: bytes | None = None) -> Labelled:
    """Join the labels and marks of a file. `content`: of the file, where it has been read.

    Raises:
        CaseFileError: a line that can't be read: nothing was stored. Or marks for an arm or an answer that is not
            there: all others were stored; the file may be read again.
    """
    file = str(path)
    cases, marks = list[tuple[int, str]](), list[tuple[int, MarkLine]]()
    for number, line in lines_of(path, content):
        if _is_mark(line, path=file, number=number):
            marks.append((number, _mark_line(line, path=file, number=number)))
        else:
            cases.append((number, line))
    if not cases and not marks:
        raise CaseFileError(file, 0, "it holds neither a case nor a mark; write one JSON object a line")
    read: tuple[Case, ...] = cases_of(cases, path=file)
    refused: dict[int, str] = {}
    annotations: dict[int, tuple[str, Annotation]] = {}
    for number, line in marks:
        try:
            annotations[number] = line.id, _annotation(experiment, line)
        except (ShadowEvalError, ValueError) as error:
            refused[number] = str(error).rstrip(".")
    changed = store.add_labels(labels_of(read))
    new, unknown = store.add_annotations(experiment.name, list(annotations.values()))
    by_number = dict(marks)
    for number in (list(annotations)[place] for place in unknown):
        line = by_number[number]
        refused[number] = f"experiment {experiment.name!r} has no query {line.id!r} that {_arms(line)} answered"
    if refused:
        raise _refusal(refused, path=file, of=len(marks))
    return Labelled(len(read), changed, len(marks), new)


def _is_mark(line: str, *, path: str, number: int) -> bool:
    try:
        return _kind(line).mark is not msgspec.UNSET
    except msgspec.DecodeError as error:
        raise CaseFileError(path, number, f"this is no JSON object: {error}") from error


def _mark_line(line: str, *, path: str, number: int) -> MarkLine:
    try:
        return _decode(line)
    except msgspec.ValidationError as error:
        known = ", ".join(MarkLine.__struct_fields__)
        raise CaseFileError(path, number, f"{error}; known fields of a mark are {known}") from error


def _annotation(experiment: Experiment, line: MarkLine) -> Annotation:
    over = line.over
    if not over and line.mark in {"preferred", "tie"}:
        over = _other(experiment, line.arm)
    for arm in {line.arm, over or line.arm} - {INCUMBENT}:
        experiment.target(arm)
    return Annotation(arm=line.arm, mark=line.mark, annotator=line.annotator, at=line.at, over=over)


def _other(experiment: Experiment, arm: Arm) -> Arm:
    if arm != INCUMBENT:
        return INCUMBENT
    if len(experiment.candidates) > 1:
        named = ", ".join(map(repr, experiment.candidates))
        raise ExperimentError(f"The incumbent's answer was compared with which candidate's? Write over=, of {named}.")
    return next(iter(experiment.candidates))


def _refusal(refused: Mapping[int, str], *, path: str, of: int) -> CaseFileError:
    """The first of them with its reason, the others by their lines, and what became of the rest."""
    number, *rest = sorted(refused)
    named = ", ".join(map(str, rest[:_NAMED])) + (f" and {len(rest) - _NAMED} more" if len(rest) > _NAMED else "")
    also = f" (also refused: line {named})" if rest else ""
    others = "all other lines were stored" if of > len(refused) else "no mark was stored"
    mend = "Take ids from the report or from pairs, mend these lines or wait for the worker, and read the file again"
    return CaseFileError(path, number, f"{refused[number]}{also}; {others}. {mend}")


def _arms(line: MarkLine) -> str:
    return f"{line.arm!r} and {line.over!r}" if line.over else repr(line.arm)


def join_labels(experiment: Experiment, store: Store) -> bytes | None:
    """Join the labels of the experiment's case file. Returns its content as it was then; None: there is no such file.

    Raises:
        CaseFileError: it can't be read.
    """
    if experiment.labels is None:
        return None
    content = content_of(experiment.labels)
    labels = list(labels_of(read_cases(experiment.labels, content)).items())
    add_in_parts(labels, lambda part: store.add_labels(dict(part)), refused=not_kept)
    return content


def not_kept(record: object, why: str) -> None:
    """A record that the store can't hold: a score counts all the same, and is made again by the next look."""
    log.warning("the store can't hold a record", extra={"record": repr(record)[:200], "why": why})
