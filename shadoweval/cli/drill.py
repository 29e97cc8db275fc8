"""The command `drill`: a candidate is made to fail, and whoever should see it is asked whether it did."""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import tempfile
from collections.abc import Generator
from pathlib import Path

from shadoweval.cli.control import endings
from shadoweval.cli.home import is_unmade
from shadoweval.cli.output import say
from shadoweval.errors import ShadowEvalError
from shadoweval.evaluation.alerts import webhooks
from shadoweval.evaluation.drill import Drill
from shadoweval.evaluation.drill_seen import Seen
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.worker.opening import open_store

__all__ = ["drill"]


def drill(options: argparse.Namespace) -> int:
    """Have a candidate fail in a home of its own; 0 where all that should see it did, 1 where something did not.

    Raises:
        ShadowEvalError: there are no queries, or with `--alert` no receivers.
    """
    experiment: Experiment = options.experiment
    notifiers = webhooks(experiment) if options.alert else []
    if options.alert and not notifiers:
        raise ShadowEvalError("There is no receiver. Name one by the setting `webhook` or SHADOWEVAL_WEBHOOK.")
    stored = contextlib.nullcontext() if options.cases or is_unmade(experiment) else open_store(experiment)
    quiet = contextlib.nullcontext() if options.verbose else _quiet()
    with _interruptible(), tempfile.TemporaryDirectory(prefix="shadow-drill-") as folder, stored as store, quiet:
        one = Drill(
            experiment,
            fault=options.fault,
            folder=Path(folder),
            candidate=options.candidate,
            cases=options.cases,
            stored=store,
            notifiers=notifiers,
        )
        say(one.title)
        seen: list[Seen] = []
        for each in one.run():
            seen.append(each)
            say(f"  {'ok' if each.seen else 'NOT SEEN':<9} {each.who:<10} {each.words}")
    blind = [each.who for each in seen if not each.seen]
    options.answer.add(experiment=experiment.name, candidate=one.candidate, fault=options.fault)
    options.answer.add(seen=[each._asdict() for each in seen], blind=blind)
    say(f"Not seen by: {', '.join(blind)}." if blind else "All that should have seen it did.")
    return 1 if blind else 0


@contextlib.contextmanager
def _interruptible() -> Generator[None]:
    """While each signal that asks for an end interrupts: the folder has users' queries in it, and must go."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in endings()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _quiet() -> Generator[None]:
    """Without the warnings that a failing candidate causes: whoever reads the log would take them for production's."""
    log = logger("shadoweval").logger
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)
