"""Counters that outlive their process."""

import mmap
import os
import signal
import struct
import subprocess
import sys
import threading

import pytest

from shadoweval import counters as counters_module
from shadoweval.counters import LOSSES, Counters, counters_file, read_counters, write_numbers


def test_counts_by_name(tmp_path):
    """Each name has its own count, and zeros are left out."""
    counters = Counters(tmp_path / "a.counters")

    counters.add("eligible", 3)
    counters.add("full")

    assert counters.snapshot() == {"eligible": 3, "full": 1}
    assert read_counters(tmp_path / "a.counters") == {"eligible": 3, "full": 1}


def test_memory_only():
    """Without a path nothing is written anywhere."""
    counters = Counters()

    counters.add("eligible")

    assert counters.snapshot() == {"eligible": 1}


def test_unknown_name_is_an_error():
    """A loss without a known reason can't be counted away."""
    with pytest.raises(KeyError):
        Counters().add("vanished")


def test_there_is_room_for_every_loss():
    """The file's slots hold every reason there is."""
    counters = Counters(names=("eligible", *LOSSES))

    for name in LOSSES:
        counters.add(name)

    assert set(counters.snapshot()) == set(LOSSES)


def test_threads_lose_no_count():
    """Counting from several threads at once loses nothing."""
    counters = Counters()
    threads = [threading.Thread(target=lambda: [counters.add("eligible") for _ in range(5_000)]) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert counters.snapshot() == {"eligible": 20_000}


def test_threads_that_change_at_every_step_lose_no_count():
    """The interpreter is told to change threads a million times a second: adding is undivided."""
    counters = Counters()
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=lambda: [counters.add("full") for _ in range(50_000)]) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert counters.snapshot() == {"full": 400_000}


def test_a_signal_handler_that_counts_neither_waits_nor_loses():
    """It strikes while its own thread counts, thousands of times."""
    counters = Counters()
    struck = []

    def handle(*_):
        struck.append(None)
        counters.add("full")

    before = signal.signal(signal.SIGALRM, handle)
    signal.setitimer(signal.ITIMER_REAL, 0.0001, 0.0001)
    try:
        counted = 0
        while len(struck) < 500 and counted < 20_000_000:
            counters.add("full")
            counted += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert len(struck) >= 500
    assert counters.snapshot() == {"full": counted + len(struck)}


def test_sigkill_loses_no_count(tmp_path):
    """What a process had counted when it was killed can be read."""
    path = tmp_path / "killed.counters"
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom shadoweval.counters import Counters\n"
        "c = Counters(Path(sys.argv[1]))\nfor _ in range(1234): c.add('eligible')\n"
        "print('counted', flush=True)\nsys.stdin.read()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "counted\n"

    os.kill(process.pid, signal.SIGKILL)
    process.communicate()

    assert read_counters(path) == {"eligible": 1234}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_lock_that_is_held_at_a_fork_is_not_the_childs(monkeypatch):
    """Where counting takes a lock, a child counts although the thread that held it is not there."""
    monkeypatch.setattr(counters_module, "_UNDIVIDED", False)
    counters = Counters()
    held, done = threading.Event(), threading.Event()

    def hold():
        with counters._lock:
            held.set()
            done.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    child = os.fork()
    if not child:
        signal.alarm(20)
        counters.add("full")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    done.set()
    thread.join()


def test_numbers_that_are_written_replace_those_before(tmp_path):
    """A file of counts that others keep."""
    (tmp_path / "a.counters").write_bytes(counters_file(("a", "b")))
    assert read_counters(tmp_path / "a.counters") == {}
    write_numbers(tmp_path / "a.counters", [1, 1])
    write_numbers(tmp_path / "a.counters", [2, 5])

    assert read_counters(tmp_path / "a.counters") == {"a": 2, "b": 5}


def test_counters_beside_are_told_together(tmp_path):
    """The same names counted in a file and in memory that another process reads."""
    with mmap.mmap(-1, 4096) as memory:
        shared = Counters(names=("a", "b"), place=(memory, 1024))
        filed = Counters(tmp_path / "a.counters", names=("a", "b"))
        shared.beside, filed.beside = (filed,), (shared,)

        shared.add("b", 2)
        filed.add("a")

        assert shared.snapshot() == filed.snapshot() == {"a": 1, "b": 2}
        assert struct.unpack_from("<2Q", memory, 1024) == (0, 2)
        shared.close()


def test_a_closed_file_stays_for_readers(tmp_path):
    """Closing lets go of the memory and keeps the file."""
    counters = Counters(tmp_path / "c.counters")
    counters.add("mirrored")

    counters.close()

    assert read_counters(tmp_path / "c.counters") == {"mirrored": 1}


def test_another_file_is_refused(tmp_path):
    """A file that holds no counters is an error, not zeros."""
    (tmp_path / "x").write_bytes(b"hello")

    with pytest.raises(ValueError, match="Expecting value"):
        read_counters(tmp_path / "x")
