"""A worker is killed after it has set frames aside and before the spool knows: each is kept, and counted, once."""

import os
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from shadoweval.store import SqlStore
from shadoweval.transport.frames import framed

APP = """
from shadoweval import Experiment, Sandbox

toy = Experiment(name="toy", candidates={"new": "torn:new"}, rerun=0.0, sandbox=Sandbox(guard=False))

def old(question):
    return question

def new(question):
    return question

served = toy.mirror(1.0, control=0.0)(old)
"""
DIES = """
import os
if os.environ.get("DIES"):
    import signal
    from shadoweval.worker.ingestion import Ingestion
    real = Ingestion.keep_counters
    def keep_counters(self):  # the last thing before `settle`
        real(self)
        if self.counts["set_aside"]:
            os.kill(os.getpid(), signal.SIGKILL)
    Ingestion.keep_counters = keep_counters
"""
ZEROS = bytes(40)


@pytest.fixture(name="asides")
def _asides(tmp_path, url, monkeypatch):
    """What lies in the store, after a spool of two calls, two frames that are no envelope, and zeros in two places."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("SHADOWEVAL_STORE", url)
    for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_KILL"):
        monkeypatch.delenv(name, raising=False)
    Path("torn.py").write_text(APP, encoding="utf-8")
    Path("sitecustomize.py").write_text(DIES, encoding="utf-8")
    serve = "import torn\nfor n in range(2): torn.served(f'question {n}')"
    subprocess.run([sys.executable, "-c", serve], check=True, timeout=120)
    spool = Path(".shadoweval", "spool", "toy")
    spool.mkdir(parents=True, exist_ok=True)
    odd = spool / "0000000000000000-1-abcdef-000000.seg"
    odd.write_bytes(framed(b"SE\x01one") + ZEROS + framed(b"SE\x01two") + ZEROS + framed(b"SE\x01one"))
    odd.chmod(0o600)

    def asides():
        with closing(SqlStore(url)) as store, store._engine.connect() as connection:
            frames = connection.execute(text("SELECT frame FROM shadow_aside")).scalars().all()
            return sorted(bytes(frame) for frame in frames), store.funnel("toy", "new")

    return asides


def worker(**environment):
    command = [sys.executable, "-m", "shadoweval", "worker", "torn:toy", "--until-idle"]
    environment = {**os.environ, **environment}
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240, check=False)


def test_what_is_set_aside_twice_is_kept_once(asides):
    """Killed at that point; a frame that came twice is one call, zeros in two places are two losses."""
    expected = [ZEROS, ZEROS, b"SE\x01one", b"SE\x01two"]
    died = worker(DIES="1")
    assert died.returncode == -signal.SIGKILL, died.stdout + died.stderr
    assert asides()[0] == expected

    done = worker()

    assert done.returncode == 0, done.stdout + done.stderr
    frames, funnel = asides()
    assert frames == expected
    assert (funnel.failed, funnel.paired) == ({"set_aside": 4}, 2)
