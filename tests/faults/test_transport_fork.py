"""A fork beside busy threads: whatever lock they hold just then, the child neither waits for it nor loses a count."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shadoweval.transport import SpoolReceiver
from tests.waiting import until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")

# Four threads hand over and count without a pause while the main one forks; each child does so once.
FORKING = """
import faulthandler, os, sys, threading, time
from pathlib import Path
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]), ring=sys.argv[2] != "spool")
if sys.argv[2] == "ring":
    while not transport.ring:
        assert transport.offer(b"x") is None
stop = False
counted = [0] * 4
def work(n):
    while not stop:
        transport.ledger.count(transport.offer(b"y" * 3000) or "mirrored")
        transport.ledger.mirrored.add("1")
        counted[n] += 1
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
for thread in threads:
    thread.start()
hung, children = 0, 40
for _ in range(children):
    time.sleep(0.002)
    child = os.fork()
    if not child:
        faulthandler.dump_traceback_later(20, exit=True)
        transport.ledger.count(transport.offer(b"child") or "mirrored")
        transport.ledger.mirrored.add("1")
        os._exit(0)
    hung += os.waitpid(child, 0)[1] != 0
stop = True
for thread in threads:
    thread.join()
transport.close()
print(hung, sum(counted) + children)
"""


# Another thread holds every lock for as long as the fork takes.
HOLDING = """
import faulthandler, os, sys, threading
from pathlib import Path
from shadoweval.transport import open_transport
transport = open_transport(Path(sys.argv[1]), ring=sys.argv[2] != "spool")
while sys.argv[2] == "ring" and not transport.ring:
    assert transport.offer(b"x") is None
held, done = threading.Event(), threading.Event()
def hold():
    spool = getattr(transport, "spool", transport)
    with transport.way.lock if hasattr(transport, "way") else spool._lock, spool._lock, transport.ledger._lock:
        held.set()
        done.wait()
thread = threading.Thread(target=hold)
thread.start()
held.wait()
child = os.fork()
if not child:
    faulthandler.dump_traceback_later(20, exit=True)
    transport.ledger.count(transport.offer(b"child") or "mirrored")
    transport.close()
    os._exit(0)
code = os.waitpid(child, 0)[1]
done.set()
thread.join()
transport.close()
sys.exit(code != 0)
"""


@pytest.mark.parametrize("way", ["ring", "spool"])
def test_a_lock_that_is_held_at_the_fork_is_not_the_childs(tmp_path: Path, way: str) -> None:
    """The thread that would let go of it is not there."""
    if way == "ring" and sys.platform != "linux":
        pytest.skip("the ring is Linux's")
    subprocess.run([sys.executable, "-c", HOLDING, str(tmp_path / "spool"), way], timeout=120, check=True)
    receiver = SpoolReceiver(tmp_path / "spool")
    until(lambda: receiver.counters() == {"eligible": 1, "mirrored": 1})


@pytest.mark.parametrize("way", ["ring", "spool"])
def test_no_child_hangs(tmp_path: Path, way: str) -> None:
    """Forty children each; all of theirs and all of the parent's calls are counted."""
    if way == "ring" and sys.platform != "linux":
        pytest.skip("the ring is Linux's")
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tmp_path / "spool"), way],
        env={},
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
    )
    hung, counted = map(int, done.stdout.split())
    assert hung == 0
    receiver = SpoolReceiver(tmp_path / "spool")
    until(lambda: receiver.counters()["eligible"] == counted)
    assert sum(count for name, count in receiver.counters().items() if name != "eligible") == counted
    until(lambda: sum(receiver.histogram("mirrored").values()) == counted)
