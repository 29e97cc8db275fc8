"""The commands `kill` and `resume`. They load little, since whoever types them is in a hurry."""

from __future__ import annotations

import argparse
import difflib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shadoweval.cli.output import say
from shadoweval.errors import ShadowEvalError
from shadoweval.settings import Settings, read_settings
from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.kill import ALL, KillSwitch

__all__ = ["endings", "kill", "resume", "traces"]

_CANNOT: Final = 4
_LOCKS: Final = ("worker-", "evaluate-")


def kill(options: argparse.Namespace) -> int:
    """Stop mirroring, and what is in flight."""
    switch = _switch(options)
    switch.kill(options.reason)
    options.answer.add(name=options.name, killed_by=f"the file {switch.file}")
    say(f"{options.name}: killed by {switch.file}. Resume with: shadoweval resume {options.name}")
    return 0


def resume(options: argparse.Namespace) -> int:
    """Take a kill back."""
    from shadoweval.worker.resting import forget_slowed  # noqa: PLC0415 - a kill needs none of it

    switch = _switch(options)
    unslowed = forget_slowed(switch.home, switch.experiment)
    if unslowed:
        say(f"{options.name}: its worker may run as much as it can again")
    resumed = switch.resume(options.reason)
    options.answer.add(name=options.name, killed_by=None if resumed else switch.reason(), unslowed=unslowed)
    if resumed:
        say(f"{options.name}: running, {switch.file} is gone")
        return 0
    say(f"{options.name}: STILL KILLED by {switch.reason()}")
    return _CANNOT


def endings() -> list[signal.Signals]:
    """Signals that ask a command to end in order; a closed terminal's too, unless `nohup` said to ignore it."""
    asked = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32" and signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        asked.append(signal.SIGHUP)
    return asked


def _switch(options: argparse.Namespace) -> KillSwitch:
    if ":" in options.name:  # the definition itself, with the flags that were given to it
        from shadoweval.worker.opening import load_experiment  # noqa: PLC0415 - loads the user's module

        return load_experiment(options.name).admission.switch
    settings = read_settings()
    also = StaticFlags(settings.flags).kill_reason if settings.flags else None
    switch = KillSwitch(options.name, home=settings.folder, also=also)
    if not options.force:
        _check(options.name, settings, command=options.command)
    return switch


def _check(name: str, settings: Settings, *, command: str) -> None:
    home = settings.folder
    known = set(traces(home)) - {ALL}
    if name in known or (name == ALL and known):
        return
    mend = (
        f"Nothing was changed. Run it where the application runs, or set SHADOWEVAL_HOME to its folder; "
        f"`shadoweval {command} {name} --force` writes all the same."
    )
    if not known:
        raise ShadowEvalError(f"No experiment has mirrored or run anything in {str(home)!r}. {mend}")
    close = difflib.get_close_matches(name, known, n=3)
    listed = ", ".join(map(repr, close or sorted(known)))
    hint = f"Did you mean {listed}?" if close else f"It has: {listed}."
    raise ShadowEvalError(f"There is no experiment {name!r} in {str(home)!r}. {hint} {mend}")


def traces(home: Path) -> Iterator[str]:
    """Names of the experiments that left something in a home: a spool, a kill file, a lock, a budget."""
    for path in _inside(home / "spool"):
        if path.is_dir():
            yield path.name
    for folder in ("kill", "throttled"):
        yield from (path.name for path in _inside(home / folder))
    for path in _inside(home / "budget"):
        yield path.name.rpartition(".")[0]
    for path in _inside(home):
        for begin in _LOCKS:
            if path.name.startswith(begin) and path.suffix == ".lock":
                yield path.name.removeprefix(begin).removesuffix(".lock")


def _inside(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
