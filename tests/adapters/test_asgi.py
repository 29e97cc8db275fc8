import asyncio
import contextlib
import json
import socket
import threading

import pytest

from shadoweval import codec
from shadoweval.adapters.asgi import Route, ShadowASGI
from shadoweval.adapters.http import StatusError, decoded_body, http_candidate
from shadoweval.capture import retriever
from shadoweval.capture.interception import installed
from shadoweval.capture.recorder import current
from shadoweval.errors import ExperimentError
from tests.waiting import until

ASK = [Route(method="POST", path="/ask")]


@retriever
def find(question):
    return [{"id": "d1", "text": question, "score": 1.0}]


async def read_body(receive):
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    return body


async def respond(send, *pieces, status=200, kind=b"application/json"):
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-type", kind)]})
    for piece in pieces[:-1]:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
    await send({"type": "http.response.body", "body": pieces[-1]})


async def echo(scope, receive, send):
    """An app in the raw: answers a question, and says how long its body was."""
    body = await read_body(receive)
    find("x")
    question = json.loads(body)["question"] if body.startswith(b"{") else ""
    await respond(send, json.dumps({"answer": question.upper(), "size": len(body)}).encode())


def scope_of(path="/ask", method="POST", headers=(), query=b""):
    return {"type": "http", "method": method, "path": path, "headers": list(headers), "query_string": query}


JSON = [(b"content-type", b"application/json"), (b"content-length", b"9")]


async def call(app, *bodies, scope=None, log=None):
    """Send one request in pieces; what the client gets."""
    waiting = [
        {"type": "http.request", "body": body, "more_body": at < len(bodies) - 1} for at, body in enumerate(bodies)
    ]
    sent = []

    async def receive():
        if log is not None:
            log.append("receive")
        if not waiting:
            await asyncio.sleep(60)
        return waiting.pop(0)

    async def send(message):
        if log is not None:
            log.append(message.get("body"))
        sent.append(dict(message))

    await app(scope or scope_of(headers=JSON), receive, send)
    return sent


BODY = json.dumps({"question": "why"}).encode()


def test_a_matched_request_is_one_query(kept, mirror, counted):
    """The query holds method, path, query, the allowed headers and the decoded body; the outcome the response."""
    secret = [(b"authorization", b"Bearer s3cret"), (b"cookie", b"a=b"), (b"x-plan", b"gold")]
    app = ShadowASGI(echo, mirror, routes=ASK, headers=["content-type", "x-plan"])
    scope = scope_of(headers=[*JSON, *secret], query=b"a=1&a=2&b=")
    plain = asyncio.run(call(echo, BODY[:5], BODY[5:], scope=dict(scope)))
    assert asyncio.run(call(app, BODY[:5], BODY[5:], scope=scope)) == plain
    envelope = kept.only
    (request,), kwargs = codec.thaw(envelope.query.inputs)
    assert kwargs == {}
    assert request == {
        "method": "POST",
        "path": "/ask",
        "query": {"a": ["1", "2"], "b": [""]},
        "headers": {"content-type": "application/json", "x-plan": "gold"},
        "body": {"question": "why"},
    }
    assert b"s3cret" not in kept.frames[0]
    outcome = envelope.served.outcome
    assert (envelope.query.text, outcome.answer, outcome.chunks) == ("why", "WHY", None)
    assert outcome.value["status"] == 200
    assert outcome.value["body"] == {"answer": "WHY", "size": len(BODY)}
    assert [hit.id for hit in outcome.hits] == ["d1"]
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}
    assert current.get() is None


@pytest.mark.parametrize(
    ("scope", "matched"),
    [
        (scope_of("/ask"), True),
        (scope_of("/ask", method="GET"), False),
        (scope_of("/ask/more"), False),
        (scope_of("/threads/7/ask"), True),
        (scope_of("/threads/7/8/ask"), False),
        (scope_of("/files/a/b"), True),
        (scope_of("/tenant"), False),
        (scope_of("/tenant", headers=[(b"X-Tenant", b"acme")]), True),
        ({**scope_of("/v1/ask"), "root_path": "/v1"}, True),
    ],
)
def test_routes_match_by_method_path_and_header(scope, matched, kept, mirror):
    """Only what a route names is mirrored; paths are written as Starlette writes them."""
    routes = [
        *ASK,
        Route(path="/threads/{id}/ask"),
        Route(path="/files/{rest:path}"),
        Route(path="/tenant", headers={"X-Tenant": "acme"}),
    ]
    asyncio.run(call(ShadowASGI(echo, mirror, routes=routes), b"", scope=scope))
    assert bool(kept.frames) == matched


def test_credentials_can_not_be_allowed(mirror):
    """A header that carries credentials is refused when the middleware is made."""
    with pytest.raises(ExperimentError, match="'authorization' carries credentials"):
        ShadowASGI(echo, mirror, routes=ASK, headers=["Authorization"])


def test_websockets_and_lifespan_pass_untouched(mirror, counted):
    """Other kinds of connection get the server's own receive and send."""
    seen = []

    async def app(scope, receive, send):
        seen.append((scope, receive, send))

    shadow = ShadowASGI(app, mirror, routes=[Route(path="/{rest:path}")])
    for kind in ("websocket", "lifespan"):
        given = ({"type": kind, "path": "/ask"}, object(), object())
        asyncio.run(shadow(*given))
        assert all(mine is theirs for mine, theirs in zip(seen.pop(), given, strict=True))
    assert counted(mirror) == {}


def test_a_larger_body_is_counted_and_reaches_the_app_whole(kept, mirror, counted):
    """Over `max_body` nothing is mirrored and nothing is cut for the app."""
    app = ShadowASGI(echo, mirror, routes=ASK, max_body=100)
    sent = asyncio.run(call(app, *[b"x" * 60] * 5))
    assert json.loads(sent[1]["body"])["size"] == 300
    assert not kept.frames
    assert counted(mirror) == {"eligible": 1, "too_large": 1}


def test_bodies_stream_through_in_step(kept, mirror):
    """Each piece of a request reaches the app when it arrives, each chunk of a response the client when it is sent."""

    async def relay(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        more = True
        while more:
            message = await receive()
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"], "more_body": more})

    log, plain = [], []
    pieces = [b"a", b"b", b"c"]
    asyncio.run(call(relay, *pieces, log=plain))
    asyncio.run(call(ShadowASGI(relay, mirror, routes=ASK), *pieces, log=log))
    assert log == plain
    outcome = kept.only.served.outcome
    assert (outcome.answer, outcome.chunks) == ("abc", 3)
    assert kept.only.served.first_chunk is not None


def test_an_event_stream_is_an_answer(kept, mirror):
    """Tokens of an SSE stream, plain or as JSON, are joined to the answer; chunks and first chunk are recorded."""

    async def stream(scope, receive, send):
        await read_body(receive)
        events = [
            b'data: {"text": "Hel"}\n\n',
            b"data: lo\n\n",
            b'data: {"choices": [{"delta": {"content": "!"}}]}\n\n',
        ]
        await respond(send, *events, b"data: [DONE]\n\n", kind=b"text/event-stream; charset=utf-8")

    asyncio.run(call(ShadowASGI(stream, mirror, routes=ASK), BODY))
    served = kept.only.served
    assert (served.outcome.answer, served.outcome.chunks) == ("Hello!", 4)
    assert 0 < served.first_chunk <= served.duration


def test_the_call_ends_with_the_response(kept, mirror):
    """What an app does after its last chunk (background tasks) is neither waited for nor part of the call."""

    async def app(scope, receive, send):
        await echo(scope, receive, send)
        assert len(kept.frames) == 1
        find("later")

    asyncio.run(call(ShadowASGI(app, mirror, routes=ASK), BODY))
    assert len(kept.only.served.outcome.hits) == 1


def test_errors_are_failures_and_pass(kept, mirror):
    """An exception reaches the server as it is; a status of 500 or more is a failure, 404 an outcome."""
    error = RuntimeError("broken")

    async def app(scope, receive, send):
        body = await read_body(receive)
        if body == b"raise":
            raise error
        await respond(send, b'{"detail": "no"}', status=int(body))

    shadow = ShadowASGI(app, mirror, routes=ASK)
    with pytest.raises(RuntimeError) as caught:
        asyncio.run(call(shadow, b"raise"))
    assert caught.value is error
    for status in (b"503", b"404"):
        asyncio.run(call(shadow, status))
    raised, failed, missing = (envelope.served for envelope in kept.envelopes)
    assert (raised.failure.kind, raised.failure.error_type) == ("error", "RuntimeError")
    assert (failed.failure.error_type, failed.failure.message) == ("StatusError", 'HTTP 503: {"detail": "no"}')
    assert missing.outcome.value["status"] == 404


@pytest.mark.parametrize("how", ["disconnect", "send", "cancel"])
def test_a_client_that_goes_away_makes_an_aborted_query(how, kept, mirror, counted):
    """Told by `http.disconnect`, by a failing send or by cancellation, the query is aborted, and the app unchanged."""

    async def app(scope, receive, send):
        await read_body(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"part", "more_body": True})
        if how == "cancel":
            await asyncio.sleep(60)
        assert (await receive())["type"] == "http.disconnect"
        await send({"type": "http.response.body", "body": b"rest"})

    waiting = [{"type": "http.request", "body": BODY, "more_body": False}, {"type": "http.disconnect"}]

    async def receive():
        return waiting.pop(0)

    async def send(message):
        if how == "send" and message.get("body") == b"rest":
            raise OSError("gone")

    async def run():
        task = asyncio.create_task(ShadowASGI(app, mirror, routes=ASK)(scope_of(headers=JSON), receive, send))
        if how == "cancel":
            await asyncio.sleep(0.05)
            task.cancel()
        await task

    expected = {"disconnect": contextlib.nullcontext(), "send": pytest.raises(OSError, match="gone")}
    with expected.get(how) or pytest.raises(asyncio.CancelledError):
        asyncio.run(run())
    assert kept.only.served.failure.kind == "aborted"
    assert counted(mirror) == {"eligible": 1, "mirrored": 1}


def test_a_request_that_the_app_did_not_read_is_counted(kept, mirror, counted):
    """An app that answers without reading leaves nothing to ask a candidate; a GET without a body is complete."""

    async def app(scope, receive, send):
        await respond(send, b'{"answer": "early"}')

    routes = [*ASK, Route(method="GET", path="/ask")]
    shadow = ShadowASGI(app, mirror, routes=routes)
    watching = installed.watching
    asyncio.run(call(shadow, BODY))
    assert counted(mirror) == {"eligible": 1, "uncopyable": 1}
    assert installed.watching == watching
    asyncio.run(call(shadow, b"", scope=scope_of(method="GET", query=b"q=1")))
    assert kept.only.served.outcome.answer == "early"


def test_readers_and_outcome(kept, mirror_with):
    """`unit` and `attributes` see the request before its body, `text` all of it, `outcome` the response's mapping."""
    mirror = mirror_with(
        unit=lambda request: request["headers"]["x-user"],
        attributes=lambda request: {"path": request["path"], "body": request["body"]},
        text=lambda request: request["body"]["question"] + "?",
        outcome=lambda reply: f"{reply['status']}/{reply['body']['answer']}",
    )
    app = ShadowASGI(echo, mirror, routes=ASK, headers=["content-type", "x-user"])
    asyncio.run(call(app, BODY, scope=scope_of(headers=[*JSON, (b"x-user", b"u1")])))
    query = kept.only.query
    assert (query.unit, query.attributes, query.text) == ("u1", {"path": "/ask", "body": None}, "why?")
    assert kept.only.served.outcome.answer == "200/WHY"


def test_control_requests_record_nothing(kept, mirror_with, counted):
    """A control request is served as it is, and only its duration is counted."""
    mirror = mirror_with(control=1.0)
    sent = asyncio.run(call(ShadowASGI(echo, mirror, routes=ASK), BODY))
    assert json.loads(sent[1]["body"])["answer"] == "WHY"
    assert not kept.frames
    assert counted(mirror) == {"eligible": 1, "control": 1}
    assert sum(mirror.outlet.ledger.control.snapshot().values()) == 1


def test_concurrent_requests_keep_apart(kept, mirror, counted):
    """Requests that overlap each get their own query, body and answer."""

    async def slow(scope, receive, send):
        body = await read_body(receive)
        await asyncio.sleep(0)
        find(body.decode())
        await respond(send, body.upper(), kind=b"text/plain")

    async def run():
        shadow = ShadowASGI(slow, mirror, routes=ASK)
        await asyncio.gather(*(call(shadow, b"q%d" % n, scope=scope_of()) for n in range(20)))

    asyncio.run(run())
    assert counted(mirror) == {"eligible": 20, "mirrored": 20}
    for envelope in kept.envelopes:
        (request,), _ = codec.thaw(envelope.query.inputs)
        assert envelope.served.outcome.answer == request["body"].upper()
        assert [hit.text for hit in envelope.served.outcome.hits] == [request["body"]]


def test_bodies_are_decoded_by_their_type():
    """JSON, event streams, lines of JSON, text and bytes, each as what it is; broken JSON as text."""
    assert decoded_body(b"", "application/json") is None
    assert decoded_body(b'{"a": 1}', "application/problem+json; charset=utf-8") == {"a": 1}
    assert decoded_body(b'{"a"', "application/json") == '{"a"'
    assert decoded_body(b"data: a\r\ndata: b\r\n\r\n: ping\n\ndata: 1\n\n", "text/event-stream") == ["a\nb", 1]
    assert decoded_body(b'{"a": 1}\n\n"x"\n', "application/x-ndjson") == [{"a": 1}, "x"]
    assert decoded_body(b"plain", "") == "plain"
    assert decoded_body(b"\xff\xfe", "text/plain") == b"\xff\xfe"


@pytest.fixture
def served(mirror):
    """The app behind a real server; gives its address, and stops it."""
    import uvicorn

    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        seen.append(dict(scope["headers"]))
        if scope["path"] == "/slow":
            await read_body(receive)
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
            for _ in range(200):
                await send({"type": "http.response.body", "body": b"x" * 1000, "more_body": True})
                if (await asyncio.wait([asyncio.ensure_future(receive())], timeout=0.05))[0]:
                    return
        elif scope["path"] == "/fail":
            await respond(send, b"no", status=500)
        else:
            await echo(scope, receive, send)

    seen = []
    config = uvicorn.Config(
        ShadowASGI(app, mirror, routes=[*ASK, Route(path="/slow")]), log_level="error", lifespan="off"
    )
    server = uvicorn.Server(config)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", seen
        server.should_exit = True
        thread.join(10)


def wait_for_frame(kept):
    """The client has its answer before the server's thread hands the query over."""
    until(lambda: kept.frames)


def test_a_candidate_behind_a_url_gives_what_the_app_gives(served, kept):
    """The recorded input, sent on by `http_candidate`, gives the same mapping as the incumbent's outcome holds."""
    url, seen = served
    candidate = http_candidate(url, experiment="support")
    request = {"method": "POST", "path": "/ask", "query": {"a": ["1"]}, "headers": {"content-type": "application/json"}}
    first = candidate({**request, "body": {"question": "why"}})
    wait_for_frame(kept)
    incumbent = kept.only
    (recorded,), _ = codec.thaw(incumbent.query.inputs)
    assert candidate(recorded) == first == incumbent.served.outcome.value
    assert first["answer"] == "WHY"
    assert (seen[0][b"x-shadow"], seen[0][b"shadow-experiment"]) == (b"1", b"support")
    with pytest.raises(StatusError, match="HTTP 500: no"):
        candidate({**request, "path": "/fail", "body": None})
    with pytest.raises(ExperimentError, match="is no base URL"):
        http_candidate("next.internal")


def test_a_client_that_hangs_up_on_a_real_server_is_aborted(served, kept):
    """With a server and a socket that closes in the middle of the response, the query is aborted."""
    host, port = served[0].removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"POST /slow HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nhi")
        assert client.recv(100)
    wait_for_frame(kept)
    assert kept.only.served.failure.kind == "aborted"


def test_a_response_may_name_its_query(mirror, kept):
    """Only where it is asked for, only for a mirrored request; the app's own message stays as it is."""
    own = []

    async def app(scope, receive, send):
        own.append({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await read_body(receive)
        await send(own[-1])
        await send({"type": "http.response.body", "body": b"yes"})

    mounted = ShadowASGI(app, mirror, routes=ASK, header="X-Shadow-Query")
    start, _ = asyncio.run(call(mounted, BODY))
    assert start["headers"] == [(b"content-type", b"text/plain"), (b"x-shadow-query", kept.only.id.encode())]
    assert own[-1]["headers"] == [(b"content-type", b"text/plain")]
    start, _ = asyncio.run(call(mounted, BODY, scope=scope_of("/else", headers=JSON)))
    assert start["headers"] == [(b"content-type", b"text/plain")]
    start, _ = asyncio.run(call(ShadowASGI(app, mirror, routes=ASK), BODY))
    assert len(start["headers"]) == 1
