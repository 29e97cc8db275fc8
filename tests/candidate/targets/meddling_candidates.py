"""Candidates that hand the guard what it can't read, can't follow, or would wait for."""

import ctypes
import os
import pathlib
import socket
import tempfile

libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
SEMAPHORE = b"/dev/shm/sem.meddling"


def meddles(question):
    """Do what the question names, with what follows the colon; the errno of it, by name."""
    act, _, place = question.partition(":")
    ctypes.set_errno(0)
    ACTS[act](place)
    return os.strerror(ctypes.get_errno()) if ctypes.get_errno() else "done"


def _end_of_memory(size):
    """An address with `size` bytes behind it, and then nothing."""
    page = libc.mmap(None, 8192, 3, 0x22, -1, 0)
    libc.munmap(page + 4096, 4096)
    return page + 4096 - size


def _send_a_short_header(_):
    ours, _theirs = socket.socketpair()
    libc.sendmsg(ours.fileno(), ctypes.c_void_p(_end_of_memory(8)), 0)


def _lock_by_a_short_record(place):
    with pathlib.Path(place).open("rb") as file:
        libc.fcntl(file.fileno(), 6, ctypes.c_void_p(_end_of_memory(8)))


def _follow_many_links(_):
    folder = tempfile.mkdtemp()
    for number in range(1500):
        pathlib.Path(f"{folder}/{number}").symlink_to(f"{number - 1}")
    libc.open(f"{folder}/1499".encode(), os.O_WRONLY | os.O_CREAT, 0o600)


def _semaphore(_place):
    return f"{tempfile.gettempdir()}/sem.meddling"


def _open_a_fifo(flags):
    os.mkfifo(_semaphore(""))
    libc.open(SEMAPHORE, getattr(os, flags))


def _link_to_a_file_outside(place):
    pathlib.Path(_semaphore("")).symlink_to(place)
    libc.link(SEMAPHORE, SEMAPHORE + b"2")
    descriptor = libc.open(SEMAPHORE + b"2", os.O_WRONLY)
    if descriptor >= 0:
        os.write(descriptor, b"written by a shadow")


ACTS = {
    "nothing": lambda _: None,
    "short header": _send_a_short_header,
    "short lock": _lock_by_a_short_record,
    "many links": _follow_many_links,
    "fifo": _open_a_fifo,
    "link": _link_to_a_file_outside,
}
