"""A candidate's module is imported, and warmed up, as contained as its queries are answered."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sqlite3
import sys
import textwrap
import time
from pathlib import Path

import pytest
from candidate_rig import envelope

from shadoweval import Limits
from shadoweval.candidate.pool import CandidatePool
from shadoweval.errors import TargetError

if sys.platform != "linux":
    pytest.skip("the guard's layers are Linux's", allow_module_level=True)

from shadoweval.candidate.guard import Endpoint, GuardPolicy
from shadoweval.candidate.guard.policy import DEFAULT_LAYERS


class Outside:
    """What an import could change: a server, a file, a database, a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.server = socket.create_server(("127.0.0.1", 0))
        self.server.setblocking(False)
        self.port = self.server.getsockname()[1]
        self.file, self.database = folder / "file.txt", folder / "data.db"
        self.file.write_text("as it was")
        with contextlib.closing(sqlite3.connect(self.database)) as database, database:
            database.execute("create table t(a)")

    def connections(self) -> int:
        """How many came in since the last look."""
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                self.server.accept()[0].close()
                count += 1
        return count

    def changed(self) -> list[str]:
        """What is no longer as it was."""
        with contextlib.closing(sqlite3.connect(self.database)) as database:
            rows = database.execute("select count(*) from t").fetchone()[0]
        names = sorted(path.name for path in self.folder.iterdir())
        changed = ["database"] if rows else []
        changed += ["file"] if self.file.read_text() != "as it was" else []
        changed += ["folder"] if names != ["data.db", "file.txt"] else []
        return changed + (["server"] if self.connections() else [])


@pytest.fixture
def outside(tmp_path):
    folder = tmp_path / "outside"
    folder.mkdir()
    made = Outside(folder)
    yield made
    made.server.close()


@pytest.fixture
def candidate(tmp_path, monkeypatch, outside):
    """Write the module `cand` with these lines, after what is outside and before a function that answers."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))

    def write(lines, name="cand"):
        head = f"PORT, FILE, DATABASE, FOLDER = {outside.port}, {str(outside.file)!r}, {str(outside.database)!r}, "
        head += f"{str(outside.folder)!r}\n"
        (folder / f"{name}.py").write_text(
            head + textwrap.dedent(lines) + "\ndef answer(question): return 'answered'\n"
        )
        return f"{name}:answer"

    return write


def run(target, *texts, allow=(), seen=None, layers=DEFAULT_LAYERS, **settings):
    """The observations of these queries, and the pool's remarks about the candidate's processes."""

    async def inside():
        guard = GuardPolicy(scratch="", allow=allow, layers=layers)
        async with CandidatePool({"new": target}, guard=guard, limits=Limits(seconds=10), **settings) as pool:
            observations = [await pool.run(envelope(text), arm="new") for text in texts]
            if seen is not None:
                await seen()
            return observations, pool.remarks["new"]

    return asyncio.run(asyncio.wait_for(inside(), 60))


ACTS = {
    "a connection": "import socket; socket.create_connection(('127.0.0.1', PORT))",
    "a request": "import urllib.request; urllib.request.urlopen(f'http://127.0.0.1:{PORT}/', data=b'x', timeout=5)",
    "a file": "open(FILE, 'w').write('x')",
    "a new file": "open(FOLDER + '/new', 'w')",
    "a native file": "import ctypes; assert ctypes.CDLL(None).creat((FOLDER + '/new').encode(), 0o600) >= 0",
    "a file removed": "import os; os.unlink(FILE)",
    "a row": "import sqlite3; c = sqlite3.connect(DATABASE); c.execute('insert into t values (1)'); c.commit()",
    "a command": "import subprocess; subprocess.run(['touch', FOLDER + '/new'], check=True)",
    "a native command": "import ctypes; assert not ctypes.CDLL(None).system(f'touch {FOLDER}/new'.encode())",
    "a process": "import os\nif os.fork() == 0:\n    open(FILE, 'w').write('x')\n    os._exit(0)",
    "a pool of processes": (
        "import concurrent.futures as f, multiprocessing as m\n"
        "with f.ProcessPoolExecutor(1, mp_context=m.get_context('fork')) as p: p.submit(open, FILE, 'w').result(5)"
    ),
    "a server": "import socket; socket.create_server(('127.0.0.1', 0))",
    "a signal": "import os, signal; os.kill(os.getppid(), signal.SIGCONT)",
}


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("when", ["import", "warm"])
def test_what_an_import_tries_does_not_happen(candidate, outside, act, when):
    """It is refused, the error names it, and nothing of it lands."""
    lines = ACTS[act] if when == "import" else "def warm():\n" + textwrap.indent(ACTS[act], "    ")

    with pytest.raises(TargetError, match="the guard refused") as caught:
        run(candidate(lines), "hi", **({"warm": "cand:warm"} if when == "warm" else {}))

    assert outside.changed() == []
    assert str(caught.value).startswith("Can't use 'cand:")


@pytest.mark.parametrize(
    ("lines", "line"),
    [
        (ACTS["a connection"], "Sandbox(allow=['127.0.0.1:{port}'])"),
        (ACTS["a file"], "Sandbox(writable=['{folder}/file.txt'])"),
        (ACTS["a file removed"], "Sandbox(writable=['{folder}/file.txt'])"),
        ("import socket; socket.getaddrinfo('model.example.org', 443)", "Sandbox(allow=['model.example.org:443'])"),
        (ACTS["a command"], "stubs for the tool that does it"),
    ],
)
def test_the_error_names_the_line_to_add(candidate, outside, lines, line):
    """Who reads that an import was refused reads which line of the experiment would allow it."""
    with pytest.raises(TargetError) as caught:
        run(candidate(lines), "hi")
    assert line.format(port=outside.port, folder=outside.folder) in str(caught.value)


def test_an_import_that_survives_a_refusal_is_used_and_says_so(candidate, outside):
    """A module that tries something, is refused and goes on, answers; observations and the log say what it tried."""
    lines = (
        "import contextlib, socket\nwith contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', PORT))"
    )
    (first, second), remarks = run(candidate(lines), "hi", "again")

    assert first.outcome.answer == second.outcome.answer == "answered"
    assert first.refusals == second.refusals == ()
    line = f"import refused: socket.connect 127.0.0.1:{outside.port}"
    assert line in first.containment
    assert line in second.containment
    assert any(line in remark for remark in remarks)
    assert outside.changed() == []


def test_an_import_in_each_process_is_no_run_s_doing(candidate, outside):
    """Where a fork can't carry what loading made, each process imports; what is refused then is charged to no run."""
    target = candidate("""
        import concurrent.futures, contextlib, ctypes, socket
        executor = concurrent.futures.ThreadPoolExecutor(1)
        executor.submit(int).result()
        with contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', PORT))
        ctypes.CDLL(None).creat((FOLDER + '/new').encode(), 0o600)
    """)
    observations, remarks = run(target, *"abc")

    assert [o.outcome and o.outcome.answer for o in observations] == ["answered"] * 3
    assert [o.refusals for o in observations] == [()] * 3
    assert any(remark.startswith("each process imports") for remark in remarks)
    lines = [line for line in observations[-1].containment if line.startswith("import refused: ")]
    # One was reported by the process, the other by the kernel: which comes first is a matter of load.
    assert sorted(lines) == [
        f"import refused: open.write {outside.folder}/new",
        f"import refused: socket.connect 127.0.0.1:{outside.port}",
    ]
    assert outside.changed() == []


def test_what_is_allowed_is_allowed_at_import(candidate, outside):
    """A module that loads its model from an allowed endpoint does so."""
    target = candidate("import socket; socket.create_connection(('127.0.0.1', PORT)).close()")
    (observation,), _ = run(target, "hi", allow=(Endpoint("127.0.0.1", outside.port),))
    assert observation.outcome.answer == "answered"
    assert outside.connections() == 1


def test_a_job_that_an_import_started_reaches_nobody(candidate, outside):
    """A thread that an import left behind is refused what it tries, also what the import was allowed; no run pays."""
    target = candidate("""
        import contextlib, socket, threading, time
        def job():
            while True:
                time.sleep(0.02)
                with contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', PORT)).close()
                with contextlib.suppress(OSError): open(FILE, 'w').write('x')
        threading.Thread(target=job, daemon=True).start()
    """)

    async def wait():
        outside.connections()
        await asyncio.sleep(0.3)

    observations, _ = run(target, "hi", "again", allow=(Endpoint("127.0.0.1", outside.port),), seen=wait)

    assert [o.outcome.answer for o in observations] == ["answered"] * 2
    assert [o.refusals for o in observations] == [(), ()]
    assert outside.changed() == []


def test_a_connection_that_an_import_opened_is_cut_for_what_is_left_of_it(candidate, outside):
    """A job that kept a connection open from the import can't go on over it."""
    target = candidate("""
        import contextlib, os, socket, threading, time
        line = socket.create_connection(('127.0.0.1', PORT))
        def job():
            while not os.path.exists(FOLDER + '/served'): time.sleep(0.01)
            with contextlib.suppress(OSError): line.sendall(b'later')
        threading.Thread(target=job, daemon=True).start()
    """)
    received = []

    async def wait():
        connection, _ = outside.server.accept()
        connection.settimeout(0)
        (outside.folder / "served").touch()
        while not received:
            with contextlib.suppress(BlockingIOError):
                received.append(connection.recv(100))
            await asyncio.sleep(0.01)
        connection.close()

    run(target, "hi", allow=(Endpoint("127.0.0.1", outside.port),), seen=wait)
    assert received == [b""]


def test_threads_that_hooks_of_a_fork_start_are_contained(candidate, outside):
    """An exporter that starts its thread again in each child, as telemetry's do, costs no run and reaches nobody."""
    target = candidate("""
        import contextlib, os, socket, threading, time
        def job():
            while True:
                with contextlib.suppress(OSError): socket.create_connection(('127.0.0.1', PORT)).close()
                with contextlib.suppress(OSError): open(FILE, 'w').write('x')
                time.sleep(0.01)
        def start(): threading.Thread(target=job, daemon=True).start()
        os.register_at_fork(after_in_child=start)
        start()
    """)
    observations, _ = run(target, *"abc")

    assert [(o.failure, o.outcome and o.outcome.answer) for o in observations] == [(None, "answered")] * 3
    assert outside.changed() == []


def test_an_exporter_of_telemetry_at_import_costs_no_run(candidate):
    """OpenTelemetry's own quickstart at module level: every query is answered."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http.trace_exporter")
    target = candidate("""
        from opentelemetry import trace
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        provider = TracerProvider()
        exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{PORT}/v1/traces")
        provider.add_span_processor(BatchSpanProcessor(exporter))
        trace.set_tracer_provider(provider)
    """)
    observations, _ = run(target, *"abcde")
    assert [(o.failure, o.outcome and o.outcome.answer) for o in observations] == [(None, "answered")] * 5


def test_what_an_import_caches_lies_in_scratch(candidate, tmp_path, monkeypatch, outside):
    """Caches of the user's home are read where they lie; what is new, temporary or a semaphore leads to scratch."""
    home = tmp_path / "home"
    (home / ".cache" / "models").mkdir(parents=True)
    (home / ".cache" / "models" / "weights").write_text("42")
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    before = set(os.listdir("/dev/shm"))  # noqa: PTH208 - names alone
    target = candidate("""
        import multiprocessing, os, pathlib, tempfile
        cache = pathlib.Path(os.environ["XDG_CACHE_HOME"])
        assert (cache / "models" / "weights").read_text() == "42"
        (cache / "compiled").mkdir()
        (cache / "compiled" / "kernel").write_text("new")
        tempfile.mkstemp()
        with multiprocessing.RLock(), multiprocessing.Semaphore(2): pass
    """)
    (observation,), _ = run(target, "hi")

    assert observation.outcome.answer == "answered"
    assert not [line for line in observation.containment if "refused" in line]
    assert [path.name for path in home.rglob("*")] == [".cache", "models", "weights"]
    assert not {name for name in set(os.listdir("/dev/shm")) - before if name.startswith("sem.mp-")}  # noqa: PTH208


def test_a_worker_that_is_busy_keeps_no_import_waiting(candidate, outside):
    """The supervisor answers while the loop of the pool's process does something else."""
    target = candidate("import pathlib, os; pathlib.Path(os.environ['TMPDIR'], 'x').write_text('x')")

    async def inside():
        async with CandidatePool({"new": target}, guard=GuardPolicy(scratch=""), limits=Limits(seconds=10)) as pool:
            ready = next(iter(pool._runners.values())).fork_server.ready
            return ready is not None

    async def busy():
        task = asyncio.create_task(inside())
        while not task.done():
            await asyncio.sleep(0)
            time.sleep(0.05)  # noqa: ASYNC251 - a loop that does not turn
        return task.result()

    assert asyncio.run(asyncio.wait_for(busy(), 60))


UNASKED = tuple(layer for layer in DEFAULT_LAYERS if layer != "notify")


@pytest.mark.parametrize("act", ["a connection", "a native file", "a row", "a native command", "a process"])
def test_where_nobody_can_be_asked_an_import_changes_nothing(candidate, outside, act):
    """Without a supervisor the kernel refuses by errno what the import tries, native code included."""
    with pytest.raises(TargetError):
        run(candidate(ACTS[act]), "hi", layers=UNASKED)
    assert outside.changed() == []


def test_where_nobody_can_be_asked_queries_are_answered(candidate, outside):
    """The fork server forks, children answer, write in their scratch folder and start no process."""
    target = candidate("""
        import ctypes, pathlib, tempfile
        def check(question):
            pathlib.Path(tempfile.gettempdir(), "x").write_text(question)
            forked = ctypes.CDLL(None).fork()
            if forked == 0:
                open(FILE, "w").write("x")
                ctypes.CDLL(None)._exit(0)
            return f"{question} {forked}"
    """)
    observations, _ = run(target.replace("answer", "check"), *"ab", layers=UNASKED)
    assert [o.outcome and o.outcome.answer for o in observations] == ["a -1", "b -1"]
    assert outside.changed() == []
    assert any(line.startswith("notify missing") for line in observations[0].containment)
