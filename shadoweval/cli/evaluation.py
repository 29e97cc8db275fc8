"""The commands that score, decide and show: `evaluate`, `report`, `explain`, `calibrate`, `simulate`."""

from __future__ import annotations

import argparse
import signal
import threading
from datetime import timedelta
from pathlib import Path
from typing import Final

from shadoweval.cli.control import say
from shadoweval.clock import parse_span
from shadoweval.errors import NewerDatabaseError, ShadowEvalError, StoreError
from shadoweval.evaluation.alerts import LogNotifier, WebhookNotifier, notify_changes
from shadoweval.evaluation.evaluate import evaluate as evaluate_stored
from shadoweval.evaluation.schedule import repeat
from shadoweval.experiment import Experiment
from shadoweval.records import Evaluation
from shadoweval.reporting.html import report as write_report
from shadoweval.reporting.markdown import markdown
from shadoweval.worker.opening import exclusive, open_store

__all__ = ["calibrate", "evaluate", "explain", "report", "simulate"]

_EXIT: Final = {"broken": 1, "error": 2, "inconclusive": 3, "proven": 0}
"""`Verdict.why` -> exit code, the gravest first; of several candidates the gravest counts."""


def evaluate(options: argparse.Namespace) -> int:
    """Score, decide, report; once or every so often."""
    experiment: Experiment = options.experiment
    since = parse_span(options.since, name="--since") if options.since else None
    newest: list[Evaluation] = []

    def once() -> None:
        newest[:] = [_evaluate_once(experiment, options, since=since)]

    def at_its_time() -> None:
        try:
            once()
        except NewerDatabaseError:
            raise
        except StoreError as error:  # a server that restarts, a writer that holds the file: the next look takes all up
            say(f"this look is missed, the next one is due in {options.every}: {error}")

    with exclusive(experiment.settings.folder, f"evaluate-{experiment.name}.lock"):
        if options.every is None:
            once()
        else:
            every = parse_span(options.every, name="--every").total_seconds()
            counts = repeat(at_its_time, every=every, stop=_stop_on_signal())
            say(f"{counts['runs']} runs, {counts['missed']} missed")
    return _exit_code(newest[0]) if newest else 0


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, lambda _sign, _frame: stop.set())
    return stop


def _evaluate_once(experiment: Experiment, options: argparse.Namespace, *, since: timedelta | None) -> Evaluation:
    with open_store(experiment) as store:
        before = store.evaluations(experiment.name)
        evaluation = evaluate_stored(experiment, since=since, closed=options.closed, store=store)
    for verdict in evaluation.verdicts:
        say(verdict)
    if options.report:
        path = write_report(evaluation, _report_path(options.report, experiment), command=_command(options))
        say(f"report: {path}")
    if options.markdown:
        with Path(options.markdown).open("a", encoding="utf-8") as file:
            file.write(markdown(evaluation))
    notifiers = [LogNotifier(), *(WebhookNotifier(url) for url in options.webhook)]
    notify_changes(evaluation, before[0] if before else None, notifiers)
    return evaluation


def _exit_code(evaluation: Evaluation) -> int:
    reached = {verdict.why for verdict in evaluation.verdicts}
    return next((code for why, code in _EXIT.items() if why in reached), _EXIT["error"])


def _report_path(folder: str, experiment: Experiment) -> Path:
    return Path(folder) / f"{experiment.name}.html"


def _command(options: argparse.Namespace) -> str:
    since = f" --since {options.since}" if options.since else ""
    closed = " --closed" if options.closed else ""
    return f"shadoweval evaluate {options.target}{since}{closed} --report {options.report}"


def _newest(experiment: Experiment, target: str) -> Evaluation:
    with open_store(experiment) as store:
        evaluations = store.evaluations(experiment.name)
    if not evaluations:
        raise ShadowEvalError(
            f"There is no evaluation of {experiment.name!r} yet. Make one: shadoweval evaluate {target}"
        )
    return evaluations[0]


def report(options: argparse.Namespace) -> int:
    """Write the newest evaluation as HTML."""
    experiment: Experiment = options.experiment
    path = Path(options.out) if options.out else _report_path("reports", experiment)
    written = write_report(_newest(experiment, options.target), path, command=f"shadoweval report {options.target}")
    say(f"report: {written}")
    return 0


def explain(options: argparse.Namespace) -> int:
    """Say for each gate which numbers made it."""
    from shadoweval.verdict.explain import explain as explained  # noqa: PLC0415 - this command alone needs it

    for verdict in _newest(options.experiment, options.target).verdicts:
        say(explained(verdict))
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """Compare the incumbent with itself."""
    from shadoweval.evaluation.calibrate import calibrate as against_itself  # noqa: PLC0415 - this command alone needs it

    with open_store(options.experiment) as store:
        calibration = against_itself(options.experiment, store=store)
    say(calibration)
    return 1 if calibration.alarms else 0


def simulate(options: argparse.Namespace) -> int:
    """Show how long the gates take, and how often they are wrong."""
    from shadoweval.evaluation.simulate import simulate_stored  # noqa: PLC0415 - this command alone needs it

    experiment: Experiment = options.experiment
    with open_store(experiment) as store:
        for name in experiment.candidates:
            simulation = simulate_stored(
                experiment, store=store, candidate=name, effect=options.effect, streams=options.streams
            )
            say(f"{name}: {simulation}")
    return 0
