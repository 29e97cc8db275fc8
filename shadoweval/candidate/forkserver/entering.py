"""A fork server enters the environment that its target is imported in, once it is under the guard."""

from __future__ import annotations

import hashlib
import importlib
import os
import platform
import site
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import msgspec

from shadoweval.errors import TargetError

__all__ = ["Place", "check_origin", "enter", "moved", "versions"]

_INSTALLED: Final = frozenset({"site-packages", "dist-packages"})


class Place(msgspec.Struct, frozen=True, array_like=True):
    """Where modules are looked for, and what that is called in the report."""

    path: list[str]
    """Folders that come first."""
    inherited: list[str] = []
    """The worker's own, where its interpreter is the target's too."""
    root: str = ""
    """The folder of the repository; empty: the target is of no commit."""
    tree: str = ""
    """The folder of the commit's files, which takes its place."""
    versions: dict[str, str] = {}
    """What is said of it beside its environment: the commit."""


def enter(place: Place) -> None:
    """Have this process's environment be that of its interpreter, with the target's folders first."""
    site.main()  # it was begun without: its path files run here, under the guard
    entries = [*place.path, *(moved(entry, place) for entry in (*place.inherited, *sys.path))]
    sys.path[:] = dict.fromkeys(filter(None, entries))
    importlib.invalidate_caches()


def moved(entry: str, place: Place) -> str:
    """A folder of the repository as it is in the commit, empty where it has none; another one as it is."""
    entry = os.path.abspath(entry)  # noqa: PTH100 - as the import system does
    if not _of_repository(entry, place):
        return entry
    there = os.path.join(place.tree, os.path.relpath(os.path.realpath(entry), place.root))  # noqa: PTH118 - texts, as in sys.path
    return os.path.normpath(there) if os.path.isdir(there) else ""  # noqa: PTH112


def _of_repository(path: str, place: Place) -> bool:
    """Whether it is of the repository's working tree, and neither installed there nor of the commit's own files."""
    real = Path(os.path.realpath(path))
    if not place.root or not real.is_relative_to(place.root) or real.is_relative_to(place.tree):
        return False
    return _INSTALLED.isdisjoint(real.parts) and not Path(path).is_relative_to(sys.prefix)


def check_origin(target: str, place: Place) -> None:
    """Raises TargetError where a module came from the repository's working tree and not from the commit."""
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and name.partition(".")[0] != "shadoweval" and _of_repository(file, place):
            why = f"{name!r} was imported from {file}, and not from the commit"
            raise TargetError(target, why, mend="Say which folder of the commit it is in, for instance path='src'.")


def versions(place: Place) -> dict[str, str]:
    """The commit, and `environment`: Python's version, and a digest of the names of what is installed."""
    digest = hashlib.sha256("\n".join(sorted(set(_distributions(sys.path)))).encode()).hexdigest()
    return {**place.versions, "environment": f"python{platform.python_version()}-{digest[:12]}"}


def _distributions(path: Iterable[str]) -> Iterable[str]:
    """Names and versions, as their folders of metadata are called (PyPA, recording installed projects)."""
    for folder in path:
        try:
            names = os.listdir(folder)  # noqa: PTH208 - names
        except OSError:
            continue
        yield from (name for name in names if name.endswith((".dist-info", ".egg-info")))
