"""Flag files under faults: replaced, deleted and damaged while four threads evaluate them."""

import contextlib
import os
import random
import sys
import threading
import time

import pytest

from shadoweval.traffic.flags import StaticFlags
from tests.waiting import until

ON = "[experiments.support]\nenabled = true\nshare = 1\n"
OFF = ON.replace("true", "false")


def put(file, content):
    """Replace the file as a whole."""
    new = file.with_name(f".{time.monotonic_ns()}")
    new.write_bytes(content if isinstance(content, bytes) else content.encode())
    new.replace(file)


class Callers:
    """Four threads that ask without a pause; what was raised and what was answered."""

    def __init__(self, flags):
        self.errors, self.answers, self.longest = [], {}, 0.0
        self._flags, self._stop = flags, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(4)]

    def _ask(self):
        try:
            while not self._stop.is_set():
                for _ in range(50):
                    answer = self._flags.loss("support", "u-1", {})
                    self.answers[answer] = self.answers.get(answer, 0) + 1
                time.sleep(0)
        except BaseException as error:
            self.errors.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


def eventually(flags, answer):
    """Waits until all of a hundred answers in a row are this one."""
    return until(lambda: all(flags.loss("support", "u-1", {}) == answer for _ in range(100)))


def faults(file):
    """Ways to break a flag file."""
    return {
        "deleted": lambda: file.unlink(),
        "corrupt": lambda: put(file, ON + "shar = 1\n"),
        "half": lambda: put(file, ON[: len(ON) // 2]),
        "binary": lambda: put(file, b"\x00\xff" * 100),
        "huge": lambda: put(file, ON + "#" * 300_000),
        "folder": lambda: (file.unlink(), file.mkdir()),
        "loop": lambda: (file.unlink(), file.symlink_to(file)),
        "pipe": lambda: (file.unlink(), os.mkfifo(file)),
        "older": lambda: (put(file, OFF), os.utime(file, (1, 1))),
        "not in it": lambda: put(file, ""),
        "off": lambda: put(file, OFF),
    }


def mend(file):
    if file.is_dir() and not file.is_symlink():
        file.rmdir()
    put(file, ON)


@pytest.mark.parametrize("fault", faults(None))
def test_each_fault_ends_mirroring_until_it_is_mended(tmp_path, fault):
    """Four threads evaluate: the fault is a no for all of them and nothing raises; mended is a yes again."""
    file = tmp_path / "flags.toml"
    put(file, ON)
    flags = StaticFlags(file, interval=0.01)
    with Callers(flags) as callers:
        assert eventually(flags, None)
        faults(file)[fault]()
        assert eventually(flags, "flag_off" if fault in {"off", "not in it"} else "flag_error")
        mend(file)
        assert eventually(flags, None)

    assert callers.errors == []


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_without_permission_is_no(tmp_path):
    """Unreadable is no."""
    file = tmp_path / "flags.toml"
    put(file, ON)
    file.chmod(0)

    assert StaticFlags(file).loss("support", "u-1", {}) == "flag_error"


def test_atomic_replacement_never_shows_half_a_file(tmp_path):
    """While the file is replaced 300 times by files that all say yes, no thread ever gets a no."""
    file = tmp_path / "flags.toml"
    put(file, ON)
    flags = StaticFlags(file, interval=0.0)
    assert flags.loss("support", "u-1", {}) is None
    with Callers(flags) as callers:
        for i in range(300):
            put(file, f"# {'x' * (i * 7)}\n{ON}")

    assert callers.errors == []
    assert set(callers.answers) == {None}


def test_the_last_of_many_changes_wins(tmp_path):
    """After a storm of changes in random order every thread ends with what the file says."""
    file, chance = tmp_path / "flags.toml", random.Random(5)
    put(file, ON)
    flags = StaticFlags(file, interval=0.001)
    with Callers(flags) as callers:
        for turn in range(40):
            put(file, chance.choice([ON, OFF, "x = 1"]))
            if turn % 3 == 0:
                with contextlib.suppress(FileNotFoundError):
                    file.unlink()
        put(file, OFF)
        assert eventually(flags, "flag_off")
        put(file, ON)
        assert eventually(flags, None)

    assert callers.errors == []


def test_the_garbage_of_a_provider_stays_out_of_the_decision():
    """Attributes whose comparison raises make the provider raise, which the caller counts as a no."""

    class Hostile(str):
        __slots__ = ()

        def startswith(self, *args):
            raise RuntimeError("hostile")

    from shadoweval.traffic.flagfile import Rule

    with pytest.raises(RuntimeError, match="hostile"):
        Rule(attribute="a", prefix="x").holds({"a": Hostile("x")})


def test_a_fork_while_threads_evaluate_leaves_a_child_that_sees_changes(tmp_path):
    """Nothing that another thread held at the fork keeps the child from looking again."""
    file = tmp_path / "flags.toml"
    put(file, ON)
    flags = StaticFlags(file, interval=0.0)
    with Callers(flags):
        children = []
        for _ in range(5):
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                os.read(read, 1)
                os._exit(0 if flags.loss("support", "u-1", {}) == "flag_off" else 1)
            children.append((child, read, write))
        put(file, OFF)
        for _, _, write in children:
            os.write(write, b"x")
        codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child, _, _ in children]
        for _, read, write in children:
            os.close(read)
            os.close(write)

    assert codes == [0] * 5


def test_a_switch_interval_changes_nothing(tmp_path):
    """With threads interrupted at every few bytecodes no call is lost, doubled or wrong."""
    file = tmp_path / "flags.toml"
    put(file, ON)
    flags = StaticFlags(file, interval=0.0)
    flags.loss("support", "u-1", {})
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with Callers(flags) as callers:
            time.sleep(0.3)
    finally:
        sys.setswitchinterval(before)

    assert callers.errors == []
    assert set(callers.answers) == {None}
