"""The command line, over a small experiment of its own."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

from shadoweval.cli import main

COMMANDS = (
    "worker", "evaluate", "report", "explain", "calibrate", "simulate", "kill", "resume", "status", "labels", "erase",
)  # fmt: skip

PIPELINE = """
from shadoweval import Experiment, better, no_worse, tool
from shadoweval.scoring.answers import exact_match
from shadoweval.scoring.latency import errors
from shadoweval.verdict.rules import Rules

@tool(effect="write")
def book(number):
    open("booked.txt", "a").write(f"{number}\\n")
    return "booked"

toy = Experiment(
    name="toy",
    candidates={"upper": "toyapp:upper"},
    incumbent="toyapp:plain",
    labels="cases.jsonl",
    scorers=[exact_match(), errors()],
    gates=[better("exact_match", by=0.1), no_worse("errors", by=0.1)],
    rules=Rules(min_units=20, min_hours=0),
)

def plain(question):
    book(question)
    return question

def upper(question):
    book(question)
    return "right" if len(question) > 3 else question

served = toy.mirror(1.0, control=0.0)(plain)
"""


@pytest.fixture(name="project")
def _project(tmp_path, monkeypatch):
    (tmp_path / "toyapp.py").write_text(textwrap.dedent(PIPELINE), encoding="utf-8")
    cases = [json.dumps({"query": f"question {n}", "reference": "right"}) for n in range(80)]
    (tmp_path / "cases.jsonl").write_text("\n".join(cases), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_STORE", "SHADOWEVAL_KILL"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path
    sys.modules.pop("toyapp", None)


def shadoweval(*arguments, check=True):
    return subprocess.run(
        [sys.executable, "-m", "shadoweval", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=check,
        env={**os.environ, "PYTHONPATH": "."},
    )


def serve(count):
    script = f"import toyapp\nfor n in range({count}): toyapp.served(f'question {{n}}')"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_the_whole_way_from_a_mirrored_call_to_a_report(project):
    """Serve, shadow, evaluate, report, explain, status: and the tool wrote for the incumbent alone."""
    serve(80)
    booked = (project / "booked.txt").read_text(encoding="utf-8")

    worked = shadoweval("worker", "toyapp:toy", "--until-idle")
    judged = shadoweval("evaluate", "toyapp:toy", "--report", "reports", "--markdown", "summary.md")
    written = shadoweval("report", "toyapp:toy", "--out", "again.html")
    status = shadoweval("status", "toyapp:toy").stdout
    explained = shadoweval("explain", "toyapp:toy").stdout

    assert "80 envelopes" in worked.stdout
    assert "toy / upper: PROMOTE" in judged.stdout
    assert "PROMOTE" in (project / "reports" / "toy.html").read_text(encoding="utf-8")
    assert (project / "summary.md").read_text(encoding="utf-8").startswith("## toy / upper: PROMOTE")
    assert "again.html" in written.stdout
    assert "eligible 80, mirrored 80" in status
    assert "80 paired" in status
    assert "exact_match" in explained
    assert (project / "booked.txt").read_text(encoding="utf-8") == booked


def test_a_worker_that_is_killed_loses_and_doubles_nothing(project):
    """SIGKILL in the middle, a new worker, and every query is paired exactly once."""
    serve(80)
    first = subprocess.Popen(
        [sys.executable, "-m", "shadoweval", "worker", "toyapp:toy"],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": "."},
    )
    first.stdout.readline()
    deadline = time.monotonic() + 60
    while "upper: 0 paired" in shadoweval("status", "toyapp:toy").stdout and time.monotonic() < deadline:
        pass
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()

    shadoweval("worker", "toyapp:toy", "--until-idle")
    status = shadoweval("status", "toyapp:toy").stdout

    assert "80 paired (80 different), 0 waiting" in status
    assert "failed" not in status


def test_exit_codes_say_the_verdict(project):
    """Held because there is no evidence is another code than promoted."""
    done = shadoweval("evaluate", "toyapp:toy", check=False)

    assert done.returncode == 2
    assert "HOLD (error)" in done.stdout


def test_every_so_often_until_stopped(project):
    """A schedule runs at once, and a signal ends it cleanly with the verdict's code."""
    process = subprocess.Popen(
        [sys.executable, "-m", "shadoweval", "evaluate", "toyapp:toy", "--every", "1h"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": "."},
    )
    assert "HOLD" in process.stdout.readline()

    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=60)

    assert process.returncode == 2
    assert "1 runs, 0 missed" in out


def test_kill_and_resume(project, capsys):
    """The switch is thrown and taken back, with the reason in the audit trail."""
    assert main(["kill", "toy", "--reason", "bad answers"]) == 0
    assert main(["status", "toyapp:toy"]) == 0
    assert "KILLED" in capsys.readouterr().out

    assert main(["resume", "toy"]) == 0
    assert main(["status", "toyapp:toy"]) == 0
    assert "toy: running" in capsys.readouterr().out
    assert "bad answers" in (project / ".shadoweval" / "audit.jsonl").read_text(encoding="utf-8")


def test_labels_and_erasure(project, capsys):
    """Labels that came later are joined, old queries are erased."""
    assert main(["labels", "toyapp:toy", "cases.jsonl"]) == 0
    assert main(["labels", "toyapp:toy", "cases.jsonl"]) == 0
    assert main(["erase", "toyapp:toy", "--before", "30d"]) == 0

    out = capsys.readouterr().out
    assert "80 cases read, 80 labels new or changed" in out
    assert "80 cases read, 0 labels new or changed" in out
    assert "erased 0 queries older than 30d" in out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["status", "toyapp"], "it names no attribute"),
        (["status", "toyapq:toy"], "can't be imported"),
        (["status", "toyapp:toyy"], "has no 'toyy'"),
        (["status", "toyapp:plain"], "it is a function, no Experiment"),
        (["evaluate", "toyapp:toy", "--since", "yesterday"], "30m or 24h"),
        (["report", "toyapp:toy"], "shadoweval evaluate toyapp:toy"),
        (["labels", "toyapp:toy", "none.jsonl"], "can't be read"),
        (["erase", "toyapp:toy"], "--unit ID"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(project, capsys, arguments, complaint):
    """Exit code 4, and a message that says how to mend it; no traceback."""
    assert main(arguments) == 4
    assert complaint in capsys.readouterr().err


def test_help_of_every_command(capsys):
    """Every command explains itself."""
    for command in COMMANDS:
        with pytest.raises(SystemExit) as ended:
            main([command, "--help"])
        assert ended.value.code == 0
        assert command in capsys.readouterr().out
