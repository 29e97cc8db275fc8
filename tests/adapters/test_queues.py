"""What is put into a queue is done for the run that put it in, by whichever worker takes it out."""

import asyncio
import queue
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from shadoweval import codec, tool
from shadoweval.mirror import Mirror
from shadoweval.testing import MemoryTransport


@tool(effect="read")
def look(text):
    return text


def mirrored(transport, pipeline, **options):
    return Mirror("queues", transport, control=0.0, **options)(pipeline)


def recorded(transport):
    """Question -> arguments of the calls in its record."""
    envelopes = map(codec.decode_envelope, transport.frames)
    return {each.query.text: [call.arguments["text"] for call in each.served.tool_calls] for each in envelopes}


class Desk:
    """A worker that serves everybody, and is begun by the first who asks."""

    def __init__(self, kind=queue.Queue):
        self.work = kind()
        self.worker = None

    def ask(self, text):
        if self.worker is None:
            self.worker = threading.Thread(target=self.serve, daemon=True)
            self.worker.start()
        answers = queue.Queue()
        self.work.put((text, answers))
        return answers.get(timeout=60)

    def serve(self):
        while True:
            text, answers = self.work.get()
            answers.put(look(text))


@pytest.mark.parametrize("kind", [queue.Queue, queue.LifoQueue, queue.PriorityQueue])
def test_a_worker_works_for_whoever_asked(kind):
    """Begun at the first call, and at work for others later."""
    transport, desk = MemoryTransport(), Desk(kind)
    ask = mirrored(transport, desk.ask)

    for text in ("a", "b", "c"):
        assert ask(text) == text

    assert recorded(transport) == {"a": ["a"], "b": ["b"], "c": ["c"]}


def test_runs_at_once_keep_apart():
    """Whose call began the worker does not matter."""
    transport, desk = MemoryTransport(), Desk()
    together = threading.Barrier(8, timeout=60)

    def pipeline(text):
        together.wait()
        return [desk.ask(text), desk.ask(text)]

    ask = mirrored(transport, pipeline)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, map(str, range(8))))

    assert recorded(transport) == {str(n): [str(n)] * 2 for n in range(8)}


def test_work_of_nobody_s_run_stands_in_no_record():
    """Nor does a call that is not mirrored, while others are."""
    transport, desk = MemoryTransport(), Desk()
    begun, over = threading.Event(), threading.Event()

    def pipeline(text):
        desk.ask(text)
        begun.set()
        over.wait(60)

    ask = mirrored(transport, pipeline)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(ask, "a")
        begun.wait(60)
        assert desk.ask("outside") == "outside"
        over.set()
        running.result()

    assert recorded(transport) == {"a": ["a"]}


def test_who_waits_for_results_stays_with_its_own_run():
    """Another run's result is only looked at."""
    transport, results = MemoryTransport(), queue.Queue()

    def pipeline(text):
        if text == "b":
            assert results.get(timeout=60) == "of a"
        results.put(f"of {text}")
        return look(text)

    ask = mirrored(transport, pipeline)
    ask("a")
    ask("b")

    assert recorded(transport) == {"a": ["a"], "b": ["b"]}


def test_what_could_not_be_put_in_is_not_noted():
    """The same item goes in later, by another run."""
    transport, full = MemoryTransport(), queue.Queue(1)
    full.put("before")
    item = "item"

    def pipeline(text):
        try:
            full.put_nowait(item)
        except queue.Full:
            return "full"
        return "in"

    ask = mirrored(transport, pipeline)
    assert ask("a") == "full"
    full.get()
    assert ask("b") == "in"
    worker = threading.Thread(target=lambda: look(full.get(timeout=60)))
    worker.start()
    worker.join()

    assert recorded(transport) == {"a": [], "b": []}  # it was taken out when both were over


def test_tasks_too():
    """A consumer that the first call begins, on the same loop."""
    transport, state = MemoryTransport(), {}

    async def serve():
        while True:
            text, answer = await state["work"].get()
            answer.set_result(look(text))

    async def pipeline(text):
        if not state:
            state["work"] = asyncio.Queue()
            state["worker"] = asyncio.create_task(serve())
        answer = asyncio.get_running_loop().create_future()
        await state["work"].put((text, answer))
        return await answer

    ask = mirrored(transport, pipeline)

    async def everybody():
        await ask("a")
        await asyncio.gather(*map(ask, ("b", "c")))
        state["worker"].cancel()

    asyncio.run(everybody())

    assert recorded(transport) == {"a": ["a"], "b": ["b"], "c": ["c"]}
