"""The command `shadoweval`: docs/command-line.md has its exit codes (`exit_codes.py`) and what `--json` prints."""

from __future__ import annotations

import argparse
import os
import sys
from functools import partial

import shadoweval
from shadoweval.cli.commands import declare
from shadoweval.cli.exit_codes import CANNOT, INTERRUPTED

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, NoReturn

__all__ = ["main"]

_ABOUT = "Shadow evaluation of LLM, RAG and agent pipelines: mirror live queries into a candidate, get a verdict."


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Argparse ends with 2, which means here that the evidence is wrong."""
        from shadoweval.cli.output import inert  # noqa: PLC0415 - most lines are understood

        self.print_usage(sys.stderr)
        self.exit(CANNOT, f"{self.prog}: {inert(message)}\n")


def _parser(wanted: str | None = None) -> _Parser:
    """The parser, with the options of the `wanted` command alone; None: of all."""
    kind: dict[str, Any] = {"formatter_class": partial(argparse.HelpFormatter, width=_width())}
    parser = _Parser(prog="shadoweval", description=_ABOUT, **kind)
    parser.add_argument("--version", action="version", version=f"shadoweval {shadoweval.__version__}")
    parser.add_argument("--debug", action="store_true", help="show where a fault comes from")
    parser.add_argument("-v", "--verbose", action="store_true", help="log more")
    declare(parser.add_subparsers(dest="command", required=True, metavar="COMMAND"), wanted, **kind)
    return parser


def _width() -> int:
    """Columns of the terminal, as argparse takes them: `shutil`, which it asks, loads four compressors."""
    try:
        columns = int(os.environ.get("COLUMNS", "0")) or os.get_terminal_size().columns
    except (OSError, ValueError):
        columns = 80
    return max(columns, 20) - 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    wanted = next((each for each in arguments if not each.startswith("-")), "")
    options = _parser(wanted).parse_args(arguments)
    from contextlib import nullcontext, redirect_stdout  # noqa: PLC0415 - `--help` needs none of these

    from shadoweval.cli.logs import log_to_stderr  # noqa: PLC0415 - `logging` is as much as all the rest together
    from shadoweval.cli.output import Answer  # noqa: PLC0415 - as above

    log_to_stderr(verbose=options.verbose)
    asked = options.json is True
    options.answer = Answer(options.command, sys.stdout if asked else None)
    with redirect_stdout(sys.stderr) if asked else nullcontext():  # whoever prints: a line for programs stands alone
        code, why = _carried_out(options)
    try:
        options.answer.write(code, error=why)
    except BrokenPipeError:
        return _unread()
    return code


def _carried_out(options: Any) -> tuple[int, str]:
    """The exit code, and why it can't be carried out."""
    from shadoweval.cli.output import inert  # noqa: PLC0415 - see `main`

    try:
        return _run(options), ""
    except BrokenPipeError:
        return _unread(), ""
    except KeyboardInterrupt:
        return INTERRUPTED, ""
    except SystemExit as error:  # a user's module that ends by itself: its code would be taken for a verdict
        why = f"a module that was loaded ended the process (SystemExit: {error}). Guard that by __name__ == '__main__'."
        trace = _trace(error)
    except Exception as error:  # noqa: BLE001 - Python would end with 1, which means rollback
        why, trace = _why(error), _trace(error)
    shown = f"\n{trace}" if options.debug else ""
    print(inert(f"shadoweval {options.command}: {why}{shown}"), file=sys.stderr)
    return CANNOT, why


def _run(options: Any) -> int:
    from importlib import import_module  # noqa: PLC0415 - see `main`

    run = getattr(import_module(options.module), options.command)
    if hasattr(options, "experiment"):
        from shadoweval.worker.opening import load_experiment  # noqa: PLC0415 - see `main`

        options.target, options.experiment = options.experiment, load_experiment(options.experiment)
    return run(options)


def _unread() -> int:
    """Whoever read what was printed (`| head`) has gone: nothing more is printed, by Python's own end either."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno() if sys.__stdout__ else 1)
    return CANNOT


def _why(error: Exception) -> str:
    """One line: our own message, what can't be used, a missing extra by its name; or a fault, and how to see where."""
    from shadoweval.errors import ShadowEvalError  # noqa: PLC0415 - see `main`

    if isinstance(error, ShadowEvalError):
        return str(error)
    if isinstance(error, OSError):
        return _where(error)
    if isinstance(error, ModuleNotFoundError):
        from shadoweval._optional import missing_extra  # noqa: PLC0415 - nothing else needs it

        named = missing_extra(error, needed_for="This command")
        if named is not None:
            return str(named)
    where = "It is a fault of shadoweval, or of a module that it loaded"
    return f"{type(error).__name__}: {error}. {where}; `shadoweval --debug ...` shows where."


def _trace(error: BaseException) -> str:
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
