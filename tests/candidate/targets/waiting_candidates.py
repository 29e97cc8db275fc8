"""Candidates that say where they run, and for how long."""

import os
import time
from pathlib import Path


def works(question):
    """0.3 s of a processor's time on one core; says how long that took."""
    os.sched_setaffinity(0, {int(os.environ["WAITING_CORE"])})
    began, end = time.perf_counter(), time.process_time() + 0.3
    while time.process_time() < end:
        pass
    return str(time.perf_counter() - began)


def whereabouts(question):
    """How it is scheduled, its session, its group and its own number."""
    return [os.sched_getscheduler(0), os.getsid(0), os.getpgid(0), os.getpid()]


def closes_everything(question):
    """Closes what only its own process has, and opens something else there."""
    for own in Path("/proc/self/fd").iterdir():
        try:
            told = own.readlink()
        except OSError:  # the listing's own
            continue
        if told.name == "schedstat":
            os.dup2(os.open("/dev/null", os.O_RDONLY), int(own.name))
    time.sleep(0.02)
    return "closed"
