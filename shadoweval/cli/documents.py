"""What `evaluate` and `report` write: the HTML page, and the same content as JSON, JUnit XML and Markdown."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import msgspec

from shadoweval.cli.output import say
from shadoweval.evaluation.queries import with_queries
from shadoweval.experiment import Experiment
from shadoweval.private import open_private, write_private
from shadoweval.records import Evaluation
from shadoweval.records.keys import as_text
from shadoweval.reporting.document import document
from shadoweval.reporting.html import report
from shadoweval.reporting.junit import junit
from shadoweval.reporting.markdown import markdown
from shadoweval.reporting.texts import Texts
from shadoweval.reporting.written import note_report

__all__ = ["report_path", "write_documents", "write_page"]


def report_path(folder: str, experiment: Experiment) -> Path:
    """Where the report of an experiment is, in a folder of reports."""
    return Path(folder) / f"{experiment.name}.html"


def write_documents(
    evaluation: Evaluation,
    options: argparse.Namespace,
    *,
    experiment: Experiment,
    page: Path | None,
    command: str,
    against: Evaluation | None = None,
) -> None:
    """Write what the options ask for; `page`: where the HTML page goes, None: nowhere."""
    texts: Texts = options.texts or "full"
    written: dict[str, str] = {}
    options.answer.add(written=written)
    options.answer.add_evaluation(evaluation, texts=options.texts or "none")
    file = options.json if isinstance(options.json, str) else None  # else a line, which is no file
    if (page is not None or file) and not _of_a_suite(options):
        evaluation = with_queries(evaluation, experiment)
    if page is not None:
        place = write_page(evaluation, options, experiment=experiment, page=page, command=command, against=against)
        written["report"] = str(place)
        say(f"report: {place}")
    if file:
        content = as_text(document(evaluation, texts=texts)).encode()
        write_private(_place(file), content, mode=options.mode)
        _note(evaluation, options, experiment=experiment, path=Path(file))
        written["json"] = file
        say(f"JSON: {file}")
    if options.junit:
        content = as_text(junit(evaluation, texts=options.texts or "none")).encode()
        write_private(_place(options.junit), content, mode=options.mode)
        written["junit"] = options.junit
        say(f"JUnit: {options.junit}")
    if options.markdown:
        written["markdown"] = options.markdown
        flags = os.O_WRONLY | os.O_APPEND
        with os.fdopen(open_private(_place(options.markdown), flags, mode=options.mode), "ab") as file:
            file.write(as_text(markdown(evaluation, texts=options.texts or "none")).encode())
        if (options.texts or "none") != "none":
            _note(evaluation, options, experiment=experiment, path=Path(options.markdown))


def _of_a_suite(options: argparse.Namespace) -> bool:
    """Whether a file of cases was played: in a home of its own, which is gone, and with no user's words."""
    return bool(getattr(options, "cases", None))


def _note(evaluation: Evaluation, options: argparse.Namespace, *, experiment: Experiment, path: Path) -> None:
    """Let `erase` know of the report."""
    if not _of_a_suite(options):
        note_report(path, _at_home(evaluation, experiment), texts=options.texts or "full")


def _at_home(evaluation: Evaluation, experiment: Experiment) -> Evaluation:
    """It may have been made elsewhere, or by a version that did not say where."""
    return msgspec.structs.replace(evaluation, home=str(experiment.settings.folder))


def write_page(
    evaluation: Evaluation,
    options: argparse.Namespace,
    *,
    experiment: Experiment,
    page: Path,
    command: str,
    against: Evaluation | None = None,
) -> Path:
    """Write the HTML page, and down where it is; returns that."""
    texts: Texts = options.texts or "full"
    if not _of_a_suite(options):
        evaluation = _at_home(evaluation, experiment)
    return report(evaluation, page, command=command, mode=options.mode, texts=texts, against=against)


def _place(file: str) -> Path:
    path = Path(file)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path
