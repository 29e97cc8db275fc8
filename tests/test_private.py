"""Files and folders that only this user reads and writes."""

import os
import stat
import sys

import pytest

from shadoweval.errors import SettingsError
from shadoweval.private import (
    checked_home,
    open_private,
    open_to_others,
    private_folder,
    replace_private,
    write_private,
)

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="modes say nothing there")


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_modes_do_not_depend_on_the_umask(umask, tmp_path):
    """A folder, those above it that were missing, and files: this user's alone."""
    folder = tmp_path / "a" / "b"
    private_folder(folder)
    write_private(folder / "written", b"text", sync=True)
    os.close(open_private(folder / "opened", os.O_RDWR))

    assert [mode_of(path) for path in (folder.parent, folder)] == [0o700, 0o700]
    assert [mode_of(path) for path in folder.iterdir()] == [0o600, 0o600]
    assert (folder / "written").read_bytes() == b"text"


def test_what_is_there_keeps_its_mode(tmp_path):
    """Whoever made a folder or a file has chosen who may read it; its content is replaced."""
    file = tmp_path / "file"
    file.write_bytes(b"longer than before")
    file.chmod(0o640)
    tmp_path.chmod(0o750)
    private_folder(tmp_path)
    write_private(file, b"new")

    assert (mode_of(file), mode_of(tmp_path), file.read_bytes()) == (0o640, 0o750, b"new")


def test_a_link_in_the_place_of_a_file_is_not_followed(tmp_path):
    """Nobody has us write into another file by a link."""
    target = tmp_path / "target"
    target.write_bytes(b"as it was")
    (tmp_path / "name").symlink_to(target)

    with pytest.raises(OSError, match="name"):
        write_private(tmp_path / "name", b"new")

    assert target.read_bytes() == b"as it was"


@pytest.mark.parametrize(
    ("mode", "why"),
    [(0o700, None), (0o755, None), (0o777, "every user may write"), (0o1777, "every user"), (0o770, "its group may")],
)
def test_a_home_that_others_may_write_is_refused(mode, why, tmp_path):
    """With what to type; one that others may read is their owner's choice, and one that is missing is nobody's."""
    home = tmp_path / "home"
    assert open_to_others(home) is None
    home.mkdir()
    home.chmod(mode)

    if why is None:
        assert checked_home(home) == home
    else:
        with pytest.raises(SettingsError, match=f"{why}.*chmod go-w {home}"):
            checked_home(home)


def test_a_volume_of_root_may_be_given_to_a_group(monkeypatch, tmp_path):
    """An orchestrator does so; another user's folder is refused, and root uses anybody's."""
    state = list(tmp_path.stat())

    def seen_by(user, *, owner, mode):
        state[stat.ST_UID], state[stat.ST_MODE] = owner, stat.S_IFDIR | mode
        monkeypatch.setattr(os, "geteuid", lambda: user)
        with monkeypatch.context() as patch:
            patch.setattr(os, "stat", lambda _: os.stat_result(state))
            return open_to_others(tmp_path)

    assert seen_by(1000, owner=0, mode=0o2775) is None
    assert "its group" in seen_by(1000, owner=1000, mode=0o2775)
    assert "another user (uid 1001)" in seen_by(1000, owner=1001, mode=0o755)
    assert seen_by(0, owner=1001, mode=0o755) is None


def test_what_can_not_be_written_leaves_the_old(tmp_path, monkeypatch):
    """An error while writing: the old content, and no remains."""
    file = tmp_path / "file"
    replace_private(file, b"old")
    assert file.stat().st_mode & 0o777 == 0o600

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shadoweval.private.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        replace_private(file, b"new")

    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]
