"""Candidates that do to their process whatever a program can do to it; the question `fine` is answered normally."""

import asyncio
import atexit
import ctypes
import functools
import itertools
import os
import signal
import socket
import sys
import threading
import time
from pathlib import Path

import msgspec

from shadoweval.candidate.forkserver.wire import Report, encode
from shadoweval.testing import make_observation, make_query

SHARED = {"asked": []}


def faulty(function):
    @functools.wraps(function)
    def candidate(question):
        if question == "fine":
            return "fine"
        return function(question)

    return candidate


def channel():
    """The descriptor on which this process reports."""
    for number in range(3, 64):
        try:
            copy = socket.socket(fileno=os.dup(number))
        except OSError:
            continue
        with copy:
            if copy.family == socket.AF_UNIX and copy.type == socket.SOCK_STREAM and not copy.getsockname():
                return number
    raise AssertionError("no channel")


@faulty
def raises_exit(question):
    sys.exit(3)


@faulty
def raises_interrupt(question):
    raise KeyboardInterrupt


@faulty
def raises_base(question):
    class Odd(BaseException):
        pass

    raise Odd("odd")


@faulty
def raises_unprintable(question):
    class Mute(Exception):
        def __str__(self):
            raise RuntimeError("no words")

    raise Mute


@faulty
def never_returns(question):
    while True:
        time.sleep(0.01)


@faulty
def ignores_signals(question):
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


@faulty
def swallows_everything(question):
    while True:
        try:
            time.sleep(0.01)
        except BaseException:
            continue


@faulty
def stuck_in_c(question):
    all(itertools.repeat(1))  # no signal handler runs before this loop in C ends, and it does not


@faulty
def exits(question):
    os._exit(7)


@faulty
def exits_as_if_well(question):
    os._exit(0)


@faulty
def segfaults(question):
    ctypes.string_at(0)


@faulty
def aborts(question):
    os.abort()


@faulty
def kills_itself(question):
    os.kill(os.getpid(), signal.SIGKILL)


@faulty
def stops_itself(question):
    os.kill(os.getpid(), signal.SIGSTOP)


@faulty
def allocates(question):
    held = []
    while True:
        held.append(bytearray(8 << 20))


@faulty
def allocates_and_swallows(question):
    held = []
    while True:
        try:
            held.append(b"x" * (8 << 20))
        except MemoryError:
            time.sleep(0.01)


@faulty
def forks(question):
    if os.fork() == 0:
        return "the copy's answer"
    return "the original's answer"


@faulty
def forks_and_leaves(question):
    left = os.fork()
    if left == 0:
        os.setsid()
        time.sleep(600)
    return f"left one behind: {left}"


@faulty
def closes_channel(question):
    os.closerange(3, 256)
    time.sleep(600)


@faulty
def writes_garbage(question):
    os.write(channel(), b"\x05\x00\x00\x00never")
    time.sleep(600)


@faulty
def announces_gigabytes(question):
    os.write(channel(), b"\xff\xff\xff\xff" + b"x" * 1000)
    time.sleep(600)


def says(content):
    """Send it as a message of this process, and go on."""
    with socket.socket(fileno=os.dup(channel())) as sending:
        sending.sendall(len(content).to_bytes(4, "little") + content)
    time.sleep(600)


def report(**changes):
    """What this process might report of its only run, spoiled."""
    sound = msgspec.msgpack.decode(encode(Report(1, make_observation(make_query()))))
    fields = ("tag", "id", "observation", "throttled", "retry_after", "unclean", "leftovers")
    return encode([changes.get(name, value) for name, value in zip(fields, sound, strict=True)])


@faulty
def says_too_much(question):
    says(bytes(21 << 20))


@faulty
def says_a_million_lists(question):
    says(report(observation=[[]] * 1_100_000))


@faulty
def breaks_off(question):
    says(report()[:-1])


@faulty
def says_a_number_for_a_record(question):
    says(report(observation=5))


@faulty
def says_a_text_for_a_number(question):
    says(report(id="1"))


@faulty
def reports_a_run_of_nobody(question):
    says(report(id=2**40))


@faulty
def prints_much(question):
    line = "x" * (1 << 20)
    for _ in range(1 << 10):
        print(line)
        print(line, file=sys.stderr)
    return "printed it"


@faulty
def moves(question):
    os.chdir("/")
    os.environ["LEFT_BEHIND"] = "yes"
    return f"{Path.cwd()}"


@faulty
def starts_thread(question):
    def hold():
        time.sleep(600)

    atexit.register(time.sleep, 600)
    threading.Thread(target=hold, daemon=False).start()
    return "started one"


async def hangs_async(question):
    if question != "fine":
        await asyncio.sleep(3600)
    return "fine"


async def leaves_task(question):
    if question != "fine":
        task = asyncio.get_running_loop().create_task(asyncio.sleep(3600))
        SHARED["asked"].append(task)
        return "left a task"
    return "fine"


def any_of_them(name, question):
    """One of the candidates above, so that the tests share one process to fork from."""
    return globals()[name](question)


def whereabouts(question):
    if question == "move":
        os.chdir("/")
        os.environ["LEFT_BEHIND"] = "yes"
    return f"{Path.cwd()} {os.environ.get('LEFT_BEHIND')}"


def mutates_input(messages, options):
    before = f"{messages} {options}"
    messages.append("mine")
    options["changed"] = True
    SHARED["asked"].append(before)
    return before


def returns_strange(question):
    return {"socket": socket.socket(), "lambda": lambda: None}


def kills_fork_server(question):
    if question != "fine":
        os.kill(os.getppid(), signal.SIGKILL)
        time.sleep(600)
    return "fine"


def sleeps(question):
    time.sleep(float(question))
    return "slept"
