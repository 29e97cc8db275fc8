"""A site whose pairs come in portions, each followed by a look."""

import gzip
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shadoweval import Experiment, Rules, evaluate, no_worse
from shadoweval.records import Envelope
from shadoweval.scoring import errors
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_query


class Site:
    """An experiment, its store, and pairs that come ten minutes apart."""

    def __init__(self, folder):
        self.clock = FixedClock()
        self.store = SqlStore(f"sqlite:///{folder / 's.db'}", clock=self.clock)
        self.experiment = Experiment(
            name="site",
            candidates={"new": "app:new"},
            scorers=[errors()],
            gates=[no_worse("errors", by=0.1)],
            rules=Rules(min_hours=0, min_units=20),
            settings=Settings(home=str(folder / "home")),
        )
        self.count = 0
        self.arms = ["new"]

    def serve(self, count, **candidate):
        """`count` more pairs."""
        for _ in range(count):
            self.count += 1
            self.clock.tick(600)
            query = make_query(self.count, asked_at=self.clock.now)
            served = Envelope(experiment="site", query=query, served=make_observation(query))
            self.store.add_envelopes([served], arms={query.id: self.arms})
            for arm in self.arms:
                self.store.add_observation(make_observation(query, arm, **candidate))
        self.clock.tick(3600)

    def look(self, **options):
        """The verdict of an evaluation."""
        return evaluate(self.experiment, store=self.store, clock=self.clock, **options).verdicts[0]


@pytest.fixture(name="site")
def _site(tmp_path):
    site = Site(tmp_path)
    yield site
    site.store.close()


class _Collector(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        packed = self.headers.get("content-encoding") == "gzip"
        self.server.seen.append((self.path, gzip.decompress(body) if packed else body))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *_):
        """Say nothing."""


@pytest.fixture(name="otlp")
def _otlp():
    """A collector on the loopback, and what it got."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Collector)
    server.seen, server.url = [], f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join(10)
    server.server_close()
