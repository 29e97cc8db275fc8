"""Tools and retrievers in other threads, however started."""

import asyncio
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
