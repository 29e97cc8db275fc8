"""Four workers as typed, a home each and one store: their candidates ask a server no more often than was said."""

import contextlib
import http.server
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest

from shadoweval.store import SqlStore
from tests.waiting import until

RATE, COUNT, WORKERS, PROCESSES = 2, 24, 4, 2

APP = """
import urllib.request
from shadoweval import Experiment, Sandbox

there = "127.0.0.1:{port}"
asked = Experiment(
    name="asked",
    candidates={{"new": "ratedapp:new"}},
    rerun=0.0,
    sandbox=Sandbox(allow=[there], rate={{there: {rate}}}),
)

def new(question):
    return urllib.request.urlopen(f"http://{{there}}/", timeout=60).read().decode()

served = asked.mirror(1.0, control=0.0)(lambda question: "ok")
"""
SERVE = f"import ratedapp\nfor n in range({COUNT}): ratedapp.served(f'question {{n}}')"


@contextlib.contextmanager
def serving():
    """A server that notes when it was asked."""
    times = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            times.append(time.monotonic())
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *args):
            """Quiet."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server.server_port, times
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.marathon
def test_four_workers_together_keep_the_rate(tmp_path, url):
    """Counted at the server, over any stretch; runs that waited are no slower for it, and all of them are pairs."""
    with serving() as (port, times):
        app = APP.format(port=port, rate=RATE)
        (tmp_path / "ratedapp.py").write_text(textwrap.dedent(app), encoding="utf-8")
        environments = [
            {
                **os.environ,
                "PYTHONPATH": str(tmp_path),
                "SHADOWEVAL_STORE": url,
                "SHADOWEVAL_HOME": str(tmp_path / name),
            }
            for name in ("one", "two", "three", "four")
        ]
        subprocess.run([sys.executable, "-c", SERVE], check=True, env=environments[0], cwd=tmp_path)
        words = ("-m", "shadoweval", "worker", "ratedapp:asked", "--processes", str(PROCESSES))
        workers = [
            subprocess.Popen([sys.executable, *words], env=each, cwd=tmp_path, stdout=subprocess.DEVNULL)
            for each in environments
        ]
        try:
            with SqlStore(url) as store:
                until(lambda: len(list(store.pairs("asked", "new"))) >= COUNT, seconds=240, every=0.5)
                pairs = list(store.pairs("asked", "new"))
        finally:
            for each in workers:
                each.send_signal(signal.SIGTERM)
            for each in workers:
                each.wait(60)

    assert len(pairs) == COUNT
    assert not [pair for pair in pairs if pair.candidate.failed]
    assert len(times) == COUNT
    # As many as run at once may have been held up on their way, and arrive together.
    allowed = [RATE * (times[last] - times[first]) + WORKERS * PROCESSES + 1 - (last - first)
               for first in range(COUNT) for last in range(first, COUNT)]  # fmt: skip
    assert min(allowed) >= 0
    assert times[-1] - times[0] >= (COUNT - 1 - WORKERS * PROCESSES) / RATE
    seconds = sorted(pair.candidate.duration for pair in pairs)
    assert seconds[COUNT // 2] < WORKERS * PROCESSES / RATE
