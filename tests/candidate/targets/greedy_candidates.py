"""Candidates that take memory or disk where the resident size of their process does not show it."""

import os
import resource
import socket
import tempfile
import time
from pathlib import Path

MIB = b"x" * (1 << 20)
HELD = []


def memory_files(question):
    """Files of memory that are written to and never mapped, each below the cap."""
    while True:
        number = os.memfd_create("held")
        HELD.append(number)
        for _ in range(16):
            os.write(number, MIB)
        time.sleep(0.01)


def memory_files_by_and_by(question):
    """A little at each run, so that no run alone is large."""
    number = os.memfd_create("held")
    HELD.append(number)
    for _ in range(16):
        os.write(number, MIB)
    return f"{os.getpid()}"


def disk(question):
    for number in range(100_000):
        Path(tempfile.gettempdir(), f"{number}").write_bytes(MIB * 8)
        time.sleep(0.005)
    return "filled"


def one_file(question):
    with tempfile.TemporaryFile() as file:
        while True:
            file.write(MIB)


def one_memory_file(question):
    number = os.memfd_create("large")
    os.ftruncate(number, 1 << 40)
    return "made"


def sockets(question):
    pairs = []
    try:
        while True:
            pairs.append(socket.socketpair())
    except OSError:
        return f"{len(pairs) * 2 <= resource.getrlimit(resource.RLIMIT_NOFILE)[0] <= 1024}"


def modest(question):
    """What loading does: a mapped file of memory, and a file in scratch, within the cap."""
    import mmap

    mapped = mmap.mmap(-1, 64 << 20)
    mapped[:] = b"x" * len(mapped)
    Path(tempfile.gettempdir(), "cache").write_bytes(MIB * 8)
    time.sleep(0.6)
    return "modest"


def connects_to(path):
    with socket.socket(socket.AF_UNIX) as end:
        end.connect(path)
        return end.recv(16).decode()


def writes_to(path):
    Path(path).write_text("written")
    return Path(path).read_text()


def answers(question):
    return question
