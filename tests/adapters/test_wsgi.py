"""Requests of WSGI apps as queries: plain ones, and those that call as Flask and Django do."""

import io
import re
from wsgiref.handlers import SimpleHandler
from wsgiref.util import setup_testing_defaults

import pytest

from shadoweval.adapters.asgi import ShadowASGI
from shadoweval.adapters.wsgi import Route, ShadowWSGI
from shadoweval.capture import tool
from shadoweval.errors import ArgumentError, ExperimentError
from shadoweval.mirror import Mirror

ROUTES = [Route(path="/ask"), Route(method="GET", path="/threads/{id}"), Route(path="/files/{rest:path}")]


@tool(effect="read")
def look_up(question):
    return f"found {question}"


def answering(status="200 OK", kind="application/json", pieces=(b'{"answer": "yes"}',), read=lambda body: body.read()):
    """An app that reads the request and sends these pieces."""

    def app(environ, start_response):
        read(environ["wsgi.input"])
        look_up(environ["PATH_INFO"])
        start_response(status, [("Content-Type", kind)])
        return list(pieces)

    return app


def ask(app, body=b'{"question": "How?"}', *, method="POST", path="/ask", query="", **environ):
    """One request through a server's handler; what the client got, but for the time of day."""
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query, **environ}
    environ |= {"CONTENT_LENGTH": str(len(body)), "CONTENT_TYPE": "application/json"} if body else {}
    setup_testing_defaults(environ)
    out, err = io.BytesIO(), io.StringIO()
    handler = SimpleHandler(io.BytesIO(body), out, err, environ, multithread=False)
    handler.run(app)
    return re.sub(rb"Date: [^\r]*\r\n", b"", out.getvalue()), err.getvalue()


@pytest.fixture
def mounted(mirror, kept):
    return (lambda app, **options: ShadowWSGI(app, mirror, routes=ROUTES, **options)), kept


def test_a_request_is_a_query_and_its_response_the_outcome(mounted):
    """The client gets the same bytes; the record has the request, the answer and what the app did."""
    mount, kept = mounted
    app = answering()
    assert ask(mount(app)) == ask(app)
    envelope = kept.only
    assert envelope.query.text == "How?"
    served = envelope.served
    assert (served.outcome.answer, served.outcome.value["status"]) == ("yes", 200)
    assert [call.arguments for call in served.tool_calls] == [{"question": "/ask"}]


def test_other_routes_are_left_alone(mounted):
    """Neither wrapped nor counted."""
    mount, kept = mounted
    app = answering()
    assert mount(app)({"REQUEST_METHOD": "POST", "PATH_INFO": "/x", "wsgi.input": io.BytesIO()}, lambda *_: None)
    assert kept.frames == []


READS = {
    "whole": lambda body: body.read(),
    "by length": lambda body: body.read(20),
    "in pieces": lambda body: [body.read(7), body.read(0), body.read(13)],
    "into a buffer": lambda body: [body.readinto(bytearray(9)), body.readinto(memoryview(bytearray(64)))],
    "in lines": lambda body: body.readlines(),
    "line by line": lambda body: list(body),
}


@pytest.mark.parametrize("how", READS)
def test_a_body_is_copied_however_the_app_reads_it(how, mounted):
    """By its length, in pieces, in lines."""
    mount, kept = mounted
    ask(mount(answering(read=READS[how])))
    assert kept.only.query.text == "How?"


def test_a_body_that_nobody_read_is_uncopyable(mounted):
    """There would be nothing to ask a candidate."""
    mount, kept = mounted
    shadow = mount(answering(read=lambda body: None))
    ask(shadow)
    assert (kept.frames, shadow.plan.outlet.ledger.main.snapshot()["uncopyable"]) == ([], 1)


@pytest.mark.parametrize(
    ("status", "kind", "pieces", "error_type"),
    [
        ("503 Busy", "text/plain", [b"busy"], "StatusError"),
        ("200 OK", "text/event-stream", [b"event: error\ndata: down\n\n"], "StreamedError"),
        ("200 OK", "application/json", [b'{"answer": '], "BrokenBodyError"),
    ],
)
def test_a_response_that_says_that_it_failed_is_a_failure(status, kind, pieces, error_type, mounted):
    """As over ASGI."""
    mount, kept = mounted
    ask(mount(answering(status, kind, pieces)))
    assert kept.only.served.failure.error_type == error_type


def test_a_404_is_an_answer(mounted):
    """The user got what there is to get."""
    mount, kept = mounted
    ask(mount(answering("404 Not Found", "text/plain", [b"no such order"])))
    assert kept.only.served.outcome.value["status"] == 404


def test_a_stream_passes_piece_by_piece(mounted):
    """What the app does for a piece is part of the call; between pieces it waits."""

    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"because "
        yield look_up("later").encode()

    mount, kept = mounted
    pieces = mount(app)(environ_of(b"{}"), lambda *_: lambda piece: None)
    assert next(pieces) == b"because "
    assert kept.frames == []
    assert list(pieces) == [b"found later"]
    pieces.close()
    served = kept.only.served
    assert (served.outcome.answer, served.outcome.chunks) == ("because found later", 2)
    assert [call.name for call in served.tool_calls] == ["look_up"]


def environ_of(body):
    return {
        "REQUEST_METHOD": "POST", "PATH_INFO": "/ask", "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": str(len(body)), "wsgi.input": io.BytesIO(body),
    }  # fmt: skip


def test_a_client_that_goes_away_is_aborted(mounted):
    """The server closes what it has not taken to its end."""

    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        yield b"because "
        yield b"never sent"

    mount, kept = mounted
    pieces = mount(app)(environ_of(b"{}"), lambda *_: None)
    next(pieces)
    pieces.close()
    assert kept.only.served.failure.kind == "aborted"


def test_an_app_that_raises_has_failed(mounted):
    """The server sees the exception."""

    def app(environ, start_response):
        environ["wsgi.input"].read()
        raise LookupError("down")

    mount, kept = mounted
    with pytest.raises(LookupError):
        mount(app)(environ_of(b"{}"), lambda *_: None)
    assert kept.only.served.failure.error_type == "LookupError"


def test_path_and_query_are_kept_as_the_client_wrote_them(mounted):
    """Where a mapping would not say: an escaped slash, the order of parameters."""
    mount, kept = mounted
    ask(mount(answering()), path="/files/a/b", query="b=1&a=2&b=3", RAW_URI="/files/a%2Fb?b=1&a=2&b=3")
    (request,), _ = thawed(kept.only)
    assert (request["raw_path"], request["query_string"]) == ("/files/a%2Fb", "b=1&a=2&b=3")


def thawed(envelope):
    from shadoweval.codec import thaw

    return thaw(envelope.query.inputs)


def test_an_app_of_the_other_protocol_is_refused(mirror):
    """With the line that mounts it."""

    async def asgi_app(scope, receive, send):
        del scope, receive, send

    class Flask:
        def wsgi_app(self, environ, start_response): ...

        def __call__(self, environ, start_response): ...

    with pytest.raises(ArgumentError, match="Mount ShadowASGI"):
        ShadowWSGI(asgi_app, mirror, routes=ROUTES)
    with pytest.raises(ArgumentError, match=r"app\.wsgi_app = ShadowWSGI"):
        ShadowWSGI(Flask(), mirror, routes=ROUTES)
    with pytest.raises(ArgumentError, match="this is one of WSGI"):
        ShadowASGI(answering(), mirror, routes=ROUTES)
    with pytest.raises(ArgumentError, match=r"mirror\.wsgi"):
        mirror(Flask())
    with pytest.raises(ExperimentError, match="carries credentials"):
        ShadowWSGI(answering(), mirror, routes=ROUTES, headers=["Cookie"])
    assert isinstance(mirror.wsgi(answering(), routes=ROUTES), ShadowWSGI)


def test_a_control_call_passes_as_it_is(kept):
    """Nothing of it is copied."""
    mirror = Mirror("support", kept, control=1.0)
    shadow = ShadowWSGI(answering(), mirror, routes=ROUTES)
    assert ask(shadow) == ask(answering())
    assert kept.frames == []


def test_one_piece_in_an_iterator_is_no_stream(mounted):
    """As Werkzeug gives it."""

    def app(environ, start_response):
        environ["wsgi.input"].read()
        start_response("200 OK", [("Content-Type", "text/plain")])
        return iter([b"all of it"])

    mount, kept = mounted
    assert ask(mount(app)) == ask(app)
    assert (kept.only.served.outcome.answer, kept.only.served.outcome.chunks) == ("all of it", None)


def test_a_response_may_name_its_query(mounted):
    """Only where it is asked for, only for a mirrored request, and never in what is recorded or compared."""
    mount, kept = mounted
    app = answering()
    said, _ = ask(mount(app, header="X-Shadow-Query"))
    line = f"X-Shadow-Query: {kept.only.id}\r\n".encode()
    assert said.replace(line, b"") == ask(app)[0]
    assert line in said
    assert b"Shadow" not in ask(mount(app, header="X-Shadow-Query"), path="/else")[0]
    assert "X-Shadow" not in str(kept.only.served.outcome)
    with pytest.raises(ArgumentError, match="must be the name of an HTTP header"):
        mount(app, header="X Shadow")
