import fcntl
import os
import subprocess
import threading

import pytest

from shadoweval import Target
from shadoweval.candidate import checkout
from shadoweval.candidate.checkout import checked_out
from shadoweval.errors import TargetError


class Repository:
    """A small repository."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir()
        self.git("init", "--quiet", "--initial-branch=main")
        self.commit("1")

    def git(self, *words):
        about = ("-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
        done = subprocess.run(["git", *about, *words], cwd=self.folder, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def commit(self, text):
        (self.folder / "app.py").write_text(f"VERSION = {text!r}\n")
        self.git("add", "app.py")
        self.git("commit", "--quiet", "--message", text)
        return self.git("rev-parse", "HEAD")

    def target(self, name="main", **words):
        return Target("app:answer", git=name, repo=self.folder, **words)


@pytest.fixture
def repository(tmp_path):
    return Repository(tmp_path / "repo")


@pytest.fixture
def checked(tmp_path):
    """Checks out, and releases at the end what is left."""
    held = []

    def check(target, *, release=True):
        made = checked_out(target, tmp_path / "checkouts")
        held.append(made)
        if release:
            held.remove(made)
            made.release()
        return made

    yield check
    for each in held:
        each.release()


def test_a_branch_is_the_commit_that_it_names_now(repository, checked, monkeypatch):
    """It is checked out once for a commit, whatever names it; a branch that moved is another one."""
    first = checked(repository.target(), release=False)
    stamp = (first.tree / "app.py").stat().st_ino
    monkeypatch.setenv("GIT_DIR", "/nowhere")  # as in a hook of another repository
    again = checked(repository.target(first.commit[:10]))
    monkeypatch.delenv("GIT_DIR")
    assert (again.tree, (again.tree / "app.py").stat().st_ino) == (first.tree, stamp)
    second = repository.commit("2")
    moved = checked(repository.target())

    assert (moved.commit, (moved.tree / "app.py").read_text()) == (second, "VERSION = '2'\n")
    assert (first.tree / "app.py").read_text() == "VERSION = '1'\n"
    assert first.remarks == moved.remarks == ()
    assert oct(first.tree.parent.stat().st_mode)[-3:] == "700"


def test_changes_that_are_not_committed_are_not_run(repository, checked):
    """They are said, since who edits and looks would wait for them in vain."""
    (repository.folder / "app.py").write_text("VERSION = 'dirty'\n")
    made = checked(repository.target())

    assert (made.tree / "app.py").read_text() == "VERSION = '1'\n"
    assert made.remarks == (
        f"{repository.folder} has changes that are not committed: they are not in {made.commit[:12]}",
    )


@pytest.mark.parametrize("harm", ["edited", "gone", "half"])
def test_a_checkout_that_is_not_the_commit_is_made_anew(repository, checked, harm):
    """Edited by hand, removed by hand, or left half made by a process that died."""
    made = checked(repository.target())
    if harm == "edited":
        (made.tree / "app.py").write_text("VERSION = 'edited'\n")
    elif harm == "gone":
        made.tree.rename(made.tree.with_name("elsewhere"))
    else:
        (made.tree.parent / "ready").unlink()
        (made.tree / "app.py").unlink()
    again = checked(repository.target())

    assert (again.tree / "app.py").read_text() == "VERSION = '1'\n"


def test_nobody_s_files_are_taken_from_under_it(repository, checked):
    """An edited checkout that another worker runs in stays, and the error says whose it is."""
    made = checked(repository.target(), release=False)
    (made.tree / "app.py").write_text("VERSION = 'edited'\n")

    with pytest.raises(TargetError, match="changed since it was made, and another process runs in it"):
        checked(repository.target())
    assert (made.tree / "app.py").read_text() == "VERSION = 'edited'\n"


def test_who_finds_it_in_the_making_waits(repository, checked, tmp_path):
    """Two workers that start at once make one checkout."""
    made = checked(repository.target())
    ready = made.tree.parent / "ready"
    content = ready.read_bytes()
    ready.unlink()
    lock = os.open(tmp_path / "checkouts" / f"{made.tree.parent.name}.lock", os.O_RDWR)
    fcntl.flock(lock, fcntl.LOCK_EX)
    found = []
    waiting = threading.Thread(target=lambda: found.append(checked(repository.target())))
    waiting.start()
    (made.tree / "of-the-maker").touch()
    ready.write_bytes(content)
    os.close(lock)
    waiting.join(120)

    assert [each.tree for each in found] == [made.tree]
    assert (made.tree / "of-the-maker").exists(), "it was made a second time"


def test_old_ones_are_removed_and_none_in_use(repository, checked, monkeypatch, tmp_path):
    """A home keeps a bounded number; the repository forgets their worktrees too."""
    monkeypatch.setattr(checkout, "_MOST", 2)
    (tmp_path / "checkouts/not-ours").mkdir(parents=True)
    used = checked(repository.target(), release=False)
    os.utime(used.tree.parent / "ready", (0, 0))
    for number in range(2, 6):
        repository.commit(str(number))
        newest = checked(repository.target())
        os.utime(newest.tree.parent / "ready", (number, number))
    folders = {each for each in (tmp_path / "checkouts").iterdir() if each.is_dir()} - {tmp_path / "checkouts/not-ours"}

    assert (tmp_path / "checkouts/not-ours").is_dir()
    assert {used.tree.parent, newest.tree.parent} < folders
    assert len(folders) == 3
    assert len(list((tmp_path / "checkouts").glob("*.lock"))) == 3
    assert len(repository.git("worktree", "list").splitlines()) == 4


def test_the_repository_s_hooks_don_t_run(repository, checked, tmp_path):
    """They are code of who made the commit, and nothing contains them here."""
    hook = repository.folder / ".git/hooks/post-checkout"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {tmp_path / 'ran'}\n")
    hook.chmod(0o755)
    repository.git("checkout", "--quiet", "-b", "other")
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    checked(repository.target())

    assert not (tmp_path / "ran").exists()


def test_a_bare_repository_will_do(repository, checked, tmp_path):
    """As servers have it: there is no working tree beside it."""
    repository.git("clone", "--quiet", "--bare", ".", str(tmp_path / "bare.git"))
    made = checked(Target("app:answer", git="main", repo=tmp_path / "bare.git"))

    assert (made.tree / "app.py").read_text() == "VERSION = '1'\n"
    assert made.root == ""


def test_what_can_t_be_had_is_said(repository, checked, tmp_path, monkeypatch):
    """No such commit, no repository, no git."""
    with pytest.raises(TargetError, match=r"has no branch, tag or commit 'mian'.*git fetch"):
        checked(repository.target("mian"))
    with pytest.raises(TargetError, match="not a git repository"):
        checked(Target("app:answer", git="main", repo=tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(TargetError, match=r"there is no git here.*path='FOLDER'"):
        checked(repository.target())
