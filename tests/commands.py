"""Commands without an interpreter of their own, which costs a second of a processor each time."""

import contextlib
import importlib
import io
import sys
from pathlib import Path
from subprocess import CompletedProcess

from shadoweval.cli.parser import main


def invoke(*arguments: str) -> CompletedProcess:
    """What `shadoweval` does in the current folder, in this process; modules of that folder are imported anew.

    A worker, and what is about logs, signals or imports, belongs into a process.
    """
    said, told = io.StringIO(), io.StringIO()
    importlib.invalidate_caches()
    before = set(sys.modules)
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
        code = main(arguments)
    here = Path().absolute()
    for name in set(sys.modules) - before:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).absolute().is_relative_to(here):
            del sys.modules[name]
    return CompletedProcess(["shadoweval", *arguments], code, said.getvalue(), told.getvalue())


def enter(folder, monkeypatch):
    """Be where a user types commands: in the project's folder, with no setting from outside."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)
    for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_STORE", "SHADOWEVAL_KILL"):
        monkeypatch.delenv(name, raising=False)
