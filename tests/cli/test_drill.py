"""`shadoweval drill`, the whole way: from the command to each of those who should see a candidate fail."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from shadoweval.cli.parser import main
from tests.commands import enter
from tests.processes import processes_naming
from tests.waiting import SECONDS, until

PIPELINE = """
from shadoweval import Experiment, Rules, at_most, no_worse
from shadoweval.scoring import errors, exact_match, latency

def plain(question):
    return question.upper()

toy = Experiment(
    name="toy", candidates={"same": "drillapp:plain"}, incumbent="drillapp:plain", labels="cases.jsonl",
    scorers=[exact_match(), errors(), latency()],
    gates=[no_worse("exact_match", by=0.1), no_worse("errors", by=0.1), at_most("latency.p95", ratio=1.5)],
    rules=Rules(min_hours=0))

blind = Experiment(
    name="blind", candidates={"same": "drillapp:plain"}, incumbent="drillapp:plain", labels="cases.jsonl",
    scorers=[errors()], gates=[no_worse("errors", by=0.1)], rules=Rules(min_hours=0))
"""


@pytest.fixture(name="project")
def _project(tmp_path, monkeypatch):
    (tmp_path / "drillapp.py").write_text(textwrap.dedent(PIPELINE), encoding="utf-8")
    ask(tmp_path, 40)
    enter(tmp_path, monkeypatch)
    yield tmp_path
    sys.modules.pop("drillapp", None)


@pytest.fixture(name="receiver")
def _receiver(monkeypatch):
    """A webhook that takes everything."""
    posted = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            posted.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            """Nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    monkeypatch.setenv("SHADOWEVAL_WEBHOOK", f"http://127.0.0.1:{server.server_port}/hook")
    yield posted
    server.shutdown()
    thread.join()
    server.server_close()


def ask(folder, count):
    """So many cases, which the incumbent answers rightly."""
    cases = [json.dumps({"query": f"question {n}", "reference": f"QUESTION {n}"}) for n in range(count)]
    (folder / "cases.jsonl").write_text("\n".join(cases), encoding="utf-8")


def drilled(capsys, *arguments):
    """Exit code, and what was said of whom."""
    code = main(["drill", *arguments, "--json"])
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert "error" not in said, said
    assert said["exit_code"] == code
    return code, {each["who"]: (each["seen"], each["words"]) for each in said["seen"]}, err


def test_a_candidate_that_raises_is_seen_by_all(project, receiver, capsys):
    """Worker, verdict, report, kill, breaker and receivers; production's home is not made, its receiver gets a mark."""
    code, seen, err = drilled(capsys, "drillapp:toy", "--alert")

    assert code == 0, seen
    assert [who for who in seen if "#" not in who] == [
        "incumbent", "worker", "verdict", "report", "kill", "breaker", "alert",
    ]  # fmt: skip
    assert "answered 40 of 40 cases" in seen["incumbent"][1]
    assert "40 runs: 40 error (candidate's)" in seen["worker"][1]
    assert "ROLLBACK" in seen["verdict"][1]
    assert "the next call was not mirrored" in seen["kill"][1]
    assert "age of the oldest waiting query" in seen["breaker"][1]
    assert "All that should have seen it did." in err
    assert "Traceback" not in err
    assert not Path(".shadoweval").exists()
    assert {alert["decision"] for alert in receiver} == {"drill"}
    assert all(alert["text"].startswith("DRILL (raises): nothing has happened.") for alert in receiver)
    assert any("ROLLBACK" in alert["text"] for alert in receiver)
    assert any("kill switch" in alert["text"] for alert in receiver)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "whom"), [("slow", "verdict"), ("wrong", "verdict"), ("write", "guard"), ("crash", "worker")]
)
def test_every_other_failure_is_seen_too(project, capsys, fault, whom):
    """By those whose it is, with the gates that are about it."""
    ask(project, 150)  # what a gate on p95 takes
    code, seen, _ = drilled(capsys, "drillapp:toy", "--fault", fault)

    assert code == 0, seen
    assert seen[whom][0]
    if fault == "write":
        assert "writes that reached the world: 0" in seen["guard"][1]
        assert "containment" in seen["alert"][1]


@pytest.mark.slow
def test_gates_that_are_blind_are_found(project, capsys):
    """Wrong answers under a gate on errors alone: the verdict does not see them, and says which gate would."""
    code, seen, err = drilled(capsys, "drillapp:blind", "--fault", "wrong")

    assert code == 1
    assert [who for who, (well, _) in seen.items() if not well] == ["verdict"]
    assert "no_worse('token_f1', by=0.05)" in seen["verdict"][1]
    assert "Not seen by: verdict." in err


def test_without_queries_there_is_no_drill(project, capsys):
    """It says where they would come from, and makes nothing."""
    (project / "cases.jsonl").write_text("", encoding="utf-8")

    assert main(["drill", "drillapp:toy"]) == 4
    assert "A drill needs queries" in capsys.readouterr().err
    assert not Path(".shadoweval").exists()


def test_a_drill_that_is_ended_leaves_nothing(project, tmp_path):
    """Its folder holds users' queries, and its candidates are processes."""
    (tmp_path / "scratch").mkdir()
    environment = {
        **os.environ,
        "TMPDIR": str(tmp_path / "scratch"),
        "PYTHONPATH": str(project),
        "DRILLED": str(project),
    }
    command = [sys.executable, "-u", "-m", "shadoweval", "drill", "drillapp:toy", "--fault", "raises"]
    with subprocess.Popen(command, cwd=project, env=environment, stdout=subprocess.PIPE, text=True) as drill:
        assert "drill of candidate" in drill.stdout.readline()
        assert "incumbent" in drill.stdout.readline()
        drill.send_signal(signal.SIGTERM)
        drill.communicate(timeout=SECONDS)
    assert drill.returncode == 130
    assert [each.name for each in (tmp_path / "scratch").glob("shadow-drill-*")] == []
    until(lambda: not processes_naming(f"DRILLED={project}"))
