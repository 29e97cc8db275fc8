"""Whatever breaks in our own work, the user gets the incumbent's answer, and the loss is counted by its point."""

import asyncio
import contextlib
import inspect
import logging
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from shadoweval.counters import LOSSES
from shadoweval.mirror import Mirror
from shadoweval.mirror import shield as guard_module
from shadoweval.protocols import Transport
from shadoweval.seldom import Seldom


class Sink(Transport):
    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def offer(self, frame: bytes) -> str | None:
        self.frames.append(frame)

    def close(self) -> None:
        """Nothing to let go of."""


def counts(mirror: Mirror) -> dict[str, int]:
    found = mirror.outlet.ledger.main.snapshot()
    assert found.get("eligible", 0) == sum(n for name, n in found.items() if name != "eligible"), found
    return found


def breaks(*_: Any, **__: Any) -> Any:
    raise RuntimeError("ours")


class Hostile(Sink):
    """A transport that raises what it likes."""

    def __init__(self, error: BaseException) -> None:
        super().__init__()
        self.error = error

    def offer(self, frame: bytes) -> str | None:
        raise self.error


FAULTS = [
    ("fault_decide", {"decide": breaks}),
    ("fault_decide", {"unit": breaks}),
    ("fault_decide", {"attributes": breaks}),
    ("fault_snapshot", {"attributes": lambda *_: 3}),
    ("fault_decide", {"decide": lambda *_: "no such reason"}),
    ("fault_snapshot", {"text": breaks}),
    ("fault_snapshot", {"clock": breaks}),
    ("uncopyable", {"attributes": lambda *_: {"x": object()}}),
    ("fault_outcome", {"outcome": breaks}),
    ("fault_outcome", {"outcome": lambda _: 7}),
    ("fault_redact", {"redact": breaks}),
    ("fault_redact", {"redact": lambda text: text}),
    ("fault_encode", {"clock": lambda: object()}),
    ("fault_offer", {"transport": Hostile(RuntimeError("full of bugs"))}),
    ("fault_offer", {"transport": Hostile(RecursionError())}),
    ("fault_offer", {"transport": Hostile(MemoryError())}),
    ("fault_offer", {"transport": Hostile(asyncio.CancelledError())}),
    ("fault_offer", {"transport": Hostile(GeneratorExit())}),
    ("transport_error", {"transport": breaks}),
]


def plain(question: str) -> str:
    return question * 2


async def coroutine(question: str) -> str:
    return question * 2


def generator(question: str):
    yield question
    yield question


async def async_generator(question: str):
    yield question
    yield question


def answered(function: Callable[..., Any]) -> str:
    made = function("q")
    if inspect.iscoroutine(made):
        return asyncio.run(made)
    if inspect.isasyncgen(made):

        async def collect() -> str:
            return "".join([chunk async for chunk in made])

        return asyncio.run(collect())
    return made if isinstance(made, str) else "".join(made)


@pytest.mark.parametrize("function", [plain, coroutine, generator, async_generator], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    ("reason", "options"), FAULTS, ids=lambda value: value if isinstance(value, str) else "-".join(value)
)
def test_a_fault_of_ours_is_counted_and_never_felt(
    reason: str, options: dict[str, Any], function: Callable[..., Any]
) -> None:
    """Each named point, in each kind of function: the answer is the incumbent's, the loss has its reason."""
    options = {"transport": Sink(), "control": 0.0, **options}
    mirror = Mirror("x", options.pop("transport"), **options)
    assert answered(mirror(function)) == "qq"
    assert counts(mirror) == {"eligible": 1, reason: 1}


def test_every_fault_point_has_a_row() -> None:
    """No point of the guard is without a test."""
    assert {name for name in LOSSES if name.startswith("fault")} == {r for r, _ in FAULTS if r.startswith("fault")}


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3)])
def test_the_process_may_be_interrupted_in_our_work(error: BaseException) -> None:
    """Ctrl-C and exit are not ours to catch, wherever they strike."""
    mirror = Mirror("x", Hostile(error), control=0.0)
    with pytest.raises(type(error)):
        mirror(plain)("q")


def test_an_uncopyable_input_is_not_mirrored() -> None:
    """No reference stands in for a copy: locks, local classes, generators; not within other values either."""

    class Local:
        pass

    sink = Sink()
    mirror = Mirror("x", sink, control=0.0)
    answer = mirror(lambda question, thing: question)
    things = [threading.Lock(), Local(), (n for n in ()), {"deep": [Local()]}, [threading.Lock()], (Local(),)]
    for thing in things:
        assert answer("q", thing) == "q"
    assert sink.frames == []
    assert counts(mirror) == {"eligible": len(things), "uncopyable": len(things)}


def test_a_hundred_megabytes_pass_untouched() -> None:
    """Too large an input is counted and served; so is too large an answer, whose record is cut."""
    sink = Sink()
    mirror = Mirror("x", sink, control=0.0)
    answer = mirror(lambda question: question)
    big = "x" * 100_000_000
    assert answer(big) is big
    assert answer([big])[0] is big
    assert mirror(lambda question: big)("q") is big
    assert mirror(lambda question: {"answer": "a", "blob": [big]})("q")["blob"][0] is big
    assert counts(mirror) == {"eligible": 4, "too_large": 2, "mirrored": 2}
    assert max(map(len, sink.frames)) < 2_000_000


def test_an_incumbent_near_the_recursion_limit_fails_as_it_would() -> None:
    """RecursionError of the incumbent is the incumbent's, and the next call is mirrored again."""
    sink = Sink()
    mirror = Mirror("x", sink, control=0.0)

    @mirror
    def deep(n: int) -> int:
        return deep(n + 1)

    with pytest.raises(RecursionError):
        deep(0)
    assert mirror(plain)("q") == "qq"
    assert counts(mirror)["mirrored"] >= 1


def test_the_guard_holds_at_the_recursion_limit() -> None:
    """With no stack left for our work, an incumbent that still fits in gives its answer or its own RecursionError."""
    mirror = Mirror("x", Sink(), control=0.0)
    answer = mirror(plain)
    told = []

    def descend() -> None:
        with contextlib.suppress(RecursionError):
            descend()
        try:
            told.append(answer("q"))
        except RecursionError:
            told.append("limit")

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    try:
        descend()
    finally:
        sys.setrecursionlimit(limit)
    assert set(told) <= {"qq", "limit"}
    assert told[-1] == "qq"


def test_one_warning_a_minute(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault is a counter first; the log hears of it once, with the facts beside the constant message."""
    monkeypatch.setattr(guard_module, "_said", Seldom())
    mirror = Mirror("x", Sink(), control=0.0, unit=breaks)
    answer = mirror(plain)
    with caplog.at_level(logging.WARNING, logger="shadoweval.mirror"):
        for _ in range(50):
            answer("q")
    (record,) = caplog.records
    assert (record.experiment, record.reason, record.error_type) == ("x", "fault_decide", "RuntimeError")
    assert counts(mirror) == {"eligible": 50, "fault_decide": 50}


def test_a_log_handler_that_raises_is_not_felt(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even telling of a fault can hurt."""

    class Raising(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise RuntimeError("the log is broken")

    monkeypatch.setattr(guard_module, "_said", Seldom())
    logger, handler = logging.getLogger("shadoweval.mirror"), Raising()
    logger.addHandler(handler)
    try:
        mirror = Mirror("x", Sink(), control=0.0, unit=breaks)
        assert mirror(plain)("q") == "qq"
    finally:
        logger.removeHandler(handler)


def test_a_transport_that_could_not_be_opened_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls in between are counted, also when the transport has a ledger of its own later."""
    from shadoweval.mirror import outlet

    monkeypatch.setattr(outlet, "_RETRY", 0.0)
    sink, tries = Sink(), []

    def opened() -> Sink:
        tries.append(1)
        if len(tries) < 6:
            raise OSError("not yet")
        return sink

    mirror = Mirror("x", opened, control=0.0)
    answer = mirror(plain)
    for _ in range(10):
        assert answer("q") == "qq"
    found = counts(mirror)
    assert found["eligible"] == 10
    assert found["mirrored"] == len(sink.frames) == 10 - found["transport_error"]
    assert sink.frames


def test_faults_inside_tools_and_retrievers_are_not_felt() -> None:
    """A document whose id can't be read, an argument that can't be compared: the call is dropped, the tool works."""
    from shadoweval.capture import retriever, tool

    @retriever(hit_id=breaks)
    def find(question: str) -> list[dict[str, str]]:
        return [{"id": "a"}]

    class Odd:
        def __class_getitem__(cls, item: Any) -> Any:
            raise RuntimeError

    @tool(effect="read")
    def use(odd: Any) -> Any:
        return odd

    mirror = Mirror("x", Sink(), control=0.0)
    odd = Odd()
    assert mirror(lambda question: find(question))("q") == [{"id": "a"}]
    assert mirror(lambda question: use(odd))("q") is odd
    assert counts(mirror) == {"eligible": 2, "fault_snapshot": 1, "mirrored": 1}
