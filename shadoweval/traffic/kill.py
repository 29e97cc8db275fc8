"""The kill switch: works without a control plane, and stops what is in flight.

An experiment is killed while any of these holds:

- this process called `KillSwitch.kill` (seen by the next call),
- the file `HOME/kill/NAME` or `HOME/kill/ALL` exists, whatever is in it (seen within `interval` of the next call),
- the kill folder can't be looked at (unreadable counts as killed),
- `SHADOWEVAL_KILL` names it, among others separated by commas, or is `ALL`,
- `also` says so, for instance a flag file with `kill = true`.

Every change is a line in `HOME/audit.jsonl`: who, when, old, new, reason. `home` lies on a disk of the host: a look at
a network share takes as long as the network lets it.
"""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from shadoweval.errors import ExperimentError
from shadoweval.traffic.audit import add_to_audit, audit_entry, audit_trail

__all__ = ["ALL", "KillSwitch", "audit_trail"]

ALL: Final = "ALL"
_INTERVAL: Final = 0.1
_log: Final = logging.getLogger("shadoweval.traffic")


class KillSwitch:
    """Kill, resume and look, for one experiment.

    Args:
        experiment: Name of the experiment.
        home: Folder of settings `home`; it need not exist.
        also: Asked at each look whether something else kills the experiment; raising means yes.
        interval: Seconds for which a look at the file system is trusted.
        clock: Monotonic seconds.

    Raises:
        ExperimentError: a name that is no file name.
    """

    def __init__(
        self,
        experiment: str,
        *,
        home: Path,
        also: Callable[[str], bool] | None = None,
        interval: float = _INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if Path(experiment).name != experiment or experiment in {"", ".."}:
            raise ExperimentError(f"{experiment!r} can't be killed by a file: it is no file name.")
        self.experiment = experiment
        self.home = home.absolute()
        self._also = also
        self._interval = interval
        self._clock = clock
        self._here = False
        self._written = False
        self._seen = True
        self._looked = -float("inf")
        self._files = tuple(os.fspath(self.home / "kill" / name) for name in (experiment, ALL))

    def killed(self) -> bool:
        """Whether mirroring is stopped. About a dictionary lookup between looks; a look is two `stat` calls."""
        now = self._clock()
        # Both ends: in a process that was restored from a snapshot the clock may stand before the last look.
        if not 0.0 <= now - self._looked < self._interval:
            self._seen = self._look()
            self._looked = now
        return self._here or self._seen

    def _look(self) -> bool:
        written = self._written
        file = _exists(self._files[0])
        if written and not file:  # what we wrote is gone: another process resumed us
            self._here = self._written = False
        return file or self._killed_otherwise()

    def _killed_otherwise(self) -> bool:
        named = os.environ.get("SHADOWEVAL_KILL", "")
        if named and not {self.experiment, ALL}.isdisjoint(part.strip() for part in named.split(",")):
            return True
        if self.experiment != ALL and _exists(self._files[1]):
            return True
        try:
            return self._also is not None and self._also(self.experiment)
        except Exception:  # noqa: BLE001 - can't say: fail closed
            return True

    def kill(self, reason: str = "", *, who: str | None = None) -> None:
        """Stop mirroring here at once, and in every process that shares `home` within `interval`.

        Raises:
            OSError: the kill file can't be written; this process is killed all the same.
        """
        old = "killed" if self.killed() else "running"
        self._here, self._written = True, False
        line = audit_entry(self.experiment, old=old, new="killed", reason=reason, who=who)
        file = Path(self._files[0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(line) + "\n", encoding="utf-8")
        self._written = True
        try:
            add_to_audit(self.home, line)
        except OSError as error:  # the kill stands; only its line is missing
            _log.warning("A kill is not in the audit trail", extra={"line": line, "why": str(error)})

    def resume(self, reason: str = "", *, who: str | None = None) -> bool:
        """Take the kill back, here and in other processes. False: something else still kills it, as the audit says.

        Raises:
            OSError: the line can't be added to the audit trail or the kill file can't be removed: still killed.
        """
        old = "killed" if self.killed() else "running"
        still = self._killed_otherwise()
        new = "killed" if still else "running"
        add_to_audit(self.home, audit_entry(self.experiment, old=old, new=new, reason=reason, who=who))
        try:
            Path(self._files[0]).unlink(missing_ok=True)
        except OSError as error:
            why = f"the kill file can't be removed: {error}"
            add_to_audit(self.home, audit_entry(self.experiment, old=new, new="killed", reason=why, who=who))
            raise
        self._here = self._written = False
        self._looked = -float("inf")
        return not self.killed()


def _exists(file: str) -> bool:
    try:
        os.lstat(file)
    except FileNotFoundError:
        return False
    except OSError:  # can't look: fail closed
        return True
    return True
