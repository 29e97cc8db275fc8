"""The commands over what is stored: `report`, `explain`, `calibrate`, `simulate`, `rescore`."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.cli.bars import bar, watched
from shadoweval.cli.documents import report_path, write_documents, write_page
from shadoweval.cli.home import check_home, found_store
from shadoweval.cli.output import Answer, say
from shadoweval.cli.verdicts import EXIT
from shadoweval.clock import parse_since, utc_now
from shadoweval.errors import SettingsError, ShadowEvalError
from shadoweval.evaluation.queries import with_queries
from shadoweval.experiment import Experiment
from shadoweval.records import Evaluation
from shadoweval.reporting.since import since_view
from shadoweval.worker.opening import exclusive, open_store

__all__ = ["calibrate", "explain", "report", "rescore", "simulate", "write_newest"]

_KEPT: Final = 1000
"""Evaluations of an experiment that a store keeps."""


def rescore(options: argparse.Namespace) -> int:
    """Score what is stored again, and say what changed."""
    from shadoweval.evaluation.rescore import rescore as rescore_stored  # noqa: PLC0415 - this command alone needs it

    experiment: Experiment = options.experiment
    check_home(experiment)
    alone = exclusive(experiment.settings.folder, f"evaluate-{experiment.name}.lock")
    with alone, open_store(experiment) as store, bar(f"{experiment.name}: pairs scored") as advance:
        again = {"metrics": options.metric, "everything": options.everything}
        changes = rescore_stored(experiment, **again, store=watched(store, advance))
    facts = [{**msgspec.structs.asdict(change), "failed": change.failed} for change in changes]
    options.answer.add(experiment=experiment.name, scores=facts)
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
    path = Path(options.out) if options.out else report_path("reports", experiment)
    evaluation, command = _newest(experiment, options.target), f"shadoweval report {options.target}"
    against = _earlier(experiment, evaluation, options.against) if options.against else None
    write_documents(evaluation, options, experiment=experiment, page=path, command=command, against=against)
    since = since_view(evaluation, against)
    if since is not None:
        options.answer.add(since={**since, "candidates": dict(since["candidates"])})
        say(f"since {since['at']}, evaluation {since['id']}:")
        for candidate, changes in since["candidates"]:
            say(f"  {candidate}: {'; '.join(changes)}")
    return 0


def _earlier(experiment: Experiment, newest: Evaluation, wanted: str) -> Evaluation:
    """The evaluation before the newest that `--against` names: its id, `previous`, or the last one at a time.

    Raises:
        ShadowEvalError: there is none.
    """
    with found_store(experiment) as store:
        every = [each for each in store.evaluations(experiment.name, limit=_KEPT) if each.id != newest.id]
    named = [each for each in every if each.id == wanted]
    if not named:
        until = newest.created_at if wanted == "previous" else _moment(wanted)
        named = [each for each in every if not each.trend and each.created_at <= until]
    if named:
        return named[0]
    ids = ", ".join(each.id for each in every[:5]) or "none"
    raise ShadowEvalError(
        f"There is no earlier evaluation {wanted!r} of {experiment.name!r}. Give an id, `previous`, a time "
        f"(2026-01-31T12:00Z) or how long ago (7d). The newest before this one: {ids}."
    )


def _moment(wanted: str) -> datetime:
    """A time, or so long ago; where it is neither, a time before all evaluations."""
    try:
        since = parse_since(wanted, name="--against")
    except SettingsError:
        return datetime.min.replace(tzinfo=UTC)
    return since if isinstance(since, datetime) else utc_now() - since


def write_newest(experiment: Experiment, options: argparse.Namespace, path: Path) -> Path:
    """Write the newest evaluation as HTML to `path`; where that is."""
    evaluation, command = _newest(experiment, options.target), f"shadoweval report {options.target}"
    return write_page(with_queries(evaluation, experiment), options, experiment=experiment, page=path, command=command)


def explain(options: argparse.Namespace) -> int:
    """Say for each gate which numbers made it."""
    from shadoweval.verdict.explain import explain as explained  # noqa: PLC0415 - this command alone needs it

    if options.query:
        return _explain_query(options.experiment, options.query, options.answer)
    evaluation = _newest(options.experiment, options.target)
    said = {each.candidate: explained(each, evaluation.divergences.get(each.candidate, ()))
            for each in evaluation.verdicts}  # fmt: skip
    options.answer.add(explained=said)
    options.answer.add_evaluation(evaluation)
    for text in said.values():
        say(text)
    return 0


def _explain_query(experiment: Experiment, query_id: str, answer: Answer) -> int:
    """Say where the arms part on one query."""
    from shadoweval.evaluation.explaining import explain_query  # noqa: PLC0415 - as above

    with found_store(experiment) as store:
        said = {arm: explain_query(experiment, store, candidate=arm, query_id=query_id)
                for arm in experiment.candidates}  # fmt: skip
    answer.add(experiment=experiment.name, query=query_id, explained=said)
    for text in said.values():
        say(text)
    return 0


def calibrate(options: argparse.Namespace) -> int:
    """Compare the incumbent with itself."""
    from shadoweval.evaluation.calibrate import calibrate as against_itself  # noqa: PLC0415 - this command alone needs it

    experiment: Experiment = options.experiment
    with found_store(experiment) as store, bar(f"{experiment.name}: pairs") as advance:
        calibration = against_itself(experiment, store=watched(store, advance))
    options.answer.add(calibration=calibration)
    say(calibration)
    return 1 if calibration.alarms else 0


def simulate(options: argparse.Namespace) -> int:
    """Show how long the gates take, and how often they are wrong."""
    from shadoweval.evaluation.simulate import simulate_stored  # noqa: PLC0415 - this command alone needs it

    experiment: Experiment = options.experiment
    simulations: dict[str, object] = {}
    with found_store(experiment) as store:
        for name in experiment.candidates:
            with bar(f"{name}: streams") as advance:
                asked = {"effect": options.effect, "streams": options.streams}
                simulation = simulate_stored(experiment, store=store, candidate=name, **asked, progress=advance)
            simulations[name] = simulation
            say(f"{name}: {simulation}")
    options.answer.add(experiment=experiment.name, simulations=simulations)
    return 0
