"""Files and folders that only this user reads and writes, whatever the umask: they hold what users asked.

What is made here has mode 0600, a folder 0700. What is there already keeps its mode: whoever made it has chosen it.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Final

from shadoweval.errors import SettingsError

__all__ = ["checked_home", "open_private", "open_to_others", "private_folder", "replace_private", "write_private"]

_FILE: Final = 0o600
_FOLDER: Final = 0o700
_ALWAYS: Final = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def private_folder(folder: Path) -> None:
    """Make the folder and those above it that are missing.

    Raises:
        OSError: it can't be made; FileExistsError where something else has its name.
    """
    if folder.is_dir():
        return
    if not folder.parent.is_dir():
        private_folder(folder.parent)
    try:
        folder.mkdir(mode=_FOLDER)
    except FileExistsError:
        if not folder.is_dir():
            raise
    else:
        folder.chmod(_FOLDER)


def open_private(path: str | Path, flags: int, *, mode: int = _FILE) -> int:
    """A descriptor of the file, made where it is missing; never by way of a link in the place of its name.

    Raises:
        OSError: it can't be opened or made.
    """
    descriptor = os.open(path, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | _ALWAYS, mode)
    if hasattr(os, "fchmod"):
        with contextlib.suppress(OSError):  # somebody else's, who let us in
            if os.fstat(descriptor).st_mode & _FILE != _FILE:  # a umask that takes from its owner too
                os.fchmod(descriptor, mode)
    return descriptor


def write_private(path: Path, content: bytes, *, mode: int = _FILE, sync: bool = False) -> None:
    """Write the whole file; `sync`: onto the disk.

    Raises:
        OSError: it can't be written.
    """
    with os.fdopen(open_private(path, os.O_WRONLY | os.O_TRUNC, mode=mode), "wb") as file:
        file.write(content)
        if sync:
            file.flush()
            os.fsync(file.fileno())


def replace_private(path: Path, content: bytes) -> None:
    """Replace the whole file: whoever reads it has the old content or the new, also after a power cut.

    Raises:
        OSError: it is as it was.
    """
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        write_private(partial, content, sync=True)
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
    with contextlib.suppress(OSError, AttributeError):  # a folder can't be opened everywhere
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def open_to_others(folder: str | Path) -> str | None:
    """Why somebody else may write into the folder; None: nobody may, or there is no such folder.

    Its group may where root owns it: so an orchestrator hands a volume to a service.
    """
    try:
        state = os.stat(folder)  # noqa: PTH116 - on the request path
    except OSError:
        return None
    if not hasattr(os, "geteuid"):  # modes say nothing there
        return None
    user = os.geteuid()
    if user and state.st_uid not in {user, 0}:
        return f"it belongs to another user (uid {state.st_uid})"
    if state.st_mode & stat.S_IWOTH:
        return f"every user may write to it (mode {stat.S_IMODE(state.st_mode):04o})"
    if state.st_mode & stat.S_IWGRP and (state.st_uid or not user):
        return f"its group may write to it (mode {stat.S_IMODE(state.st_mode):04o})"
    return None


def checked_home(folder: Path) -> Path:
    """The folder, into which nobody else may write: who may, decides what is mirrored, run and believed.

    Raises:
        SettingsError: others may.
    """
    why = open_to_others(folder)
    if why is not None:
        mend = f"Nothing was read or written. Mend it: chmod go-w {folder}, or name a folder inside of it"
        raise SettingsError("home", str(folder), why=f"{why}. {mend}")
    return folder
