"""Tools are recorded as they were called, and answered by whoever stands in for them."""

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any, Self

import pytest

from shadoweval import codec
from shadoweval.capture import (
    Recorder,
    ToolFailedError,
    acall_tool,
    call_tool,
    interceptor,
    recording,
    set_interceptor,
    tool,
    uncopyable,
)
from shadoweval.errors import ToolRefusedError
from shadoweval.protocols import StubAnswer
from shadoweval.records import ToolCall


@tool(effect="read")
def search(query: str, limit: int = 5, *, filters: dict[str, Any] | None = None) -> list[str]:
    """Search the index."""
    return [query] * limit


@tool(effect="write", name="pay_out")
async def pay(amount: float) -> dict[str, Any]:
    """Pay."""
    await asyncio.sleep(0)
    return {"paid": amount}


@tool
def note(*lines: str, **facts: Any) -> None:
    """Note something."""


class Desk:
    """Tools may be methods."""

    @tool(effect="read")
    def look(self, what: str) -> str:
        return what


def recorded(run: Callable[[], Any], **options: Any) -> tuple[ToolCall, ...]:
    with recording(Recorder(**options)) as recorder:
        run()
    assert recorder.fault is None
    return recorder.parts().tool_calls


def test_a_tool_keeps_its_kind_and_signature() -> None:
    """Frameworks make their schemas from the function."""
    assert list(inspect.signature(search).parameters) == ["query", "limit", "filters"]
    assert inspect.iscoroutinefunction(pay)
    assert (search.__name__, search.__doc__) == ("search", "Search the index.")


def test_outside_a_recording_nothing_happens() -> None:
    """The tool is itself."""
    assert search("x", 1) == ["x"]
    assert asyncio.run(pay(1.0)) == {"paid": 1.0}


def test_arguments_are_bound_by_name_with_defaults() -> None:
    """However a call is written, its record is the same: replays look calls up by it."""
    calls = recorded(
        lambda: (search("x"), search(query="x", limit=5), search("x", 5, filters=None), note("a", "b", why=1), note())
    )
    assert [call.arguments for call in calls[:3]] == [{"query": "x", "limit": 5, "filters": None}] * 3
    assert [call.occurrence for call in calls[:3]] == [1, 2, 3]
    assert calls[3].arguments == {"lines": ["a", "b"], "why": 1}
    assert calls[4].arguments == {"lines": []}


def test_self_is_no_argument() -> None:
    """A method's instance is not part of the call."""
    (call,) = recorded(lambda: Desk().look("x"))
    assert call.arguments == {"what": "x"}


@pytest.mark.parametrize(
    ("first", "second", "occurrence"),
    [
        ({"a": 10}, {"a": 10.0}, 2),
        ({"a": 10}, {"a": "10"}, 1),
        ({"a": {"x": 1, "y": 2}}, {"a": {"y": 2, "x": 1}}, 2),
        ({"a": (1, 2)}, {"a": [1, 2]}, 2),
        ({"a": {1, 2}}, {"a": {2, 1}}, 2),
        ({"a": True}, {"a": 1}, 1),
        ({"a": {"x": [1.0]}}, {"a": {"x": [1]}}, 2),
        ({"a": "x"}, {"a": None}, 1),
    ],
)
def test_equal_calls_are_counted_as_the_codec_compares(
    first: dict[str, Any], second: dict[str, Any], occurrence: int
) -> None:
    """The quick comparison by bytes agrees with `codec.canonical`, which replays use."""
    assert (codec.canonical(first) == codec.canonical(second)) == (occurrence == 2)
    calls = recorded(
        lambda: (call_tool("t", first, effect="read", live=int), call_tool("t", second, effect="read", live=int))
    )
    assert calls[1].occurrence == occurrence


def test_what_changes_later_is_recorded_as_it_was() -> None:
    """Arguments before the call, results at its end."""
    result = {"rows": [1]}

    @tool(effect="read")
    def take(basket: list[str]) -> dict[str, Any]:
        basket.clear()
        return result

    def run() -> None:
        take(["apple"])
        result["rows"].append(2)

    (call,) = recorded(run)
    assert call.arguments == {"basket": ["apple"]}
    assert call.result == {"rows": [1]}


def test_results_of_any_kind_come_back_as_they_were() -> None:
    """Tuples, dates and decimals inside a result are what a replay gives back."""
    import datetime as dt
    import decimal

    import msgspec

    value = {"at": dt.date(2026, 1, 2), "sum": decimal.Decimal("1.50"), "pair": (1, "a"), "big": 2**80, "set": {1}}
    (call,) = recorded(lambda: call_tool("t", {}, effect="read", live=lambda: value))
    assert codec.thaw(msgspec.msgpack.encode(call.result)) == value


def test_what_can_not_be_copied_says_so() -> None:
    """A cursor among arguments is named by its type in both arms; a result that is no copy is marked."""
    thing = object()
    (call,) = recorded(lambda: call_tool("t", {"cursor": thing, "n": 1}, effect="read", live=lambda: thing))
    assert uncopyable(call.arguments["cursor"]) == "builtins.object"
    assert call.arguments["n"] == 1
    assert uncopyable(call.result)
    assert uncopyable({"rows": 1}) is None


def test_errors_are_recorded_and_pass() -> None:
    """The agent sees the tool's own exception."""

    @tool(effect="read")
    def fail(query: str) -> str:
        raise LookupError(query)

    def run() -> None:
        with pytest.raises(LookupError, match="gone"):
            fail("gone")

    (call,) = recorded(run)
    assert (call.error, call.result) == ("LookupError: gone", None)


def test_everything_is_bounded() -> None:
    """Number of calls and bytes of their results; what is left out is marked, and the tool's caller gets all of it."""
    with recording(Recorder(max_items=3)) as recorder:
        for _ in range(5):
            search("x")
    assert len(recorder.parts().tool_calls) == 3
    assert recorder.parts().truncated
    with recording(Recorder(max_bytes=1000)) as recorder:
        assert call_tool("t", {}, effect="read", live=lambda: "y" * 5000) == "y" * 5000
        assert call_tool("t", {}, effect="read", live=lambda: ["y" * 600]) == ["y" * 600]
        assert call_tool("t", {}, effect="read", live=lambda: ["y" * 600]) == ["y" * 600]
    results = [uncopyable(call.result) for call in recorder.parts().tool_calls]
    assert results[0]
    assert results[1] is None
    assert results[2]


class Standing:
    """Answers as told, and remembers what it was asked."""

    def __init__(self, *answers: StubAnswer | Callable[..., StubAnswer]) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, Any], str]] = []

    def answer(self, name: str, arguments: dict[str, Any], *, effect: Any, live: Callable[[], Any]) -> StubAnswer:
        self.asked.append((name, arguments, effect))
        answer = self.answers.pop(0)
        return answer if isinstance(answer, StubAnswer) else answer(live)

    def __enter__(self) -> Self:
        self.before = set_interceptor(self)
        return self

    def __exit__(self, *_: object) -> None:
        assert set_interceptor(self.before) is self


def test_an_interceptor_answers_instead_of_the_tool() -> None:
    """Sync and async, recorded with how it was answered, and the tool itself is not run."""
    with Standing(
        StubAnswer(answered="replayed", result=["r"]), StubAnswer(answered="stubbed", result={"paid": 0})
    ) as standing:
        calls = recorded(lambda: (search("x"), asyncio.run(pay(2.0))))
    assert standing.asked == [
        ("search", {"query": "x", "limit": 5, "filters": None}, "read"),
        ("pay_out", {"amount": 2.0}, "write"),
    ]
    assert [(call.answered, call.result) for call in calls] == [("replayed", ["r"]), ("stubbed", {"paid": 0})]
    assert interceptor() is None


def test_an_interceptor_may_run_the_tool_live() -> None:
    """A coroutine that `live` gives is awaited for the caller, and its exception is the caller's."""
    live = lambda run: StubAnswer(answered="live", result=run())  # noqa: E731 - one line for two uses
    with Standing(live, live):
        calls = recorded(lambda: (search("x", 1), asyncio.run(pay(2.0))))
    assert [(call.answered, call.result) for call in calls] == [("live", ["x"]), ("live", {"paid": 2.0})]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (StubAnswer(answered="refused"), ToolRefusedError),
        (StubAnswer(answered="replayed", error="ValueError: no"), ValueError),
        (StubAnswer(answered="replayed", error="TimeoutError: "), TimeoutError),
        (StubAnswer(answered="replayed", error="PaymentError: no"), ToolFailedError),
        (StubAnswer(answered="replayed", error="UnicodeDecodeError: no"), ToolFailedError),
        (StubAnswer(answered="replayed", error="SystemExit: 1"), ToolFailedError),
    ],
)
def test_a_failing_answer_fails_as_the_recorded_tool_did(answer: StubAnswer, error: type[Exception]) -> None:
    """Builtin exceptions by their name, others as ToolFailedError; never one that ends the process."""

    def run() -> None:
        with pytest.raises(error):
            search("x")
        with pytest.raises(error):
            asyncio.run(pay(1.0))

    with Standing(answer, answer):
        calls = recorded(run)
    assert all(call.error for call in calls)
    assert {call.answered for call in calls} == {answer.answered}


def test_an_interceptor_that_raises_raises_in_the_caller() -> None:
    """A replay miss may stop the run; the record says so."""

    def miss(_: Any) -> StubAnswer:
        raise KeyError("never seen")

    def run() -> None:
        with pytest.raises(KeyError):
            search("x")

    with Standing(miss):
        (call,) = recorded(run)
    assert call.error == "KeyError: 'never seen'"


def test_stand_ins_for_other_frameworks_take_the_same_road() -> None:
    """`call_tool` and `acall_tool` ask, record and raise for tools that are no functions of ours."""
    with Standing(StubAnswer(answered="world", result=1), StubAnswer(answered="world", result=2)):
        calls = recorded(
            lambda: (
                call_tool("mcp", {"x": 1}, effect="write", live=int),
                asyncio.run(acall_tool("mcp", {"x": 1}, effect="write", live=int)),
            )
        )
    assert [(call.name, call.effect, call.result, call.occurrence) for call in calls] == [
        ("mcp", "write", 1, 1),
        ("mcp", "write", 2, 2),
    ]


def test_threads_record_into_the_run_they_belong_to() -> None:
    """`asyncio.to_thread` copies the context, and with it the recorder."""

    async def run() -> None:
        await asyncio.gather(*(asyncio.to_thread(search, str(n)) for n in range(20)))

    with recording(Recorder()) as recorder:
        asyncio.run(run())
    assert sorted(int(call.arguments["query"]) for call in recorder.parts().tool_calls) == list(range(20))


def test_a_fault_of_ours_stays_on_the_recorder(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tool's caller gets its result or its own error; the mirror sees the fault."""

    def broken(*_: Any, **__: Any) -> None:
        raise RuntimeError("ours")

    @tool(effect="read")
    def fail() -> None:
        raise LookupError("the tool's own")

    monkeypatch.setattr(Recorder, "encoded", broken)
    with recording(Recorder()) as recorder:
        assert search("x", 1) == ["x"]
        assert asyncio.run(pay(1.0)) == {"paid": 1.0}
        with pytest.raises(LookupError):
            fail()
    assert str(recorder.fault) == "ours"


def test_a_wrong_call_is_the_tools_own_error() -> None:
    """It is recorded as a failed call, and is no fault of ours."""

    def run() -> None:
        with pytest.raises(TypeError, match="unexpected"):
            search("x", nonsense=1)

    (call,) = recorded(run)
    assert call.arguments == {"args": ["x"], "nonsense": 1}
    assert call.error is not None
    assert call.error.startswith("TypeError")


def test_arguments_that_a_decorator_completes_are_recorded_as_they_were_passed() -> None:
    """Its wrapper shows the signature of the inner function, which has one argument more."""

    def connected(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function("connection", *args, **kwargs)

        return wrapper

    @tool(effect="read")
    @connected
    def rows(connection: str, table: str) -> str:
        return connection + table

    calls = recorded(lambda: (rows("t"), rows(table="t")))
    assert [call.arguments for call in calls] == [{"args": ["t"]}, {"table": "t"}]


def test_names_that_occur_twice_lose_no_argument() -> None:
    """A keyword may be called as a positional-only argument is, and a parameter as a builtin."""

    @tool(effect="read")
    def put(key: str, /, **fields: Any) -> None: ...

    @tool(effect="read")
    def many(*args: int, **options: Any) -> None: ...

    @tool(effect="read")
    def shadowed(list: str, *items: int) -> None: ...  # noqa: A002 - the point

    calls = recorded(lambda: (put("k", key=2), put("k", other=2), many(1, args=2), shadowed("l", 1)))
    assert [call.arguments for call in calls] == [
        {"key": "k", "fields": {"key": 2}},
        {"key": "k", "other": 2},
        {"args": [1], "options": {"args": 2}},
        {"list": "l", "items": [1]},
    ]


@pytest.mark.parametrize(
    ("message", "text"), [("half an emoji \ud83d", "half an emoji ?"), (None, "(its message can't be read)")]
)
def test_an_error_without_a_readable_message_is_recorded(message: str | None, text: str) -> None:
    """A lone surrogate, or a class whose text raises."""

    class OddError(Exception):
        def __str__(self) -> str:
            if message is None:
                raise RuntimeError("no text")
            return message

    @tool(effect="read")
    def odd() -> None:
        raise OddError

    def run() -> None:
        with pytest.raises(OddError):
            odd()

    (call,) = recorded(run)
    assert call.error == f"OddError: {text}"


def test_signatures_of_every_shape_are_bound() -> None:
    """Positional-only, keyword-only, starred, defaults, builtins without a signature."""

    @tool(effect="read")
    def every(a: int, /, b: int = 2, *rest: int, c: int, d: int = 4, **more: int) -> int:
        return a

    @tool(effect="read")
    def named(*, only: int = 1) -> int:
        return only

    calls = recorded(lambda: (every(1, c=3), every(1, 5, 6, 7, c=3, e=9), named(), named(only=2)))
    assert [call.arguments for call in calls] == [
        {"a": 1, "b": 2, "rest": [], "c": 3, "d": 4},
        {"a": 1, "b": 5, "rest": [6, 7], "c": 3, "d": 4, "e": 9},
        {"only": 1},
        {"only": 2},
    ]
    largest = tool(effect="read", name="largest")(max)
    (call,) = recorded(lambda: largest([1, 2]))
    assert call.arguments == {"args": [[1, 2]]}
