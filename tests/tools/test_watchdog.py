import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.processes import processes_naming

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a run started")

ROOT = Path(__file__).parents[2]
WITHIN = 120  # seconds
DAEMON = "import subprocess; subprocess.Popen(['sleep', '600'], start_new_session=True)"
STUCK = "re.match('(a+)+$', 'a' * 64 + 'b')"  # in C code, where neither a signal nor another thread gets its turn
WAYS = {  # the bodies of three tests, of which two run at the same time, and seconds without output
    "killed": (("os.kill(os.getpid(), signal.SIGKILL)", DAEMON, "pass"), 420),
    "crashed beside one that is stuck": (("os.kill(os.getpid(), signal.SIGSEGV)", STUCK, "pass"), 25),
    "stopped": (("os.kill(os.getpid(), signal.SIGSTOP)", DAEMON, "pass"), 25),
}


@pytest.mark.parametrize(
    "way", ["killed", *(pytest.param(way, marks=pytest.mark.slow) for way in WAYS if way != "killed")]
)
def test_a_run_fails_in_time_when_a_process_of_it_is_gone_or_hangs(run, tmp_path, way):
    """However a test's process ends or hangs, the run fails within two minutes and leaves nothing behind."""
    (first, second, third), silence = WAYS[way]
    ended = run("--silence", str(silence), first=first, second=second, third=third)
    assert ended.returncode == (124 if silence == 25 else 1), ended.stdout
    assert ("crashed" in ended.stdout) == (way != "stopped")
    assert ("nothing printed for 25 s" in ended.stdout) == (silence == 25)
    if second is STUCK:
        assert "in test_second" in ended.stderr, "the stacks of its threads say where it is"
    assert processes_naming(str(tmp_path)) == []


def test_a_run_that_passes_exits_with_0_and_one_that_fails_with_pytests_code(run):
    """The watchdog adds nothing to a run that ends by itself, and a process left over by a test is ended."""
    passed = run(first="pass", second=DAEMON)
    assert passed.returncode == 0, passed.stdout
    assert "2 passed" in passed.stdout
    assert run(first="assert False").returncode == 1


@pytest.fixture
def start(tmp_path):
    """Starts the watchdog over a piece of code that prints `up` when it runs."""
    started = []

    def start(code):
        command = [sys.executable, ROOT / "tools/watchdog.py", "-c", code]
        environment = {**os.environ, "INNER_RUN": str(tmp_path)}
        started.append(subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True))
        assert started[-1].stdout.readline() == "up\n"
        return started[-1]

    yield start
    for watchdog in started:
        watchdog.kill()
        watchdog.communicate()


def test_a_watchdog_that_is_ended_ends_the_run(start, tmp_path):
    """Who stops `make test` stops all of it."""
    watchdog = start("import time; print('up', flush=True); time.sleep(600)")
    watchdog.send_signal(signal.SIGTERM)
    assert watchdog.wait(timeout=WITHIN) != 0
    assert processes_naming(str(tmp_path)) == []


def test_an_interrupted_run_says_what_it_knows(start):
    """Ctrl-C goes to the command, which ends by itself; what it still prints is shown, and its exit code is kept."""
    code = """
        import sys, time
        try:
            print("up", flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            print("as far as it came")
            sys.exit(2)
    """
    watchdog = start(textwrap.dedent(code))
    watchdog.send_signal(signal.SIGINT)
    printed, _ = watchdog.communicate(timeout=WITHIN)
    assert (printed, watchdog.returncode) == ("as far as it came\n", 2)
