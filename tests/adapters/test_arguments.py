import re

import pytest
from langchain_core.runnables import RunnableLambda

from shadoweval.adapters.asgi import Route, ShadowASGI
from shadoweval.adapters.http import http_candidate
from shadoweval.adapters.langchain import ShadowMiddleware, mirrored
from shadoweval.adapters.openai import mirrored_client, watch
from shadoweval.adapters.openfeature import OpenFeatureFlags
from shadoweval.errors import ExperimentError
from shadoweval.mirror import Mirror
from shadoweval.testing import MemoryTransport

MIRROR = Mirror("support", MemoryTransport())
ROUTES = [Route(path="/ask")]


def answer(question):
    return question


class Client:
    def request(self, cast_to, options):
        """As an OpenAI client's."""

    def copy(self):
        """As an OpenAI client's."""


MISTAKES = {
    "an experiment's method": (
        lambda: mirrored(RunnableLambda(str), MIRROR.close),
        "mirror must be a Mirror.*parentheses",
    ),
    "a mirrored function": (lambda: mirrored(answer, MIRROR), "runnable must be a Runnable.*Decorate"),
    "a runnable's name": (lambda: mirrored("chain", MIRROR), "runnable must be a Runnable"),
    "a function as entry": (lambda: mirrored(RunnableLambda(str), MIRROR, entry=answer), "entry is a function"),
    "a middleware of nothing": (lambda: ShadowMiddleware(None), "mirror must be a Mirror"),
    "a client's class": (lambda: mirrored_client("gpt", MIRROR), "client must be an OpenAI or AsyncOpenAI client"),
    "a watched name": (lambda: watch("gpt"), "client must be an OpenAI or AsyncOpenAI client"),
    "a client's mirror": (lambda: mirrored_client(Client(), answer), "mirror must be a Mirror"),
    "a client's entry": (lambda: mirrored_client(Client(), MIRROR, entry="app.answer"), "'module:attribute'"),
    "an app's mirror": (lambda: ShadowASGI(answer, None, routes=ROUTES), "mirror must be a Mirror"),
    "one route": (lambda: ShadowASGI(answer, MIRROR, routes=ROUTES[0]), r"Write \[Route"),
    "a path as route": (
        lambda: ShadowASGI(answer, MIRROR, routes=["/ask"]),
        r"each of ShadowASGI\(routes\) must be a Route",
    ),
    "one header": (lambda: ShadowASGI(answer, MIRROR, routes=ROUTES, headers="accept"), r"Write \['accept'\]"),
    "a secret": (lambda: ShadowASGI(answer, MIRROR, routes=ROUTES, headers=["Cookie"]), "carries credentials"),
    "a size as text": (lambda: ShadowASGI(answer, MIRROR, routes=ROUTES, max_body="1"), "max_body.*without quotes"),
    "a path without a slash": (lambda: Route(path="ask"), r"Route\(path\) must be a path.*Write '/ask'"),
    "headers of a route": (lambda: Route(path="/ask", headers=["x"]), r"Route\(headers\)"),
    "a host without a scheme": (lambda: http_candidate("next.internal"), "no base URL"),
    "no time": (lambda: http_candidate("http://next", timeout=0), r"http_candidate\(timeout\)"),
    "headers as text": (lambda: http_candidate("http://next", headers="x-a: 1"), r"http_candidate\(headers\)"),
    "no patience": (lambda: OpenFeatureFlags(patience=0), r"OpenFeatureFlags\(patience\)"),
    "one reason": (lambda: OpenFeatureFlags(refused="DEFAULT"), r"Write \['DEFAULT'\]"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_wrong_argument_is_an_error_where_it_is_written(mistake):
    """The message says what is wrong and how to mend it."""
    write, message = MISTAKES[mistake]
    with pytest.raises(ExperimentError) as caught:
        write()
    assert re.search(message, str(caught.value)), str(caught.value)
