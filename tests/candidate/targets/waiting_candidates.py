"""Candidates that say where they run, and for how long."""

import asyncio
import hashlib
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def works(question):
    """0.3 s of a processor's time on one core; says how long that took."""
    os.sched_setaffinity(0, {int(os.environ["WAITING_CORE"])})
    began, end = time.perf_counter(), time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return str(time.perf_counter() - began)


def crowds_itself(question):
    """0.3 s of a processor's time in four threads on one core."""
    os.sched_setaffinity(0, {int(os.environ["WAITING_CORE"])})
    block = b"x" * (1 << 20)
    began = time.process_time()

    def work():
        while time.process_time() < began + 0.3:
            hashlib.sha256(block)

    with ThreadPoolExecutor(4) as pool:
        for _ in range(4):
            pool.submit(work)
    return "done"


def waits_for_its_own(question):
    """Polls a process of its own on the same core."""
    os.sched_setaffinity(0, {int(os.environ["WAITING_CORE"])})
    program = "import time\nwhile time.process_time() < 0.3: pass"
    child = subprocess.Popen([sys.executable, "-c", program])
    while child.poll() is None:
        pass
    return "done"


async def pauses_or_works(question):
    """0.3 s, without a processor or with one all the time."""
    if question == "pause":
        await asyncio.sleep(0.3)
        return "paused"
    end = time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return "worked"


def whereabouts(question):
    """How it is scheduled, its session, its group and its own number."""
    return [os.sched_getscheduler(0), os.getsid(0), os.getpgid(0), os.getpid()]


def closes_everything(question):
    """Closes what only its own process has, and opens something else there."""
    for own in Path("/proc/self/fd").iterdir():
        try:
            path = own.readlink()
        except OSError:  # the listing's own
            continue
        if path.name == "schedstat":
            other = Path(tempfile.mkdtemp()) / "other"
            other.write_text("1 99999999999999 1")
            os.dup2(os.open(other, os.O_RDONLY), int(own.name))
    time.sleep(0.02)
    return "closed"
