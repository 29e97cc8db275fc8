"""The commands and their options. Only those of the command that was typed are made; a module is loaded to run it."""

from __future__ import annotations

import argparse
from functools import partial

from shadoweval.cli.exit_codes import sentence

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Parser = argparse.ArgumentParser

__all__ = ["COMMANDS", "declare"]

_EXPERIMENT = "module:name of an Experiment, for instance evals.support:support"


def declare(commands: Any, wanted: str | None, **kind: Any) -> None:
    """Declare all commands, and the options of the `wanted` one; None: of all. `kind`: arguments of each parser."""
    for name, (module, text, options) in COMMANDS.items():
        meant = wanted in {None, name}
        command = commands.add_parser(name, help=text, add_help=meant, **kind)
        if not meant:
            continue
        command.description = text
        command.epilog = sentence(name)
        command.set_defaults(module=f"shadoweval.cli.{module}")
        options(command)
        if "--json" not in command._option_string_actions:  # noqa: SLF001 - what a parser has is not public
            command.add_argument("--json", action="store_true", help="say it as one line of JSON")


def _experiment(command: Parser) -> None:
    command.add_argument("experiment", help=_EXPERIMENT)


def _init(init: Parser) -> None:
    init.add_argument("--pipeline", metavar="MODULE:NAME", help="what answers (default: what is found)")
    init.add_argument("--name", help="of the experiment (default: the folder's)")


def _demo(demo: Parser) -> None:
    demo.add_argument("--out", metavar="DIR", default="shadoweval-demo", help="default: shadoweval-demo")


def _doctor(doctor: Parser) -> None:
    doctor.add_argument("target", nargs="?", metavar="experiment", help="its candidates are started, contained, too")


def _compare(compare: Parser) -> None:
    compare.add_argument("file", help="columns METRIC.incumbent and METRIC.candidate, or incumbent and candidate")
    several = partial(compare.add_argument, action="append", default=[])
    several("--scores", metavar="METRIC=COL,COL", help="which columns are the incumbent's and the candidate's")
    several("--better", metavar="METRIC=BY", help="the candidate must be better by more than this")
    several("--no-worse", metavar="METRIC=BY", help="it may be worse by less than this")
    several("--at-most", metavar="METRIC=VALUE", help="its own level; latency.p95=1.1x: times the incumbent's")
    several("--at-least", metavar="METRIC=VALUE", help="its own level")
    several("--range", metavar="METRIC=LOW:HIGH", help="what a value can be (default 0:1); 0: has no upper end")
    several("--lower-is-better", metavar="METRIC", help="of which less is better")
    compare.add_argument("--unit", metavar="COL", help="user or session (default: a column unit, user or session)")
    several("--slice", metavar="COL", help="parts of the traffic (default: columns with 2 to 20 different values)")
    compare.add_argument("--name", help="what is compared (default: the file's name)")
    compare.add_argument("--report", metavar="FILE", help="write an HTML report")


def _worker(worker: Parser) -> None:
    _experiment(worker)
    worker.add_argument("--until-idle", action="store_true", help="stop when nothing is left to do")
    idle = "on the application's cores: only while it leaves them free"
    worker.add_argument("--idle", action="store_true", help=idle)
    worker.add_argument("--processes", type=int, default=1, metavar="N", help="processes for each arm (default 1)")


def _switch(switch: Parser) -> None:
    switch.add_argument("name", help="name of the experiment, ALL, or module:name of an Experiment")
    switch.add_argument("--force", action="store_true", help="also where no such experiment is known")
    switch.add_argument("--reason", default="", help="goes into the audit trail")


def _evaluate(evaluate: Parser) -> None:
    _experiment(evaluate)
    evaluate.add_argument(
        "--since",
        metavar="TIME|SPAN",
        help="begin a window at a time, 2026-01-31T12:00Z, which later looks go by; or show the trend of the last 24h, "
        "7d, ... (default: the window begun last, else all)",
    )
    evaluate.add_argument("--new-window", action="store_true", help="begin a window now: what was asked before is over")
    evaluate.add_argument("--why", default="", metavar="TEXT", help="why a window is begun; kept and shown")
    evaluate.add_argument("--who", default="", metavar="NAME", help="who begins it (default: the user's name)")
    evaluate.add_argument("--cases", metavar="FILE", help="run both arms over a case file now, instead of live pairs")
    evaluate.add_argument("--closed", action="store_true", help="no more pairs will come: count open sessions too")
    evaluate.add_argument("--dry-run", action="store_true", help="say what judges would be asked and cost; ask nobody")
    evaluate.add_argument("--every", metavar="SPAN", help="again every 30m, 1h, ...; until stopped")
    _for_looks(evaluate)


def _report(report: Parser) -> None:
    _experiment(report)
    report.add_argument("--out", metavar="FILE", help="default: reports/NAME.html")
    against = "say in the HTML page what changed since an earlier one: its id, `previous`, a time, or 7d, ... ago"
    report.add_argument("--against", metavar="EARLIER", help=against)
    _for_writers(report)


def _explain(explain: Parser) -> None:
    _experiment(explain)
    explain.add_argument("--query", metavar="ID", help="say instead where the arms part on this query, and its scores")


def _simulate(simulate: Parser) -> None:
    _experiment(simulate)
    simulate.add_argument("--effect", type=float, default=0.0, metavar="D", help="true difference (default 0)")
    simulate.add_argument("--streams", type=int, default=200, metavar="N", help="simulated streams (default 200)")


def _for_looks(command: Parser) -> None:
    """Where the commands that evaluate write, and whom they tell."""
    command.add_argument("--report", metavar="DIR", help="write DIR/NAME.html")
    command.add_argument(
        "--webhook",
        metavar="URL",
        action="append",
        default=[],
        help="post changed decisions; `ps` shows it: SHADOWEVAL_WEBHOOK and the setting `webhook` are for secret ones",
    )
    _for_writers(command)


def _for_writers(command: Parser) -> None:
    """The options that say which files are written, and how."""
    text = "write the evaluation as JSON (docs/report.md); without FILE: say it as one line of JSON"
    command.add_argument("--json", metavar="FILE", nargs="?", const=True, help=text)
    command.add_argument("--junit", metavar="FILE", help="write the gates as JUnit XML")
    command.add_argument("--markdown", metavar="FILE", help="append the tables to FILE, e.g. $GITHUB_STEP_SUMMARY")
    command.add_argument(
        "--texts",
        choices=("none", "short", "full"),
        help="how much of users' words is written (default: full in HTML and JSON, none in JUnit, Markdown and lines)",
    )
    _mode(command)


def _mode(command: Parser) -> None:
    command.add_argument(
        "--mode",
        type=partial(int, base=8),
        default=0o600,
        metavar="OCTAL",
        help="who may read what is written: 644 for everybody (default 600: this user; it quotes queries)",
    )


def _rescore(rescore: Parser) -> None:
    _experiment(rescore)
    rescore.add_argument(
        "--metric",
        metavar="NAME",
        action="append",
        default=[],
        help="score it again also where its version has not changed (what the scorer calls has); more than once",
    )
    rescore.add_argument("--all", action="store_true", dest="everything", help="the same of all metrics")


def _schedule(schedule: Parser) -> None:
    _experiment(schedule)
    chosen = schedule.add_mutually_exclusive_group()
    chosen.add_argument("--list", action="store_true", help="show each schedule, its next time and its last runs")
    chosen.add_argument("--next", type=int, metavar="N", help="show the next N times")
    chosen.add_argument("--once", action="store_true", help="run what is due now and end: for cron, a CronJob, CI")
    _for_looks(schedule)
    looks = {"closed": False, "new_window": False, "who": "", "why": "", "since": None, "every": None, "cases": None}
    schedule.set_defaults(**looks)


def _alerts(alerts: Parser) -> None:
    alerts.add_argument("action", nargs="?", choices=["send", "test"], default="send", help="default: send")
    alerts.add_argument("experiment", help="module:name of an Experiment")
    alerts.add_argument("--webhook", metavar="URL", action="append", default=[], help="as for `evaluate`")
    chosen = alerts.add_mutually_exclusive_group()
    chosen.add_argument("--again", action="store_true", help="at once, those that were given up too")
    chosen.add_argument("--forget", action="store_true", help="owe none of them any more")


def _drill(drill: Parser) -> None:
    _experiment(drill)
    faults = ("raises", "slow", "wrong", "write", "crash")
    how = "how it fails: it raises, answers late, answers another question, tries to write, or its process ends"
    drill.add_argument("--fault", choices=faults, default="raises", help=f"{how} (default: raises)")
    drill.add_argument("--candidate", metavar="NAME", help="which one (default: the first)")
    drill.add_argument("--cases", metavar="FILE", help="what is asked (default: stored queries, else the labels' file)")
    drill.add_argument("--alert", action="store_true", help="tell the settings' receivers too, marked as a drill")


def _export(export: Parser) -> None:
    _experiment(export)
    export.add_argument("--out", metavar="FILE", help="default: stdout")
    export.add_argument("--format", choices=("jsonl", "csv"), help="default: by the file's name, else jsonl")
    export.add_argument("--candidate", metavar="NAME", action="append", default=[], help="default: all of them")
    export.add_argument("--since", metavar="TIME|SPAN", help="asked since 2026-01-31T12:00Z, or in the last 7d")
    how_much = "how much of users' words (default: full)"
    export.add_argument("--texts", choices=("none", "short", "full"), default="full", help=how_much)
    _mode(export)


def _labels(labels: Parser) -> None:
    _experiment(labels)
    labels.add_argument("cases", help="cases and marks, as JSON lines (docs/scorers.md); -: from stdin")


def _erase(erase: Parser) -> None:
    _experiment(erase)
    erase.add_argument("--unit", help="user or session id")
    erase.add_argument("--before", metavar="SPAN", help="also or instead: everything older, for instance 30d")


def _purge(purge: Parser) -> None:
    _experiment(purge)
    purge.add_argument("--before", metavar="SPAN", help="older than this instead, for instance 30d")


COMMANDS: Mapping[str, tuple[str, str, Callable[[Parser], None]]] = {
    "init": ("init", "Find this project's pipeline; write an experiment and its cases", _init),
    "demo": ("demo", "Shadow two tiny pipelines in a new folder: no model, no server, no key", _demo),
    "doctor": ("doctor", "Look at installation, home, store, guard and clock; change nothing", _doctor),
    "compare": ("compare", "Judge scores that you have already: a CSV file, a row a query", _compare),
    "worker": ("worker", "Run candidates on mirrored queries", _worker),
    "kill": ("control", "Stop mirroring and what is in flight", _switch),
    "resume": ("control", "Take a kill back", _switch),
    "evaluate": ("evaluation", "Score the pairs, decide, write a report", _evaluate),
    "report": ("stored", "Write the newest evaluation as HTML", _report),
    "explain": (
        "stored",
        "Say for each gate of the newest evaluation which numbers made it, by which formula",
        _explain,
    ),
    "calibrate": ("stored", "Compare the incumbent with itself: noise floor and false alarms", _experiment),
    "simulate": ("stored", "Show how long the gates take on this traffic, and how often they are wrong", _simulate),
    "rescore": (
        "stored",
        "Score what is stored again, by the scorers as they are now; no candidate is run",
        _rescore,
    ),
    "schedule": ("schedule", "Run what the experiment's schedules say at their times, each slot once", _schedule),
    "status": ("status", "Say whether it runs, what was mirrored, and what became of it", _experiment),
    "alerts": (
        "alerts",
        "Send the alerts that are owed, and say which ones no receiver took; or send each receiver a test",
        _alerts,
    ),
    "drill": ("drill", "Make a candidate fail, in a home of its own, and show who saw it", _drill),
    "export": ("export", "Write the stored pairs with their scores as JSON lines or CSV", _export),
    "labels": ("storage", "Join judgements, references and people's marks for answers that came later", _labels),
    "erase": ("storage", "Delete all that a user or session asked, and what was derived from it", _erase),
    "purge": (
        "storage",
        "Delete queries that are older than the settings' retention, and what was derived from them",
        _purge,
    ),
}
"""Name -> module of `shadoweval.cli` with a function of that name, what it does, and who adds its options."""
