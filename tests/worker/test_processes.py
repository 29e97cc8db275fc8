"""Processes of candidates the whole way: a module on disk, `shadoweval worker`, `status` and `evaluate` as typed."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what threads do")

HEAD = """
import os, threading, time
from shadoweval import Experiment, Limits, Sandbox, no_worse
from shadoweval.scoring import errors, latency
from shadoweval.verdict.rules import Rules
def inc(q: str) -> str: return q
def experiment(**options):
    return Experiment(name="e", candidates={"new": "s:cand"}, incumbent="s:inc", scorers=[errors(), latency()],
                      gates=[no_worse("errors", by=.1)], rules=Rules(min_hours=0), **options)
"""
LAZY = """
class Lazy: m = None
def cand(q: str) -> str:
    if Lazy.m is None: time.sleep(3); Lazy.m = 1
    from tqdm import tqdm; list(tqdm([1])); return q
e = experiment(sandbox=Sandbox(limits=Limits(seconds=2)))
"""
BUSY = """
def cand(q: str) -> str:
    def work():
        while True: pass
    threading.Thread(target=work, name="miner", daemon=True).start()
    return q
e = experiment()
"""
CALLS = """
m = e.mirror(control=0.0)(inc)
if __name__ == "__main__":
    import s
    for i in range(8): s.m(f"q{i}")
"""


@pytest.fixture
def typed(tmp_path):
    """What commands print over a module of that text, after its calls."""

    def run(text):
        Path(tmp_path, "s.py").write_text(HEAD + text + CALLS, encoding="utf-8")
        _ran(tmp_path, sys.executable, "s.py")
        command = (sys.executable, "-m", "shadoweval")
        return [
            _ran(tmp_path, *command, *words)
            for words in (("worker", "--until-idle", "s:e"), ("status", "s:e"), ("evaluate", "s:e"))
        ]

    return run


def _ran(folder, *command):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode in {0, 3}, done.stderr
    return done.stdout


def test_a_lazy_load_longer_than_the_deadline_is_paid_once(typed):
    """No time-out, no process given up, and the loading is in nobody's latency."""
    worker, status, evaluated = typed(LAZY)

    assert "timeout" not in worker + status + evaluated
    assert "given up" not in worker + status + evaluated
    assert "new: contained by:" in worker
    assert "    contained by:" in status


def test_why_processes_are_given_up_is_said_everywhere(typed):
    """Worker, status and evaluation name the thread and what to do."""
    for printed in typed(BUSY):
        assert "thread 'miner' worked on after its run; end it before the call returns" in printed


OF_A_BRANCH = """
from shadoweval import Experiment, Target, no_worse
from shadoweval.scoring import errors
from shadoweval.verdict.rules import Rules
def answer(q: str) -> str: return "of RELEASE"
e = Experiment(name="e", candidates={"new": Target("s:answer", git="next")}, incumbent="s:answer",
               scorers=[errors()], gates=[no_worse("errors", by=.1)], rules=Rules(min_hours=0))
m = e.mirror(control=0.0)(answer)
if __name__ == "__main__":
    import s
    for i in range(4): s.m(f"q{i}")
"""


def test_a_branch_is_shadowed_and_named_everywhere(tmp_path):
    """Worker and status say its commit, the report of which commit each answer is; main's own code is not run."""
    git = ("git", "-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")

    def committed(release):
        Path(tmp_path, "s.py").write_text(OF_A_BRANCH.replace("RELEASE", release), encoding="utf-8")
        _ran(tmp_path, *git, "add", "s.py")
        _ran(tmp_path, *git, "commit", "--quiet", "--message", release)
        return _ran(tmp_path, "git", "rev-parse", "--short=12", "HEAD").strip()

    _ran(tmp_path, "git", "init", "--quiet", "--initial-branch=main")
    committed("main")
    _ran(tmp_path, "git", "checkout", "--quiet", "-b", "next")
    commit = committed("the branch")
    _ran(tmp_path, "git", "checkout", "--quiet", "main")
    _ran(tmp_path, sys.executable, "s.py")
    command = (sys.executable, "-m", "shadoweval")
    worker = _ran(tmp_path, *command, "worker", "--until-idle", "s:e")
    status = _ran(tmp_path, *command, "status", "s:e")
    _ran(tmp_path, *command, "evaluate", "s:e", "--report", "reports", "--json", "e.json", "--texts", "full")
    report = Path(tmp_path, "reports/e.html").read_text(encoding="utf-8")

    assert f"commit {commit} (next)" in worker
    assert f"commit {commit} (next)" in status
    assert f"commit <code>{commit}</code>" in report
    assert "of the branch" in Path(tmp_path, "e.json").read_text(encoding="utf-8")
