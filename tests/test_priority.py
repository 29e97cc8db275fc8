"""Processes beside the application let it go first."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shadoweval.priority import LEVEL

PROGRAM = """
import os
from pathlib import Path
from shadoweval.priority import session_level, step_back
os.nice({before})
step_back(); step_back()
print(os.nice(0), session_level(0))
"""


GUEST = """
import os
from pathlib import Path
from shadoweval.priority import step_back
child = os.fork()
if child == 0:
    step_back()
    os._exit(0)
os.waitpid(child, 0)
print(Path("/proc/self/autogroup").read_text().split()[-1])
"""

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="priorities differ elsewhere")


def ran(program: str) -> str:
    """What a program prints, in a session of its own."""
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        start_new_session=True,
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout


@linux
@pytest.mark.parametrize("before", [0, 3, 15])
def test_a_process_steps_back_once(before: int) -> None:
    """To the same level however often it is asked, and never forward, from whatever level the tests run at."""
    first = min(os.nice(0) + before, 19)
    assert int(ran(PROGRAM.format(before=before)).split()[0]) == max(first, LEVEL)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="sessions have no level here")
def test_nobody_lowers_the_session_of_somebody_else() -> None:
    """A worker that was started beside the application, by the same script, leaves its session's level alone."""
    assert int(ran(GUEST)) == 0


@linux
def test_who_idles_stays_in_its_session_with_a_group_of_its_own() -> None:
    """SCHED_IDLE counts within a session only; children inherit it, and `step_back` changes nothing any more."""
    told = ran("""
import os
from shadoweval.priority import idle, idling, set_apart, step_back
before = os.nice(0)
assert not idling() and idle() and idling()
step_back()
child = os.fork()
if child == 0:
    set_apart()
    print(idling(), os.getsid(0) == os.getppid(), os.getpgid(0) == os.getpid(), os.nice(0) == before, flush=True)
    os._exit(0)
os.waitpid(child, 0)
""")
    assert told.split() == ["True"] * 4
