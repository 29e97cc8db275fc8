"""What lies outside a candidate: listeners, files, another process; looked at from outside, before and after."""
# Paths are text here, as they are for system calls.
# ruff: noqa: PTH108, PTH123, PTH208

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import hashlib
import os
import pathlib
import resource
import signal
import socket
import sqlite3
import subprocess
import sys
import types

VICTIM = """
import ctypes, signal, sys
memory = ctypes.create_string_buffer(64)
def on_signal(number, frame): memory[32] = (memory[32][0] + 1) % 256
signal.signal(signal.SIGUSR1, on_signal)
print(ctypes.addressof(memory), flush=True)
while True: signal.pause()
"""


class World:
    """Passive listeners (whatever waits in their queues came from a probe), files, and a victim process."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.folder = folder
        self.tcp, self.udp = socket.create_server(("127.0.0.1", 0)), socket.socket(type=socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.unix, self.unix_datagram = socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.abstract = socket.socket(socket.AF_UNIX)
        self.unix.bind(str(folder / "stream"))
        self.unix_datagram.bind(str(folder / "datagram"))
        self.name = f"shadoweval-probe-{os.getpid()}"
        self.abstract.bind("\0" + self.name)
        for listener in (self.unix, self.abstract):
            listener.listen()
        for end in (self.tcp, self.udp, self.unix, self.unix_datagram, self.abstract):
            end.setblocking(False)
        self.accepted: list[socket.socket] = []
        self.received, self.fifo = 0, -1
        self.victim = subprocess.Popen(
            [sys.executable, "-c", VICTIM],
            stdout=subprocess.PIPE,
            stdin=subprocess.PIPE,
            start_new_session=True,
            text=True,
        )
        self.victim_address = int(self.victim.stdout.readline())
        self.key = 0x5E000000 | (os.getpid() & 0xFFFFFF)
        self.rounds = 0

    def fresh(self) -> types.SimpleNamespace:
        """New folders, and everything that a probe has to know."""
        self.rounds += 1
        base = self.folder / str(self.rounds)
        out, scratch = base / "outside", base / "scratch"
        for folder in (out / "folder" / "deeper", out / "empty", scratch):
            folder.mkdir(parents=True)
        (out / "file.txt").write_text("as it was")
        (out / "before.log").touch()
        os.mkfifo(base / "fifo")
        if self.fifo >= 0:
            os.close(self.fifo)
        self.fifo = os.open(base / "fifo", os.O_RDONLY | os.O_NONBLOCK)
        with contextlib.closing(sqlite3.connect(out / "data.db")) as database, database:
            database.execute("create table t(a)")
        self.out = out
        host = self.tcp.getsockname()
        return types.SimpleNamespace(
            tcp=host, url=f"http://{host[0]}:{host[1]}/", udp=self.udp.getsockname(), out=str(out),
            scratch=str(scratch),
            unix=self.unix.getsockname(), unix_datagram=self.unix_datagram.getsockname(), abstract=self.name,
            name=self.name, file=str(out / "file.txt"),
            database=str(out / "data.db"), fifo=str(base / "fifo"), key=self.key,
            victim=self.victim.pid, victim_address=self.victim_address,
        )  # fmt: skip

    def answer(self) -> None:
        """Take what came in; answer HTTP requests, so that clients can have a connection to keep."""
        for listener in (self.tcp, self.unix, self.abstract):
            with contextlib.suppress(BlockingIOError):
                while True:
                    connection, _ = listener.accept()
                    connection.setblocking(False)
                    self.accepted.append(connection)
                    self.received += 1
        for end in (self.udp, self.unix_datagram, *self.accepted):
            with contextlib.suppress(BlockingIOError, ConnectionError):
                while message := end.recv(65536):
                    self.received += len(message)
                    if message.startswith((b"GET ", b"POST ")):
                        end.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        with contextlib.suppress(BlockingIOError):
            self.received += len(os.read(self.fifo, 65536))

    def look(self) -> dict[str, object]:
        """The state of everything a probe may change."""
        self.answer()
        victim = self.victim.pid
        with open(f"/proc/{victim}/mem", "rb", buffering=0) as memory:
            memory.seek(self.victim_address)
            held = memory.read(64)
        return {
            "received": self.received,
            "files": {str(path): _file(path) for path in sorted(self.out.rglob("*"))},
            "victim": (held, os.getpriority(os.PRIO_PROCESS, victim), frozenset(os.sched_getaffinity(victim))),
            "victim limits": (resource.prlimit(victim, resource.RLIMIT_CORE), _text(f"/proc/{victim}/oom_score_adj")),
            "kernel objects": [_text(f"/proc/sysvipc/{kind}").count(str(self.key)) for kind in ("shm", "sem", "msg")],
            "message queue": _has_queue(self.name),
            "shared memory": [name for name in os.listdir("/dev/shm") if self.name in name],
            "keys": self.name in _text("/proc/keys"),
            "mounts": str(self.folder) in _text("/proc/self/mounts"),
        }

    def restore(self) -> None:
        """Undo what the last probe did to what is shared by all of them."""
        library = ctypes.CDLL(None)
        while str(self.folder) in (mounts := _text("/proc/self/mounts")):
            mount_point = next(line.split()[1] for line in mounts.splitlines() if str(self.folder) in line)
            library.umount2(mount_point.encode(), 2)
        for kind, get, remove in (
            ("shm", "shmget", "shmctl"),
            ("sem", "semget", "semctl"),
            ("msg", "msgget", "msgctl"),
        ):
            if str(self.key) in _text(f"/proc/sysvipc/{kind}"):
                identifier = getattr(library, get)(self.key, 0, 0)
                getattr(library, remove)(identifier, *((0, 0) if kind == "sem" else (0, None)))
        library.mq_unlink(f"/{self.name}".encode())
        for name in os.listdir("/dev/shm"):
            if self.name in name:
                os.unlink(f"/dev/shm/{name}")
        for connection in self.accepted:
            connection.close()
        self.accepted.clear()

    def close(self) -> None:
        """End the victim, close the listeners."""
        self.victim.send_signal(signal.SIGKILL)
        self.victim.communicate()
        for end in (self.tcp, self.udp, self.unix, self.unix_datagram, self.abstract):
            end.close()


def _file(path: pathlib.Path) -> tuple[object, ...]:
    try:
        status = path.lstat()
        content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
        attributes = os.listxattr(path, follow_symlinks=False)
    except FileNotFoundError:  # a journal, say, that was removed since the folder was listed
        return ()
    return (
        status.st_mode,
        status.st_uid,
        status.st_nlink,
        status.st_mtime_ns,
        content,
        tuple(attributes),
        _flags(path),
    )


def _flags(path: pathlib.Path) -> bytes:
    with contextlib.suppress(OSError):
        if path.is_file():
            with path.open("rb") as file:
                return fcntl.ioctl(file, 0x80086601, bytes(8))  # FS_IOC_GETFLAGS
    return b""


def _text(path: str) -> str:
    try:
        return pathlib.Path(path).read_text()
    except OSError:
        return ""


def _has_queue(name: str) -> bool:
    library = ctypes.CDLL(None)
    queue = library.mq_open(f"/{name}".encode(), os.O_RDONLY)
    if queue >= 0:
        os.close(queue)
    return queue >= 0
