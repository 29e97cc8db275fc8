"""Looking at a small file."""

import os
import time
from pathlib import Path

import pytest

from shadoweval.testing import FixedClock
from shadoweval.traffic.polled_file import PolledFile


@pytest.fixture(name="file")
def _file(tmp_path):
    file = tmp_path / "watched"
    file.write_bytes(b"one")
    return file


def settle(file):
    """Make the file look as if it had been written long ago."""
    long_ago = time.time_ns() - 3_600_000_000_000
    os.utime(file, ns=(long_ago, long_ago))


def test_a_settled_file_is_read_once(file):
    """Nothing is read again while identity, size and times stay."""
    settle(file)
    watched = PolledFile(file)

    first = watched.changed()
    assert first is not None
    assert first.raw == b"one"
    assert watched.changed() is None


def test_a_fresh_file_is_read_at_every_look(file):
    """Within two seconds of its time a file may change without a trace, so it is read again."""
    watched = PolledFile(file)

    assert [watched.changed().raw for _ in range(3)] == [b"one"] * 3


@pytest.mark.parametrize("step", [-1, 1])
def test_times_count_in_both_directions(file, step):
    """A replaced file with an older time is a change like any other."""
    settle(file)
    watched = PolledFile(file)
    watched.changed()
    status = file.stat()
    other = file.with_suffix(".new")
    other.write_bytes(b"two")
    os.utime(other, ns=(status.st_atime_ns, status.st_mtime_ns + step))
    other.replace(file)

    assert watched.changed().raw == b"two"


def test_a_look_is_due_once_an_interval_for_one_caller():
    """The first call is due, then none until the interval is over; a clock that went back is due at once."""
    clock = FixedClock()
    watched = PolledFile(Path("x"), interval=0.1, clock=clock.seconds)

    assert [watched.due(), watched.due()] == [True, False]
    clock.tick(0.1)
    assert [watched.due(), watched.due()] == [True, False]
    clock.tick(-50)
    assert watched.due()


@pytest.mark.timeout(240)
def test_a_pipe_is_refused_and_does_not_wait(tmp_path):
    """Opening a pipe would wait for somebody to write: it is no regular file."""
    os.mkfifo(tmp_path / "pipe")

    with pytest.raises(OSError, match="no regular file"):
        PolledFile(tmp_path / "pipe").changed()


def test_what_is_too_large_is_refused_every_time(file):
    """A file over the cap is never parsed in the caller's time, and stays refused."""
    watched = PolledFile(file, cap=2)
    for _ in range(2):
        with pytest.raises(OSError, match="larger than 2 bytes"):
            watched.changed()


def test_folders_and_dangling_links_are_errors(tmp_path):
    """What can't be read is an error, at each look again."""
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for path in (tmp_path, tmp_path / "link", tmp_path / "missing"):
        watched = PolledFile(path)
        for _ in range(2):
            with pytest.raises(OSError, match=r"."):
                watched.changed()


def test_a_child_of_a_fork_reads_on(tmp_path):
    """The lock that a thread of the parent held while it forked binds nobody in the child."""
    polled = PolledFile(tmp_path / "file")
    assert polled.turn() is not None
    pid = os.fork()
    if pid == 0:
        os._exit(0 if polled.turn() is not None else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert polled.turn() is None
