"""Threads, event loops, forks and clients that go away: the mirrored function behaves as the bare one does."""

import asyncio
import multiprocessing
import os
import socket
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from shadoweval import codec
from shadoweval.mirror import Mirror
from shadoweval.protocols import Transport
from shadoweval.transport import SpoolReceiver, SpoolTransport
from tests.garbage import collect
from tests.waiting import until


class Sink(Transport):
    def __init__(self) -> None:
        self.frames: list[bytes] = []

    def offer(self, frame: bytes) -> str | None:
        self.frames.append(frame)

    def close(self) -> None:
        """Nothing to let go of."""

    @property
    def kinds(self) -> list[str]:
        served = [codec.decode_envelope(frame).served for frame in self.frames]
        return ["outcome" if one.failure is None else one.failure.kind for one in served]


@pytest.fixture
def sink() -> Sink:
    return Sink()


@pytest.fixture
def mirror(sink: Sink) -> Mirror:
    return Mirror("x", sink, control=0.0)


def counts(mirror: Mirror) -> dict[str, int]:
    return mirror.outlet.ledger.main.snapshot()


def test_many_threads_count_exactly(mirror: Mirror, sink: Sink) -> None:
    """8 threads, 2,000 calls: each is one query."""
    answer = mirror(lambda question: question)
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(answer, map(str, range(2000)))) == [str(n) for n in range(2000)]
    assert counts(mirror) == {"eligible": 2000, "mirrored": 2000}
    assert {codec.decode_envelope(frame).query.text for frame in sink.frames} == {str(n) for n in range(2000)}


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_event_loops_in_several_threads(mirror: Mirror, sink: Sink, loop: str) -> None:
    """One decorated coroutine and one stream, used by four loops at once."""
    factory = asyncio.new_event_loop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop

    @mirror
    async def answer(question: str) -> str:
        await asyncio.sleep(0.001)
        return question

    @mirror
    async def stream(question: str):
        for chunk in question:
            await asyncio.sleep(0)
            yield chunk

    async def many(name: str) -> None:
        assert await asyncio.gather(*(answer(f"{name}{n}") for n in range(25))) == [f"{name}{n}" for n in range(25)]
        assert "".join([chunk async for chunk in stream(name * 5)]) == name * 5

    def run(name: str) -> None:
        with asyncio.Runner(loop_factory=factory) as runner:
            runner.run(many(name))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, "abcd"))
    assert counts(mirror) == {"eligible": 104, "mirrored": 104}


def test_a_stream_that_is_dropped_is_closed_and_aborted(mirror: Mirror, sink: Sink) -> None:
    """Garbage collection and the loop's shutdown close a stream that nobody finished."""
    freed = []

    @mirror
    def stream(question: str):
        try:
            yield question
            yield question
        finally:
            freed.append("sync")

    @mirror
    async def astream(question: str):
        try:
            yield question
            yield question
        finally:
            freed.append("async")

    next(stream("q"))
    collect()

    async def leave() -> None:
        await anext(astream("q"))

    asyncio.run(leave())
    assert freed == ["sync", "async"]
    assert sink.kinds == ["aborted", "aborted"]


def test_a_coroutine_driven_in_changing_contexts_is_not_hurt(mirror: Mirror, sink: Sink) -> None:
    """Some frameworks step a coroutine in one context and then in another; a token can't be given back there."""
    import contextvars

    @mirror
    async def answer(question: str) -> str:
        await asyncio.sleep(0)
        return question

    made = answer("q")
    contextvars.copy_context().run(made.send, None)
    with pytest.raises(StopIteration) as stop:
        contextvars.copy_context().run(made.send, None)
    assert stop.value.value == "q"
    assert sink.kinds == ["outcome"]


def test_a_timeout_around_the_call_is_the_incumbents(mirror: Mirror, sink: Sink) -> None:
    """asyncio.timeout cancels the incumbent and raises TimeoutError in the caller."""

    @mirror
    async def slow(question: str) -> None:
        await asyncio.sleep(60)

    async def client() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await slow("q")

    asyncio.run(client())
    assert sink.kinds == ["aborted"]


@pytest.mark.parametrize("used_before", [False, True])
def test_pre_fork_servers(tmp_path: Path, used_before: bool) -> None:
    """A mirror made in the master, used there or not, and in four workers: every call once, counts exact."""
    mirror = Mirror("x", lambda: SpoolTransport(tmp_path / "spool"), control=0.0)
    answer = mirror(lambda question: question)
    if used_before:
        assert answer("master") == "master"
    children = []
    for worker in range(4):
        child = os.fork()
        if not child:
            good = all(answer(f"{worker}-{n}") == f"{worker}-{n}" for n in range(50))
            os._exit(0 if good else 1)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert answer("after") == "after"
    receiver = SpoolReceiver(tmp_path / "spool")
    texts: list[str] = []
    ids: set[str] = set()
    while (batch := receiver.receive(100)) is not None:
        for frame in batch.frames:
            envelope = codec.decode_envelope(frame)
            texts.append(envelope.query.text)
            ids.add(envelope.id)
        batch.settle()
    expected = [f"{worker}-{n}" for worker in range(4) for n in range(50)] + ["after"] + ["master"] * used_before
    assert sorted(texts) == sorted(expected)
    assert len(ids) == len(expected)
    assert receiver.counters() == {"eligible": len(expected), "mirrored": len(expected)}
    receiver.close()
    mirror.close()


def _child(folder: str, queue: Any) -> None:
    mirror = Mirror("x", lambda: SpoolTransport(Path(folder)), control=0.0)
    queue.put(mirror(lambda question: question)("spawned"))


def test_spawned_processes(tmp_path: Path) -> None:
    """Multiprocessing's other start method."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_child, args=(str(tmp_path), queue))
    process.start()
    assert queue.get(timeout=60) == "spawned"
    process.join()
    queue.close()
    queue.join_thread()
    receiver = SpoolReceiver(tmp_path)
    batch = receiver.receive(10)
    assert batch is not None
    assert len(batch.frames) == 1
    receiver.close()


def test_no_thread_is_started(tmp_path: Path) -> None:
    """Neither by the mirror nor by its transport."""
    before = threading.active_count()
    mirror = Mirror("x", lambda: SpoolTransport(tmp_path), control=0.0)
    mirror(lambda question: question)("q")
    assert threading.active_count() == before
    mirror.close()


@pytest.mark.timeout(300)
def test_a_disconnected_client_frees_the_stream(mirror: Mirror, sink: Sink) -> None:
    """A FastAPI app under uvicorn: the client goes away in the middle of the stream, the incumbent's cleanup runs."""
    fastapi = pytest.importorskip("fastapi")
    uvicorn = pytest.importorskip("uvicorn")
    from fastapi.responses import StreamingResponse

    app, freed = fastapi.FastAPI(), threading.Event()

    @mirror
    async def stream(question: str):
        try:
            while True:
                yield question * 1000
                await asyncio.sleep(0.01)
        finally:
            freed.set()

    @app.get("/{question}")
    async def ask(question: str) -> StreamingResponse:
        return StreamingResponse(stream(question))

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    listener = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        with socket.create_connection(listener.getsockname(), timeout=60) as client:
            client.sendall(b"GET /q HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200 OK" in client.recv(4096)
        assert freed.wait(60)
        until(lambda: sink.frames)
    finally:
        server.should_exit = True
        thread.join(60)
        listener.close()
    assert sink.kinds == ["aborted"]


def test_signal_handlers_that_raise_reach_the_application(mirror: Mirror) -> None:
    """A worker's time limit that strikes inside the incumbent is the incumbent's."""
    import signal

    if sys.platform == "win32":
        pytest.skip("no SIGALRM here")

    class TimeLimit(Exception):
        pass

    def strike(*_: Any) -> None:
        raise TimeLimit

    def slow(question: str) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        time.sleep(60)

    before = signal.signal(signal.SIGALRM, strike)
    try:
        with pytest.raises(TimeLimit):
            mirror(slow)("q")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_stream_collected_in_the_middle_of_an_offer_does_not_deadlock(tmp_path: Path) -> None:
    """Garbage collection may close another mirrored stream while this one is handed over: counted, never waited for."""
    transport = SpoolTransport(tmp_path / "spool")
    mirror = Mirror("x", transport, control=0.0)

    @mirror
    def stream(question: str):
        yield question

    inside: list[Any] = []
    original = transport._segments.append

    def collecting(parts: Any) -> None:
        if not inside:
            inside.append(stream("inner"))
            next(inside[0])
            inside[0].close()
        original(parts)

    transport._segments.append = collecting
    assert mirror(lambda question: question)("outer") == "outer"
    assert mirror.outlet.ledger.main.snapshot() == {"eligible": 2, "mirrored": 1, "transport_error": 1}
    mirror.close()


def test_counts_of_calls_under_way_while_the_transport_opens_are_kept(tmp_path: Path) -> None:
    """Many threads make the first call at once: each is counted once, in the spool's ledger."""

    def opened() -> SpoolTransport:
        time.sleep(0.2)
        return SpoolTransport(tmp_path / "spool")

    mirror = Mirror("x", opened, control=0.0)
    answer = mirror(lambda question: question)
    with ThreadPoolExecutor(16) as pool:
        assert len(list(pool.map(answer, map(str, range(64))))) == 64
    receiver = SpoolReceiver(tmp_path / "spool")
    counted = receiver.counters()
    assert counted["eligible"] == 64
    assert counted["mirrored"] + counted.get("transport_error", 0) == 64
    mirror.close()
