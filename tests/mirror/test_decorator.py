"""The decorator's own doings; that it changes nothing for the caller is `test_conformance`."""

import asyncio
import functools
from collections.abc import Callable
from typing import Any

from shadoweval.mirror import Mirror


def plain(question: str) -> str:
    return question


def test_the_entry_names_the_incumbent(mirror: Mirror, mirror_with: Callable[..., Mirror], kept: Any) -> None:
    """A worker finds the incumbent again by module and name, or by the name given."""
    mirror(plain)("q")
    mirror_with(entry="app:answer")(plain)("q")
    assert [envelope.query.entry for envelope in kept.envelopes] == [f"{__name__}:plain", "app:answer"]


def test_nested_calls_are_one_query(mirror: Mirror, kept: Any, counted: Any) -> None:
    """A mirrored pipeline that calls another, or itself, is one query; the inner calls are counted as nested."""

    @mirror
    def inner(question: str) -> str:
        return question

    @mirror
    def outer(question: str, depth: int) -> str:
        return outer(question, depth - 1) if depth else inner(question)

    assert outer("q", 3) == "q"
    assert len(kept.frames) == 1
    assert counted(mirror) == {"eligible": 5, "nested": 4, "mirrored": 1}


def test_concurrent_calls_do_not_mix(mirror: Mirror, kept: Any) -> None:
    """Tasks of one loop record into their own query."""
    from shadoweval.capture import tool

    @tool(effect="read")
    async def look(question: str) -> str:
        await asyncio.sleep(0)
        return question

    @mirror
    async def answer(question: str) -> str:
        for _ in range(3):
            await look(question)
        return question

    async def crowd() -> None:
        await asyncio.gather(*(answer(str(n)) for n in range(20)))

    asyncio.run(crowd())
    assert len(kept.frames) == 20
    for envelope in kept.envelopes:
        calls = envelope.served.tool_calls
        assert [call.arguments for call in calls] == [{"question": envelope.query.text}] * 3
        assert [call.occurrence for call in calls] == [1, 2, 3]


def test_callable_objects_and_partials_keep_a_name(mirror):
    """Frameworks name routes and tools by `__name__`; "mirrored" would be no name."""

    class Answerer:
        def __call__(self, question):
            return question

    def answer(question, *, k):
        return question, k

    assert mirror(Answerer()).__name__ == "Answerer"
    assert mirror(functools.partial(answer, k=2)).__name__ == "answer"
    assert mirror(functools.partial(functools.partial(Answerer()))).__name__ == "Answerer"
    assert mirror(answer).__name__ == "answer"
