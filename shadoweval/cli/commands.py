"""What the commands of `shadoweval` do. Each takes the parsed options and returns the exit code.

`kill`, `resume` and `status` have modules of their own, which load less.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from shadoweval.errors import ShadowEvalError
from shadoweval.evaluation.alerts import LogNotifier, WebhookNotifier, notify_changes
from shadoweval.evaluation.cases import labels_of, read_cases
from shadoweval.evaluation.evaluate import evaluate as judge_stored
from shadoweval.evaluation.schedule import alone, repeat
from shadoweval.experiment import Experiment
from shadoweval.priority import idle, step_back
from shadoweval.records import INCUMBENT, Evaluation
from shadoweval.reporting.html import report as write_report
from shadoweval.reporting.markdown import markdown
from shadoweval.worker.arms import candidate_pool
from shadoweval.worker.clock import utc_now
from shadoweval.worker.erasing import Retention, erase_unit, retention_of
from shadoweval.worker.erasing import purge as purge_old
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import open_receiver, open_store
from shadoweval.worker.spans import parse_span
from shadoweval.worker.tracing import exporting
from shadoweval.worker.watch import Watch

__all__ = [
    "calibrate",
    "erase",
    "evaluate",
    "explain",
    "labels",
    "purge",
    "report",
    "simulate",
    "worker",
]

_EXIT: Final = {"proven": 0, "broken": 1, "error": 2, "inconclusive": 3}
"""By `Verdict.why`; of several candidates the gravest counts."""
_GRAVE: Final = ("broken", "error", "inconclusive", "proven")


def _say(text: object) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def worker(options: argparse.Namespace) -> int:
    """Run candidates until stopped, or until nothing is left; whatever else runs on this machine goes first."""
    if options.idle and not idle():
        raise ShadowEvalError("This system can't run a process only while nothing else runs. Leave --idle out.")
    step_back()
    asyncio.run(_work(options.experiment, until_idle=options.until_idle, processes=options.processes))
    return 0


async def _work(experiment: Experiment, *, until_idle: bool, processes: int) -> None:
    arms = list(experiment.candidates)
    if experiment.incumbent is not None and experiment.rerun > 0:
        arms.append(INCUMBENT)
    with alone(experiment.settings.folder, name=f"worker-{experiment.name}.lock"), open_store(experiment) as store:
        async with candidate_pool(experiment, arms=arms, processes=processes) as pool:
            for arm, notes in pool.notes.items():
                for note in notes:
                    _say(f"{arm}: {note}")
            spans = exporting(experiment.name)
            receiver = open_receiver(experiment)
            watch = Watch(experiment, counters=receiver.counters)
            retention = Retention(experiment, store=store)
            working = Worker(
                experiment, store=store, receiver=receiver, runs=pool, told=spans, watch=watch, retention=retention
            )
            loop = asyncio.get_running_loop()
            for sign in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(sign, working.stop)
            _say(f"{experiment.name}: shadowing {', '.join(experiment.candidates)}; stop with Ctrl-C")
            counts = await working.run(until_idle=until_idle)
            if spans is not None:
                spans.close()
    _say(f"{experiment.name}: {', '.join(f'{n} {name}' for name, n in sorted(counts.items()) if n) or 'nothing to do'}")


def evaluate(options: argparse.Namespace) -> int:
    """Score, judge, report; once or every so often."""
    experiment: Experiment = options.experiment
    since = parse_span(options.since, name="--since") if options.since else None
    done: list[Evaluation] = []

    def once() -> None:
        done[:] = [_evaluate_once(experiment, options, since=since)]

    with alone(experiment.settings.folder, name=f"evaluate-{experiment.name}.lock"):
        if options.every is None:
            once()
        else:
            counts = repeat(
                once, every=parse_span(options.every, name="--every").total_seconds(), stop=_stop_on_signal()
            )
            _say(f"{counts['runs']} runs, {counts['missed']} missed")
    return _exit_code(done[0]) if done else 0


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for sign in (signal.SIGINT, signal.SIGTERM):
        signal.signal(sign, _setting(stop))
    return stop


def _setting(stop: threading.Event) -> Callable[[int, object], None]:
    return lambda _sign, _frame: stop.set()


def _evaluate_once(experiment: Experiment, options: argparse.Namespace, *, since: timedelta | None) -> Evaluation:
    with open_store(experiment) as store:
        before = store.evaluations(experiment.name)
        evaluation = judge_stored(experiment, since=since, closed=options.closed, store=store)
    for verdict in evaluation.verdicts:
        _say(verdict)
    if options.report:
        path = write_report(evaluation, _report_path(options.report, experiment), command=_command(options))
        _say(f"report: {path}")
    if options.markdown:
        with Path(options.markdown).open("a", encoding="utf-8") as file:
            file.write(markdown(evaluation))
    notifiers = [LogNotifier(), *(WebhookNotifier(url) for url in options.webhook)]
    notify_changes(evaluation, before[0] if before else None, notifiers)
    return evaluation


def _exit_code(evaluation: Evaluation) -> int:
    found = {verdict.why for verdict in evaluation.verdicts}
    return _EXIT[next(why for why in _GRAVE if why in found)] if found else _EXIT["error"]


def _report_path(folder: str, experiment: Experiment) -> Path:
    return Path(folder) / f"{experiment.name}.html"


def _command(options: argparse.Namespace) -> str:
    since = f" --since {options.since}" if options.since else ""
    closed = " --closed" if options.closed else ""
    return f"shadoweval evaluate {options.target}{since}{closed} --report {options.report}"


def _newest(experiment: Experiment, target: str) -> Evaluation:
    with open_store(experiment) as store:
        found: Sequence[Evaluation] = store.evaluations(experiment.name)
    if not found:
        raise ShadowEvalError(
            f"There is no evaluation of {experiment.name!r} yet. Make one: shadoweval evaluate {target}"
        )
    return found[0]


def report(options: argparse.Namespace) -> int:
    """Write the newest evaluation as HTML."""
    experiment: Experiment = options.experiment
    path = Path(options.out) if options.out else _report_path("reports", experiment)
    written = write_report(_newest(experiment, options.target), path, command=f"shadoweval report {options.target}")
    _say(f"report: {written}")
    return 0


def explain(options: argparse.Namespace) -> int:
    """Say for each gate which numbers made it."""
    from shadoweval.verdict.explain import explain as explained  # noqa: PLC0415 - this command alone needs it

    for verdict in _newest(options.experiment, options.target).verdicts:
        _say(explained(verdict))
    return 0


def labels(options: argparse.Namespace) -> int:
    """Join labels that came later."""
    cases = read_cases(options.cases)
    with open_store(options.experiment) as store:
        changed = store.add_labels(labels_of(cases))
    _say(f"{len(cases)} cases read, {changed} labels new or changed")
    return 0


def erase(options: argparse.Namespace) -> int:
    """Delete what a user asked, or what is old."""
    if not options.unit and not options.before:
        raise ShadowEvalError("Nothing to erase was named. Give --unit ID, or --before 30d.")
    with open_store(options.experiment) as store:
        erased: dict[str, Any] = {}
        if options.unit:
            erased[f"of unit {options.unit!r}"] = erase_unit(options.experiment, options.unit, store=store)
        if options.before:
            before = utc_now() - parse_span(options.before, name="--before")
            erased[f"older than {options.before}"] = purge_old(options.experiment, before, store=store)
    for what, count in erased.items():
        _say(f"erased {count} queries {what}")
    return 0


def purge(options: argparse.Namespace) -> int:
    """Delete what is older than the settings allow."""
    experiment: Experiment = options.experiment
    kept = parse_span(options.before, name="--before") if options.before else retention_of(experiment)
    if kept is None:
        raise ShadowEvalError("How old is old? Write retention = '30d' into shadoweval.toml, or give --before 30d.")
    with open_store(experiment) as store:
        count = purge_old(experiment, utc_now() - kept, store=store)
    _say(f"purged {count} queries older than {options.before or experiment.settings.retention}")
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """Judge the incumbent against itself."""
    from shadoweval.evaluation.calibrate import calibrate as against_itself  # noqa: PLC0415 - this command alone needs it

    with open_store(options.experiment) as store:
        found = against_itself(options.experiment, store=store)
    _say(found)
    return 1 if found.alarms else 0


def simulate(options: argparse.Namespace) -> int:
    """Show how long the gates take, and how often they are wrong."""
    from shadoweval.evaluation.simulate import simulate_stored  # noqa: PLC0415 - this command alone needs it

    experiment: Experiment = options.experiment
    with open_store(experiment) as store:
        for name in experiment.candidates:
            found = simulate_stored(
                experiment, store=store, candidate=name, effect=options.effect, streams=options.streams
            )
            _say(f"{name}: {found}")
    return 0
