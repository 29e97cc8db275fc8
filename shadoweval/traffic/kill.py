"""The kill switch: works without a control plane, and stops what is in flight.

An experiment is killed while any of these holds:

- this process called `KillSwitch.kill`, on whichever switch (seen by every switch's next call),
- the file `HOME/kill/NAME` or `HOME/kill/ALL` exists, whatever is in it (seen within `interval` of the next call),
- the kill folder can't be checked (unreadable counts as killed), or somebody else may write into `HOME`,
- `SHADOWEVAL_KILL` names it, among others separated by commas, or is `ALL` (seen by the next call),
- `also` says so, for instance a flag file with `kill = true`.

Every change is a line in `HOME/audit.jsonl`: who, when, old, new, reason. What was not done by `kill` or `resume` is
written there by the worker (`kill_audit`), with who unknown. `home` lies on a disk of the host: a check of
a network share takes as long as the network lets it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from shadoweval.clock import Seconds
from shadoweval.errors import ExperimentError
from shadoweval.private import open_to_others, private_folder, write_private

__all__ = ["ALL", "KillSwitch"]

ALL: Final = "ALL"
_INTERVAL: Final = 0.1
_log: Final = logging.getLogger("shadoweval.traffic")
_VARIABLE: Final = "SHADOWEVAL_KILL"
# CPython's own mapping behind os.environ: looking there at each call costs 60 ns, os.environ.get ten times as much.
_variables: Final[Any] = getattr(os.environ, "_data", os.environ)
_KEY: Final[Any] = os.environ.encodekey(_VARIABLE) if hasattr(os.environ, "encodekey") else _VARIABLE


class _Shared:
    """What the switches of this process share."""

    def __init__(self) -> None:
        self.changes = 0
        """Kills and resumes so far: a switch that saw fewer checks again."""
        self.kills: dict[str, bool] = {}
        """Kill files of this process's own kills -> whether the file could be written."""


_process: Final = _Shared()


class KillSwitch:
    """Kill, resume and check, for one experiment.

    `also` is asked at each check whether something else kills the experiment: a text is yes and says what does, raising
    means yes. A check of the file system is trusted for `interval` seconds. `home` need not exist.

    Raises:
        ExperimentError: a name that is no file name.
    """

    def __init__(
        self,
        experiment: str,
        *,
        home: Path,
        also: Callable[[str], bool | str | None] | None = None,
        interval: float = _INTERVAL,
        clock: Seconds = time.monotonic,
    ) -> None:
        if Path(experiment).name != experiment or experiment in {"", ".."}:
            raise ExperimentError(f"{experiment!r} can't be killed by a file: it is no file name.")
        self.experiment = experiment
        self.home = home.absolute()
        self._also = also
        self._interval = interval
        self._clock = clock
        self._seen: str | None = "it was not checked yet"
        self._checked = -float("inf")
        self._changes, self._named = -1, None
        self._folder = os.fspath(self.home)
        self._files = tuple(os.fspath(self.home / "kill" / name) for name in (experiment, ALL))

    @property
    def file(self) -> Path:
        """The kill file."""
        return Path(self._files[0])

    def killed(self) -> bool:
        """Whether mirroring is stopped. About two dictionary lookups between checks; a check is three `stat` calls."""
        now = self._clock()
        # Both ends: in a process that was restored from a snapshot the clock may stand before the last check.
        if (
            not 0.0 <= now - self._checked < self._interval
            or self._changes != _process.changes
            or self._named != _variables.get(_KEY)
        ):
            self._changes, self._named = _process.changes, _variables.get(_KEY)
            self._seen = self._check()
            self._checked = now
        return self._seen is not None

    def reason(self) -> str | None:
        """What kills it now; None: nothing does."""
        self._checked = -float("inf")
        self.killed()
        return self._seen

    def _check(self) -> str | None:
        others = open_to_others(self._folder)
        if others is not None:
            return f"the home {self._folder!r}: {others}; mend it with chmod go-w"
        why = _there(self._files[0])
        if why is None:
            written = _process.kills.get(self._files[0])
            if written:  # what we wrote is gone: another process resumed us
                _process.kills.pop(self._files[0], None)
            elif written is False:
                why = "this process killed it and could not write the kill file"
        return why or self._killed_otherwise()

    def _killed_otherwise(self) -> str | None:
        named = os.environ.get(_VARIABLE, "")
        if named and not {self.experiment, ALL}.isdisjoint(part.strip() for part in named.split(",")):
            return f"the environment's {_VARIABLE}={named}"
        if self.experiment != ALL:
            why = _there(self._files[1])
            if why is None and _process.kills.get(self._files[1]) is False:
                why = "this process killed ALL and could not write the kill file"
            if why is not None:
                return why
        try:
            also = self._also is not None and self._also(self.experiment)
        except Exception as error:  # noqa: BLE001 - can't say: fail closed
            return f"the flags can't say whether it is killed ({type(error).__name__}: {error})"
        return also if isinstance(also, str) and also else "the flags" if also else None

    def kill(self, reason: str = "", *, who: str | None = None) -> None:
        """Stop mirroring here at once, and in every process that shares `home` within `interval`.

        Raises:
            OSError: the kill file can't be written; this process is killed all the same.
        """
        from shadoweval.traffic.audit import add_to_audit, audit_entry  # noqa: PLC0415 - mirrors don't need it

        old = "killed" if self.killed() else "running"
        _process.kills[self._files[0]] = False
        _process.changes += 1
        line = audit_entry(self.experiment, old=old, new="killed", reason=reason, who=who)
        file = Path(self._files[0])
        private_folder(file.parent)
        write_private(file, json.dumps(line).encode() + b"\n")
        _process.kills[self._files[0]] = True
        _process.changes += 1  # the file is there now: no switch may go on with what it saw before
        try:
            add_to_audit(self.home, line)
        except OSError as error:  # the kill stands; only its line is missing
            _log.warning("A kill is not in the audit trail", extra={"line": line, "why": str(error)})

    def resume(self, reason: str = "", *, who: str | None = None) -> bool:
        """Take the kill back, here and in other processes. False: something else still kills it, as the audit says.

        Raises:
            OSError: the line can't be added to the audit trail or the kill file can't be removed: still killed.
        """
        from shadoweval.traffic.audit import add_to_audit, audit_entry  # noqa: PLC0415 - mirrors don't need it

        old = "killed" if self.killed() else "running"
        still = self._killed_otherwise()
        new = "running" if still is None else "killed"
        if still is not None:
            reason = f"{reason}; still killed by {still}" if reason else f"still killed by {still}"
        add_to_audit(self.home, audit_entry(self.experiment, old=old, new=new, reason=reason, who=who))
        try:
            Path(self._files[0]).unlink(missing_ok=True)
        except OSError as error:
            why = f"the kill file can't be removed: {error}"
            add_to_audit(self.home, audit_entry(self.experiment, old=new, new="killed", reason=why, who=who))
            raise
        _process.kills.pop(self._files[0], None)
        _process.changes += 1
        return not self.killed()


def _there(file: str) -> str | None:
    """Why a kill file kills; None: there is none."""
    try:
        os.lstat(file)
    except FileNotFoundError:
        return None
    except OSError as error:  # can't tell: fail closed
        return f"the kill file {file!r} can't be checked ({error.strerror})"
    return f"the file {file}"
