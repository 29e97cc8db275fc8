"""Who may read and write what a shadow leaves on disk: this user alone, whatever the umask, from call to report."""

import fcntl
import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shadoweval.errors import SettingsError
from shadoweval.traffic import audit
from shadoweval.traffic.kill import KillSwitch
from shadoweval.worker.opening import exclusive

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="modes, and the guard's layers")

MODULE = """
from shadoweval import Experiment, Traffic, no_worse
from shadoweval.scoring import errors
from shadoweval.verdict.rules import Rules
def inc(q: str) -> str: return q
def cand(q: str) -> str: return q
e = Experiment(name="e", candidates={"new": "s:cand"}, incumbent="s:inc", scorers=[errors()],
               gates=[no_worse("errors", by=.1)], rules=Rules(min_hours=0), traffic=Traffic(budget={"calls": 1000}))
m = e.mirror(control=0.0)(inc)
if __name__ == "__main__":
    import s
    for i in range(8): s.m(f"q{i}")
"""
COMMANDS = (
    ("worker", "--until-idle", "s:e"),
    ("status", "s:e"),
    ("evaluate", "s:e", "--report", "reports", "--markdown", "summary.md"),
    ("kill", "e"),
    ("resume", "e"),
)


def typed(folder, *command, umask=0o022):
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        umask=umask,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def modes(folder):
    return {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*")}


def test_without_a_umask_all_that_is_left_is_this_users_alone(tmp_path):
    """Spool, counters, locks, cursor, store, kill file, audit trail, report: 0600 in folders of 0700."""
    (tmp_path / "s.py").write_text(MODULE, encoding="utf-8")
    typed(tmp_path, "s.py", umask=0)
    for command in COMMANDS:
        typed(tmp_path, "-m", "shadoweval", *command, umask=0)
        if command[0] == "kill":
            assert (tmp_path / ".shadoweval/kill/e").stat().st_mode & 0o777 == 0o600

    left = modes(tmp_path / ".shadoweval")
    wide = {name: oct(mode) for name, mode in left.items() if mode & 0o077}
    assert wide == {}
    assert {"shadow.db", "audit.jsonl", "spool/e/cursor.json", "worker-e.lock", "spool", "kill"} <= set(left)
    assert stat.S_IMODE((tmp_path / ".shadoweval").stat().st_mode) == 0o700
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("reports/e.html", "summary.md")] == [0o600] * 2


def test_a_report_is_for_whom_it_is_told(tmp_path):
    """`--mode 644`: a web server may show it."""
    (tmp_path / "s.py").write_text(MODULE, encoding="utf-8")
    typed(tmp_path, "s.py")
    typed(tmp_path, "-m", "shadoweval", "worker", "--until-idle", "s:e")
    typed(tmp_path, "-m", "shadoweval", "evaluate", "s:e", "--report", "reports", "--mode", "644", umask=0o077)

    assert stat.S_IMODE((tmp_path / "reports/e.html").stat().st_mode) == 0o644


def test_alerts_go_to_addresses_that_the_list_of_processes_does_not_show(tmp_path, monkeypatch):
    """`evaluate` reads them from the environment; one that is none is not repeated."""
    (tmp_path / "s.py").write_text(MODULE, encoding="utf-8")
    typed(tmp_path, "s.py")
    typed(tmp_path, "-m", "shadoweval", "worker", "--until-idle", "s:e")
    monkeypatch.setenv("SHADOWEVAL_WEBHOOK", "htps://chat.example/s3cr3t")

    done = typed(tmp_path, "-m", "shadoweval", "evaluate", "s:e")

    assert done.returncode == 4
    assert "Setting 'webhook'" in done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr


def test_a_home_that_others_may_write_mirrors_and_runs_nothing(tmp_path):
    """Calls are answered and counted as killed; each command ends with what to type, and then it goes on."""
    home = tmp_path / ".shadoweval"
    home.mkdir()
    home.chmod(0o777)
    (tmp_path / "s.py").write_text(MODULE, encoding="utf-8")

    assert typed(tmp_path, "s.py").returncode == 0
    assert list(home.rglob("*.seg")) == []
    for command in COMMANDS[:3]:
        done = typed(tmp_path, "-m", "shadoweval", *command)
        assert (done.returncode, f"chmod go-w {home}" in done.stderr) == (4, True), done.stderr
    home.chmod(0o700)
    typed(tmp_path, "s.py")
    assert "killed: 8" in typed(tmp_path, "-m", "shadoweval", "status", "s:e").stdout
    assert " 8 envelopes" in typed(tmp_path, "-m", "shadoweval", "worker", "--until-idle", "s:e").stdout


def test_a_switch_says_who_may_write(tmp_path):
    """A kill is seen within its interval of the change of the mode, and so is its end."""
    switch = KillSwitch("e", home=tmp_path)
    assert switch.reason() is None
    tmp_path.chmod(0o707)
    assert "every user may write to it (mode 0707)" in switch.reason()
    tmp_path.chmod(0o700)
    assert switch.reason() is None


def test_a_lock_that_nobody_gives_back_ends_the_wait(tmp_path, monkeypatch):
    """Where another process holds the audit's lock for ever, whoever waits goes on with an error that says so."""
    monkeypatch.setattr(audit, "_PATIENCE", 0.2)
    path = tmp_path / "audit.lock"
    with path.open("wb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        began = time.monotonic()
        with pytest.raises(TimeoutError, match=f"held it.*fuser {path}"), audit.locked(path):
            pass
        assert time.monotonic() - began < 60
    with audit.locked(path):
        pass


def test_a_lock_in_a_home_of_everybody_is_not_taken(tmp_path):
    """Other users could hold it for ever."""
    tmp_path.chmod(0o777)

    with pytest.raises(SettingsError, match="chmod go-w"), exclusive(tmp_path, "worker-e.lock"):
        pass

    assert list(tmp_path.iterdir()) == []
