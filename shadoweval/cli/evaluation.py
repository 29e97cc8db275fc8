"""The commands that score, decide and show: `evaluate`, `rescore`, `report`, `explain`, `calibrate`, `simulate`."""

from __future__ import annotations

import argparse
import signal
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from shadoweval.cli.control import endings, say
from shadoweval.cli.documents import write_documents, write_page
from shadoweval.cli.home import check_home, found_store
from shadoweval.cli.verdicts import EXIT, exit_code
from shadoweval.clock import parse_since, parse_span, utc_now
from shadoweval.errors import CaseFileError, ShadowEvalError, StoreError
from shadoweval.evaluation.alerts import log_changes, webhooks
from shadoweval.evaluation.conditions import Watch, refusal_conditions
from shadoweval.evaluation.courier import Courier
from shadoweval.evaluation.evaluate import evaluate as evaluate_stored
from shadoweval.evaluation.queries import with_queries
from shadoweval.evaluation.schedule import OwnSlots, Scheduler, plan_every
from shadoweval.evaluation.trend import newest_verdicts
from shadoweval.experiment import Experiment
from shadoweval.logs import about, logger
from shadoweval.records import Evaluation
from shadoweval.worker.opening import exclusive, open_store
from shadoweval.worker.patience import Patience

__all__ = [
    "calibrate",
    "evaluate",
    "evaluate_once",
    "explain",
    "report",
    "rescore",
    "simulate",
    "stop_on_signal",
    "write_newest",
]

log: Final = logger(__name__)

_TELLING: Final = 15.0
"""Seconds for which the end of a single evaluation waits for receivers; what one did not take is tried again later."""


def evaluate(options: argparse.Namespace) -> int:
    """Score, decide, report; once or every so often. With cases: run both arms over them first, and once."""
    experiment: Experiment = options.experiment
    if options.cases:
        from shadoweval.evaluation.suite import play  # noqa: PLC0415 - live looks need no processes

        evaluation = play(experiment, cases=options.cases).evaluation
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
        courier.settle(seconds=0.0 if options.every else _TELLING)

    alone, courier = f"evaluate-{experiment.name}.lock", Courier(experiment, options.notifiers)
    watch = Watch(experiment, options.notifiers if options.every else ())
    with about(experiment=experiment.name) as facts, exclusive(experiment.settings.folder, alone), courier, watch:
        if options.every is None:
            once()
        else:
            _every(experiment.name, once, every=options.every)
    return exit_code(newest[0]) if newest else 0


def _every(experiment: str, once: Callable[[], None], *, every: str) -> None:
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
        evaluation = evaluate_stored(
            experiment,
            since=since,
            closed=options.closed,
            new_window=options.new_window,
            who=options.who,
            why=options.why,
            key=key,
            store=store,
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
    page = _report_path(options.report, options.experiment) if options.report else None
    write_documents(evaluation, options, experiment=options.experiment, page=page, command=_command(options))


def _report_path(folder: str, experiment: Experiment) -> Path:
    return Path(folder) / f"{experiment.name}.html"


def _command(options: argparse.Namespace) -> str:
    since = f" --since {options.since}" if options.since else ""
    closed = " --closed" if options.closed else ""
    cases = f" --cases {options.cases}" if options.cases else ""
    return f"shadoweval evaluate {options.target}{since}{closed}{cases} --report {options.report}"


def rescore(options: argparse.Namespace) -> int:
    """Score what is stored again, and say what changed."""
    from shadoweval.evaluation.rescore import rescore as rescore_stored  # noqa: PLC0415 - this command alone needs it

    experiment: Experiment = options.experiment
    check_home(experiment)
    with exclusive(experiment.settings.folder, f"evaluate-{experiment.name}.lock"), open_store(experiment) as store:
        changes = rescore_stored(experiment, metrics=options.metric, everything=options.everything, store=store)
    for change in changes:
        say(change)
    if not any(change.pairs for change in changes):
        say("There are no pairs to score yet.")
        return EXIT["inconclusive"]
    say(f"Decide by them: shadoweval evaluate {options.target}")
    return EXIT["error"] if any(change.failed for change in changes) else 0


def _newest(experiment: Experiment, target: str) -> Evaluation:
    with found_store(experiment) as store:
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
    evaluation, command = _newest(experiment, options.target), f"shadoweval report {options.target}"
    write_documents(evaluation, options, experiment=experiment, page=path, command=command)
    return 0


def write_newest(experiment: Experiment, options: argparse.Namespace, path: Path) -> Path:
    """Write the newest evaluation as HTML to `path`; where that is."""
    evaluation, command = _newest(experiment, options.target), f"shadoweval report {options.target}"
    return write_page(with_queries(evaluation, experiment), options, experiment=experiment, page=path, command=command)


def explain(options: argparse.Namespace) -> int:
    """Say for each gate which numbers made it."""
    from shadoweval.verdict.explain import explain as explained  # noqa: PLC0415 - this command alone needs it

    if options.query:
        return _explain_query(options.experiment, options.query)
    evaluation = _newest(options.experiment, options.target)
    for verdict in evaluation.verdicts:
        say(explained(verdict, evaluation.divergences.get(verdict.candidate, ())))
    return 0


def _explain_query(experiment: Experiment, query_id: str) -> int:
    """Say where the arms part on one query."""
    from shadoweval.evaluation.explaining import explain_query  # noqa: PLC0415 - as above

    with found_store(experiment) as store:
        for candidate in experiment.candidates:
            say(explain_query(experiment, store, candidate=candidate, query_id=query_id))
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """Compare the incumbent with itself."""
    from shadoweval.evaluation.calibrate import calibrate as against_itself  # noqa: PLC0415 - this command alone needs it

    with found_store(options.experiment) as store:
        calibration = against_itself(options.experiment, store=store)
    say(calibration)
    return 1 if calibration.alarms else 0


def simulate(options: argparse.Namespace) -> int:
    """Show how long the gates take, and how often they are wrong."""
    from shadoweval.evaluation.simulate import simulate_stored  # noqa: PLC0415 - this command alone needs it

    experiment: Experiment = options.experiment
    with found_store(experiment) as store:
        for name in experiment.candidates:
            simulation = simulate_stored(
                experiment, store=store, candidate=name, effect=options.effect, streams=options.streams
            )
            say(f"{name}: {simulation}")
    return 0
