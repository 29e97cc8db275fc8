"""Calls in other threads, however they were started, belong to the run that started them: on both sides alike."""

import asyncio
import contextvars
import functools
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import Pool, ThreadPool
from typing import Any

import anyio.to_thread
import pytest
from langchain_core.runnables.config import ContextThreadPoolExecutor

from shadoweval import codec, record_hits, retriever, step, tool
from shadoweval.adapters.threads import carry_threads
from shadoweval.capture import record_model_call
from shadoweval.mirror import Mirror
from shadoweval.records import Observation
from shadoweval.testing import MemoryTransport

TIMES = 40
OURS: contextvars.ContextVar[str] = contextvars.ContextVar("ours", default="none")


@tool(effect="read")
def look(number: int) -> int:
    time.sleep(0.001)
    return number


@tool(effect="read")
async def alook(number: int) -> int:
    await asyncio.sleep(0)
    return number


@retriever
def search(number: int) -> list[dict[str, str]]:
    return [{"id": f"d-{number}", "text": "t"}]


@step("model")
def complete(number: int) -> int:
    return number


@tool(effect="read")
def stream(number: int) -> Any:
    yield number
    yield number + 1


def everything(number: int) -> int:
    """Each entry of ours once."""
    look(number)
    search(number)
    complete(number)
    list(stream(number))
    record_hits([{"id": f"r-{number}", "text": "t"}])
    record_model_call("gpt", input_tokens=1, output_tokens=1)
    return number


def threads(work: Callable[[int], Any]) -> None:
    started = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()


class Worker(threading.Thread):
    def __init__(self, work: Callable[[int], Any], number: int) -> None:
        super().__init__()
        self.work, self.number = work, number

    def run(self) -> None:
        self.work(self.number)


def subclasses(work: Callable[[int], Any]) -> None:
    started = [Worker(work, n) for n in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()


def timers(work: Callable[[int], Any]) -> None:
    started = [threading.Timer(0.001, work, (n,)) for n in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()


def submitted(work: Callable[[int], Any]) -> None:
    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(work, n) for n in range(4)]:
            future.result()


def mapped(work: Callable[[int], Any]) -> None:
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(4)))


def with_context(work: Callable[[int], Any]) -> None:
    with ContextThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))


def pooled(method: str) -> Callable[[Callable[[int], Any]], None]:
    def run(work: Callable[[int], Any]) -> None:
        with ThreadPool(2) as pool:
            given = range(4) if "star" not in method else [(n,) for n in range(4)]
            if method.startswith("apply"):
                results = [getattr(pool, method)(work, (n,)) for n in range(4)]
            else:
                results = getattr(pool, method)(work, given)
            if method == "apply_async":
                results = [each.get() for each in results]
            list(results.get() if hasattr(results, "get") else results)

    return run


def nested(work: Callable[[int], Any]) -> None:
    def both(first: int) -> None:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(work, (first, first + 1)))

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(both, (0, 2)))


async def to_thread(work: Callable[[int], Any]) -> None:
    await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(4)))


async def in_executor(work: Callable[[int], Any]) -> None:
    loop = asyncio.get_running_loop()
    await asyncio.gather(*(loop.run_in_executor(None, work, n) for n in range(4)))


async def in_anyio(work: Callable[[int], Any]) -> None:
    async with anyio.create_task_group() as group:
        for number in range(4):
            group.start_soon(anyio.to_thread.run_sync, work, number)


async def in_tasks(work: Callable[[int], Any]) -> None:
    async def one(number: int) -> None:
        await alook(number)
        work(number)

    async with asyncio.TaskGroup() as group:
        for number in range(4):
            group.create_task(one(number))


WAYS = {each.__name__: each for each in (threads, subclasses, timers, submitted, mapped, with_context, nested)} | {
    f"ThreadPool.{name}": pooled(name)
    for name in ("apply", "apply_async", "map", "map_async", "starmap", "starmap_async", "imap", "imap_unordered")
}
ASYNC_WAYS = {each.__name__: each for each in (to_thread, in_executor, in_anyio, in_tasks)}


def observations(pipeline: Callable[..., Any], calls: int = 1, **options: Any) -> list[Observation]:
    transport = MemoryTransport()
    mirrored = Mirror("support", transport, **{"control": 0.0, **options})(pipeline)
    for number in range(calls):
        if asyncio.iscoroutinefunction(pipeline):
            asyncio.run(mirrored(number))
        else:
            mirrored(number)
    return [codec.decode_envelope(frame).served for frame in transport.frames]


def complete_record(run: Observation, *, looks: int = 4) -> bool:
    calls = Counter(call.name for call in run.tool_calls)
    kinds = Counter(each.kind for each in run.steps)
    hits = {hit.id for hit in run.hits}
    return (
        calls["look"] + calls["alook"] == looks
        and calls["stream"] == 4
        and kinds["model"] == 8
        and kinds["retrieval"] == 4
        and hits == {f"{kind}-{n}" for kind in "dr" for n in range(4)}
        and sorted(call.arguments["number"] for call in run.tool_calls if call.name == "look") == [0, 1, 2, 3]
    )


@pytest.mark.parametrize("way", WAYS)
def test_every_call_is_recorded_in_whichever_thread(way: str) -> None:
    """Tools, retrievers, steps, streams, hits and model calls, each with its own arguments and result."""
    (run,) = observations(lambda _number: WAYS[way](everything))
    assert complete_record(run)


@pytest.mark.parametrize("way", ASYNC_WAYS)
def test_every_call_is_recorded_in_whichever_task(way: str) -> None:
    """As in threads."""

    async def pipeline(_number: int) -> None:
        await ASYNC_WAYS[way](everything)

    (run,) = observations(pipeline)
    assert complete_record(run, looks=8 if way == "in_tasks" else 4)


@pytest.mark.parametrize("way", ["threads", "submitted", "with_context", "ThreadPool.map"])
def test_parallel_calls_of_one_name_drop_none(way: str) -> None:
    """In any order in which they end."""
    runs = observations(lambda _number: WAYS[way](look), TIMES)
    assert Counter(len(run.tool_calls) for run in runs) == {4: TIMES}


def test_a_pool_that_many_runs_share_gives_each_its_own() -> None:
    """Its threads outlive the run in which they began."""
    with ThreadPoolExecutor(2) as executor, ThreadPool(2) as pool:

        def pipeline(number: int) -> None:
            list(executor.map(look, [number * 10, number * 10 + 1]))
            pool.map(look, [number * 10 + 2])

        runs = observations(pipeline, 5)
        executor.submit(look, 99).result()
        pool.apply(look, (98,))

    numbers = [sorted(call.arguments["number"] for call in run.tool_calls) for run in runs]
    assert numbers == [[n * 10, n * 10 + 1, n * 10 + 2] for n in range(5)]


def test_threads_see_the_application_as_before() -> None:
    """No variable of the application comes along; names, results and exceptions are as they were."""
    seen: list[str] = []

    def fails(_number: int) -> None:
        raise LookupError("down")

    def pipeline(_number: int) -> None:
        OURS.set("the run's")
        threads(lambda _n: seen.append(OURS.get()))
        with ThreadPoolExecutor(1) as pool:
            seen.append(pool.submit(OURS.get).result())
            with pytest.raises(LookupError, match="down"):
                pool.submit(fails, 1).result()

    contextvars.copy_context().run(observations, pipeline)
    assert set(seen) == {"none"}
    assert threading.Thread.start.__name__ == "start"
    assert ThreadPoolExecutor.submit.__name__ == "submit"
    assert Pool.map is not ThreadPool.map


def test_what_was_not_mirrored_is_not_recorded() -> None:
    """Unsampled calls beside mirrored ones, and a thread that a run has left behind."""
    late: list[threading.Timer] = []

    def leaves(_number: int) -> str:
        late.append(threading.Timer(0.05, look, (1,)))
        late[0].start()
        return "x"

    (run,) = observations(leaves)
    late[0].join()
    assert run.tool_calls == ()
    assert observations(lambda _number: threads(look), sample=0.0) == []


def test_a_mirrored_call_in_a_thread_of_a_mirrored_call_is_nested() -> None:
    """One question is one query, in control calls too."""
    transport = MemoryTransport()
    for control in (0.0, 1.0):
        mirror = Mirror("support", transport, control=control)
        inner = mirror(lambda question: question)

        @mirror
        def outer(question: str, inner: Callable[[str], str] = inner) -> str:
            threads(lambda _n: inner(question))
            return question

        outer(question="How?")
        counts = mirror.outlet.ledger.main.snapshot()
        assert counts["nested"] == 4
        assert counts["eligible"] == 5


def test_a_partial_and_a_method_are_carried_too() -> None:
    """Whatever can be called."""

    class Desk:
        def ask(self, number: int) -> int:
            return look(number)

    def pipeline(_number: int) -> None:
        with ThreadPoolExecutor(2) as pool:
            pool.submit(functools.partial(look, number=1)).result()
            pool.submit(Desk().ask, 2).result()

    (run,) = observations(pipeline)
    assert sorted(call.arguments["number"] for call in run.tool_calls) == [1, 2]


def monitored(start: Callable[..., None]) -> Callable[..., None]:
    """`Thread.start` as error monitors replace it: the thread's `run`, unbound, is called with the thread."""

    @functools.wraps(start)
    def monitor(self: threading.Thread) -> None:
        inner: Any = getattr(self.run, "__func__", self.run)

        def run(*args: Any) -> Any:
            return inner(threading.current_thread(), *args[1:])

        self.run = run
        start(self)

    return monitor


def replaced(work: Callable[[int], Any]) -> None:
    """Threads whose `run` their application replaces."""
    for number in range(4):
        thread = threading.Thread()
        thread.run = lambda *_, number=number: work(number)  # monitors give it the thread
        thread.start()
        thread.join()


STARTED = [threads, subclasses, timers, replaced]


@pytest.mark.parametrize("order", ["before", "after"])
@pytest.mark.parametrize("way", STARTED)
def test_a_library_that_replaces_start_and_run_too(
    way: Callable[..., None], order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The work is done, and recorded, whichever of us came first."""
    observations(str)  # ours is in place
    ours: Any = threading.Thread.start
    if order == "after":
        monkeypatch.setattr(threading.Thread, "start", monitored(ours))
    else:
        monkeypatch.setattr(threading.Thread, "start", monitored(ours.__wrapped__))
        carry_threads()
    (run,) = observations(lambda _number: way(everything))
    assert complete_record(run)


@pytest.mark.parametrize("library", ["alone", "monitored"])
@pytest.mark.parametrize("way", STARTED)
def test_a_start_that_fails_can_be_tried_again(
    way: Callable[..., None], library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the system has no thread left for a while; the thread works once, as if it had been started once."""
    observations(str)
    begin: Any = threading.Thread.start.__wrapped__
    failed: set[threading.Thread] = set()

    def seldom(self: threading.Thread) -> None:
        if self not in failed:
            failed.add(self)
            raise RuntimeError("can't start new thread")
        begin(self)

    monkeypatch.setattr(threading.Thread, "start", seldom if library == "alone" else monitored(seldom))
    carry_threads()
    once: Any = threading.Thread.start

    def insisting(self: threading.Thread) -> None:
        with pytest.raises(RuntimeError, match="can't start"):
            once(self)
        once(self)

    monkeypatch.setattr(threading.Thread, "start", insisting)
    (run,) = observations(lambda _number: way(everything))
    assert complete_record(run)
    assert len(failed) >= 1


def test_a_thread_is_started_once_and_without_a_target() -> None:
    """What `threading` says of misuse is said still."""

    def pipeline(_number: int) -> None:
        for thread in (threading.Thread(), threading.Thread(target=look, args=(1,)), Worker(look, 2)):
            thread.start()
            thread.join()
            with pytest.raises(RuntimeError, match="once"):
                thread.start()
            assert "run" not in vars(thread)

    (run,) = observations(pipeline)
    assert sorted(call.arguments["number"] for call in run.tool_calls) == [1, 2]


@pytest.mark.parametrize(("start", "recorded"), [("inside", [1]), ("outside", [])])
def test_a_worker_that_is_started_outside_the_call_works_for_anybody(start: str, recorded: list[int]) -> None:
    """One that is started at first use belongs to the call, unless it is started in a context of its own."""
    jobs: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def work() -> None:
        while (number := jobs.get()) is not None:
            look(number)

    def pipeline(_number: int) -> None:
        worker = threading.Thread(target=work)
        if start == "inside":
            worker.start()
        else:
            contextvars.Context().run(worker.start)
        jobs.put(1)
        jobs.put(None)
        worker.join()

    (run,) = observations(pipeline)
    assert [call.arguments["number"] for call in run.tool_calls] == recorded
