"""Secrets and personal data are replaced, and what only looks like them stays."""

import contextlib
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval import codec
from shadoweval.capture import tool
from shadoweval.mirror import Mirror, redact_secrets
from shadoweval.mirror.redaction.redactor import DROPPED

KEY = "-----BEGIN RSA " + "PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----"

SECRETS = [
    ("use sk-proj-" + "a" * 40, "use [KEY]"),
    ("AKIA" + "IOSFODNN7EXAMPLE", "[KEY]"),
    ("ghp_" + "a1" * 18, "[KEY]"),
    ("Authorization: Bearer " + "ab.c-d_" * 5, "Authorization: Bearer [TOKEN]"),
    ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmN", "[KEY]"),
    (f"key: {KEY} end", "key: [PRIVATE KEY] end"),
    ("postgres://ann:hunter2@db/x", "postgres://ann:[PASSWORD]@db/x"),
    ("mail ann.smith+x@example.co.uk now", "mail [EMAIL] now"),
    ("call +49 171 2345678", "call [PHONE]"),
    ("call (555) 010-9999 x", "call [PHONE] x"),
    ("card 4111 1111 1111 1111.", "card [CARD]."),
    ("card 5500005555555559", "card [CARD]"),
    ("card 3782 822463 10005", "card [CARD]"),
    ("call 0171 2345678", "call [PHONE]"),
    ("ssn 123-45-6789", "ssn [SSN]"),
    ("sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "[KEY]"),
    ("sk-ant-" + "api03-" + "aB3_" * 20, "[KEY]"),
    ("glpat-" + "abcdefghij0123456789", "[KEY]"),
    ("SG." + "abcdefghijklmnopqrstuv.qrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVW", "[KEY]"),
    ("npm_" + "abcdefghijklmnopqrstuvwxyz0123456789", "[KEY]"),
    ("gsk_" + "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGH", "[KEY]"),
    ("ya29." + "a0AfH6SMBabcdefghijklmnopqrstuvwxyz", "[KEY]"),
    ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxMjM0In0.", "[KEY]"),
    ("use password=hunter2 now", "use password=[SECRET] now"),
    ("passwd: hunter2", "passwd: [SECRET]"),
    ("passwd: swordfish for all", "passwd: [SECRET] for all"),
    ("password: swordfish\nuser: ann", "password: [SECRET]\nuser: ann"),
    ("my password is hunter2!", "my password is [SECRET]"),
    ("the api key is abc123def", "the api key is [SECRET]"),
    ('{"dbPassword": "correct horse", "a": 1}', '{"dbPassword": "[SECRET]", "a": 1}'),
    (r"{\"client_secret\": \"hunter2\"}", r"{\"client_secret\": \"[SECRET]\"}"),
    ("https://x.example/?api_key=abcdef&page=2", "https://x.example/?api_key=[SECRET]&page=2"),
    ("export AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG", "export AWS_SECRET_ACCESS_KEY=[SECRET]"),
    ("DefaultEndpointsProtocol=https;AccountKey=abcd1234==", "DefaultEndpointsProtocol=https;AccountKey=[SECRET]"),
    ("Cookie: sid=abc123; theme=dark\nHost: x", "Cookie: [SECRET]\nHost: x"),
    ("Authorization: Token abc123def456", "Authorization: Token [TOKEN]"),
    ("pay DE89 3704 0044 0532 0130 00", "pay [IBAN]"),
    ("pay GB82WEST12345698765432 now", "pay [IBAN] now"),
]
HARMLESS = [
    "in 2026-11-24 at 10:30:59",
    "order 4111111111111112 of 20261124",
    "version 1.22.333.4444, 3.14159265358979",
    "id 550e8400-e29b-41d4-a716-446655440000",
    "the token was sk-short, basic training",
    "GB82WEST12345698765431 is no account",
    "x @ y, https://example.com/a@b/c",
    "range 1000 - 2000",
    "in millions 2014 2013 2012, of (1342) 6648",
    "Nature 2001 412 875 876",
    "Password: must be at least 8 characters",
    "The password was changed often, and the password is required",
    "the secret: always stir. Token: a piece of text; the key: it is",
    "max_tokens=512, next_token=abcdefgh, primary_key=order, keyword: chess2",
    "password = get_password()",
    "password={password}, token=$TOKEN, api_key=<yours>",
    "Cookie: a small biscuit. Authorization: required by law",
    "a basic characterization-of-things, sk-learn-compatible-estimator, npm_config_registry_of_all_packages",
]


@pytest.mark.parametrize(("text", "clean"), SECRETS)
def test_what_has_a_form_of_its_own_is_replaced(text: str, clean: str) -> None:
    """By the kind of secret, and nothing around it."""
    assert redact_secrets(text) == clean
    assert redact_secrets(clean) == clean


@pytest.mark.parametrize("text", HARMLESS)
def test_what_only_looks_alike_stays(text: str) -> None:
    """Dates, versions, identifiers, numbers with a wrong check digit."""
    assert redact_secrets(text) == text


SECRET_NAMES = [
    "password",
    "passwd",
    "pwd",
    "api_key",
    "apiKey",
    "APIKEY",
    "x-api-key",
    "X_API_KEY",
    "db.password",
    "access_token",
    "token",
    "clientSecret",
    "client-secret",
    "CLIENT_SECRET",
    "dbPassword",
    "DB_PASSWORD",
    "password2",
    "session_token",
    "sessionToken",
    "cookie",
    "Set-Cookie",
    "authorization",
    "Proxy-Authorization",
    "passphrase",
    "privateKey",
    "AWS_SECRET_ACCESS_KEY",
    "accountKey",
    "auth",
    "credentials",
    "db_pass",
    "pin",
]
HARMLESS_NAMES = [
    "question",
    "key",
    "keys",
    "primary_key",
    "cache_key",
    "keyword",
    "output_tokens",
    "total_tokens",
    "max_token",
    "next_token",
    "nextPageToken",
    "eos_token",
    "pad_token",
    "secretary",
    "author",
    "authority",
    "passenger",
    "compass",
    "pass_rate",
    "tokenizer",
    "time_to_first_token",
    "session_id",
]


@pytest.mark.parametrize("key", SECRET_NAMES)
def test_what_stands_under_a_secrets_name_is_replaced(key: str) -> None:
    """Whatever it looks like."""
    assert redact_secrets("hunter2", key) == "[SECRET]"


@pytest.mark.parametrize("key", HARMLESS_NAMES)
def test_what_stands_under_another_name_stays(key: str) -> None:
    """Names that only share letters with a secret's."""
    assert redact_secrets("hunter2", key) == "hunter2"


PROSE = Path(__file__).parents[4] / "shared/data/xquad/corpus.jsonl"


@pytest.mark.skipif(not PROSE.exists(), reason="no corpus of prose (XQuAD, google-deepmind/xquad) beside the project")
def test_prose_is_left_alone() -> None:
    """In 240 paragraphs of encyclopedia, full of years, sums, names and ranges, nothing is taken for a secret."""
    texts = [json.loads(line)["text"] for line in PROSE.read_text(encoding="utf-8").splitlines()]
    assert len(texts) >= 200
    assert [text for text in texts if redact_secrets(text) != text] == []


@given(st.text(max_size=200))
def test_it_is_idempotent_and_total(text: str) -> None:
    """Any text can be redacted, and twice is once."""
    once = redact_secrets(text)
    assert redact_secrets(once) == once


def test_hostile_text_takes_no_longer_than_its_length() -> None:
    """No pattern backtracks without bound: 200 kB of what each pattern begins with, within 10 s of CPU time."""
    import time

    began = time.thread_time()
    pieces = ["1 ", "a@", "a.", "A1 ", "sk-", "sk-a-", "eyJ", "eyJ-", "eyJaaaaaaaa.", "bearer ", "x://", "-----BEGIN "]
    pieces += [
        "DE89 3704 ",
        "password=",
        "password ",
        "a.password: ",
        "authorization: ",
        "cookie: ",
        "api key is ",
        "SG.",
    ]
    for piece in pieces:
        redact_secrets(piece * (200_000 // len(piece)))
    assert time.thread_time() - began < 10


@dataclasses.dataclass
class Customer:
    """An object among the arguments."""

    email: str
    tags: tuple[str, ...]


def test_every_text_of_an_envelope_is_redacted(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """Question, inputs, attributes, answer, value, hits, tool calls, errors, however nested; records stay readable."""
    from shadoweval.capture import record_hits

    mail = "ann@example.com"

    @tool(effect="read")
    def look(who: dict[str, Any]) -> list[str]:
        return [mail]

    @tool(effect="read")
    def fail(who: str) -> None:
        raise LookupError(mail)

    @mirror_with(redact=redact_secrets, attributes=lambda *_: {"mail": mail})
    def answer(question: str, customer: Customer) -> dict[str, Any]:
        record_hits([{"id": "d1", "text": mail}])
        look({"deep": [mail]})
        with contextlib.suppress(LookupError):
            fail(mail)
        return {"answer": f"wrote to {mail}", "log": [{"to": mail}]}

    answer(f"who is {mail}?", Customer(mail, (mail, "x")))
    assert mail.encode() not in kept.frames[0]
    envelope = kept.only
    assert envelope.query.text == "who is [EMAIL]?"
    assert codec.thaw(envelope.query.inputs) == (
        ("who is [EMAIL]?", Customer("[EMAIL]", ("[EMAIL]", "x"))),
        {},
    )
    assert envelope.query.attributes == {"mail": "[EMAIL]"}
    assert envelope.served.outcome.answer == "wrote to [EMAIL]"
    assert envelope.served.hits[0].text == "[EMAIL]"
    assert envelope.served.tool_calls[0].arguments == {"who": {"deep": ["[EMAIL]"]}}
    assert envelope.served.tool_calls[0].result == ["[EMAIL]"]
    assert envelope.served.tool_calls[1].error == "LookupError: [EMAIL]"
    assert envelope.served.steps[1].error == "LookupError: [EMAIL]"


def test_a_failure_is_redacted_too(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """An exception's message often holds what was asked."""

    @mirror_with(redact=redact_secrets)
    def answer(question: str) -> str:
        raise ValueError(f"bad: {question}")

    with pytest.raises(ValueError, match="bad: "):
        answer("ann@example.com")
    assert kept.only.served.failure.message == "bad: [EMAIL]"


def test_a_redactor_that_raises_drops_the_call(mirror_with: Callable[..., Mirror], kept: Any, counted: Any) -> None:
    """What could not be redacted never leaves."""

    def raising(text: str, key: str) -> str:
        raise RuntimeError("no")

    mirror = mirror_with(redact=raising)
    assert mirror(lambda question: question)("q") == "q"
    assert kept.frames == []
    assert counted(mirror) == {"eligible": 1, "fault_redact": 1}


MAIL = "ann@example.com"


def test_keys_of_mappings_are_texts_too(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """In inputs, attributes, values and results; names of arguments and fields stay, for nothing works without them."""

    @mirror_with(redact=redact_secrets, attributes=lambda *_, **__: {"by": {MAIL: 1}})
    def answer(customers: dict[Any, Any], *, password: str) -> dict[str, Any]:
        return {"found": {MAIL: 1, "bob@example.com": 2}}

    answer({MAIL: 1, "bob@example.com": 2, (MAIL,): 3, 4: 5}, password="hunter2")

    assert b"@example.com" not in kept.frames[0]
    customers = {"[EMAIL]": 1, "[EMAIL] 2": 2, ("[EMAIL]",): 3, 4: 5}
    assert codec.thaw(kept.only.query.inputs) == ((customers,), {"password": "[SECRET]"})
    assert kept.only.query.attributes == {"by": {"[EMAIL]": 1}}
    assert kept.only.served.outcome.value == {"found": {"[EMAIL]": 1, "[EMAIL] 2": 2}}


def test_what_lies_deeper_under_a_secrets_name_is_secret(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """A mapping of cookies, a list of credentials, an object in them: as secret as one text under that name."""

    @mirror_with(redact=redact_secrets)
    def answer(request: dict[str, Any]) -> str:
        return "ok"

    answer(
        {"cookies": {"sid": "hunter2", "n": 1}, "credentials": [{"of": Customer("hunter2", ("hunter2",))}], "q": "x"}
    )

    assert b"hunter2" not in kept.frames[0]
    secret = Customer("[SECRET]", ("[SECRET]",))
    clean = {"cookies": {"sid": "[SECRET]", "n": 1}, "credentials": [{"of": secret}], "q": "x"}
    assert codec.thaw(kept.only.query.inputs) == ((clean,), {})


def test_bytes_that_are_text_are_redacted_and_others_dropped(mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """UTF-8 is looked into; a picture, UTF-16 and Latin-1 are not, so a mark stands in their place."""

    @mirror_with(redact=redact_secrets)
    def answer(*parts: bytes) -> dict[str, Any]:
        return {"raw": parts[0]}

    told = f"mail {MAIL} für alle"
    answer(told.encode(), told.encode("utf-16"), told.encode("latin-1"), b"\x89PNG\r\n", b"plain")

    clean = "mail [EMAIL] für alle".encode()
    dropped = DROPPED.encode()
    assert codec.thaw(kept.only.query.inputs) == ((clean, dropped, dropped, dropped, b"plain"), {})
    assert kept.only.served.outcome.value == {"raw": clean}
    assert b"example" not in kept.frames[0]


@pytest.mark.parametrize("given", [None, b"clean", 3, ["clean"]], ids=repr)
def test_a_redactor_that_gives_no_text_drops_the_call(
    mirror_with: Callable[..., Mirror], kept: Any, counted: Any, given: Any
) -> None:
    """Nobody could read such a frame; it is counted as what it is, in whichever text it happens."""

    def wrong(text: str, key: str) -> Any:
        return given if text == "odd" else text

    mirror = mirror_with(redact=wrong)
    assert mirror(lambda question: question)("odd") == "odd"
    assert mirror(lambda question: {"deep": [question]})({"deep": ["odd"]}) == {"deep": [{"deep": ["odd"]}]}
    assert mirror(lambda question: question)("even") == "even"
    assert len(kept.envelopes) == 1
    assert counted(mirror) == {"eligible": 3, "mirrored": 1, "fault_redact": 2}
