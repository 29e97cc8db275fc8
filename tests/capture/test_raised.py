"""Exceptions of tools are recorded as they were, and no more of them than may be."""

import asyncio

import httpx
import msgspec
import pytest

from shadoweval.capture.raised import raised
from shadoweval.codec import thaw
from shadoweval.errors import ToolRefusedError


class NotFoundError(Exception):
    def __init__(self, order, *, code):
        super().__init__(f"no {order}")
        self.order, self.code = order, code


class UncopyableError(Exception):
    def __init__(self, reply):
        super().__init__("no")
        self.reply = reply


def test_what_its_text_does_not_say_is_kept():
    """Attributes, and arguments that are no text."""
    assert vars(thaw(raised(NotFoundError("K-1", code=4)))) == {"order": "K-1", "code": 4}
    assert thaw(raised(KeyError("K-1"))).args == ("K-1",)
    assert thaw(raised(SystemExit(3))).code == 3


@pytest.mark.parametrize(
    "error",
    [
        None,
        ValueError("its text says all"),
        UncopyableError(iter("x")),
        UncopyableError("x" * 100_000),
        ToolRefusedError("refund", "write"),
        asyncio.CancelledError(),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_of_others_there_is_the_text(error):
    """What is enough, too large, can't be copied, is the shadow's own, or is about whoever waits."""
    assert raised(error) is None


def test_credentials_are_left_out():
    """An HTTP client's exception holds the request, and the request what lets its bearer in."""
    secrets = {"Authorization": "Bearer sk-1", "Cookie": "session=sk-2", "X-API-Key": "sk-3", "Accept": "text/plain"}
    request = httpx.Request("GET", "https://shop.example/a", headers=secrets)
    response = httpx.Response(429, request=request, text="later", headers=[("Set-Cookie", "a=sk-4")])

    frozen = raised(httpx.HTTPStatusError("slow down", request=request, response=response))

    assert type(frozen) is msgspec.Raw
    assert b"sk-" not in bytes(frozen)
    again = thaw(frozen)
    assert (again.response.status_code, again.response.text) == (429, "later")
    assert again.request.headers["accept"] == "text/plain"
    assert again.request.headers["authorization"] == "[REDACTED]"
