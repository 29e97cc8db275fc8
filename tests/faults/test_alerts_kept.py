"""Alerts of real commands: a receiver that is down, a process that is killed, two hosts at once."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from shadoweval.evaluation.alerts import WebhookNotifier
from shadoweval.records import Evaluation, Verdict
from shadoweval.store import SqlStore
from shadoweval.testing import NOON

APP = """
from shadoweval import Experiment, no_worse
from shadoweval.scoring import errors

toy = Experiment(
    name="toy", candidates={"new": "told:toy"}, rerun=0.0, scorers=[errors()], gates=[no_worse("errors", by=0.1)]
)
"""
MINUTE = 60


class Receiver(ThreadingHTTPServer):
    """Keeps what it took; `status` is what it answers, None: nothing, ever."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.taken, self.asked, self.end = 204, [], threading.Event(), threading.Event()
        self.url = f"http://127.0.0.1:{self.server_port}/s3cr3t"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.server.status == 204:
            self.server.taken.append((self.headers["Idempotency-Key"], body["candidate"], body["decision"]))
        self.server.asked.set()
        if self.server.status is None:
            self.server.end.wait(MINUTE)
            return
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture(name="receiver")
def _receiver():
    server = Receiver()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.end.set()
    server.shutdown()
    server.server_close()


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch, receiver, url):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SHADOWEVAL_WEBHOOK", receiver.url)
    monkeypatch.setenv("SHADOWEVAL_STORE", url)
    monkeypatch.delenv("SHADOWEVAL_HOME", raising=False)
    Path("told.py").write_text(APP, encoding="utf-8")


def command(*words, **environment):
    return [sys.executable, "-m", "shadoweval", *words], {"env": {**os.environ, **environment}, "text": True}


def typed(*words, **environment):
    line, options = command(*words, **environment)
    return subprocess.run(line, check=False, capture_output=True, timeout=2 * MINUTE, **options)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_receiver_that_is_down_is_told_later_by_whoever_comes(receiver):
    """The look ends as ever, `status` raises the alarm, the next look's report too, and no secret is shown."""
    receiver.status = 503
    first = typed("evaluate", "told:toy")
    shown = typed("status", "told:toy")
    second = typed("evaluate", "told:toy", "--report", "reports")
    receiver.status = 204
    again = typed("alerts", "told:toy", "--again")
    well = typed("status", "told:toy")

    assert (first.returncode, second.returncode) == (2, 2), first.stderr + second.stderr
    assert (shown.returncode, again.returncode) == (1, 0), shown.stdout + again.stdout
    sentence = "the alert 'hold' of 'new' is not delivered to 127.0.0.1#"
    assert sentence in shown.stdout
    assert "it answered 503" in shown.stdout
    assert "is not delivered to 127.0.0.1#" in Path("reports/toy.html").read_text(encoding="utf-8")
    assert well.returncode == 3, well.stdout  # nothing was ever mirrored; no alarm
    assert [decision for _, _, decision in receiver.taken] == ["hold"]
    said = [done.stdout + done.stderr for done in (first, shown, second, again, well)]
    assert "s3cr3t" not in "".join(said)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_receivers_are_tried(receiver):
    """`alerts test` says of each whether it took a test; nothing is owed by it, and no secret is shown."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    taken = typed("alerts", "test", "told:toy", SHADOWEVAL_WEBHOOK_SECRET=secret)
    receiver.status = 410
    refused = typed("alerts", "test", "told:toy")
    nobody = typed("alerts", "test", "told:toy", SHADOWEVAL_WEBHOOK="")
    owed = typed("alerts", "told:toy")

    assert (taken.returncode, refused.returncode, nobody.returncode, owed.returncode) == (0, 1, 4, 0)
    assert ": taken, signed" in taken.stdout
    assert ": NOT TAKEN, it answered 410" in refused.stdout
    assert "There is no receiver. Name one" in nobody.stderr
    assert [decision for _, _, decision in receiver.taken] == ["test"]
    assert "s3cr3t" not in "".join(done.stdout + done.stderr for done in (taken, refused))


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_kill_is_told_by_whoever_comes_next(receiver):
    """From the command that kills to what a person reads; once, and once more when it is over."""
    told = []
    for words in (["kill", "told:toy", "--reason", "bad answers"], ["status", "told:toy"], ["resume", "told:toy"]):
        typed(*words)
        done = typed("alerts", "told:toy")
        assert done.returncode == 0, done.stdout + done.stderr
        told.append([(subject.partition(" (")[0], state) for _, subject, state in receiver.taken])
        receiver.taken.clear()

    assert told == [[("kill switch", "killed")], [], [("kill switch", "released")]]


def test_one_killed_between_its_look_and_the_receiver_leaves_the_alert_to_the_next(receiver):
    """`evaluate` is killed as the receiver has the alert and has not answered: a worker tells it again, by its key."""
    receiver.status = None
    line, options = command("evaluate", "told:toy")
    dying = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    assert receiver.asked.wait(2 * MINUTE)
    dying.send_signal(signal.SIGKILL)
    dying.wait()
    receiver.status = 204
    done = typed("alerts", "told:toy", "--again")

    assert done.returncode == 0, done.stdout + done.stderr
    assert len(receiver.taken) == 1


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_worker_takes_alerts_too(receiver, url):
    """Whoever runs beside the store does it."""
    _owe(url, ["new"])
    line, options = command("worker", "told:toy")
    working = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    try:
        assert receiver.asked.wait(2 * MINUTE), working.communicate(timeout=1)
    finally:
        working.terminate()
        working.communicate(timeout=MINUTE)

    assert [candidate for _, candidate, _ in receiver.taken] == ["new"]


def test_hosts_that_share_a_store_tell_each_alert_once(receiver, url, tmp_path):
    """Four at once, each with a home of its own."""
    _owe(url, [f"c{number}" for number in range(12)])
    started = []
    for number in range(4):
        line, options = command("alerts", "told:toy", SHADOWEVAL_HOME=str(tmp_path / f"home{number}"))
        started.append(subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options))
    said = [process.communicate(timeout=2 * MINUTE)[0] for process in started]

    assert Counter(candidate for _, candidate, _ in receiver.taken) == Counter(f"c{n}" for n in range(12)), said


def _owe(url, candidates):
    name = WebhookNotifier(os.environ["SHADOWEVAL_WEBHOOK"]).receiver
    verdicts = tuple(
        Verdict(experiment="toy", candidate=each, decision="rollback", why="broken") for each in candidates
    )
    with closing(SqlStore(url)) as store:
        made = Evaluation(id="e", experiment="toy", created_at=NOON, verdicts=verdicts)
        store.add_evaluation(made, receivers=[name])
