"""A commit's files, and an environment made from them: in the home, by commit, at most eight of them.

Each lies in a folder of its own: `tree`, a worktree of the user's repository, and `environment`. Whoever uses it holds
a shared lock on `NAME.lock` beside it, who makes or removes it the only one; the kernel lets go when a process dies.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import time
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

from shadoweval.candidate.environment import Target
from shadoweval.candidate.installing import install
from shadoweval.candidate.subprocesses import run
from shadoweval.errors import TargetError
from shadoweval.private import checked_home, open_private, private_folder, write_private

__all__ = ["Checkout", "checked_out"]

_MOST: Final = 8
"""Checkouts that a home keeps, beside those in use."""
_SECONDS: Final = 300.0
_POLL: Final = 0.1
_NAME: Final = re.compile(r"[0-9a-f]{12}-[0-9a-f]{8}")
"""Of a checkout: its folder may be shared with what is not ours to remove."""
_GIT: Final = ("git", "--no-optional-locks", "-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false")
"""Its hooks don't run: they are code that the repository may bring along."""
_OWN: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX", "GIT_COMMON_DIR", "GIT_OBJECT_DIRECTORY")
"""What git sets for its hooks: a worker that one of them started is not about that repository."""


class Checkout(NamedTuple):
    """A commit's files, held until `release`."""

    root: str
    """The repository's own working tree; empty where it has none."""
    tree: Path
    commit: str
    """Forty hexadecimal digits."""
    python: str | None
    """The interpreter of the environment that was made for it."""
    remarks: tuple[str, ...]
    lock: int

    def release(self) -> None:
        """Let others remove it."""
        os.close(self.lock)


def checked_out(target: Target, folder: Path) -> Checkout:
    """What `target.git` names now, made where it is not there; up to half an hour where an environment is made.

    Args:
        target: One with `git`.
        folder: Where checkouts lie.

    Raises:
        TargetError: no git, no repository, no such commit, or its environment can't be made.
    """
    repository = _Repository(target)
    commit = repository.commit()
    try:
        private_folder(checked_home(folder))
        return _checkout(repository, folder.resolve(), commit)
    except OSError as error:
        why = f"its commit can't be checked out in {folder}: {error}"
        mend = "Put the home, or the setting checkouts, on a disk of this host that has room."
        raise TargetError(target.address, why, mend=mend) from error


def _checkout(repository: _Repository, home: Path, commit: str) -> Checkout:
    name = f"{commit[:12]}-{repository.key()}"
    lock = _held(repository, home / name, commit)
    with contextlib.suppress(OSError):
        os.utime(home / name / "ready")
    _remove_old(home, repository)
    python = home / name / "environment/bin/python" if repository.target.install else None
    return Checkout(
        root=repository.root,
        tree=home / name / "tree",
        commit=commit,
        python=None if python is None else str(python),
        remarks=repository.remarks(commit, home / name / "tree"),
        lock=lock,
    )


class _Repository:
    """The user's repository."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.folder = os.path.abspath(target.repository)  # noqa: PTH100 - as users write it
        if shutil.which("git") is None:
            mend = "Install git, or check the commit out yourself and write path='FOLDER' instead."
            raise TargetError(target.address, "there is no git here", mend=mend)
        self.shared = self.git("rev-parse", "--path-format=absolute", "--git-common-dir")
        try:
            self.root = self.git("rev-parse", "--show-toplevel")
        except TargetError:  # a bare one
            self.root = ""

    def git(self, *words: str, folder: Path | None = None) -> str:
        """What git prints; raises TargetError with what it says."""
        variables = {name: value for name, value in os.environ.items() if name not in _OWN}
        variables |= {"GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
        command = [*_GIT, "-C", str(folder or self.folder), *words]
        return run(self.target.address, command, seconds=_SECONDS, environment=variables)

    def commit(self) -> str:
        """The commit's full name."""
        try:
            return self.git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{self.target.git}^{{commit}}")
        except TargetError as error:
            why = f"the repository {self.folder} has no branch, tag or commit {self.target.git!r}"
            mend = "Fetch it first (git fetch), or correct the name: git branch --all lists them."
            raise TargetError(self.target.address, why, mend=mend) from error

    def key(self) -> str:
        """Tells checkouts of one commit apart: by repository, and by what their environment is made with."""
        facts = (self.shared, self.target.install, self.target.interpreter() if self.target.install else None)
        return hashlib.sha256(repr(facts).encode()).hexdigest()[:8]

    def remarks(self, commit: str, tree: Path) -> tuple[str, ...]:
        """What may surprise, in sentences."""
        remarks: list[str] = []
        with contextlib.suppress(TargetError):
            if self.root and self.git("rev-parse", "HEAD") == commit and self.changed(Path(self.root)):
                remarks.append(f"{self.root} has changes that are not committed: they are not in {commit[:12]}")
        if (tree / ".gitmodules").exists():
            remarks.append("its submodules are not checked out")
        return tuple(remarks)

    def changed(self, folder: Path) -> bool:
        """Whether files of a commit were changed in a working tree."""
        return bool(self.git("status", "--porcelain", "--untracked-files=no", folder=folder))

    def unchanged(self, tree: Path, commit: str) -> bool:
        """Whether a worktree is there and as it was made."""
        with contextlib.suppress(TargetError):
            return self.git("rev-parse", "HEAD", folder=tree) == commit and not self.changed(tree)
        return False


def _make(repository: _Repository, folder: Path, commit: str) -> None:
    shutil.rmtree(folder, ignore_errors=True)  # of one that died while it made it
    private_folder(folder)
    repository.git("worktree", "prune")
    repository.git("worktree", "add", "--quiet", "--force", "--detach", str(folder / "tree"), commit)
    if repository.target.install is not None:
        install(repository.target, folder / "tree", folder / "environment")
    write_private(folder / "ready", commit.encode())


def _held(repository: _Repository, folder: Path, commit: str) -> int:
    """A shared lock on a checkout that is whole: made here, or by another process, which is waited for."""
    while True:
        lock, alone = _locked(folder)
        try:
            whole = _whole(folder)
            if whole and repository.unchanged(folder / "tree", commit):
                fcntl.flock(lock, fcntl.LOCK_SH)
                if _whole(folder) and _current(lock, folder):  # for a moment it was nobody's
                    return lock
            elif alone:
                _make(repository, folder, commit)
            elif whole:
                _refuse(repository, folder)
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)


def _refuse(repository: _Repository, folder: Path) -> NoReturn:
    why = f"its checkout {folder / 'tree'} was changed since it was made, and another process runs in it"
    raise TargetError(repository.target.address, why, mend="End that one; the checkout is made anew then.")


def _locked(folder: Path) -> tuple[int, bool]:
    """An open lock file, and whether this process alone holds it; else the checkout is there, and others use it too."""
    while True:
        descriptor = open_private(_lock_of(folder), os.O_RDWR)
        for kind in (fcntl.LOCK_EX, *((fcntl.LOCK_SH,) if _whole(folder) else ())):
            with contextlib.suppress(BlockingIOError):
                fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
                if _current(descriptor, folder):
                    return descriptor, kind == fcntl.LOCK_EX
                break  # it was removed meanwhile
        os.close(descriptor)
        time.sleep(_POLL)


def _whole(folder: Path) -> bool:
    return (folder / "ready").exists()


def _lock_of(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.lock")


def _current(descriptor: int, folder: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), _lock_of(folder).stat())
    except FileNotFoundError:
        return False


def _remove_old(home: Path, repository: _Repository) -> None:
    """Remove what was used longest ago and is not in use, down to `_MOST`."""
    folders = [each for each in home.iterdir() if _NAME.fullmatch(each.name)]
    for folder in sorted(folders, key=_used, reverse=True)[_MOST:]:
        descriptor = open_private(_lock_of(folder), os.O_RDWR)
        with contextlib.suppress(OSError):  # somebody uses it
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _current(descriptor, folder):
                shutil.rmtree(folder)
                _lock_of(folder).unlink()
        os.close(descriptor)
    with contextlib.suppress(TargetError):
        repository.git("worktree", "prune")


def _used(folder: Path) -> float:
    try:
        return (folder / "ready").stat().st_mtime
    except OSError:
        return 0.0
