"""The kill switch: works without a control plane, and stops what is in flight.

An experiment is killed while any of these holds:

- this process called `KillSwitch.kill` (seen by the next call),
- the file `HOME/kill/NAME` or `HOME/kill/ALL` exists, whatever is in it (seen within `interval` of the next call),
- the kill folder can't be looked at (unreadable counts as killed),
- `SHADOWEVAL_KILL` names it, among others separated by commas, or is `ALL`.

Every change is a line in `HOME/audit.jsonl`: who, when, old, new, reason.
"""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

__all__ = ["ALL", "KillSwitch", "audit_trail"]

ALL: Final = "ALL"
_INTERVAL: Final = 0.1


class KillSwitch:
    """Kill, resume and look, for one experiment.

    Args:
        experiment: Name of the experiment.
        home: Folder of settings `home`; it need not exist.
        interval: Seconds for which a look at the file system is trusted.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        experiment: str,
        *,
        home: Path,
        interval: float = _INTERVAL,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.experiment = experiment
        self.home = home
        self._interval = interval
        self._clock = clock
        self._here = False
        self._seen = True
        self._look_again = -1.0
        self._files = tuple(os.fspath(home / "kill" / name) for name in (experiment, ALL))

    def killed(self) -> bool:
        """Whether mirroring is stopped. About a dictionary lookup between looks; a look is two `stat` calls."""
        now = self._clock()
        if now >= self._look_again:
            self._seen = self._look()
            self._look_again = now + self._interval
        return self._here or self._seen

    def _look(self) -> bool:
        named = os.environ.get("SHADOWEVAL_KILL", "")
        if named and not {self.experiment, ALL}.isdisjoint(part.strip() for part in named.split(",")):
            return True
        for file in self._files:
            try:
                os.lstat(file)
            except FileNotFoundError:
                continue
            except OSError:  # can't look: fail closed
                return True
            return True
        return False

    def kill(self, reason: str = "", *, who: str | None = None) -> None:
        """Stop mirroring here at once, and in every process that shares `home` within `interval`.

        Raises:
            OSError: the kill file can't be written; this process is killed all the same.
        """
        before, self._here = self.killed(), True
        line = self._entry("killed", before=before, reason=reason, who=who)
        file = Path(self._files[0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(line) + "\n", encoding="utf-8")
        self._audit(line)

    def resume(self, reason: str = "", *, who: str | None = None) -> bool:
        """Take the kill back. False where the environment or `ALL` still kills it; the audit line says so.

        Raises:
            OSError: the kill file can't be removed.
        """
        before = self.killed()
        Path(self._files[0]).unlink(missing_ok=True)
        self._here, self._look_again = False, -1.0
        still = self.killed()
        self._audit(self._entry("killed" if still else "running", before=before, reason=reason, who=who))
        return not still

    def _entry(self, new: str, *, before: bool, reason: str, who: str | None) -> dict[str, Any]:
        return {
            "when": datetime.now(UTC).isoformat(),
            "who": who or _user(),
            "experiment": self.experiment,
            "old": "killed" if before else "running",
            "new": new,
            "reason": reason,
        }

    def _audit(self, line: dict[str, Any]) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        with (self.home / "audit.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"


def audit_trail(home: Path) -> list[dict[str, Any]]:
    """Every recorded change of a switch, oldest first; lines that can't be read are kept as `{"unreadable": ...}`."""
    file = home / "audit.jsonl"
    if not file.exists():
        return []
    entries: list[dict[str, Any]] = []
    for line in file.read_text(encoding="utf-8").splitlines():
        try:
            entries.append(json.loads(line))
        except ValueError:
            entries.append({"unreadable": line})
    return entries
