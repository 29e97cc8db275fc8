"""A spool that can't be written is said once a minute: the calls are counted as lost, which nobody may look at."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from typing import Final

from shadoweval.seldom import Seldom

__all__ = ["trouble", "unwritable"]

_log: Final = logging.getLogger("shadoweval.transport")
_said = Seldom()


def trouble(folder: Path) -> str | None:
    """Why this user can't write a spool in the folder, which need not exist yet; None where nothing speaks against it.

    It looks and makes nothing. It can't see a disk that is full.
    """
    place = Path(folder).absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return f"{str(place)!r} is no folder"
    if not os.access(place, os.W_OK | os.X_OK):
        return f"{str(place)!r} may not be written by this user"
    return None


def unwritable(folder: Path, error: OSError) -> None:
    """Tell it in the log, at most once a minute for each folder."""
    if not _said.due(folder):
        return
    why = trouble(folder) or error.strerror or type(error).__name__
    with contextlib.suppress(Exception):  # a log handler that raises: nobody is left to be told
        _log.warning(
            "The spool %s can't be written (%s): calls are served, but lost for the evaluation. Let this process's "
            "user write there, and see that the disk has room, or set another folder",
            folder,
            why,
            extra={"folder": str(folder), "error_type": type(error).__name__, "errno": error.errno},
        )
