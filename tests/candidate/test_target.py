"""What a target is called with."""

import sys
import types

from shadoweval.candidate.target import LoadedTarget
from shadoweval.mirror import Mirror
from shadoweval.testing import MemoryTransport


def handle(request, question, *, say, lang="en"):
    return (request, question, say, lang)


def test_an_incumbent_is_called_without_what_its_mirror_ignores():
    """They are their defaults, else None, and no part of what a candidate's signature is compared with."""
    decorated = Mirror("slack", MemoryTransport(), ignore=["request", "say", "lang"])(handle)
    target = LoadedTarget("app:handle", decorated, sys.modules[__name__])
    run = target.call("")
    assert run("How?") == run(question="How?") == (None, "How?", None, "en")
    assert [parameter.name for parameter in target.parameters()] == ["question"]


class Bot:
    async def __call__(self, question):
        return question


def test_a_mirrored_object_is_run_as_the_object_would_be():
    """In a loop, where its calls are awaited."""
    bot = Mirror("bot", MemoryTransport())(Bot())
    assert LoadedTarget("app:bot", bot, sys.modules[__name__]).concurrent
    assert not LoadedTarget("app:bot", Mirror("bot", MemoryTransport())(len), sys.modules[__name__]).concurrent


def test_a_version_is_what_the_user_names():
    """Then it alone says what is another release; `code` goes by it, and whoever names `code` has the last word."""

    def versions(**named):
        module = types.ModuleType("app")
        module.VERSIONS = named
        return LoadedTarget("app:handle", handle, module).versions

    named = versions(release="7")
    assert named == {**versions(release="7"), "release": "7", "target": "app:handle"}
    assert versions(release="8")["code"] != named["code"]
    assert versions(release="8", code="abc")["code"] == "abc"
    assert versions() == {"target": "app:handle"}
