"""How a fork server is started: in the worker's own environment, or in the one that a `Target` names."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from shadoweval.candidate.environment import Target
from shadoweval.candidate.forkserver.beginning import environment
from shadoweval.candidate.forkserver.entering import Place, moved
from shadoweval.candidate.forkserver.interpreter import Interpreter, examined
from shadoweval.errors import TargetError
from shadoweval.priority import idling

if TYPE_CHECKING:
    from shadoweval.candidate.checkout import Checkout

__all__ = ["Launch", "elsewhere", "found", "here"]

_RUN: Final = (
    "import sys; sys.path[:] = {path!r}; "
    "from shadoweval.candidate.forkserver.server import main; main({descriptor}, {on_refusal}, parent={parent})"
)
_OF_ANOTHER: Final = frozenset({"PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__"})
"""Variables that would lead an interpreter into the worker's environment."""


class Launch(NamedTuple):
    """A command and what it is run with."""

    command: Callable[[int, int], list[str]]
    """Makes it, from the descriptors that `server.main` is given."""
    environment: Callable[[], dict[str, str]] = environment
    folder: str | None = None
    """The working folder; None: the worker's."""
    place: Place | None = None
    """What the fork server enters once it is contained; None: it is there."""
    remarks: tuple[str, ...] = ()
    """Where that is, in sentences for log, status and report."""
    checkout: Checkout | None = None

    def begin(self, descriptor: int, on_refusal: int | None) -> subprocess.Popen[bytes]:
        """The process, told by `descriptor` what to import. `on_refusal`: of its guard; None: there is none."""
        return subprocess.Popen(  # noqa: S603 - an interpreter and our own module
            self.command(descriptor, -1 if on_refusal is None else on_refusal),
            pass_fds=(descriptor,) if on_refusal is None else (descriptor, on_refusal),
            env=self.environment(),
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=not idling(),
            process_group=0 if idling() else None,
        )

    def release(self) -> None:
        """It is started no more: what it holds may be removed."""
        if self.checkout is not None:
            self.checkout.release()


def here() -> Launch:
    """In the worker's own environment."""

    def command(descriptor: int, on_refusal: int) -> list[str]:
        code = _RUN.format(path=_own_path(), descriptor=descriptor, on_refusal=on_refusal, parent=os.getpid())
        return [sys.executable, "-c", code]

    return Launch(command)


def elsewhere(target: Target, checkouts: Path) -> Launch:
    """In the environment of `target`: its commit is read and checked out, its environment made where it is asked for.

    Raises:
        TargetError: it can't be had.
    """
    checkout = None if target.git is None else _checked_out(target, checkouts)
    try:
        python = None if checkout is None else checkout.python
        interpreter = examined(target.address, python or target.interpreter() or sys.executable)
        place = _place(target, checkout, inherited=_own_path() if target.python is None and python is None else [])
    except BaseException:
        if checkout is not None:
            checkout.release()
        raise
    return Launch(
        interpreter.command,
        environment=lambda: _environment(interpreter),
        folder=place.path[0] if checkout is None else _working_folder(place),
        place=place,
        remarks=tuple(_remarks(target, interpreter, checkout)),
        checkout=checkout,
    )


async def found(find: Callable[[], Launch]) -> Launch:
    """What `find` finds, in a thread where it may take long; let go again where nobody waits for it any more."""
    if find is here:
        return here()
    finding = asyncio.create_task(asyncio.to_thread(find))
    try:
        return await asyncio.shield(finding)
    except asyncio.CancelledError:
        finding.add_done_callback(_let_go)
        raise


def _let_go(finding: asyncio.Task[Launch]) -> None:
    if not finding.cancelled() and finding.exception() is None:
        finding.result().release()


def _checked_out(target: Target, checkouts: Path) -> Checkout:
    from shadoweval.candidate.checkout import checked_out  # noqa: PLC0415 - few targets are of a commit

    return checked_out(target, checkouts)


def _place(target: Target, checkout: Checkout | None, *, inherited: list[str]) -> Place:
    if checkout is None:
        return Place(_folders(target, Path.cwd()) or [str(Path.cwd())], inherited)
    place = Place(_folders(target, checkout.tree), inherited, checkout.root, str(checkout.tree))
    last = dict.fromkeys((_working_folder(place), place.tree))
    return msgspec.structs.replace(place, path=[*place.path, *last], versions={"commit": checkout.commit[:12]})


def _working_folder(place: Place) -> str:
    """The worker's, as it is in the commit; the commit's own where the worker is elsewhere."""
    folder = moved(os.getcwd(), place)  # noqa: PTH109 - a text, as the others
    return folder if Path(folder).is_relative_to(place.tree) else place.tree


def _folders(target: Target, base: Path) -> list[str]:
    """What `path` names."""
    folders = [os.path.normpath(base / each) for each in target.folders]
    for named, folder in zip(target.folders, folders, strict=True):
        if not os.path.isdir(folder):  # noqa: PTH112 - texts, as in sys.path
            where = "there" if target.git is None else f"in {target.git!r}"
            raise TargetError(target.address, f"there is no folder {named!r} {where}", mend="Correct path=.")
    return folders


def _own_path() -> list[str]:
    return [os.path.abspath(entry) for entry in sys.path]  # noqa: PTH100 - as the import system does


def _environment(interpreter: Interpreter) -> dict[str, str]:
    variables = {name: value for name, value in environment().items() if name not in _OF_ANOTHER}
    home = Path(interpreter.executable).parent.parent
    if (home / "pyvenv.cfg").exists():
        path = variables.get("PATH", os.defpath)
        variables |= {"VIRTUAL_ENV": str(home), "PATH": f"{home / 'bin'}{os.pathsep}{path}"}
    return variables


def _remarks(target: Target, interpreter: Interpreter, checkout: Checkout | None) -> list[str]:
    where = f"runs in {interpreter.executable} (Python {interpreter.version})"
    if checkout is None:
        return [where]
    return [f"{where}, commit {checkout.commit[:12]} ({target.git})", *checkout.remarks]
