"""Well-behaved candidates, one of each shape."""

import asyncio
import contextlib
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shadoweval.capture import record_hits, record_model_call, retriever, step, tool

VERSIONS = {"prompt": "7"}
WARMED = []


def answer(question):
    return f"plain {question}"


async def answer_async(question):
    await asyncio.sleep(0)
    return f"async {question}"


def answer_stream(question):
    yield "one "
    time.sleep(0.02)
    yield question


async def answer_stream_async(question):
    yield "async "
    await asyncio.sleep(0.02)
    yield question


class Bot:
    def __init__(self, name):
        self.name = name

    def __call__(self, question):
        return f"{self.name} {question}"

    async def ask(self, question):
        return f"{self.name} was asked {question}"


class AsyncBot:
    async def __call__(self, question):
        return f"async bot {question}"


bot, async_bot = Bot("bot"), AsyncBot()
NOT_CALLABLE = 7


def two(question, limit):
    return f"{question} {limit}"


def two_renamed(text, most):
    return f"{text} {most}"


def three(question, limit, index):
    return f"{question} {limit} {index}"


def arguments(*args, **kwargs):
    return f"{args} {kwargs}"


def warm():
    WARMED.append(os.getpid())


def cold():
    raise RuntimeError("no index here")


def warmed(question):
    return f"{len(WARMED)} {WARMED[0] != os.getpid()} {os.environ['SHADOWEVAL_SHADOW']}"


@retriever
def search(question):
    return [{"id": "d1", "text": "one"}, {"id": "d2", "text": "two"}]


def rag(question):
    hits = search(question)
    record_model_call("small-model", input_tokens=100, output_tokens=20, cost_usd=0.01)
    return {"answer": f"{len(hits)} found", "pair": (1, 2), "tags": {"a"}}


@step("other")
def second_step():
    time.sleep(0.02)
    raise LookupError("nothing there")


def failing(question):
    record_hits([{"id": "d1"}])
    second_step()


def spender(question):
    for _ in range(1000):
        record_model_call("large-model", input_tokens=400, output_tokens=100, cost_usd=0.5)
        time.sleep(0.01)
    return "spent it all"


def unpriced(question):
    for _ in range(1000):
        record_model_call("large-model-2026-08", input_tokens=400, output_tokens=100)
        time.sleep(0.01)
    return "spent it all"


async def slow_or_not(question):
    await asyncio.sleep(0.2)
    if question == "hang":
        await asyncio.sleep(3600)
    return f"{question} {threading.get_ident()} {os.getpid()}"


def process(question):
    return str(os.getpid())


class RateLimitError(Exception):
    status_code = 429


class _Response:
    status_code = 429
    headers = {"retry-after": "0.3"}  # noqa: RUF012


def limited(question):
    """Rate-limited until the file named in the question is gone."""
    if Path(question).exists():
        Path(question).unlink()
        error = RateLimitError("slow down")
        error.response = _Response()
        raise ValueError("the model failed") from error
    return "answered"


@step("other")
def busy_model():
    raise RateLimitError("slow down")


def limited_and_went_on(question):
    try:
        busy_model()
    except RateLimitError:
        return "a smaller model answered"


def always_limited(question):
    raise RateLimitError("slow down")


@tool(effect="read")
def look_up(order, fields="all"):
    return {"order": order, "fields": fields, "live": True}


@tool(effect="write")
def refund(order, amount):
    raise AssertionError("a write ran for real")


@tool
def mystery(value):
    raise AssertionError("an undeclared tool ran for real")


@tool(effect="write")
async def post(text):
    raise AssertionError("an async write ran for real")


def _caught(call, *args, **kwargs):
    try:
        return call(*args, **kwargs)
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:80]


def use_tools(question):
    """Plain functions called directly, in a thread, in an executor and in a loop."""
    with ThreadPoolExecutor(2) as executor:
        outcomes = [
            _caught(look_up, "K-1"),
            _caught(look_up, "K-2", fields="few"),
            executor.submit(_caught, refund, "K-1", amount=5).result(),
            executor.submit(_caught, mystery, 1).result(),
            _caught(asyncio.run, _posted()),
        ]
    thread = threading.Thread(target=lambda: outcomes.append(_caught(refund, "K-1", 7)))
    thread.start()
    thread.join()
    return outcomes


async def _posted():
    return await post("hello")


def leaves_a_thread_that_writes(question):
    """The thread calls its tool while the next run is on."""

    def later():
        time.sleep(0.15)
        refund("K-1", 1)

    if question == "leave":
        threading.Thread(target=later, daemon=True).start()
        return "left"
    time.sleep(0.4)
    return "done"


def reads_at_import():
    """A warm hook that uses tools: reads run, writes do not."""
    assert look_up("K-1")["live"]
    assert "ToolRefusedError" in _caught(refund, "K-1", 1)


def settings(question):
    names = (
        "MODEL_KEY",
        "DATABASE_PASSWORD",
        "SHADOWEVAL_CANDIDATE_MODEL_KEY",
        "SHADOWEVAL_STORE",
        "SHADOWEVAL_WEBHOOK",
        "SHADOWEVAL_WEBHOOK_SECRET",
    )
    return " ".join(str(os.environ.get(name)) for name in names)


def lies_about_time(question):
    """Takes 2.5 s by every clock but its own."""
    began = time.perf_counter()
    time.sleep(0.0 if question == "honest" else 2.5)
    time.perf_counter = lambda: began
    return question


def large_and_elsewhere(question):
    """Answers at length, and leaves its process unclean, so that it ends at once."""
    os.chdir(os.environ["TMPDIR"])
    return question * 150_000


def long_answer(question):
    """As many letters as it is asked for."""
    return "x" * int(question)


def chatters(question):
    """Writes a report of ten megabytes, letter by letter, wherever it can."""
    import socket
    import struct

    channels = []
    for end in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            channels.append(socket.socket(fileno=os.dup(int(end.name))))
    letters = struct.pack("<I", 10_000_000)
    while True:
        for channel in channels:
            with contextlib.suppress(OSError):
                channel.send(letters)
        letters = b"x"
        time.sleep(0.001)
