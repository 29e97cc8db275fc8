"""Candidates that try what others would feel: locks on their files, signals by way of a descriptor, priority."""

import array
import fcntl
import os
import pathlib
import socket
import sqlite3
import struct
import tempfile

F_SETSIG, F_SETOWN_EX, F_OFD_SETLK = 10, 15, 37
FIOSETOWN, SIOCSPGRP = 0x8901, 0x8902


def owner(command, value):
    def act(subject):
        end, other = socket.socketpair()
        with end, other:
            fcntl.fcntl(end, command, value(subject))

    return act


def ioctl(command):
    def act(subject):
        with socket.socket() as end:
            fcntl.ioctl(end, command, array.array("i", [int(subject)]))

    return act


def lock(how):
    def act(path):
        with pathlib.Path(path).open() as file:
            how(file)

    return act


def reads(path):
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        assert database.execute("select count(*) from orders").fetchone() == (1,)
    database.close()


def locks_its_own(path):
    with tempfile.NamedTemporaryFile() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_EX)
        fcntl.lockf(file, fcntl.LOCK_UN)
        fcntl.flock(file, fcntl.LOCK_UN)


def open_file_lock(file):
    fcntl.fcntl(file, F_OFD_SETLK, struct.pack("hhqqi4x", fcntl.F_RDLCK, 0, 0, 0, 0))


ACTS = {
    "flock": lock(lambda file: fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)),
    "shared flock": lock(lambda file: fcntl.flock(file, fcntl.LOCK_SH)),
    "read lock": lock(lambda file: fcntl.lockf(file, fcntl.LOCK_SH)),
    "open file lock": lock(open_file_lock),
    "lease": lock(lambda file: fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)),
    "F_SETOWN": owner(fcntl.F_SETOWN, int),
    "F_SETOWN_EX": owner(F_SETOWN_EX, lambda subject: struct.pack("ii", 1, int(subject))),
    "F_SETSIG": owner(F_SETSIG, lambda subject: 10),
    "FIOSETOWN": ioctl(FIOSETOWN),
    "SIOCSPGRP": ioctl(SIOCSPGRP),
    "nice -5": lambda _: os.setpriority(os.PRIO_PROCESS, 0, -5),
    "SCHED_FIFO": lambda _: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "SQLite": reads,
    "its own": locks_its_own,
    "nice 19": lambda _: os.setpriority(os.PRIO_PROCESS, 0, 19),
    "SCHED_BATCH": lambda _: os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0)),
}


def tries(act, subject):
    try:
        ACTS[act](subject)
    except PermissionError:
        return "refused"
    return "done"
