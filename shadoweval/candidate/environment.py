"""`Target`: a pipeline of another environment or commit than the worker's."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

from shadoweval.checks import checked_choice, checked_instance, checked_keywords, checked_list, checked_target
from shadoweval.errors import ArgumentError, TargetError

__all__ = ["Target"]

Installer = Literal["uv", "pip"]
_WORD: Final = "A target of the worker's own environment is written as text: 'app.rag:answer'."


@checked_keywords()
@dataclass(frozen=True, slots=True)
class Target:
    """A pipeline that is imported in another environment, or from another commit, than the worker's.

    ::

        Target("app.rag:answer", python="/srv/next/venv/bin/python", path="/srv/next")  # a library's upgrade
        Target("app.rag:answer", git="pull-12")                                         # a branch, in this environment
        Target("app.rag:answer", git="pull-12", install="uv")                           # ... and in one of its own

    It runs as every candidate does: same guard, stubs and limits. In its environment nothing is needed but msgspec, and
    not even that where its interpreter is the worker's minor version. docs/another-environment.md.

    Raises:
        ArgumentError: arguments that don't go together.
        TargetError: no such interpreter, folder or repository. A branch is looked for when a worker starts.
    """

    address: str
    """`"module:attribute"`."""
    python: str | PathLike[str] | None = field(default=None, kw_only=True)
    """Its interpreter, a path or a name on PATH; None: the worker's own. With `install`: the one that its environment
    is made of."""
    path: str | PathLike[str] | Sequence[str | PathLike[str]] = field(default=(), kw_only=True)
    """Folders that come first where modules are looked for, the first of them as the working folder; none: the worker's
    working folder. With `git` they lie in the commit (`"src"`)."""
    git: str | None = field(default=None, kw_only=True)
    """Branch, tag or commit. Which commit it names is read when a worker starts, and stays until it ends."""
    repo: str | PathLike[str] | None = field(default=None, kw_only=True)
    """A folder of the repository; None: the working folder."""
    install: Installer | None = field(default=None, kw_only=True)
    """What makes an environment from the commit's `uv.lock`, `pyproject.toml` or `requirements.txt`; None: it runs in
    that of `python`. Installing runs the commit's build code and uses the network, outside of the guard."""

    def __post_init__(self) -> None:
        checked_target(self.address)
        paths = (self.path,) if isinstance(self.path, str | PathLike) else checked_list("Target.path", self.path)
        paths = tuple(os.fspath(checked_instance("each of Target.path", each, (str, PathLike))) for each in paths)
        object.__setattr__(self, "path", paths)
        for name in ("python", "repo"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, os.fspath(checked_instance(f"Target.{name}", value, (str, PathLike))))
        if self.install is not None:
            checked_choice("Target.install", self.install, Installer)
        if self.git is None:
            self._check_folders()
        else:
            self._check_commit(self.git)
        if self.python is not None and self.interpreter() is None:
            why = f"its interpreter {self.python!r} is not there, or is no program"
            mend = "Make the environment first (python -m venv FOLDER) and write python='FOLDER/bin/python'."
            raise TargetError(self.address, why, mend=mend)

    def _check_folders(self) -> None:
        for name in ("repo", "install"):
            if getattr(self, name) is not None:
                raise ArgumentError(
                    f"Target.{name}", getattr(self, name), expected="with git=", mend="Name the commit."
                )
        if self.python is None and not self.folders:
            raise ArgumentError("Target", self.address, expected="with python=, path= or git=", mend=_WORD)
        for folder in self.folders:
            if not Path(folder).is_dir():
                why = f"its path {folder!r} is no folder"
                raise TargetError(self.address, why, mend="Correct it, or make it before the worker starts.")

    def _check_commit(self, git: str) -> None:
        if not checked_instance("Target.git", git, str).strip() or git.startswith("-"):
            raise ArgumentError("Target.git", git, expected="a branch, tag or commit", mend="Write git='main'.")
        for folder in self.folders:
            if Path(folder).is_absolute() or ".." in Path(folder).parts:
                mend = "Write it as it is in the commit: path='src'."
                raise ArgumentError("Target.path", folder, expected="a folder of the commit", mend=mend)
        if not Path(self.repository).is_dir():
            why = f"its repository {self.repository!r} is no folder"
            raise TargetError(self.address, why, mend="Write repo='/path/of/a/clone'.")

    def __str__(self) -> str:
        return self.address

    @property
    def folders(self) -> tuple[str, ...]:
        """`path`, as texts."""
        paths: Any = self.path
        return paths

    @property
    def repository(self) -> str:
        """A folder of the repository."""
        return os.fspath(self.repo or ".")

    def interpreter(self) -> str | None:
        """The absolute path of `python`, links as they are; None: there is no such program."""
        found = None if self.python is None else shutil.which(self.python)
        return None if found is None else os.path.abspath(found)  # noqa: PTH100 - a venv's is a link, and must stay one
