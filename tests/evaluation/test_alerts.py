"""Alerts."""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from shadoweval.errors import SettingsError
from shadoweval.evaluation.alerts import LogNotifier, WebhookNotifier, notify_changes
from shadoweval.records import Evaluation, Verdict
from shadoweval.testing import NOON, ListNotifier


def evaluation(decision, why="proven"):
    verdict = Verdict(experiment="docs", candidate="new", decision=decision, why=why)
    return Evaluation(id="e", experiment="docs", created_at=NOON, verdicts=(verdict,))


def test_tells_each_change_once():
    """The first verdict and each change are told, a repetition is not."""
    notifier = ListNotifier()
    looks = [evaluation("hold", "inconclusive"), evaluation("hold", "inconclusive"), evaluation("promote")]

    before = None
    for look in looks:
        notify_changes(look, before, [notifier])
        before = look

    seen = [(v.decision, p.decision if p else None) for v, p in notifier.changes]
    assert seen == [("hold", None), ("promote", "hold")]


def test_a_notifier_that_fails_does_not_stop_the_others(caplog):
    """A broken alert channel is logged, and the next one is told."""

    class Broken:
        def notify(self, verdict, previous):
            raise OSError("no route")

    notifier = ListNotifier()

    assert notify_changes(evaluation("rollback", "broken"), None, [Broken(), notifier]) == 1
    assert len(notifier.changes) == 1
    assert caplog.records[0].message == "alert not sent"


def test_a_rollback_is_a_warning(caplog):
    """Rollbacks are logged louder than the rest."""
    caplog.set_level(logging.INFO)

    notify_changes(evaluation("rollback", "broken"), None, [LogNotifier()])

    assert caplog.records[0].levelno == logging.WARNING
    assert caplog.records[0].decision == "rollback"


def test_posts_the_table_and_the_facts():
    """A webhook gets the table as text and the facts as fields."""
    got = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.handle_request)
    serving.start()
    try:
        WebhookNotifier(f"http://127.0.0.1:{server.server_port}/hook").notify(evaluation("promote").verdicts[0], None)
    finally:
        serving.join()
        server.server_close()

    assert got[0]["decision"] == "promote"
    assert got[0]["text"].startswith("docs / new: PROMOTE")


def test_an_address_must_be_one():
    """A webhook that is no http address is refused when it is made."""
    with pytest.raises(SettingsError, match="http://"):
        WebhookNotifier("file:///etc/passwd")
