"""Modules that do something when they are imported: start threads, make locks, set up exporters, try what is refused.

They do it in candidates' processes only, since the tests import them too.
"""

import contextlib
import multiprocessing
import os
import socket
import threading
import time

from aa_rows import call, shape

SHADOW = "SHADOWEVAL_SHADOW" in os.environ
LOCK = multiprocessing.RLock() if SHADOW else threading.RLock()


def chatter():
    """A job that goes on, as pollers of flags and reporters of usage do."""
    while True:
        time.sleep(0.05)
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", 9), timeout=1)


def start():
    threading.Thread(target=chatter, name="chatter", daemon=True).start()


if SHADOW:
    start()
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 9), timeout=1)
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    TracerProvider().add_span_processor(BatchSpanProcessor(InMemorySpanExporter()))


@shape(call("How?"), call("Why?"), call("When?"))
def after_a_busy_import(question):
    with LOCK:
        return f"because of {question}"
