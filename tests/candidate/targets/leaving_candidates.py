"""Candidates whose runs leave something in their process: what sleeps, and what acts after its run."""

import asyncio
import contextvars
import os
import queue
import signal
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from shadoweval import capture, tool

LOADED = {}
LANGUAGE = contextvars.ContextVar("language", default="en")


def pid(question):
    return f"{os.getpid()}"


def tqdm_monitor(question):
    from tqdm import tqdm

    list(tqdm([1]))
    return pid(question)


def sleeping_thread(question):
    if "thread" not in LOADED:
        LOADED["thread"] = threading.Thread(target=time.sleep, args=(600,), name="sleeper")
        LOADED["thread"].start()
    return pid(question)


def waiting_consumer(question):
    """A thread that waits for work which it is given at each run, as exporters and writers of logs do."""
    if "queue" not in LOADED:
        LOADED["queue"] = work = queue.Queue()
        threading.Thread(target=lambda: [None for _ in iter(work.get, "stop")], daemon=True).start()
    LOADED["queue"].put(question)
    return pid(question)


def timer(question):
    threading.Timer(600, print).start()
    return pid(question)


def executor(question):
    if "executor" not in LOADED:
        LOADED["executor"] = ThreadPoolExecutor(4)
    list(LOADED["executor"].map(str, range(8)))
    return pid(question)


def executor_of_the_run(question):
    pool = ThreadPoolExecutor(2)
    list(pool.map(str, range(8)))
    return pid(question)


async def default_executor(question):
    await asyncio.to_thread(time.sleep, 0.001)
    return pid(question)


def default_executor_of_a_loop(question):
    return asyncio.run(default_executor(question))


async def anyio_threads(question):
    import anyio

    await anyio.to_thread.run_sync(time.sleep, 0.001)
    return pid(question)


async def sleeping_task(question):
    LOADED.setdefault("tasks", []).append(asyncio.get_running_loop().create_task(asyncio.sleep(600)))
    return pid(question)


def loop_in_a_thread(question):
    if "loop" not in LOADED:
        LOADED["loop"] = asyncio.new_event_loop()
        threading.Thread(target=LOADED["loop"].run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0.001), LOADED["loop"]).result()
    return pid(question)


def exporter(question):
    if "tracer" not in LOADED:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        provider = TracerProvider()
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint="http://127.0.0.1:9/v1/traces")))
        LOADED["tracer"] = provider.get_tracer("candidate")
    with LOADED["tracer"].start_as_current_span("answer"):
        return pid(question)


def variable_of_loading(question):
    os.environ["TOKENIZERS_PARALLELISM_OF_MINE"] = "false"
    return pid(question)


def busy_thread(question):
    def work():
        while True:
            pass

    threading.Thread(target=work, name="miner", daemon=True).start()
    return pid(question)


WORKED = threading.Event()


def late_worker(question):
    """Sleeps first and works when another run is in flight."""

    def work():
        time.sleep(0.05)
        while time.thread_time() < 10.0:
            if time.thread_time() > 0.5:  # on a busy machine too more than a share of the time
                WORKED.set()

    threading.Thread(target=work, name="late", daemon=True).start()
    if question == "wait":
        WORKED.wait(60)
    return pid(question)


@tool(effect="write")
def send_mail(to):
    return "sent"


def late_tool(question):
    def later():
        time.sleep(0.05)
        send_mail("x")

    if question == "leave":
        threading.Thread(target=later, daemon=True).start()
    elif question == "wait":
        time.sleep(0.2)
    return pid(question)


def late_connection(question):
    def later():
        time.sleep(0.1)
        urllib.request.urlopen("http://127.0.0.1:9/job", data=b"x")

    if question == "leave":
        threading.Thread(target=later, daemon=True).start()
    return pid(question)


def process(question):
    if os.fork() == 0:
        time.sleep(600)
    return pid(question)


def many_threads(question):
    for _ in range(30):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    return pid(question)


def switches_off(question):
    """What is of this run alone: context, interceptor, alarm; each as the next run finds it."""
    seen = (
        f"{LANGUAGE.get()} {capture.interceptor() is not None} {signal.getsignal(signal.SIGALRM) is not signal.SIG_IGN}"
    )
    LANGUAGE.set("de")
    capture.set_interceptor(None)
    signal.signal(signal.SIGALRM, signal.SIG_IGN)
    return seen


def scratch(question):
    """Files of other users that lie in the temporary folder, then one of this user."""
    folder = Path(tempfile.gettempdir())
    seen = sorted(path.name for path in folder.iterdir())
    (folder / question).mkdir()
    (folder / question / "order.txt").write_text(question)
    (folder / f"{question}.txt").write_text(question)
    return " ".join(seen) or "empty"


def scratch_in_use(question):
    """What loading put there and holds stays: an open file, a folder that is alive."""
    if "folder" not in LOADED:
        LOADED["folder"] = tempfile.TemporaryDirectory()
        Path(LOADED["folder"].name, "index").write_text("index")
        LOADED["file"] = tempfile.NamedTemporaryFile("w+")  # noqa: SIM115 - held, as a model's weights are
        LOADED["file"].write("weights")
        LOADED["file"].flush()
    return Path(LOADED["folder"].name, "index").read_text() + Path(LOADED["file"].name).read_text()


def lazy(question):
    if "model" not in LOADED:
        time.sleep(1.5)
        LOADED["model"] = True
    return pid(question)


async def lazy_async(question):
    if "model" not in LOADED:
        await asyncio.sleep(1.5)
        LOADED["model"] = True
    return pid(question)


def slow(question):
    time.sleep(1.5)
    return pid(question)
