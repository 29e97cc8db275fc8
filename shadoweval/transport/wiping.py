"""Take the words out of what was read: a segment lives as long as its writer, with all that the reader is through with.

Only bytes before the durable cursor are overwritten. No reader comes back to them, and writers only append.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

__all__ = ["wipe_settled"]

_BLOCK: Final = bytes(256 * 1024)


def wipe_settled(folder: Path) -> int:
    """Overwrite with zeros what was settled in the segments of a spool. Returns how many bytes, 0 where none are left.

    Safe beside writers and a reader. A segment that can't be written stays as it is.
    """
    try:
        cursor: Mapping[str, int] = json.loads((folder / "cursor.json").read_bytes())
    except (OSError, ValueError):  # nothing was read yet; or damaged, and all of it will be read again
        return 0
    wiped = 0
    for name, settled in cursor.items():
        with contextlib.suppress(OSError):  # removed meanwhile
            wiped += _wipe(folder / name, settled)
    return wiped


def _wipe(segment: Path, settled: int) -> int:
    descriptor = os.open(segment, os.O_RDWR | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0))
    try:
        settled = min(settled, os.fstat(descriptor).st_size)
        at = 0
        while at < settled:
            os.lseek(descriptor, at, os.SEEK_SET)
            at += os.write(descriptor, _BLOCK[: settled - at])
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return settled
