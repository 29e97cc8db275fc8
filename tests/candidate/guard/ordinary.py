"""What candidates do all day, and what the guard is put to: acts for the fork server of the other tests."""
# Packages go by their full names beside each other.
# ruff: noqa: ICN001

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import ctypes
import errno
import importlib
import json
import os
import pathlib
import platform
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time

import httpx2
import langchain_core.tools
import msgspec
import numpy

from shadoweval.candidate.guard import seccomp
from shadoweval.candidate.guard.policy import Containment
from tests.candidate.guard.probes import MISSING, Probe, native
from tests.candidate.guard.probes.network import sockaddr

ACTS: dict[str, Probe] = {}


def act(function):
    ACTS[function.__name__] = Probe(function, ())
    return function


def act_with(*packages):
    """Register an act that needs packages of the extra `bench`, where it is installed; CI has it."""
    if set(packages) & set(MISSING):
        return lambda function: function
    for package in packages:  # in the warm process, as a pipeline's own would be, not in each child
        importlib.import_module(package)
    return act


def load() -> dict[str, Probe]:
    """All acts."""
    return ACTS


async def answer():
    await asyncio.sleep(0.001)
    return await asyncio.to_thread(sum, [20, 22])


@act
def run_asyncio(world):
    return asyncio.run(answer())


@act_with("uvloop")
def run_uvloop(world):
    import uvloop

    return uvloop.run(answer())


@act
def use_a_thread_pool(world):
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        return sum(pool.map(int, "98765")) + sum(pool.map(int, "7"))


@act
def compute(world):
    parsed = json.loads(json.dumps({"a": [42]}))
    assert numpy.ones((300, 300)).dot(numpy.ones(300))[0] == 300
    return parsed["a"][0]


@act
def use_databases_in_memory(world):
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.execute("create table t(a)")
        database.execute("insert into t values (1)")
        return 41 + len(database.execute("select * from t").fetchall())


@act_with("duckdb", "polars")
def use_data_frames_in_memory(world):
    import duckdb
    import polars

    assert duckdb.sql("select 41 as a").limit(1).fetchall() == [(41,)]
    return polars.DataFrame({"a": [1, 41]}).sum().item()


@act
def read_a_database_outside(world):
    with contextlib.closing(sqlite3.connect(f"file:{world.database}?mode=ro", uri=True)) as database:
        return 42 + len(database.execute("select * from t").fetchall())


@act
def write_inside_scratch(world):
    with tempfile.TemporaryDirectory(dir=world.scratch) as folder:
        inner = pathlib.Path(folder)
        (inner / "a").write_text("42")
        (inner / "a").rename(inner / "b")
        (inner / "link").symlink_to(world.file)
        (inner / "b").chmod(0o600)
        os.utime(inner / "b", (1, 1))
        with contextlib.closing(sqlite3.connect(inner / "c.db")) as database, database:
            database.execute("create table t(a)")
        return int((inner / "b").read_text())


@act
def read_and_import(world):
    import colorsys
    import wave

    pathlib.Path(os.devnull).write_text("x")
    assert pathlib.Path(world.file).read_text() == "as it was"
    return 42 if colorsys and wave else 0


@act
def signal_itself(world):
    got = []
    signal.signal(signal.SIGUSR1, lambda *_: got.append(42))
    for send in (signal.raise_signal, lambda number: os.kill(os.getpid(), number)):
        send(signal.SIGUSR1)
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    os.kill(os.getpid(), 0)
    assert len(got) == 3
    return got[0]


@act
def invoke_a_tool(world):
    @langchain_core.tools.tool
    def double(number: int) -> int:
        """Double it."""
        return 2 * number

    return asyncio.run(double.ainvoke({"number": 21}))


@act
def ask_the_allowed_endpoint(world):
    return 40 + len(httpx2.get(world.url, timeout=5).text)


@act
def ask_the_allowed_endpoint_by_name(world):
    return 40 + len(httpx2.get(f"http://model.example.org:{world.tcp[1]}/", timeout=5).text)


@act_with("pycurl")
def ask_the_allowed_endpoint_natively(world):
    import pycurl

    curl, got = pycurl.Curl(), []
    curl.setopt(curl.URL, world.url)
    curl.setopt(curl.WRITEFUNCTION, got.append)
    curl.perform()
    return 40 + len(b"".join(got))


@act
def send_a_datagram_to_the_allowed_endpoint(world):
    with socket.socket(type=socket.SOCK_DGRAM) as end:
        end.sendto(b"x", world.udp)
        return 41 + end.sendmsg([b"x"], [], 0, world.udp)


@act
def describe(world):
    return world.containment.describe()


@act
def try_in_python(world):
    """Outcomes of what Python announces."""
    outcomes = {}
    for name, step in {
        "connect": lambda: socket.create_connection(world.tcp),
        "sqlite": lambda: sqlite3.connect(world.database).execute("insert into t values (2)"),
        "open": lambda: pathlib.Path(world.file).write_text("x"),
        "remove": lambda: pathlib.Path(world.file).unlink(),
        "fork": os.fork,
        "kill": lambda: os.kill(world.victim, signal.SIGUSR1),
        "open in scratch": lambda: pathlib.Path(world.scratch, "x").write_text("x"),
        "sqlite in scratch": lambda: sqlite3.connect(f"{world.scratch}/x.db").execute("create table t(a)"),
    }.items():
        try:
            step()
            outcomes[name] = "done"
        except (OSError, sqlite3.OperationalError) as error:
            outcomes[name] = type(error).__name__
    return json.dumps(outcomes)


def reach(address):
    with socket.socket() as end:
        native("connect", end.fileno(), sockaddr(address), 16)


def throw(address):
    with socket.socket(type=socket.SOCK_DGRAM) as end:
        native("sendto", end.fileno(), b"x", 1, 0, sockaddr(address), 16)


@act
def try_natively(world):
    """Outcomes of native acts under whatever layers there are: errno, or 0."""
    outcomes = {}
    for name, step in {
        "connect": lambda: reach(world.tcp),
        "connect elsewhere": lambda: reach(("127.0.0.1", 9)),
        "datagram": lambda: throw(world.udp),
        "open": lambda: native("open", world.file.encode(), os.O_WRONLY),
        "open in scratch": lambda: native("open", f"{world.scratch}/new".encode(), os.O_WRONLY | os.O_CREAT, 0o600),
        "chmod": lambda: native("chmod", world.file.encode(), 0o777),
        "fork": lambda: native("fork") or os._exit(0),
        "kill": lambda: native("kill", world.victim, 0x10),
    }.items():
        try:
            step()
            outcomes[name] = "done"
        except OSError as error:
            outcomes[name] = errno.errorcode[error.errno]
    return json.dumps(outcomes)


@act
def try_at_the_second_word(world):
    world.result.recv(1)
    return try_natively(world)


@act
def forge_reports(world):
    os.write(world.channel, b"no report")
    with socket.socket(fileno=world.channel) as channel:
        forged = msgspec.msgpack.encode(Containment(("audit",)))
        socket.send_fds(channel, [forged], [os.open(world.file, os.O_RDONLY)])
    return 42


@act
def take_memory(world):
    try:
        bytearray(512 << 20)
    except MemoryError:
        return "MemoryError"
    return "took it"


@act
def crash_for_want_of_memory(world):
    library = ctypes.CDLL(None)
    library.malloc.restype = ctypes.c_void_p
    library.memset(ctypes.c_void_p(library.malloc(ctypes.c_size_t(512 << 20))), 1, ctypes.c_size_t(512 << 20))


@act
def wait(world):
    os.write(world.witness, b"!")
    time.sleep(60)


def without(*calls, code=errno.ENOSYS):
    """Take system calls away, as an old kernel or a container's profile does."""

    def before(world):
        seccomp.install(seccomp.program(dict.fromkeys(calls, ()), seccomp.refuse_with(code), tail=ALLOW_ALL), ask=False)

    return before


ALLOW_ALL = seccomp.compiled_tail({}, 0)


def listened_to(world):
    """Another supervisor is there already, as under some container runtimes."""
    seccomp.install(seccomp.program({"reboot": ()}, seccomp.ASK, tail=ALLOW_ALL), ask=True)
    if os.fork() == 0:
        time.sleep(60)  # holds the listener; ended with the group


def on_an_unknown_machine(world):
    platform.machine = lambda: "riscv64"


def as_nobody(world):
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)  # PR_SET_DUMPABLE: as in a process that was nobody's from its start


BEFORE = {
    "landlock": without("landlock_create_ruleset"),
    "seccomp": without("seccomp"),
    "kernel": without("landlock_create_ruleset", "seccomp", "unshare"),
    "notify": listened_to,
    "notify_landlock": lambda world: (without("landlock_create_ruleset")(world), listened_to(world)),
    "netns": without("unshare", code=errno.EPERM),
    "nobody": as_nobody,
    "table": on_an_unknown_machine,
}
for _name, _before in BEFORE.items():
    ACTS[f"describe_without_{_name}"] = Probe(describe, (), _before)
    ACTS[f"try_without_{_name}"] = Probe(try_natively, (), _before)
    ACTS[f"try_in_python_without_{_name}"] = Probe(try_in_python, (), _before)

assert sys.platform == "linux"
