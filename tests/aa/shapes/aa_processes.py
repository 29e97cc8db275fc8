"""Pipelines that leave something in their process, as live ones do: loaded models, threads, files."""

import asyncio
import functools
import os
import queue
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from aa_rows import call, shape

CALLS = tuple(call(f"q{number}") for number in range(4))


@functools.cache
def model():
    time.sleep(0.2)
    os.environ.setdefault("AA_MODEL_LOADED", "yes")
    threading.Thread(target=threading.Event().wait, name="monitor", daemon=True).start()
    return str.upper


@shape(*CALLS)
def lazily_loaded(question):
    return model()(question)


@functools.cache
def writer():
    work = queue.Queue()
    threading.Thread(target=lambda: [None for _ in iter(work.get, "stop")], daemon=True).start()
    return work


@shape(*CALLS)
def writes_to_a_thread(question):
    writer().put(question)
    return question


@functools.cache
def workers():
    return ThreadPoolExecutor(2)


@shape(*CALLS)
def works_in_an_executor(question):
    return "".join(workers().map(str.upper, question))


@functools.cache
def background():
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


async def answered(question):
    await asyncio.sleep(0.001)
    return question


@shape(*CALLS)
def runs_in_a_background_loop(question):
    return asyncio.run_coroutine_threadsafe(answered(question), background()).result()


@shape(*CALLS)
def keeps_a_temporary_file(question):
    with tempfile.NamedTemporaryFile("w", delete=False) as file:
        file.write(question)
    return Path(file.name).read_text()


@functools.cache
def folder():
    kept = tempfile.TemporaryDirectory()
    Path(kept.name, "index").write_text("index")
    return kept


@shape(*CALLS)
def keeps_a_temporary_folder(question):
    return question + Path(folder().name, "index").read_text()


@shape(*CALLS)
async def to_a_thread(question):
    return await asyncio.to_thread(str.upper, question)
