"""The command `demo`: two tiny pipelines in a folder of their own, shadowed and judged by commands that one types."""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Final

from shadoweval._optional import require
from shadoweval.cli.output import say
from shadoweval.errors import ShadowEvalError

__all__ = ["demo"]

_PIPELINES: Final = {"library": 0, "shop": 1}
"""Name -> exit code of its verdict: the library's candidate is better, the shop's would give money away."""
_FILES: Final = ("library.py", "books.jsonl", "library.jsonl", "shop.py")


def demo(options: argparse.Namespace) -> int:
    """Serve, shadow, judge; 0 where both verdicts came out as they must and the till holds the incumbent's lines alone.

    Raises:
        ShadowEvalError: a folder with something else in it, or a step that failed.
        MissingExtraError: the extra `store` is not installed.
    """
    for module in ("sqlmodel", "scipy", "jinja2"):
        require(module, extra="store", needed_for="The demo")
    began, folder = time.monotonic(), Path(options.out).absolute()
    _prepare(folder)
    say(f"Two tiny pipelines lie in {folder}. The commands below are run there; type them yourself as you like.")
    _together([f'python -c "import {name}; print({name}.serve())"' for name in _PIPELINES], folder, good=[0])
    _together([f"shadoweval worker {name}:{name} --until-idle" for name in _PIPELINES], folder, good=[0])
    looks = [f"shadoweval evaluate {name}:{name} --closed --report reports" for name in _PIPELINES]
    codes = _together(looks, folder, good=[0, 1, 2, 3])
    refunds = (folder / "refunds.csv").read_text(encoding="utf-8").count("\n")
    say(f"\nThe shop's till holds {refunds} refunds: the incumbent's. What the candidate paid, it paid in a shadow.")
    reports = [str(folder / "reports" / f"{name}.html") for name in _PIPELINES]
    say(f"Reports: {', '.join(reports)}")
    decided = dict(zip(_PIPELINES, codes, strict=True))
    options.answer.add(folder=str(folder), refunds=refunds, reports=reports, exit_codes=decided)
    say(f"Read library.py and shop.py, change a line, and look again. ({time.monotonic() - began:.0f} s)")
    if codes != list(_PIPELINES.values()):
        raise ShadowEvalError("The better library must be promoted and the generous shop rolled back. This is a fault.")
    return 0


def _prepare(folder: Path) -> None:
    """The files of both pipelines in a folder that is new, empty or an earlier demo's."""
    inside = {path.name for path in folder.iterdir()} if folder.is_dir() else set[str]()
    if inside and not inside >= set(_FILES):
        raise ShadowEvalError(
            f"{str(folder)!r} holds other files. Name a folder that is new: shadoweval demo --out DIR"
        )
    for old in (".shadoweval", "reports", "__pycache__"):
        shutil.rmtree(folder / old, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    for name in _FILES:
        (folder / name).write_bytes((resources.files("shadoweval") / "demo" / name).read_bytes())


def _together(commands: Sequence[str], folder: Path, *, good: Sequence[int]) -> list[int]:
    """Run lines as they are shown, at the same time and by this interpreter; what each says follows it."""
    begun = [_begun(command, folder) for command in commands]
    codes: list[int] = []
    for command, process in zip(commands, begun, strict=True):
        output, _ = process.communicate()
        say(f"\n$ {command}\n{output.rstrip()}")
        codes.append(process.returncode)
    for command, code in zip(commands, codes, strict=True):
        if code not in good:
            raise ShadowEvalError(f"`{command}` ended with {code}; what it says stands above.")
    return codes


def _begun(command: str, folder: Path) -> subprocess.Popen[str]:
    program, *rest = shlex.split(command)
    module = ["-m", "shadoweval"] if program == "shadoweval" else []
    line = [sys.executable, *module, *rest]
    return subprocess.Popen(  # noqa: S603 - our own lines
        line, cwd=folder, env=_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _environment() -> Mapping[str, str]:
    """Without the settings of a real experiment: the demo must not write into its home."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SHADOWEVAL_")}
