"""A candidate behind a URL that gives no answer: its own failures are proof, what the shadow caused is not."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shadoweval import Sandbox

from .conftest import Row, Shadowed

CANDIDATE = """
from shadoweval.adapters.http import http_candidate

new = http_candidate("http://127.0.0.1:{port}")
"""


@contextmanager
def service(status):
    """Answers everything with one status; its port."""

    class Serving(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            """Not to the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Serving) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join(10)


@pytest.mark.parametrize(
    ("status", "decision", "says"),
    [
        (200, "promote", "is not judged"),
        (500, "rollback", "proven broken: errors"),
        (404, "rollback", "proven broken: errors"),
        (307, "rollback", "proven broken: errors"),
        (
            401,
            "hold",
            "The shadow, not the candidate, ended 40 of 40 runs: HTTP 401: credentials are never sent on (40)",
        ),
        (403, "hold", "HTTP 403: credentials are never sent on (40)"),
        (407, "hold", "HTTP 407: credentials are never sent on (40)"),
    ],
)
def test_a_service_without_answers_gets_the_verdict_it_deserves(tmp_path, monkeypatch, status, decision, says):
    """No status but the incumbent's own is an answer; without the caller's credentials nobody could have one."""
    monkeypatch.syspath_prepend(tmp_path)
    with service(status) as port:
        (tmp_path / f"service_{status}_{port}.py").write_text(CANDIDATE.format(port=port), encoding="utf-8")
        row = Row(
            candidate=f"service_{status}_{port}:new",
            decision=decision,
            calls=40,
            experiment={"incumbent": None, "sandbox": Sandbox(allow=[f"127.0.0.1:{port}"])},
        )
        shadowed = Shadowed(row, tmp_path)
        served = shadowed.experiment.mirror(1.0, control=0.0)(answered)
        for number in range(row.calls):
            served({"method": "POST", "path": f"/ask/{number}", "headers": {}, "query": {}, "body": {"q": number}})
        (verdict,) = shadowed.judged(serve=False).verdicts

    assert verdict.decision == decision, verdict
    assert says in str(verdict)
    assert f"0 by tools; what went to 127.0.0.1:{port} is not judged" in str(verdict)


def answered(request):
    """What is served today."""
    return {"status": 200, "content_type": "application/json", "body": {}, "answer": request["path"]}
