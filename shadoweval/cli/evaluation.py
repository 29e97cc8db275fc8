"""The command `evaluate`: score, decide, tell; once or every so often."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from shadoweval.cli.bars import bar, watched
from shadoweval.cli.control import endings
from shadoweval.cli.documents import report_path, write_documents
from shadoweval.cli.dry_run import dry_run
from shadoweval.cli.home import check_home
from shadoweval.cli.output import Answer, say
from shadoweval.cli.verdicts import exit_code
from shadoweval.clock import parse_since, parse_span, utc_now
from shadoweval.errors import CaseFileError, ShadowEvalError, StoreError
from shadoweval.evaluation.alerts import log_changes, webhooks
from shadoweval.evaluation.conditions import Watch, refusal_conditions
from shadoweval.evaluation.courier import Courier
from shadoweval.evaluation.evaluate import evaluate as evaluate_stored
from shadoweval.evaluation.schedule import OwnSlots, Scheduler, plan_every
from shadoweval.evaluation.trend import newest_verdicts
from shadoweval.experiment import Experiment
from shadoweval.logs import about, logger
from shadoweval.records import Evaluation
from shadoweval.reporting.judges import judge_lines
from shadoweval.worker.opening import exclusive, open_store
from shadoweval.worker.patience import Patience

__all__ = ["evaluate", "evaluate_once", "played", "stop_on_signal"]

log: Final = logger(__name__)

_TELLING: Final = 15.0
"""Seconds for which the end of a single evaluation waits for receivers; what one did not take is tried again later."""


def evaluate(options: argparse.Namespace) -> int:
    """Score, decide, report; once or every so often. With cases: run both arms over them first, and once."""
    experiment: Experiment = options.experiment
    if options.dry_run:
        return dry_run(experiment, options.answer)
    if options.cases:
        evaluation = played(experiment, options.cases)
        _show(evaluation, options)
        return exit_code(evaluation)
    since = parse_since(options.since, name="--since") if options.since else None
    if options.new_window and since is not None:
        raise ShadowEvalError("--new-window begins a window now, --since at a time: give one of them.")
    if options.every is None:
        check_home(experiment)
    newest: list[Evaluation] = []
    options.notifiers = webhooks(experiment, options.webhook)

    def once() -> None:
        newest[:] = [evaluate_once(experiment, options, since=since)]
        facts.update(_decided(newest[0]))
        if options.every:
            options.answer.write(exit_code(newest[0]))
        courier.settle(seconds=0.0 if options.every else _TELLING)

    alone, courier = f"evaluate-{experiment.name}.lock", Courier(experiment, options.notifiers)
    watch = Watch(experiment, options.notifiers if options.every else ())
    with about(experiment=experiment.name) as facts, exclusive(experiment.settings.folder, alone), courier, watch:
        if options.every is None:
            once()
        else:
            _every(experiment.name, once, every=options.every, answer=options.answer)
    return exit_code(newest[0]) if newest else 0


def played(experiment: Experiment, cases: str | Path | None) -> Evaluation:
    """The evaluation of a suite of cases, run now."""
    from shadoweval.evaluation.suite import SuiteOptions, play  # noqa: PLC0415 - live looks need no processes

    with bar(f"{experiment.name}: runs") as advance:

        def progress(_experiment: str, done: int, of: int) -> None:
            if advance is not None:
                advance(done, of)

        return play(experiment, cases=cases, options=SuiteOptions(progress=progress)).evaluation


def _every(experiment: str, once: Callable[[], None], *, every: str, answer: Answer) -> None:
    """A look now and after each span, by the monotonic clock: a schedule that this process alone knows."""
    span, began, seconds = parse_span(every, name="--every"), utc_now(), time.monotonic()
    stop = stop_on_signal()
    looks = Looks(once, every=every, stop=stop)
    scheduler = Scheduler(
        experiment,
        [plan_every(span, began=began)],
        lambda _schedule, _slot: looks.look() or "",
        slots=OwnSlots(late=span / 4),
        begin=timedelta(seconds=1),
        ends=(Exception,),
        clock=lambda: began + timedelta(seconds=time.monotonic() - seconds),
    )
    scheduler.run(stop)
    answer.add(runs=scheduler.runs, missed=scheduler.missed)
    say(f"{scheduler.runs} runs, {scheduler.missed} missed")


def _decided(evaluation: Evaluation) -> dict[str, str]:
    """What the lines after a look say of it."""
    return {
        "candidate": ", ".join(verdict.candidate for verdict in evaluation.verdicts),
        "decision": ", ".join(verdict.decision for verdict in evaluation.verdicts),
    }


def stop_on_signal() -> threading.Event:
    """Set once somebody asks this process to end."""
    stop = threading.Event()
    for sign in endings():
        signal.signal(sign, lambda _sign, _frame: stop.set())
    return stop


class Looks:
    """Looks that go on after one that failed: what passes is waited for, what lasts ends them."""

    def __init__(self, once: Callable[[], None], *, every: str, stop: threading.Event) -> None:
        self._once, self._every, self._stop = once, every, stop
        self._patience = Patience()
        self._told = ""

    def look(self) -> None:
        """One look, as soon as it can be had.

        Raises:
            ShadowEvalError: of a kind that does not pass.
        """
        while not self._stop.is_set():
            try:
                self._once()
            except (StoreError, OSError, CaseFileError) as error:
                self._stop.wait(self._patience.failed(error))
            except ShadowEvalError:
                raise
            except Exception as error:  # a scorer's, a label's: whoever wrote it may mend it meanwhile
                text = f"{type(error).__name__}: {error}"
                if text != self._told:
                    log.exception("this look is missed, the next one is due in %s", self._every)
                self._told = text
                return
            else:
                self._patience.over()
                self._told = ""
                return


def evaluate_once(
    experiment: Experiment, options: argparse.Namespace, *, since: datetime | timedelta | None, key: str = ""
) -> Evaluation:
    """Evaluate, and say, write and log what came of it. `key`: the evaluation's id."""
    with open_store(experiment) as store:
        before = newest_verdicts(lambda limit: store.evaluations(experiment.name, limit=limit))
        with bar(f"{experiment.name}: pairs scored") as advance:
            evaluation = evaluate_stored(
                experiment,
                since=since,
                closed=options.closed,
                new_window=options.new_window,
                who=options.who,
                why=options.why,
                key=key,
                store=watched(store, advance),
                notifiers=options.notifiers,
            )
        if not evaluation.trend:
            Watch(experiment, options.notifiers).once(store, also=refusal_conditions(evaluation))
        options.new_window = False  # of several looks the first one began it
    _show(evaluation, options)
    if not evaluation.trend:
        log_changes(evaluation, before)
    return evaluation


def _show(evaluation: Evaluation, options: argparse.Namespace) -> None:
    """Print the verdicts, write what was asked for."""
    for verdict in evaluation.verdicts:
        say(verdict)
        for line in judge_lines(evaluation, verdict.candidate):
            say(f"{line.what}: {line.words}")
    page = report_path(options.report, options.experiment) if options.report else None
    write_documents(evaluation, options, experiment=options.experiment, page=page, command=_command(options))


def _command(options: argparse.Namespace) -> str:
    since = f" --since {options.since}" if options.since else ""
    closed = " --closed" if options.closed else ""
    cases = f" --cases {options.cases}" if options.cases else ""
    return f"shadoweval evaluate {options.target}{since}{closed}{cases} --report {options.report}"
