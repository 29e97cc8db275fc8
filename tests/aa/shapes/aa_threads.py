"""Tools and retrievers in other threads, however started."""

import _thread
import asyncio
import contextlib
import queue
import threading
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.pool import ThreadPool

from aa_rows import call, shape

from shadoweval import retriever, tool

CALLS = (call("How?"), call("Why?"))
SHARED = ThreadPoolExecutor(2)


@tool(effect="read")
def look(number):
    return {"number": number}


@tool(effect="write")
def note(text):
    return f"noted {text}"


@retriever
def search(text):
    return [{"id": text, "text": text}]


def work(number):
    search(f"d-{number}")
    return look(number)["number"]


@shape(*CALLS)
def executor_map(question):
    with ThreadPoolExecutor(4) as pool:
        return f"{question} {sorted(pool.map(work, range(4)))}"


@shape(*CALLS)
def shared_executor(question):
    return f"{question} {sorted(future.result() for future in [SHARED.submit(work, n) for n in range(4)])}"


@shape(*CALLS)
def started_threads(question):
    started = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for each in started:
        each.start()
    for each in started:
        each.join()
    return question


@shape(*CALLS)
def thread_pool(question):
    with ThreadPool(2) as pool:
        return f"{question} {pool.map(work, range(4))}"


@shape(*CALLS)
async def to_thread(question):
    return f"{question} {await asyncio.gather(*(asyncio.to_thread(work, n) for n in range(4)))}"


@shape(*CALLS)
async def run_in_executor(question):
    loop = asyncio.get_running_loop()
    return f"{question} {await asyncio.gather(*(loop.run_in_executor(None, work, n) for n in range(4)))}"


@shape(*CALLS)
def writes_in_a_thread(question):
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(note, question).result()


class Desk:
    """A queue and whoever works on it, begun by the first who asks."""

    def __init__(self):
        self.orders = None

    def ask(self, question):
        if self.orders is None:
            self.orders = queue.Queue()
            threading.Thread(target=self.serve, daemon=True).start()
        answers = queue.Queue()
        self.orders.put((question, answers))
        return answers.get(timeout=60)

    def serve(self):
        while True:
            question, answers = self.orders.get()
            answers.put(f"{look(question)} {note(question)}")


DESK = Desk()


@shape(*CALLS, call("Who?"))
def a_queue_s_worker(question):
    return DESK.ask(question)


def _beside(*calls):
    """Runs calls in a thread that Python's own modules know nothing of, so that nobody knows whose run it is."""
    over = threading.Lock()
    over.acquire()

    def work():
        for one in calls:
            with contextlib.suppress(Exception):
                one()
        over.release()

    _thread.start_new_thread(work, ())
    over.acquire()


@shape(*CALLS, fault="a shadow's only run answers and compares what such a thread calls, production records none of it")
def beside(question):
    """A native pool's callbacks: neither arm's record has what such a thread does."""
    _beside(lambda: look_beside(question), lambda: write_beside(question))
    return f"because of {question}"


@tool(effect="read")
def look_beside(question):
    return question


@tool(effect="write")
def write_beside(question):
    return question
