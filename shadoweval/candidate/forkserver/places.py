"""Where a fork server's libraries write: folders of its scratch instead of the user's.

What was cached before is read where it lies (a model of Hugging Face's, say); what is new lies in the scratch folder,
and goes with it.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path

__all__ = ["lead_caches", "lead_temporary"]

_KEPT_IN_TEMPORARY = {"TIKTOKEN_CACHE_DIR": "data-gym-cache"}
"""Caches that are kept in the temporary folder, by the variable that says where else they are."""


def lead_caches(scratch: Path) -> None:
    """Lead what libraries cache for a user, and temporary files, to `scratch`; compiled modules are not written."""
    sys.dont_write_bytecode = True
    for name, folder in _KEPT_IN_TEMPORARY.items():
        cached = Path(tempfile.gettempdir(), folder)
        if cached.is_dir():
            os.environ.setdefault(name, str(cached))
    cached = Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser())
    caches = scratch / "caches"
    caches.mkdir(exist_ok=True)  # a server before this one may have died
    with contextlib.suppress(OSError):  # there is none, or it can't be read
        for entry in cached.iterdir():
            (caches / entry.name).symlink_to(entry)
    os.environ["XDG_CACHE_HOME"] = str(caches)
    temporary = scratch / "import"
    temporary.mkdir(exist_ok=True)
    lead_temporary(temporary)


def lead_temporary(folder: Path) -> None:
    """Lead temporary files to `folder`."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
