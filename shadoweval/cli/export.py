"""The command `export`: stored pairs with their scores, as JSON lines or CSV."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from shadoweval.cli.bars import bar, counting
from shadoweval.cli.home import found_store
from shadoweval.cli.output import inert, inert_json, say
from shadoweval.cli.verdicts import EXIT
from shadoweval.clock import parse_since, utc_now
from shadoweval.errors import ShadowEvalError
from shadoweval.evaluation.export import exported, lines_of_rows
from shadoweval.experiment import Experiment
from shadoweval.private import open_private
from shadoweval.records.keys import as_text
from shadoweval.reporting.written import WrittenQueries

__all__ = ["export"]


def export(options: argparse.Namespace) -> int:
    """Write, and say how many; 3 where there are no pairs.

    Raises:
        ShadowEvalError: `--json` without a file: stdout can't hold both.
        UnknownCandidateError: no candidate of that name.
    """
    experiment: Experiment = options.experiment
    if options.json and not options.out:
        raise ShadowEvalError("--json says what was written, so it needs a file: give --out FILE too.")
    names = options.candidate or list(experiment.candidates)
    for name in names:
        experiment.target(name)
    form = options.format or ("csv" if str(options.out).endswith(".csv") else "jsonl")
    with found_store(experiment) as store:
        since = _since(options.since)
        rows = exported(experiment, store, candidates=names, since=since, texts=options.texts)
        counted = _Counted(rows)
        pairs = sum(store.funnel(experiment.name, name, since=since).paired for name in names)
        lines = lines_of_rows(counted, form=form, metrics=sorted(experiment.metrics))
        if options.out:
            with bar(f"{experiment.name}: pairs") as advance:
                _write(counting(lines, advance, of=pairs), counted, options)
        else:
            shown = inert_json if form == "jsonl" else inert
            for line in lines:
                sys.stdout.write(f"{shown(as_text(line).rstrip())}\n")
    options.answer.add(experiment=experiment.name, pairs=counted.rows, written=options.out, format=form)
    if options.out:
        say(f"{counted.rows:,} pairs: {options.out}")
    return 0 if counted.rows else EXIT["inconclusive"]


def _since(text: str | None) -> datetime | None:
    since = parse_since(text, name="--since") if text else None
    return since if since is None or isinstance(since, datetime) else utc_now() - since


class _Counted:
    """Rows, and how many have gone by; `ids` are those since they were looked at last."""

    def __init__(self, rows: Iterable[dict[str, Any]]) -> None:
        self._rows, self.rows, self.ids = rows, 0, list[str]()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for row in self._rows:
            self.rows += 1
            self.ids.append(row["query_id"])
            yield row


def _write(lines: Iterable[str], counted: _Counted, options: argparse.Namespace) -> None:
    """Write the file whole or not at all, for this user alone, and down whose words it carries."""
    path = Path(options.out)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    notes = WrittenQueries(options.experiment.settings.folder, path)
    flags, quotes = os.O_WRONLY | os.O_TRUNC, options.texts != "none"
    try:
        with os.fdopen(open_private(partial, flags, mode=options.mode), "w", encoding="utf-8", newline="") as file:
            for line in lines:
                file.write(as_text(line))
                if quotes and len(counted.ids) >= notes.MOST:
                    notes.add(counted.ids)
                    counted.ids = []
        if quotes:
            notes.add(counted.ids)
        partial.chmod(options.mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
