"""Flags from a file."""

import logging
import os
import threading
import time
from datetime import UTC, datetime

import pytest

from shadoweval.testing import FixedClock
from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.polled_file import PolledFile

ON = "[experiments.support]\nenabled = true\nshare = 1\n"
OFF = ON.replace("true", "false")


@pytest.fixture(name="clock")
def _clock():
    return FixedClock(datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture(name="file")
def _file(tmp_path):
    return tmp_path / "flags.toml"


@pytest.fixture(name="flags")
def _flags(file, clock):
    return StaticFlags(file, clock=clock, seconds=clock.seconds)


def put(file, text, *, age=0.0):
    """Replace the file as a whole; `age` seconds older than now by its time."""
    new = file.with_suffix(".new")
    new.write_text(text, encoding="utf-8")
    if age:
        status = new.stat()
        os.utime(new, ns=(status.st_atime_ns, status.st_mtime_ns - int(age * 1e9)))
    new.replace(file)


def asked(flags, clock, unit="u-1", **attributes):
    """What the flags say after their next look."""
    clock.tick(0.11)
    return flags.loss("support", unit, attributes)


def test_a_change_is_seen_at_the_next_look_and_not_before(file, flags, clock):
    """A look is trusted for its interval; then the new content holds."""
    put(file, ON)
    assert flags.mirrored("support", "u-1", {})
    put(file, OFF)

    clock.tick(0.09)
    assert flags.mirrored("support", "u-1", {})
    clock.tick(0.02)
    assert not flags.mirrored("support", "u-1", {})


def test_an_experiment_that_the_file_does_not_name_is_off(file, flags):
    """No entry is no."""
    put(file, ON)

    assert flags.loss("checkout", "u-1", {}) == "flag_off"


def test_a_missing_file_mirrors_nothing_until_it_is_there(file, flags, clock):
    """Missing from the start, there, deleted, and there again."""
    assert asked(flags, clock) == "flag_error"
    assert "No such file" in flags.reason()
    put(file, ON)
    assert asked(flags, clock) is None
    assert flags.reason() is None
    file.unlink()
    assert asked(flags, clock) == "flag_error"
    put(file, ON)
    assert asked(flags, clock) is None


def test_a_corrupt_file_mirrors_nothing_until_it_is_mended(file, flags, clock):
    """What was good before does not stay in force, and the reason names file and line."""
    put(file, ON)
    assert asked(flags, clock) is None
    put(file, ON + "shar = 1\n")
    assert asked(flags, clock) == "flag_error"
    assert str(file) in flags.reason()
    assert "line 4: experiment 'support'" in flags.reason()
    put(file, ON)
    assert asked(flags, clock) is None


def test_a_file_with_an_older_time_is_refused_until_it_is_touched(file, flags, clock):
    """A restored backup must not take over silently; touching it says that it is meant."""
    put(file, OFF)
    assert asked(flags, clock) == "flag_off"
    put(file, ON, age=3600)
    assert asked(flags, clock) == "flag_error"
    assert "older than the one in use" in flags.reason()
    os.utime(file)
    assert asked(flags, clock) is None


def test_the_same_content_with_an_older_time_is_no_change(file, flags, clock):
    """Copying a file with another time over itself changes nothing."""
    put(file, ON)
    assert asked(flags, clock) is None
    put(file, ON, age=3600)
    assert asked(flags, clock) is None


def test_a_version_that_goes_back_is_refused(file, flags, clock):
    """Smaller or missing where there was one: refused until a version comes that is not smaller."""
    put(file, "version = 7\n" + ON)
    assert asked(flags, clock) is None
    for older in ("version = 6\n" + ON, ON):
        put(file, older)
        assert asked(flags, clock) == "flag_error"
        assert "version goes back from 7" in flags.reason()
    put(file, "version = 7\n" + OFF)
    assert asked(flags, clock) == "flag_off"


def test_changes_of_equal_length_within_one_tick_are_seen(file, flags, clock):
    """Size and times may be the same as before: a fresh file is compared by content."""
    put(file, ON)
    assert asked(flags, clock) is None
    before = file.stat()
    file.write_text(ON.replace("share = 1", "share = 0"), encoding="utf-8")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert asked(flags, clock) == "flag_off"


def test_it_is_said_once(file, flags, clock, caplog):
    """A file that stays broken is one line in the log, not ten a second; another fault is another line."""
    with caplog.at_level(logging.WARNING, "shadoweval.traffic"):
        for _ in range(20):
            asked(flags, clock)
        put(file, "x = 1")
        for _ in range(20):
            asked(flags, clock)

    assert [record.why for record in caplog.records] == [
        "it can't be read (No such file or directory)",
        "line 1: Object contains unknown field `x`",
    ]


def test_kill_names_experiments_or_all(file, flags, clock):
    """`kill` in the file turns the flag off and pulls the kill switch that asks."""
    put(file, 'kill = ["support"]\n' + ON)
    assert asked(flags, clock) == "flag_off"
    assert flags.kill_reason("support") is not None
    assert flags.kill_reason("checkout") is None
    put(file, "kill = true\n" + ON)
    assert asked(flags, clock) == "flag_off"
    assert flags.kill_reason("checkout") is not None
    put(file, ON)
    assert asked(flags, clock) is None
    assert flags.kill_reason("support") is None


def test_a_flag_that_is_off_kills_nothing(file, flags, clock):
    """Off means no further calls; only `kill`, or a file that can't be trusted, stops what is in flight."""
    put(file, OFF)
    assert asked(flags, clock) == "flag_off"
    assert flags.kill_reason("support") is None
    file.unlink()
    clock.tick(0.11)
    assert flags.kill_reason("support") is not None


def test_a_ramp_climbs_by_itself(file, flags, clock):
    """The share follows the clock, not the file."""
    put(
        file,
        "[experiments.support]\nenabled = true\nramp = [[2026-03-01T13:00:00Z, 0.25], [2026-03-01T14:00:00Z, 1]]\n",
    )
    units = [f"u-{i}" for i in range(400)]

    def members():
        clock.tick(0.11)
        return {unit for unit in units if flags.mirrored("support", unit, {})}

    assert members() == set()
    clock.tick(3600)
    quarter = members()
    assert 60 < len(quarter) < 140
    clock.tick(3600)
    assert members() == set(units) > quarter


def test_a_clock_that_fails_is_no(file):
    """Whatever goes wrong in a look means no, and the reason names it."""

    def broken():
        if file.exists():
            raise RuntimeError("no time")
        return datetime(2026, 1, 1, tzinfo=UTC)

    flags = StaticFlags(file, clock=broken)
    put(file, ON)

    assert flags.loss("support", "u-1", {}) == "flag_error"
    assert "RuntimeError: no time" in flags.reason()


def test_a_file_that_is_replaced_while_threads_read_it_is_no_error(tmp_path):
    """Replaced thirty times under eight threads: nobody sees an error, and all see the last one, a kill."""
    file = tmp_path / "flags.toml"
    file.write_text(ON)
    now = time.time() - 3600
    os.utime(file, (now - 1, now - 1))
    flags = StaticFlags(file, interval=0.0)
    begun, over, seen = threading.Barrier(9), threading.Event(), set()

    def ask():
        begun.wait(60)
        while not over.is_set():
            seen.add(flags.loss("support", "u-1", {}))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    begun.wait(60)
    for number in range(30):
        new = tmp_path / "new.toml"
        new.write_text(f"version = {number + 1}\n{'kill = true' if number == 29 else ''}\n{ON}")
        os.utime(new, (now + number, now + number))  # old enough to be remembered by its times
        new.replace(file)
        time.sleep(0.005)
    over.set()
    for thread in threads:
        thread.join(60)

    assert seen <= {None, "flag_off"}
    assert flags.kill_reason("support") is not None
    assert flags.reason() is None


def test_the_first_reading_is_waited_for(tmp_path):
    """Threads that ask at once for the first time get an answer of the file's, not that it was not read yet."""
    file = tmp_path / "flags.toml"
    file.write_text(ON)
    for _ in range(20):
        flags, begun, seen = StaticFlags(file), threading.Barrier(8), []

        def ask(flags=flags, begun=begun, seen=seen):
            begun.wait(60)
            seen.append(flags.loss("support", "u-1", {}))

        threads = [threading.Thread(target=ask) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert seen == [None] * 8


def test_a_reading_that_does_not_end_is_an_error(tmp_path, monkeypatch):
    """A disk that hangs holds one thread; the others are not mirrored once the file is no longer known."""
    file, now = tmp_path / "flags.toml", [0.0]
    file.write_text(ON)
    flags = StaticFlags(file, seconds=lambda: now[0])
    assert flags.loss("support", "u-1", {}) is None
    stuck, go_on, changed = threading.Event(), threading.Event(), PolledFile.changed

    def hangs(self):
        stuck.set()
        go_on.wait(60)
        return changed(self)

    monkeypatch.setattr(PolledFile, "changed", hangs)
    now[0] = 1.0
    thread = threading.Thread(target=flags.loss, args=("support", "u-1", {}))
    thread.start()
    stuck.wait(60)
    now[0] = 2.0
    soon = flags.loss("support", "u-1", {})
    now[0] = 7.0
    late = flags.loss("support", "u-1", {})
    go_on.set()
    thread.join(60)
    now[0] = 8.0

    assert (soon, late) == (None, "flag_error")
    assert flags.loss("support", "u-1", {}) is None
