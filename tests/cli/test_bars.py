"""Bars: on a terminal alone, on stderr alone."""

import io
import os
import pty
import subprocess
import sys
import textwrap
import threading

import pytest

from shadoweval.cli.bars import bar, counting, watched

WORK = """
import sys
from shadoweval.cli.bars import bar, counting
with bar("toy: pairs") as advance:
    for item in counting(range(300), advance, of=300):
        print(item)
print("rich" in sys.modules)
"""


def worked(stderr):
    script = textwrap.dedent(WORK)
    return subprocess.run(
        [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=stderr, env={**os.environ, "TERM": "xterm"},
        check=True, timeout=240,
    ).stdout.decode().split()  # fmt: skip


def test_a_terminal_sees_a_bar_and_stdout_does_not():
    """Done of all on stderr; what goes to stdout is the same as without, and there rich is not even loaded."""
    ours, theirs = pty.openpty()
    seen = io.BytesIO()

    def read():
        while True:
            try:
                content = os.read(ours, 65536)
            except OSError:  # the other end is closed
                return
            if not content:
                return
            seen.write(content)

    reading = threading.Thread(target=read)
    reading.start()
    try:
        watched_by = worked(theirs)
    finally:
        os.close(theirs)
        reading.join(timeout=60)
        os.close(ours)
    alone = worked(subprocess.PIPE)

    assert watched_by[:-1] == alone[:-1] == [str(n) for n in range(300)]
    assert (watched_by[-1], alone[-1]) == ("True", "False")
    assert "toy: pairs" in seen.getvalue().decode()
    assert "300/300" in seen.getvalue().decode()


def test_without_a_terminal_there_is_none(monkeypatch):
    """Nothing to move, nothing wrapped."""
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    store = object()
    with bar("toy") as advance:
        assert advance is None
        assert watched(store, advance) is store
        assert list(counting("ab", advance, of=2)) == ["a", "b"]


class Look:
    expected = 5
    saved = None

    def scores(self, query_ids):
        return dict.fromkeys(query_ids, ())


class Funnel:
    paired = 3


class Store:
    name = "of the store"

    def pairs(self, *_, **__):
        return iter("abc")

    def funnel(self, *_, **__):
        return Funnel()

    def look(self, *_, **__):
        return Look()


def test_pairs_move_the_bar_as_they_go_by():
    """One by one where they are read, a portion at a time where they are scored; all else is the store's own."""
    told = []
    store = watched(Store(), lambda done, of: told.append((done, of)))

    assert list(store.pairs("toy", "new")) == ["a", "b", "c"]
    look = store.look("toy", "new")
    assert look.scores(["q-1", "q-2"]) == {"q-1": (), "q-2": ()}
    look.scores(["q-3"])

    assert told == [(1, 3), (2, 3), (3, 3), (2, 5), (3, 5)]
    assert (store.name, look.saved) == ("of the store", None)


@pytest.mark.parametrize("command", ["worker", "stored", "evaluation", "export", "schedule"])
def test_no_command_loads_it_by_itself(command):
    """Rich comes with the first bar."""
    code = f"import sys, shadoweval.cli.{command}; print('rich' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=240)
    assert done.stdout.strip() == "False"
