"""What fault tests with real processes share: a machine of applications, workers and evaluators, and a server."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

ROLES = ("application", "worker", "evaluator")


class Machine:
    """One folder's processes: what runs, is begun again as a supervisor would, and is killed.

    Args:
        folder: Where the application's module lies; each process works there and logs into a file of its role.
        module: Its name without `.py`. Run as a program it takes the first number to ask and how many.
        homes: One folder for each home.
        each: How many questions an application asks.
    """

    def __init__(self, folder, module, *, homes, each=150):
        self.folder, self.module, self.homes, self.each = folder, module, homes, each
        self.first, self.running = 0, {}

    def start(self, role, home=0, **more):
        """An application, a worker or an evaluator in a home."""
        target = f"{self.module}:toy"
        words = {"worker": ["-m", "shadoweval", "worker", target],
                 "evaluator": ["-m", "shadoweval", "evaluate", target, "--every", "3s"]}  # fmt: skip
        if role == "application":
            words[role] = [f"{self.module}.py", str(self.first), str(self.each)]
            self.first += self.each
        environment = {**os.environ, "SHADOWEVAL_HOME": str(self.homes[home]), **more}
        with (self.folder / f"{role}-{home}.log").open("ab") as log:
            process = subprocess.Popen([sys.executable, *words[role]], stdout=log, stderr=log, env=environment)
        self.running[role, home] = process

    def lives(self, role, home=0):
        """Whether it was begun and has not ended."""
        process = self.running.get((role, home))
        return process is not None and process.poll() is None

    def kill_together(self):
        """Everything in all homes, collectors and candidates too, as the end of a machine does it."""
        mine = str(self.folder).encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # a collector has no environment
                if mine in (process / "environ").read_bytes() + (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)

    def pids(self, victim, home=0):
        """Processes of one kind: a role, `collector`, `fork server` or `child`."""
        if victim in ROLES:
            return [self.running[victim, home].pid] if self.lives(victim, home) else []
        if victim == "collector":
            return [p.pid for p in psutil.process_iter() if {"collector", str(self.homes[home] / "spool")} <= _named(p)]
        servers = [p for pid in self.pids("worker", home) for p in _children(pid) if "forkserver" in _named(p)]
        if victim == "child":
            return [child.pid for server in servers for child in _children(server.pid)]
        return [server.pid for server in servers]

    def drain(self):
        """All faults are over: workers and evaluators are asked to end, then workers run until nothing is left."""
        for (role, _), process in self.running.items():
            if role != "application":
                process.terminate()
            process.wait(300)
        for home in (*self.homes, *self.homes):  # twice: what one of them gave back, the other one runs
            environment = {**os.environ, "SHADOWEVAL_HOME": str(home)}
            words = [sys.executable, "-m", "shadoweval", "worker", f"{self.module}:toy", "--until-idle"]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=1800, check=False)
            assert done.returncode == 0, done.stdout + done.stderr

    def close(self):
        """End what runs."""
        for process in self.running.values():
            process.kill()
            process.wait()


def _children(pid):
    """As the kernel lists them: psutil looks at every process of the machine for it, and tests ask all the time."""
    children = []
    for threads_own in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError, psutil.NoSuchProcess):
            children += [psutil.Process(int(child)) for child in threads_own.read_text(encoding="ascii").split()]
    return children


def _named(process):
    """Words of ours in what a process was begun with, and its last argument."""
    try:
        words = process.cmdline()
    except psutil.Error:
        return set()
    return {name for name in ("collector", "forkserver") if name in " ".join(words)} | set(words[-1:])


def calls(folder):
    """Numbers of the calls that were begun, and of those that were answered."""
    lines = [line.split() for file in folder.glob("calls-*") for line in file.read_text().splitlines()]
    lines = [line for line in lines if len(line) == 2]  # of a killed application the last one may be torn
    return {int(n) for kind, n in lines if kind == "b"}, {int(n) for kind, n in lines if kind == "e"}


class Cluster:
    """A PostgreSQL server of this test's own, which can be stopped and started."""

    def __init__(self, folder):
        self.folder, self.data = folder, folder / "data"
        self.user = "postgres" if os.geteuid() == 0 else None
        if self.user:
            shutil.chown(folder, self.user)
        (folder / "password").write_text("secret")
        (folder / "password").chmod(0o644)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        secrets = ("-U", "shadow", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}")
        self._run("initdb", "-D", str(self.data), "--no-sync", *secrets)
        self.start()

    def url(self, *, password="secret", database="postgres"):
        return f"postgresql://shadow:{password}@127.0.0.1:{self.port}/{database}"

    def start(self):
        options = f"-p {self.port} -h 127.0.0.1 -F -c unix_socket_directories=''"
        log = str(self.folder / "log")
        self._run("pg_ctl", "-D", str(self.data), "-w", "-l", log, "-o", options, "start")

    def stop(self):
        self._run("pg_ctl", "-D", str(self.data), "-m", "immediate", "stop")

    def ask(self, statement):
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def _run(self, program, *arguments):
        command = [shutil.which(program), *arguments]
        subprocess.run(command, check=True, user=self.user, cwd="/", stdout=subprocess.DEVNULL, timeout=120)


@contextlib.contextmanager
def own_cluster():
    """A server that is gone at the end; the test is skipped where none can be made."""
    if shutil.which("initdb") is None:
        if os.environ.get("CI") == "true":
            pytest.fail("CI needs initdb and pg_ctl")
        pytest.skip("no initdb here")
    folder = Path(tempfile.mkdtemp())
    cluster = Cluster(folder)
    try:
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def own_disk(folder, *, size):
    """A small disk of its own under `folder`; the test is skipped where none can be mounted."""
    folder.mkdir()
    options = ["-o", f"size={size},mode=700"]
    done = subprocess.run(["mount", "-t", "tmpfs", *options, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("a disk of its own can't be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=False)


def fill(file):
    """Write until the disk of `file` is full."""
    with contextlib.suppress(OSError), file.open("wb", buffering=0) as ballast:
        while True:
            ballast.write(bytes(65_536))
