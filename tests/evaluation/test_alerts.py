"""Alerts: what is logged, and what a webhook gets and answers."""

import json
import logging
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, HTTPServer

import msgspec
import pytest

from shadoweval.errors import SettingsError
from shadoweval.evaluation.alerts import NotTakenError, WebhookNotifier, log_changes
from shadoweval.protocols import Alert
from shadoweval.records import Evaluation, Verdict
from shadoweval.testing import NOON


def verdict(decision="promote", why="proven"):
    return Verdict(experiment="docs", candidate="new", decision=decision, why=why)


def evaluation(decision, why="proven"):
    return Evaluation(id="e", experiment="docs", created_at=NOON, verdicts=(verdict(decision, why),))


def alert(**changes):
    facts = {"key": "k1", "receiver": "chat", "candidate": "new", "decision": "promote", "previous": "hold"}
    times = {"at": NOON, "due": NOON, "state": "owed", "attempts": 1}
    return Alert(**{**facts, **times, "verdict": verdict(), **changes})


@pytest.fixture(name="receiver")
def _receiver():
    """An HTTP server that answers one request as it is told, and keeps it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.got.append((self.headers, json.loads(body)))
            self.server.raw = body
            if isinstance(self.server.answer, bytes):
                self.wfile.write(self.server.answer)
                return
            status, headers = self.server.answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"s3cr3t body")

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.got, server.answer = [], (204, {})
    server.timeout = 60
    server.url = f"http://127.0.0.1:{server.server_port}/hook/s3cr3t"
    yield server
    server.server_close()


def post(server, answer=None, *, keys=(), **changes):
    server.answer = answer or server.answer
    serving = threading.Thread(target=server.handle_request)
    serving.start()
    try:
        WebhookNotifier(server.url, keys=keys).notify(alert(**changes))
    finally:
        serving.join()


def test_logs_each_change_once(caplog):
    """The first verdict and each change are told, a repetition is not; a rollback is a warning."""
    caplog.set_level(logging.INFO)
    looks = [evaluation("hold", "inconclusive"), evaluation("hold", "inconclusive"), evaluation("rollback", "broken")]

    counts = [log_changes(look, before) for look, before in zip(looks, [None, *looks], strict=False)]

    assert counts == [1, 0, 1]
    seen = [(r.levelname, r.experiment, r.candidate, r.decision, r.previous) for r in caplog.records]
    assert seen == [("INFO", "docs", "new", "hold", None), ("WARNING", "docs", "new", "rollback", "hold")]


def test_posts_the_table_and_the_facts(receiver):
    """A webhook gets the table as text, the facts as fields, and by what it knows an alert that comes twice."""
    post(receiver)

    headers, body = receiver.got[0]
    assert body["text"].startswith("docs / new: PROMOTE")
    assert (body["decision"], body["previous"], body["id"]) == ("promote", "hold", "k1")
    assert headers["Idempotency-Key"] == "k1"


KEYS = ["whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "b2xkIGtleSBvbGQga2V5IG9sZCBrZXkgb2xkIGtleSE="]


@pytest.mark.parametrize("keys", [KEYS[:1], KEYS, KEYS[::-1]])
def test_a_receiver_knows_whose_it_is(receiver, keys):
    """By the specification's own library: with either key while one takes the place of another; nothing else passes."""
    from standardwebhooks import Webhook, WebhookVerificationError

    post(receiver, keys=keys)

    headers, _ = receiver.got[0]
    hook = Webhook(KEYS[0])
    assert hook.verify(receiver.raw, dict(headers))["id"] == "k1" == headers["webhook-id"]
    with pytest.raises(WebhookVerificationError):
        hook.verify(receiver.raw.replace(b"PROMOTE", b"HOLD   "), dict(headers))
    with pytest.raises(WebhookVerificationError):
        hook.verify(receiver.raw, {**dict(headers), "webhook-id": "k2"})


def test_without_a_key_nothing_is_signed(receiver):
    """And nothing looks as if it were."""
    post(receiver)

    assert "webhook-signature" not in receiver.got[0][0]


@pytest.mark.parametrize("key", ["s3cr3t", "whsec_s3cr3t", "whsec_", f"whsec_{'s3cr3t!!' * 6}"])
def test_a_key_that_is_none_is_refused_and_not_repeated(key):
    """Whoever takes it for one signs with something that nobody knows."""
    with pytest.raises(SettingsError, match="openssl rand -base64 32") as caught:
        WebhookNotifier("https://chat.example/x", keys=[key])

    assert "s3cr3t" not in str(caught.value)


def test_chats_get_their_form(receiver):
    """Text alone, escaped: no user's words can call a channel, make a link or end the table."""
    receiver.url += "#slack"
    reasons = ("<!channel> look at <https://evil.example|this> & ``` *that*",)
    post(receiver, verdict=msgspec.structs.replace(verdict(), reasons=reasons))

    _, body = receiver.got[0]
    assert set(body) == {"text"}
    head, _, table = body["text"].partition("\n")
    assert head.startswith("*docs / new: PROMOTE")
    assert "&lt;!channel&gt; look at &lt;https://evil.example|this&gt; &amp; '''" in table
    assert (table[:3], table[-3:], table.count("```")) == ("```", "```", 2)


def test_posts_the_decision_where_the_record_is_damaged(receiver):
    """It is all that is left to say."""
    post(receiver, verdict=None)

    assert receiver.got[0][1]["text"] == "new: PROMOTE"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308, 400, 401, 404, 410, 429, 500, 503])
def test_what_is_not_answered_with_success_is_not_taken(receiver, status):
    """A redirect would lose the body; nothing of the answer, and no address, is in the message."""
    with pytest.raises(NotTakenError, match=f"it answered {status}") as caught:
        post(receiver, (status, {"Location": f"{receiver.url}/elsewhere"}))

    assert "s3cr3t" not in str(caught.value)
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "answer", [b"\n", b"HTTP/1.1 s3cr3t\r\n\r\n", b"s3cr3t " * 20_000, b"HTTP/1.1 200 OK\r\n" + b"a: s3cr3t\r\n" * 200]
)
def test_an_answer_that_is_none_is_not_taken(receiver, answer):
    """Nothing of it is repeated."""
    with pytest.raises(NotTakenError) as caught:
        post(receiver, answer)

    assert "s3cr3t" not in str(caught.value)


def test_a_receiver_that_is_not_there_is_named_by_what_the_system_says(receiver):
    """Without its address."""
    receiver.server_close()

    with pytest.raises(NotTakenError, match="Connection refused") as caught:
        WebhookNotifier(receiver.url).notify(alert())

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [
        ("120", 120, 120),
        (timedelta(hours=2), 3600, 7200),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("soon", None, None),
        ("-5", None, None),
    ],
)
def test_a_receiver_says_when_to_come_again(receiver, said, least, most):
    """In seconds or by a date; what is neither says nothing."""
    said = said if isinstance(said, str) else format_datetime(datetime.now(UTC) + said, usegmt=True)

    with pytest.raises(NotTakenError) as caught:
        post(receiver, (503, {"Retry-After": said}))

    asked = caught.value.retry_after
    assert asked is None if least is None else least <= asked <= most


def test_the_name_of_a_receiver_is_no_secret():
    """Its host, and a digest that tells two addresses on one host apart."""
    one, other = (WebhookNotifier(f"https://chat.example/{path}").receiver for path in ("s3cr3t", "t0ken"))

    assert one != other
    assert one.startswith("chat.example#")
    assert "s3cr3t" not in one


def test_an_address_must_be_one():
    """A webhook that is no http address is refused when it is made."""
    with pytest.raises(SettingsError, match="http://"):
        WebhookNotifier("file:///etc/passwd")


@pytest.mark.parametrize(
    "address",
    [
        "htps://chat/s3cr3t",
        "https://chat/s3cr3t x",
        "s3cr3t-of-a-hook",
        "https://ada:s3cr3t@chat/hook",
        "https://chat:s3cr3t/hook",
        "https://[s3cr3t/hook",
        "https:///s3cr3t",
    ],
)
def test_an_address_that_is_none_is_not_repeated(address):
    """It is mostly its own secret, and messages end in logs."""
    with pytest.raises(SettingsError) as caught:
        WebhookNotifier(address)

    assert "s3cr3t" not in str(caught.value)
