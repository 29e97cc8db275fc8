"""Where frames and counts go is opened at the first call, or before a fork by the parent of those who will need it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from shadoweval.capture import set_interceptor
from shadoweval.mirror.outlet import Outlet
from shadoweval.mirror.plan import Site
from shadoweval.testing import MemoryTransport
from shadoweval.transport import SpoolReceiver

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

PROGRAM = """
import json, os, queue, sys, threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from shadoweval import Experiment
from shadoweval.settings import Settings

home = Path(sys.argv[1])

def answer(question):
    return question

def mirrored(name, sample):
    experiment = Experiment(name=name, candidates={"b": "m:answer"}, settings=Settings(home=str(home)))
    return experiment, experiment.mirror(sample=sample, control=0.0)(answer)

def job(call):
    reader, writer = os.pipe()
    if not os.fork():
        before = set(sys.modules)
        call("a question")
        os.write(writer, json.dumps(sorted(set(sys.modules) - before)).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as told:
        loaded = json.load(told)
    os.wait()
    return loaded

(_, on), (off_experiment, off) = mirrored("on", 1.0), mirrored("off", 0.0)
descriptors = len(os.listdir("/proc/self/fd"))
job(len)
made = home.exists()
loaded = [job(call) for call in (on, off, on, off)]
print(json.dumps({
    "made": made, "loaded": loaded, "opened": off_experiment._outlet.opened,
    "descriptors": len(os.listdir("/proc/self/fd")) - descriptors,
    "own": [str(path) for path in Path("/dev/shm").glob(f"shadoweval-*/*/*-{os.getpid()}-*")],
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc and /dev/shm")
def test_a_forked_job_finds_loaded_and_opened_what_its_first_call_needs(tmp_path: Path) -> None:
    """Its parent never made a call: it makes no home and holds no file, and all that its children count is there."""
    home = tmp_path / "home"
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(home)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told == {"made": False, "loaded": [[], [], [], []], "opened": True, "descriptors": 0, "own": []}
    frames = {"on": 2, "off": 0}
    for name, calls in frames.items():
        receiver = SpoolReceiver(home / "spool" / name)
        until, arrived = time.monotonic() + 60, 0
        while arrived < calls and time.monotonic() < until:  # the collector moves them
            batch = receiver.receive(10)
            if batch is not None:
                arrived += len(batch.frames)
                batch.settle()
        assert (arrived, receiver.counters()) == (calls, {"eligible": 2, "mirrored" if calls else "off": 2})
        receiver.close()


def forked() -> None:
    child = os.fork()
    if not child:
        os._exit(0)
    os.waitpid(child, 0)


def outlet_over(spool: Callable[[], Path]) -> tuple[Outlet, Site]:
    """An outlet with a place where calls begin, which it does not keep alive."""
    outlet, site = Outlet("e", lambda: MemoryTransport(), None, spool=spool), Site.__new__(Site)
    outlet.sites.add(site)
    return outlet, site


def test_a_fork_opens_nothing_in_a_folder_of_somebody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server's parent may be root: what it made its children could not enter."""
    outlet, _site = outlet_over(lambda: tmp_path / "e")
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: tmp_path.stat().st_uid + 1)
        forked()
    assert not outlet.opened
    forked()
    assert outlet.opened


def test_a_fork_opens_nothing_in_a_candidates_process(tmp_path: Path) -> None:
    """Nothing is mirrored there, and a guard would refuse it and count the refusal."""
    outlet, _site = outlet_over(lambda: tmp_path / "e")
    before = set_interceptor(cast("Any", object()))
    try:
        forked()
        assert not outlet.opened
    finally:
        set_interceptor(before)
    forked()
    assert outlet.opened


@pytest.mark.parametrize("fault", [OSError, LookupError])
def test_a_fork_goes_on_where_nothing_can_be_opened(fault: type[Exception]) -> None:
    """No folder, or a definition that can't say where it is."""

    def spool() -> Path:
        raise fault

    outlet, _site = outlet_over(spool)
    forked()
    assert not outlet.opened
