"""The command `schedule`: runs what the experiment's schedules say, or shows what they say."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from heapq import merge
from itertools import islice
from pathlib import Path
from typing import Final

from shadoweval.cli.bars import bar, watched
from shadoweval.cli.evaluation import evaluate_once, played, stop_on_signal
from shadoweval.cli.output import say
from shadoweval.cli.stored import write_newest
from shadoweval.cli.verdicts import exit_code
from shadoweval.clock import utc_now
from shadoweval.errors import ShadowEvalError
from shadoweval.evaluation.alerts import webhooks
from shadoweval.evaluation.conditions import Watch
from shadoweval.evaluation.courier import Courier
from shadoweval.evaluation.schedule import Plan, Scheduler, plans_of
from shadoweval.experiment import Experiment
from shadoweval.logs import about
from shadoweval.protocols import Slot, Store
from shadoweval.records import Evaluation
from shadoweval.schedules import Schedule
from shadoweval.worker.opening import exclusive, open_store

__all__ = ["schedule"]

_FAILED: Final = 4
_TELLING: Final = 15.0
_SHOWN: Final = 3
"""Slots of the past that `--list` shows."""
_BEGIN: Final = timedelta(minutes=10)
"""`--once` is called at a slot's time, most often a little after it: at the first time of all that slot counts."""


def schedule(options: argparse.Namespace) -> int:
    """Run slots at their times until stopped, or what is due now; or show them."""
    experiment: Experiment = options.experiment
    if not experiment.schedules:
        raise ShadowEvalError(
            f"Experiment {experiment.name!r} has no schedules. Write "
            "Experiment(schedules=[Schedule(cron='0 3 * * *', tz='Europe/Berlin', run='look')])."
        )
    plans = plans_of(experiment.schedules)
    if options.next:
        lines = list(islice(_upcoming(plans), options.next))
        options.answer.add(experiment=experiment.name, next=lines)
        for line in lines:
            say(line)
        return 0
    if options.list:
        with open_store(experiment) as store:
            described = {plan.schedule.title: list(_described(plan, store, experiment.name)) for plan in plans}
        options.answer.add(experiment=experiment.name, schedules=described)
        for lines in described.values():
            say("\n".join(lines))
        return 0
    return _run(experiment, plans, options)


def _run(experiment: Experiment, plans: list[Plan], options: argparse.Namespace) -> int:
    options.notifiers = webhooks(experiment, options.webhook)
    jobs = _Jobs(experiment, options)
    with (
        about(experiment=experiment.name),
        open_store(experiment) as store,
        Courier(experiment, options.notifiers) as courier,
        Watch(experiment, () if options.once else options.notifiers),
    ):
        begin = _BEGIN if options.once else timedelta(0)
        scheduler = Scheduler(experiment.name, plans, jobs.run, slots=store.slots, begin=begin)
        if options.once:
            scheduler.turn()
            courier.settle(seconds=_TELLING)
        else:
            say(f"{experiment.name}: {len(plans)} schedules; the next: {next(_upcoming(plans), 'none')}")
            scheduler.run(stop_on_signal())
    if not scheduler.runs:
        say(f"nothing was due; the next: {next(_upcoming(plans), 'none')}")
    told = {"runs": scheduler.runs, "failed": scheduler.failed, "missed": scheduler.missed}
    options.answer.add(experiment=experiment.name, **told)
    say(f"{scheduler.runs} runs, {scheduler.failed} failed, {scheduler.missed} missed")
    return _FAILED if options.once and scheduler.failed else jobs.exit_code if options.once else 0


class _Jobs:
    """What a slot runs, by the name of its `Schedule.run`."""

    def __init__(self, experiment: Experiment, options: argparse.Namespace) -> None:
        self.exit_code = 0
        """Of the gravest verdict: `shadoweval evaluate`'s."""
        self._experiment, self._options = experiment, options

    def run(self, schedule: Schedule, slot: Slot) -> str:
        """Run it, and say what came of it."""
        say(f"{self._experiment.name}: {slot.schedule}, due {slot.at:%Y-%m-%d %H:%M:%S} UTC")
        jobs: dict[str, Callable[[Schedule, Slot], str]] = {
            "look": self._look,
            "cases": self._cases,
            "calibrate": self._calibrate,
            "report": self._report,
        }
        said = jobs[schedule.run](schedule, slot)
        self._options.answer.add(schedule=slot.schedule, run=schedule.run, due=slot.at, said=said)
        self._options.answer.write(self.exit_code)
        return said

    def _look(self, schedule: Schedule, slot: Slot) -> str:
        """A look whose id is its slot's: one that was stored before its scheduler died is not made again."""
        del schedule
        key = f"{slot.at:%Y%m%dT%H%M%SZ}-{slot.schedule}"
        with exclusive(self._experiment.settings.folder, f"evaluate-{self._experiment.name}.lock"):
            made = self._stored(key) if slot.attempt > 1 else None
            made = made or evaluate_once(self._experiment, self._options, since=None, key=key)
        return self._decided(made)

    def _stored(self, key: str) -> Evaluation | None:
        with open_store(self._experiment) as store:
            newest = store.evaluations(self._experiment.name, limit=20)
        return next((evaluation for evaluation in newest if evaluation.id == key), None)

    def _cases(self, schedule: Schedule, slot: Slot) -> str:
        from shadoweval.reporting.html import report  # noqa: PLC0415 - as above

        del slot
        made = played(self._experiment, schedule.cases)
        for verdict in made.verdicts:
            say(verdict)
        if self._options.report:
            path = Path(self._options.report) / f"{self._experiment.name}-cases.html"
            say(f"report: {report(made, path, mode=self._options.mode)}")
        return self._decided(made)

    def _decided(self, made: Evaluation) -> str:
        self.exit_code = exit_code(made)
        return "; ".join(f"{verdict.candidate}: {verdict.decision} ({verdict.why})" for verdict in made.verdicts)

    def _calibrate(self, schedule: Schedule, slot: Slot) -> str:
        from shadoweval.evaluation.calibrate import calibrate  # noqa: PLC0415 - this job alone needs it

        del schedule, slot
        with open_store(self._experiment) as store, bar(f"{self._experiment.name}: pairs") as advance:
            calibration = calibrate(self._experiment, store=watched(store, advance))
        self._options.answer.add(calibration=calibration)
        say(calibration)
        alarms = ", ".join(calibration.alarms) or "none"
        return f"{calibration.n} queries run again; metrics that differ beyond chance: {alarms}"

    def _report(self, schedule: Schedule, slot: Slot) -> str:
        del schedule, slot
        folder = self._options.report or "reports"
        path = write_newest(self._experiment, self._options, Path(folder) / f"{self._experiment.name}.html")
        return f"report: {path}"


def _upcoming(plans: list[Plan]) -> Iterator[str]:
    """All times from now on, by the clocks of their zones."""
    now = utc_now()
    times = (_named(plan, plan.times(now)) for plan in plans)
    return (f"{_local(plan.schedule, at)}  {plan.schedule.title}" for at, _, plan in merge(*times))


def _named(plan: Plan, times: Iterator[datetime]) -> Iterator[tuple[datetime, int, Plan]]:
    return ((at, id(plan), plan) for at in times)


def _local(schedule: Schedule, at: datetime) -> str:
    if schedule.tz == "UTC":
        return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    from zoneinfo import ZoneInfo  # noqa: PLC0415 - a schedule in UTC needs no table of zones

    return f"{at.astimezone(ZoneInfo(schedule.tz)):%Y-%m-%d %H:%M:%S %Z}"


def _described(plan: Plan, store: Store, experiment: str) -> Iterator[str]:
    """A schedule, its next time, and what became of the last ones."""
    one = plan.schedule
    when = f"every {one.every}" if one.every is not None else f"{one.cron} ({one.tz})"
    caught = {"last": "the last one is caught up", "all": "all are caught up", "skip": "none is caught up"}
    yield f"{one.title}: {one.run}, {when}; of slots missed {caught[one.missed]}; {one.retries} retries"
    upcoming = next(plan.times(utc_now()), None)
    yield f"  next: {'never' if upcoming is None else _local(one, upcoming)}"
    slots = [slot for slot in store.slots.history(experiment, one.title, limit=_SHOWN + 1) if slot.state != "known"]
    for slot in slots[:_SHOWN]:
        missed = f", {slot.missed} missed" if slot.missed else ""
        said = f": {slot.said}" if slot.said else ""
        yield f"  {_local(one, slot.at)}: {slot.state}, try {slot.attempt}{missed}{said}"
    if not slots:
        yield "  no slot was run yet"
