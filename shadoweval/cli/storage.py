"""The commands about what is stored: `labels`, `erase`, `purge`."""

from __future__ import annotations

import argparse
import sys

from shadoweval.cli.home import found_store
from shadoweval.cli.output import say
from shadoweval.clock import parse_span, utc_now
from shadoweval.errors import ShadowEvalError
from shadoweval.experiment import Experiment
from shadoweval.reporting.written import reports_holding
from shadoweval.worker.retention import erase_unit, purge_before, retention_of

__all__ = ["erase", "labels", "purge"]


def labels(options: argparse.Namespace) -> int:
    """Join labels and marks that came later."""
    from shadoweval.evaluation.labelling import add_label_file  # noqa: PLC0415 - this command alone needs it

    piped = options.cases == "-"
    path, content = ("stdin", sys.stdin.buffer.read()) if piped else (options.cases, None)
    with found_store(options.experiment) as store:
        read = add_label_file(options.experiment, path, store=store, content=content)
    options.answer.add(cases=read.cases, changed=read.changed, marks=read.marks, new_marks=read.new)
    marks = f", {read.marks} marks read, {read.new} new" if read.marks else ""
    say(f"{read.cases} cases read, {read.changed} labels new or changed{marks}")
    return 0


def erase(options: argparse.Namespace) -> int:
    """Delete what a user asked, or what is old."""
    experiment: Experiment = options.experiment
    if not options.unit and not options.before:
        raise ShadowEvalError("Nothing to erase was named. Give --unit ID, or --before 30d.")
    with found_store(experiment) as store:
        if options.unit:
            count = erase_unit(experiment, options.unit, store=store)
            options.answer.add(erased_of_unit=count)
            say(f"erased {count} queries of unit {options.unit!r}")
        if options.before:
            before = utc_now() - parse_span(options.before, name="--before")
            count = purge_before(experiment, before, store=store)
            options.answer.add(erased_of_age=count)
            say(f"erased {count} queries older than {options.before}")
        # Reports and exports that were written before and still carry words of queries that are gone.
        holding = reports_holding(experiment.settings.folder, gone=store.gone)
    options.answer.add(still_holding=[str(path) for path in holding])
    for path in holding:
        say(f"still holds words of erased queries, delete it or write it again: {path}")
    return 0


def purge(options: argparse.Namespace) -> int:
    """Delete what is older than the settings allow."""
    experiment: Experiment = options.experiment
    age = parse_span(options.before, name="--before") if options.before else retention_of(experiment)
    if age is None:
        raise ShadowEvalError("How old is old? Write retention = '30d' into shadoweval.toml, or give --before 30d.")
    with found_store(experiment) as store:
        count = purge_before(experiment, utc_now() - age, store=store)
    options.answer.add(purged=count)
    say(f"purged {count} queries older than {options.before or experiment.settings.retention}")
    return 0
