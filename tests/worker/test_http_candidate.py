"""An app mirrored by its requests, and a candidate behind a URL: from the request to the stored pair."""

import asyncio
import gzip
import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from shadoweval import Experiment, Limits, Sandbox
from shadoweval.adapters.asgi import Route, ShadowASGI
from shadoweval.adapters.http import NotSentError, _encoded
from shadoweval.capture.responses import request_body
from shadoweval.settings import Settings
from shadoweval.worker.loop import Worker
from shadoweval.worker.opening import candidate_pool, open_receiver, open_store

TARGETS = """
from shadoweval.adapters.http import http_candidate

VERSIONS = {{"release": "next"}}
new = http_candidate("http://127.0.0.1:{port}/v2", experiment="support", headers={{"x-key": "its own"}})
"""
SECRETS = [(b"authorization", b"Bearer s3cret"), (b"cookie", b"session=s3cret")]
HOP_BY_HOP = {"keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-connection", "proxy-authorization"}


REPLIES = {
    "break": (500, "text/plain", b"no"),
    "redirect": (307, "text/plain", b""),
    "credentials": (401, "text/plain", b"who are you"),
    "limited": (429, "text/plain", b"slower"),
    "missing": (404, "text/plain", b"no such thread"),
    "cut": (200, "application/json", b'{"answer": "ne'),
    "broken": (200, "application/json", b'{"answer": '),
    "gzip": (200, "application/json", gzip.compress(b'{"answer": "unpacked"}')),
    "br": (200, "application/json", b"\x00"),
    "error in stream": (200, "text/event-stream", b'data: {"text": "a"}\n\nevent: error\ndata: down\n\n'),
    "error in data": (200, "text/event-stream", b'data: {"error": {"message": "down"}}\n\n'),
}
"""What it says to some questions; to others their answer."""


@dataclass
class Release:
    """The next release, served on the loopback; it hangs and fails when its question says so."""

    port: int = 0
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def release() -> Iterator[Release]:
    state = Release()

    class Serving(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.seen.append((self.command, self.path, headers, body))
            question = json.loads(body)["question"]
            if question == "hang":
                state.over.wait(60)
            answer = json.dumps({"answer": f"next: {question}"}).encode()
            status, kind, body = REPLIES.get(question, (200, "application/json", answer))
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(body) + 9 * (question == "cut")))
            if question in {"gzip", "br"}:
                self.send_header("content-encoding", question)
            answer = body
            self.end_headers()
            with suppress(BrokenPipeError):  # whoever asked was killed meanwhile
                self.wfile.write(answer)

        do_GET = do_POST

        def log_message(self, *_: object) -> None:
            """Not to the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Serving) as server:
        server.daemon_threads = True
        state.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield state
        finally:
            state.over.set()
            server.shutdown()
            thread.join(10)


async def app(scope, receive, send):
    """What is served today."""
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    answer = json.dumps({"answer": f"today: {json.loads(body)['question']}"}).encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"application/json")]})
    await send({"type": "http.response.body", "body": answer})


async def post(served, question):
    """One request of a client's."""
    body = json.dumps({"question": question}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    headers += [
        (b"host", b"app.example"),
        (b"connection", b"keep-alive, te"),
        (b"te", b"trailers"),
        (b"x-user", b"u1"),
        *SECRETS,
    ]
    scope = {"type": "http", "method": "POST", "path": "/threads/ä 7/ask", "query_string": b"lang=en&tag=a&tag=b"}

    async def receive():
        return {"type": "http.request", "body": body}

    async def send(message):
        del message

    await served({**scope, "headers": headers}, receive, send)


@pytest.fixture(name="experiment_of")
def _experiment_of(tmp_path, monkeypatch):
    """Makes the experiment with a candidate at a port; `allow` is what the guard lets through."""
    monkeypatch.syspath_prepend(tmp_path)

    def made(port, *, allow, seconds=20.0):
        module = f"next_release_{port}_{len(sys.modules)}"
        (tmp_path / f"{module}.py").write_text(TARGETS.format(port=port), encoding="utf-8")
        return Experiment(
            name="support",
            candidates={"next": f"{module}:new"},
            rerun=0.0,
            sandbox=Sandbox(allow=allow, limits=Limits(seconds=seconds)),
            settings=Settings(home=str(tmp_path / "home")),
        )

    return made


def shadowed(experiment, *questions):
    """Serve the questions, then let the worker run to its end; the stored pairs by question."""
    mirror = experiment.mirror(1.0, control=0.0)
    kept = ["content-type", "host", "connection", "te", "content-length", "x-user"]
    served = ShadowASGI(app, mirror, routes=[Route(path="/threads/{id}/ask")], headers=kept)

    async def serving():
        for question in questions:
            await post(served, question)

    asyncio.run(serving())
    mirror.close()

    async def working(store):
        async with candidate_pool(experiment, arms=list(experiment.candidates)) as pool:
            receiver = open_receiver(experiment)
            return await Worker(experiment, store=store, receiver=receiver, pool=pool).run(until_idle=True)

    with open_store(experiment) as store:
        asyncio.run(working(store))
        pairs = {pair.query.text: pair for pair in store.pairs("support", "next")}
        funnel = store.funnel("support", "next")
    assert set(pairs) == set(questions)
    assert (funnel.eligible, funnel.mirrored, funnel.paired) == (len(questions),) * 3
    return pairs


def test_the_request_reaches_the_other_release_and_the_pair_is_stored(experiment_of):
    """Method, path, query, body and allowed headers arrive, marked; what is the client's own or the hop's does not."""
    with release() as served:
        experiment = experiment_of(served.port, allow=[f"127.0.0.1:{served.port}"])
        pair = shadowed(experiment, "why")["why"]
        ((method, path, headers, body),) = served.seen
    assert (method, path) == ("POST", "/v2/threads/%C3%A4%207/ask?lang=en&tag=a&tag=b")
    assert json.loads(body) == {"question": "why"}
    assert (headers["x-shadow"], headers["shadow-experiment"], headers["x-key"]) == ("1", "support", "its own")
    assert headers["content-type"] == "application/json"
    assert headers["host"] == f"127.0.0.1:{served.port}"
    assert headers["content-length"] == str(len(body))
    assert headers["x-user"] == "u1"
    assert not HOP_BY_HOP & set(headers)
    assert headers.get("connection", "close") == "close"
    assert "s3cret" not in str(headers)
    assert pair.served.outcome.answer == "today: why"
    candidate = pair.candidate
    assert (candidate.failure, candidate.refusals) == (None, ())
    assert (candidate.place, candidate.outcome.answer) == ("shadow", "next: why")
    assert candidate.outcome.value == {
        "status": 200,
        "content_type": "application/json",
        "body": {"answer": "next: why"},
        "answer": "next: why",
    }
    assert candidate.versions["release"] == "next"
    assert candidate.live_writes == 0


def test_a_release_that_fails_or_hangs_costs_its_own_runs_only(experiment_of):
    """Status 500 is an error, silence is cut at the deadline; the query between them is answered."""
    with release() as served:
        experiment = experiment_of(served.port, allow=[f"127.0.0.1:{served.port}"], seconds=4.0)
        began = time.monotonic()
        pairs = shadowed(experiment, "break", "hang", "why")
        took = time.monotonic() - began
    broken, hanging = pairs["break"].candidate.failure, pairs["hang"].candidate.failure
    assert (broken.kind, broken.error_type) == ("error", "StatusError")
    assert broken.message.startswith("HTTP 500: ")
    assert hanging.kind == "timeout"
    assert took < 50  # the server would have kept it for 60 s
    assert pairs["why"].candidate.outcome.answer == "next: why"
    assert all(pair.served.failure is None for pair in pairs.values())


def test_no_exception_is_not_success(experiment_of):
    """A reply that refuses, redirects, is cut or broken, or tells of an error in its stream is no answer."""
    with release() as served:
        experiment = experiment_of(served.port, allow=[f"127.0.0.1:{served.port}"])
        pairs = shadowed(experiment, *(question for question in REPLIES if question != "break"), "why")
    failures = {question: pair.candidate.failure for question, pair in pairs.items()}
    assert {question: failure and (failure.error_type, failure.owner) for question, failure in failures.items()} == {
        "redirect": ("StatusError", None),
        "credentials": ("StatusError", "shadow"),
        "limited": ("StatusError", "shadow"),
        "missing": ("StatusError", None),
        "cut": ("BrokenBodyError", None),
        "broken": ("BrokenBodyError", None),
        "gzip": None,
        "br": ("BrokenBodyError", None),
        "error in stream": ("StreamedError", None),
        "error in data": ("StreamedError", None),
        "why": None,
    }
    assert "headers={'authorization'" in failures["credentials"].mend
    assert pairs["gzip"].candidate.outcome.answer == "unpacked"


WRITTEN = {
    "JSON": (b'{"question": "Gr\xc3\xbc\xc3\x9fe", "n": [1, 2.5, null]}', "application/json"),
    "no JSON": (b"{question: how}", "application/json"),
    "not a number": (b'{"n": NaN}', "application/json"),
    "a JSON text": (b'"how"', "application/json"),
    "lines": (b'{"a": 1}\n{"a": 2}\n', "application/x-ndjson"),
    "text": (b"how?\r\n", "text/plain"),
    "form": (b"a=1&b=%20x", "application/x-www-form-urlencoded"),
    "bytes": (b"\xff\xfe\x00", "application/octet-stream"),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_body_is_sent_on_as_it_was_written(kind):
    """The same bytes; of JSON the same values."""
    body, content_type = WRITTEN[kind]
    sent = _encoded(request_body(body, content_type), content_type)
    if kind in {"JSON", "a JSON text"}:
        assert json.loads(sent) == json.loads(body)
    else:
        assert sent == body


def test_what_would_be_another_request_is_not_sent():
    """Its failure names the shadow."""
    with pytest.raises(NotSentError, match="is not the body of a request") as caught:
        _encoded({"question": "How?"}, "multipart/form-data; boundary=x")
    assert caught.value.shadow_cause[1]


def test_a_release_that_is_gone_is_a_failed_observation(experiment_of):
    """Nobody listens where the candidate should be."""
    with release() as served:
        port = served.port
    failure = shadowed(experiment_of(port, allow=[f"127.0.0.1:{port}"]), "why")["why"].candidate.failure
    assert (failure.kind, failure.error_type) == ("error", "ConnectionRefusedError")


@pytest.mark.skipif(sys.platform != "linux", reason="the guard's layers are Linux's")
def test_the_guard_lets_that_host_and_port_through_and_no_other(experiment_of):
    """Not allowed, or allowed at another port, the candidate is refused and the server sees nothing."""
    with release() as served, release() as other:
        pair = shadowed(experiment_of(served.port, allow=[f"127.0.0.1:{other.port}"]), "why")["why"]
        assert (served.seen, other.seen) == ([], [])
    candidate = pair.candidate
    assert candidate.failure.kind == "refused"
    assert [(refusal.kind, str(served.port) in refusal.detail) for refusal in candidate.refusals] == [
        ("socket.connect", True)
    ]
