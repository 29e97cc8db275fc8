"""The command `shadoweval`.

Exit codes: 0 promote or done, 1 rollback, 2 hold because something is wrong with the evidence, 3 hold because nothing
is proven yet, 4 the command can't be carried out (the message says why and how to mend it). `status` ends with 0 where
all is well, 1 where there is an alarm, 3 where nothing was ever mirrored into this home.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import Any, Final, NoReturn

import shadoweval
from shadoweval.errors import ShadowEvalError

__all__ = ["main"]

_CANNOT: Final = 4
_ABOUT: Final = (
    "Shadow evaluation of LLM, RAG and agent pipelines: mirror live queries into a candidate, get a verdict."
)


_Declare = Callable[..., argparse.ArgumentParser]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Argparse ends with 2, which means here that the evidence is wrong."""
        self.print_usage(sys.stderr)
        self.exit(_CANNOT, f"{self.prog}: {message}\n")


def _parser() -> _Parser:
    parser = _Parser(prog="shadoweval", description=_ABOUT)
    parser.add_argument("--version", action="version", version=f"shadoweval {shadoweval.__version__}")
    parser.add_argument("--debug", action="store_true", help="show where a fault comes from")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    parts = (_init, _demo, _doctor, _compare, _worker, _control, _evaluation, _rescore, _schedule, _status, _storage)
    for declared_in in parts:
        declared_in(partial(_declare, commands, declared_in.__name__.strip("_")))
    return parser


def _declare(commands: Any, module: str, name: str, text: str, *, experiment: bool = True) -> argparse.ArgumentParser:  # noqa: PLR0917 - the first two are bound
    """Declare a command that `shadoweval.cli.<module>` carries out; it is imported once one of them was typed."""
    command = commands.add_parser(name, help=text, description=text)
    command.set_defaults(module=f"shadoweval.cli.{module}")
    if experiment:
        command.add_argument("experiment", help="module:name of an Experiment, for instance evals.support:support")
    return command


def _init(declare: _Declare) -> None:
    init = declare("init", "Find this project's pipeline; write an experiment and its cases", experiment=False)
    init.add_argument("--pipeline", metavar="MODULE:NAME", help="what answers (default: what is found)")
    init.add_argument("--name", help="of the experiment (default: the folder's)")


def _demo(declare: _Declare) -> None:
    demo = declare("demo", "Shadow two tiny pipelines in a new folder: no model, no server, no key", experiment=False)
    demo.add_argument("--out", metavar="DIR", default="shadoweval-demo", help="default: shadoweval-demo")


def _doctor(declare: _Declare) -> None:
    doctor = declare("doctor", "Look at installation, home, store, guard and clock; change nothing", experiment=False)
    doctor.add_argument("target", nargs="?", metavar="experiment", help="its candidates are started, contained, too")
    doctor.add_argument("--json", action="store_true", help="as one line of JSON")
    doctor.epilog = "Exit codes: 0 nothing is wrong, 1 something is, 4 as ever."


def _compare(declare: _Declare) -> None:
    compare = declare("compare", "Judge scores that you have already: a CSV file, a row a query", experiment=False)
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
    compare.add_argument("--json", action="store_true", help="the evaluation as one line of JSON")
    compare.epilog = "Exit codes: 0 promote, 1 rollback, 2 held by an error, 3 undecided, 4 as ever."


def _worker(declare: _Declare) -> None:
    worker = declare("worker", "Run candidates on mirrored queries")
    worker.add_argument("--until-idle", action="store_true", help="stop when nothing is left to do")
    worker.add_argument(
        "--idle", action="store_true", help="on the application's cores: only while it leaves them free"
    )
    worker.add_argument("--processes", type=int, default=1, metavar="N", help="processes for each arm (default 1)")


def _control(declare: _Declare) -> None:
    for name, text in (("kill", "Stop mirroring and what is in flight"), ("resume", "Take a kill back")):
        switch = declare(name, text, experiment=False)
        switch.add_argument("name", help="name of the experiment, ALL, or module:name of an Experiment")
        switch.add_argument("--force", action="store_true", help="also where no such experiment is known")
        switch.add_argument("--reason", default="", help="goes into the audit trail")


def _evaluation(declare: _Declare) -> None:
    evaluate = declare("evaluate", "Score the pairs, decide, write a report")
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
    evaluate.add_argument("--every", metavar="SPAN", help="again every 30m, 1h, ...; until stopped")
    _for_looks(evaluate)
    report = declare("report", "Write the newest evaluation as HTML")
    report.add_argument("--out", metavar="FILE", help="default: reports/NAME.html")
    _for_writers(report)
    explain = declare("explain", "Say for each gate of the newest evaluation which numbers made it, by which formula")
    explain.add_argument("--query", metavar="ID", help="say instead where the arms part on this query, and its scores")
    declare("calibrate", "Compare the incumbent with itself: noise floor and false alarms")
    simulate = declare("simulate", "Show how long the gates take on this traffic, and how often they are wrong")
    simulate.add_argument("--effect", type=float, default=0.0, metavar="D", help="true difference (default 0)")
    simulate.add_argument("--streams", type=int, default=200, metavar="N", help="simulated streams (default 200)")


def _for_looks(command: argparse.ArgumentParser) -> None:
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


def _for_writers(command: argparse.ArgumentParser) -> None:
    """The options that say which files are written, and how."""
    command.add_argument("--json", metavar="FILE", help="write the evaluation as JSON (docs/report.md)")
    command.add_argument("--junit", metavar="FILE", help="write the gates as JUnit XML")
    command.add_argument("--markdown", metavar="FILE", help="append the tables to FILE, e.g. $GITHUB_STEP_SUMMARY")
    command.add_argument(
        "--texts",
        choices=("none", "short", "full"),
        help="how much of users' words is written (default: full in HTML and JSON, none in JUnit and Markdown)",
    )
    command.add_argument(
        "--mode",
        type=partial(int, base=8),
        default=0o600,
        metavar="OCTAL",
        help="who may read what is written: 644 for everybody (default 600: this user; it quotes queries)",
    )


def _rescore(declare: _Declare) -> None:
    rescore = declare("rescore", "Score what is stored again, by the scorers as they are now; no candidate is run")
    rescore.add_argument(
        "--metric",
        metavar="NAME",
        action="append",
        default=[],
        help="score it again also where its version has not changed (what the scorer calls has); more than once",
    )
    rescore.add_argument("--all", action="store_true", dest="everything", help="the same of all metrics")
    rescore.epilog = "Exit codes: 0 done, 2 a scorer failed at some pairs, 3 there are no pairs, 4 as ever."
    rescore.set_defaults(module="shadoweval.cli.evaluation")


def _schedule(declare: _Declare) -> None:
    schedule = declare("schedule", "Run what the experiment's schedules say at their times, each slot once")
    chosen = schedule.add_mutually_exclusive_group()
    chosen.add_argument("--list", action="store_true", help="show each schedule, its next time and its last runs")
    chosen.add_argument("--next", type=int, metavar="N", help="show the next N times")
    chosen.add_argument("--once", action="store_true", help="run what is due now and end: for cron, a CronJob, CI")
    _for_looks(schedule)
    schedule.set_defaults(
        module="shadoweval.cli.schedule",
        closed=False,
        new_window=False,
        who="",
        why="",
        since=None,
        every=None,
        cases=None,
    )
    schedule.epilog = (
        "Exit codes of --once: as `evaluate`'s where there was a verdict, 4 a run failed, 0 nothing was due."
    )


def _status(declare: _Declare) -> None:
    status = declare("status", "Say whether it runs, what was mirrored, and what became of it")
    status.add_argument("--json", action="store_true", help="for monitors: all of it as one line of JSON")
    text = "Send the alerts that are owed, and say which ones no receiver took; or send each receiver a test"
    alerts = declare("alerts", text, experiment=False)
    alerts.add_argument("action", nargs="?", choices=["send", "test"], default="send", help="default: send")
    alerts.add_argument("experiment", help="module:name of an Experiment")
    alerts.set_defaults(module="shadoweval.cli.alerts")
    alerts.add_argument("--webhook", metavar="URL", action="append", default=[], help="as for `evaluate`")
    chosen = alerts.add_mutually_exclusive_group()
    chosen.add_argument("--again", action="store_true", help="at once, those that were given up too")
    chosen.add_argument("--forget", action="store_true", help="owe none of them any more")
    alerts.epilog = "Exit codes: 0 nothing is owed (test: all took it), 1 something is (one did not), 4 as ever."
    status.epilog = "Exit codes: 0 well, 1 there is an alarm, 3 nothing was ever mirrored into this home, 4 as ever."


def _storage(declare: _Declare) -> None:
    labels = declare("labels", "Join judgements, references and people's marks for answers that came later")
    labels.add_argument("cases", help="cases and marks, as JSON lines (docs/scorers.md)")
    erase = declare("erase", "Delete all that a user or session asked, and what was derived from it")
    erase.add_argument("--unit", help="user or session id")
    erase.add_argument("--before", metavar="SPAN", help="also or instead: everything older, for instance 30d")
    purge = declare(
        "purge", "Delete queries that are older than the settings' retention, and what was derived from them"
    )
    purge.add_argument("--before", metavar="SPAN", help="older than this instead, for instance 30d")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    options = _parser().parse_args(arguments)
    from shadoweval.cli.logs import log_to_stderr  # noqa: PLC0415 - `logging` is as much as all the rest together

    log_to_stderr(verbose=options.verbose)
    try:
        run: Callable[[Any], int] = getattr(import_module(options.module), options.command)
        if hasattr(options, "experiment"):
            from shadoweval.worker.opening import load_experiment  # noqa: PLC0415

            options.target, options.experiment = options.experiment, load_experiment(options.experiment)
        return run(options)
    except ShadowEvalError as error:
        print(f"shadoweval {options.command}: {error}", file=sys.stderr)
        return _CANNOT
    except OSError as error:
        print(f"shadoweval {options.command}: {_where(error)}", file=sys.stderr)
        return _CANNOT
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - Python would end with 1, which means rollback
        print(f"shadoweval {options.command}: {_fault(error, debug=options.debug)}", file=sys.stderr)
        return _CANNOT


def _fault(error: Exception, *, debug: bool) -> str:
    """A missing extra by its name; anything else in one line, or with its traceback."""
    if isinstance(error, ModuleNotFoundError):
        from shadoweval._optional import missing_extra  # noqa: PLC0415 - nothing else needs it

        named = missing_extra(error, needed_for="This command")
        if named is not None:
            return str(named)
    if not debug:
        where = "It is a fault of shadoweval, or of a module that it loaded"
        return f"{type(error).__name__}: {error}. {where}; `shadoweval --debug ...` shows where."
    import traceback  # noqa: PLC0415 - nothing else needs it

    return "".join(traceback.format_exception(error)).rstrip()


def _where(error: OSError) -> str:
    """What can't be used, with its absolute path, and what to do."""
    if error.filename is None:
        return str(error)
    return (
        f"{os.path.abspath(error.filename)!r} can't be used: {error.strerror}. "  # noqa: PTH100 - may be bytes
        "Is `home` (shadoweval.toml, SHADOWEVAL_HOME) a folder that this user may write to?"
    )
