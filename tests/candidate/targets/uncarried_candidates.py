"""Targets whose `warm` makes what a fork does not take along."""

import asyncio
import ctypes
import os
import threading
from concurrent.futures import ThreadPoolExecutor

MADE = {}
LOADS = []


def native_threads():
    """A pool of native threads: Python does not know them, and work that is given to it waits for them."""
    LOADS.append(os.getpid())
    libc = ctypes.CDLL(None)
    pause = ctypes.cast(libc.pause, ctypes.c_void_p)
    MADE["thread"] = thread = ctypes.c_ulong()
    assert not libc.pthread_create(ctypes.byref(thread), None, pause, None)


def executor():
    LOADS.append(os.getpid())
    MADE["executor"] = ThreadPoolExecutor(1)
    MADE["executor"].submit(str, 1).result()


def loop():
    LOADS.append(os.getpid())
    MADE["loop"] = asyncio.new_event_loop()
    threading.Thread(target=MADE["loop"].run_forever, daemon=True).start()
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), MADE["loop"]).result()


def large():
    """Takes more than a run may, as a model does."""
    MADE["weights"] = bytearray(200 << 20)
    native_threads()


def whose(question):
    """Where it runs, and whether that process has loaded for itself, once."""
    return f"{os.getpid()} {[os.getpid()] == LOADS}"


def uses_executor(question):
    return f"{os.getpid()} {MADE['executor'].submit(str, 'done').result() == 'done'}"


def uses_loop(question):
    asyncio.run_coroutine_threadsafe(asyncio.sleep(0), MADE["loop"]).result()
    return f"{os.getpid()} True"
