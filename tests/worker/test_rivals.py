"""Two definitions under one name: whose calls are whose can't be told, so no verdict goes by them."""

import os
import subprocess
import sys
import textwrap
from datetime import timedelta

import pytest

from shadoweval.protocols import Definition
from shadoweval.store import SqlStore
from shadoweval.testing import NOON
from shadoweval.worker.rivals import rivals_of, side_by_side

APP = """
import os, sys
from shadoweval import Experiment, Sandbox, no_worse
from shadoweval.scoring import errors

def defined(by):
    return Experiment(
        name="toy", candidates={"new": "twice:new"}, rerun=0.0, scorers=[errors()],
        gates=[no_worse("errors", by=by)], sandbox=Sandbox(guard=False),
    )

toy = defined(0.1)

def old(question):
    return question

def new(question):
    return question

if __name__ == "__main__":
    import twice
    for by in map(float, sys.argv[1:]):
        served = twice.defined(by).mirror(1.0, control=0.0)(twice.old)
        for n in range(3):
            assert served(f"question {n} of {by} in {os.getpid()}").startswith("question")
"""


def seen(definition, first, last):
    """Mirrored from minute to minute."""
    times = {"first_at": NOON + timedelta(minutes=first), "last_at": NOON + timedelta(minutes=last)}
    return Definition(definition=definition, entry="app:answer", process=definition, **times)


@pytest.mark.parametrize(
    ("definitions", "rivals"),
    [
        ([], ""),
        ([seen("a", 0, 500)], ""),
        ([seen("a", 0, 500), seen("b", 3, 495)], "ab"),
        ([seen("a", 0, 5), seen("b", 5, 10)], "ab"),  # a deploy, for ten minutes
        ([seen("a", 0, 5), seen("b", 3, 60)], ""),  # and after it
        ([seen("a", 0, 500), seen("b", 0, 100)], "ab"),  # two for a while, and one gave up
        ([seen("a", 0, 500), seen("b", 200, 210)], ""),  # deployed and taken back
        ([seen("a", 0, 2000), seen("b", 0, 100)], ""),  # a day ago
        ([seen("a", 0, 5), seen("b", 3, 100), seen("c", 95, 102)], "bc"),
    ],
)
def test_two_that_mirror_side_by_side_are_rivals(definitions, rivals):
    """A deploy has both for minutes, two applications have them for long."""
    assert "".join(each.definition for each in side_by_side(definitions)) == rivals


def test_what_mirrored_before_the_window_is_no_rival():
    """A new window is how two applications are told apart afterwards."""
    definitions = [seen("a", 0, 500), seen("b", 0, 100)]
    assert side_by_side(definitions, since=NOON + timedelta(minutes=101)) == []
    assert len(side_by_side(definitions, since=NOON + timedelta(minutes=10))) == 2


class Homes:
    """Homes that share a store."""

    def __init__(self, folder, url):
        (folder / "twice.py").write_text(textwrap.dedent(APP), encoding="utf-8")
        self.folder, self.url = folder, url

    def run(self, home, *words):
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "SHADOWEVAL_STORE": self.url,
                       "SHADOWEVAL_HOME": str(self.folder / home)}  # fmt: skip
        command = [sys.executable, *words]
        done = subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=300, check=False
        )
        return done.returncode, done.stdout + done.stderr

    def mirror(self, home, *margins):
        assert self.run(home, "twice.py", *margins)[0] == 0

    def command(self, home, *words):
        return self.run(home, "-m", "shadoweval", words[0], "twice:toy", *words[1:])


@pytest.fixture(name="homes")
def _homes(tmp_path, url):
    return Homes(tmp_path, url)


@pytest.mark.parametrize("second", ["one", "two"])
def test_two_applications_of_one_name_are_held_and_named(homes, second):
    """In one home and in two that share a store: the worker warns, `status` and the verdict name both."""
    homes.mirror("one", "0.1")
    homes.mirror(second, "0.2")
    said = "".join(homes.command(home, "worker", "--until-idle")[1] for home in dict.fromkeys(["one", second]))
    with SqlStore(homes.url) as store:
        (sentence,) = rivals_of(store, "toy")
        digests = [each.definition for each in store.definitions("toy")]
    code, verdict = homes.command("one", "evaluate")
    status, alarms = homes.command("one", "status")

    assert len(set(digests)) == 2
    assert all(f"{digest} of twice:old" in sentence for digest in digests)
    assert sentence in said
    assert code == 2
    assert sentence in " ".join(verdict.split())
    assert status == 1
    assert sentence in alarms


def test_one_definition_on_many_hosts_is_one(homes):
    """Each process works it out from what the definition says; a cell that is run again is no second application."""
    homes.mirror("one", "0.2", "0.1")  # in one process: the first is gone
    homes.mirror("two", "0.1")
    for home in ("one", "two"):
        assert homes.command(home, "worker", "--until-idle")[0] == 0
    with SqlStore(homes.url) as store:
        assert rivals_of(store, "toy") == ()
        assert len(store.definitions("toy")) == 1
    code, verdict = homes.command("one", "evaluate")
    assert "different definitions" not in verdict
    assert code in {0, 3}
