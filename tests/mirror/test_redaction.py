"""Secrets and personal data are replaced, and what only looks like them stays."""

import contextlib
import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval import codec
from shadoweval.capture import tool
from shadoweval.mirror import Mirror, redact_secrets

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


@pytest.mark.parametrize("key", ["password", "api_key", "apiKey", "x-api-key", "db.password", "access_token", "token"])
def test_what_stands_under_a_secrets_name_is_replaced(key: str) -> None:
    """Whatever it looks like."""
    assert redact_secrets("hunter2", key) == "[SECRET]"
    assert redact_secrets("hunter2", "question") == "hunter2"
    assert redact_secrets("12", "output_tokens") == "12"


@given(st.text(max_size=200))
def test_it_is_idempotent_and_total(text: str) -> None:
    """Any text can be redacted, and twice is once."""
    once = redact_secrets(text)
    assert redact_secrets(once) == once


def test_hostile_text_takes_no_longer_than_its_length() -> None:
    """No pattern backtracks without bound: 200 kB of what each pattern begins with, within 10 s."""
    import time

    began = time.monotonic()
    for piece in ("1 ", "a@", "a.", "A1 ", "sk-", "eyJ", "bearer ", "x://", "-----BEGIN ", "DE89 3704 "):
        redact_secrets(piece * (200_000 // len(piece)))
    assert time.monotonic() - began < 10


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
