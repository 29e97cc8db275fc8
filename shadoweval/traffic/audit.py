"""The audit trail: a line of JSON for every change of a switch or a ladder in `HOME/audit.jsonl`.

Where it can't be read or written an OSError says so.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, cast

from shadoweval.private import open_private, private_folder

__all__ = ["add_missing", "add_to_audit", "audit_entry", "locked", "user_name"]

_LATELY: Final = timedelta(seconds=2)
_PATIENCE: Final = 5.0
_LOOK: Final = 0.01


def audit_entry(
    experiment: str, *, old: str, new: str, reason: str, who: str | None = None, when: datetime | None = None
) -> dict[str, Any]:
    """A line: who (default: the user of this process), when (default: now), old, new and why."""
    return {
        "when": (when or datetime.now(UTC)).isoformat(),
        "who": who or user_name(),
        "experiment": experiment,
        "old": old,
        "new": new,
        "reason": str(reason),  # whatever it was given, a kill is not refused for its reason
    }


def add_to_audit(home: Path, entry: dict[str, Any]) -> None:
    """Append a line, whole, in one write: processes don't tear each other's lines."""
    private_folder(home)
    descriptor = open_private(home / "audit.jsonl", os.O_RDWR | os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        torn = size > 0 and os.pread(descriptor, 1, size - 1) != b"\n"  # a writer died in the middle of its line
        os.write(descriptor, (b"\n" if torn else b"") + json.dumps(entry).encode() + b"\n")
    finally:
        os.close(descriptor)


def add_missing(home: Path, entry: dict[str, Any], *, seen: datetime) -> bool:
    """Append a line, unless the experiment's state is what the trail says already. Returns whether it was added.

    Auditors of several processes wait for each other, so that one change is one line.

    A line of the two seconds before `seen`, or of later, may be about the same change already.
    """
    with locked(home / "audit.lock"):
        lines = [line for line in audit_trail(home) if line.get("experiment") == entry["experiment"]]
        state = lines[-1].get("new") if lines else "running"
        since = (seen - _LATELY).isoformat()
        recorded = any(line.get("new") == entry["new"] and str(line.get("when")) >= since for line in lines)
        if state == entry["new"] or recorded:
            return False
        add_to_audit(home, entry)
    return True


@contextlib.contextmanager
def locked(path: Path) -> Generator[None]:
    """Wait for the lock on a file, made where it is missing, and hold it; it dies with the process.

    Raises:
        TimeoutError: another process held it for `_PATIENCE` seconds.
        OSError: it can't be made.
    """
    private_folder(path.parent)
    descriptor = open_private(path, os.O_RDWR)
    try:
        until = time.monotonic() + _PATIENCE
        while not _locks(descriptor):
            if time.monotonic() > until:
                why = f"another process has held it for {_PATIENCE:g} s; look for one that hangs: fuser {path}"
                raise TimeoutError(errno.ETIMEDOUT, why, str(path))
            time.sleep(_LOOK)
        yield
    finally:
        os.close(descriptor)


def _locks(descriptor: int) -> bool:
    try:
        import fcntl  # noqa: PLC0415 - not on every platform: there nobody waits
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in {errno.EAGAIN, errno.EACCES, errno.EINTR}  # else a file system without locks
    return True


def audit_trail(home: Path) -> list[dict[str, Any]]:
    """Every recorded change, oldest first; lines that can't be read are kept as `{"unreadable": ...}`."""
    try:
        text = (home / "audit.jsonl").read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    return [_read(line) for line in text.split("\n") if line]


def _read(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        entry = None
    return cast("dict[str, Any]", entry) if isinstance(entry, dict) else {"unreadable": line}


def user_name() -> str:
    """Who runs this process."""
    import getpass  # noqa: PLC0415 - 4 ms that only operators need

    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}" if hasattr(os, "getuid") else "unknown"
