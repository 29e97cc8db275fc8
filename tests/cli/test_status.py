"""`shadoweval status` as people and monitors see it, over real workers: alive, killed, stopped, dying in a loop."""

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.commands import invoke
from tests.waiting import until

APP = """
from shadoweval import Experiment, Sandbox

toy = Experiment(name="toy", candidates={"new": "statusapp:new"}, rerun=0.0, sandbox=Sandbox(guard=False))

def old(question):
    return question

def new(question):
    return question

served = toy.mirror(1.0, control=0.0)(old)
"""


@pytest.fixture(autouse=True)
def _project(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("SHADOWEVAL_HOME", "SHADOWEVAL_STORE", "SHADOWEVAL_KILL"):
        monkeypatch.delenv(name, raising=False)
    Path("statusapp.py").write_text(textwrap.dedent(APP), encoding="utf-8")
    yield
    sys.modules.pop("statusapp", None)


@pytest.fixture(name="worker")
def _worker():
    """Starts a worker and waits until it shadows."""
    started = []

    def start():
        command = [sys.executable, "-m", "shadoweval", "worker", "statusapp:toy"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        started.append(process)
        while "shadowing" not in (line := process.stdout.readline()):
            assert line, "it ended"
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def serve(count):
    script = f"import statusapp\nfor n in range({count}): statusapp.served(f'question {{n}}')"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def status():
    """Exit code, and all of it."""
    done = invoke("status", "statusapp:toy", "--json")
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["exit_code"] == done.returncode
    return done.returncode, said


def wait_for(condition):
    until(lambda: condition(status()), every=0.1, said=status)


def test_a_folder_in_which_nothing_was_mirrored_is_no_health(tmp_path, monkeypatch):
    """A wrong folder: 3, the sentence, and nothing is made there."""
    Path("elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")

    code, said = status()
    told = invoke("status", "statusapp:toy")

    assert (code, said["health"]["state"]) == (3, "no worker")
    assert "nothing was ever mirrored into this home" in told.stdout
    assert str(tmp_path / "elsewhere" / ".shadoweval") in told.stdout
    assert list(Path().iterdir()) == []


def test_what_waits_without_a_worker_is_an_alarm(worker):
    """Thirty calls in the spool: 1, how many, since when; and 0 once a worker has taken them and was stopped."""
    serve(30)
    code, said = status()
    assert (code, said["health"]["waiting"]["frames"]) == (1, 30)
    assert said["health"]["waiting"]["oldest"]
    assert "30 calls wait in the spool" in said["alarms"][0]

    process = worker()
    wait_for(lambda told: told[1]["candidates"]["new"]["paired"] == 30)
    code, said = status()
    assert (code, said["health"]["state"], said["health"]["worker"]["process"]) == (0, "running", process.pid)

    process.send_signal(signal.SIGTERM)
    process.wait(timeout=60)
    code, said = status()
    assert (code, said["health"]["state"]) == (0, "no worker")
    assert said["health"]["worker"]["done"] == 60  # thirty taken in, thirty run
    assert said["health"]["worker"]["progress_at"]


def test_a_worker_that_was_killed_is_an_alarm_and_three_are_a_loop(worker):
    """SIGKILL leaves no word: said at once; the third time within ten minutes it is a loop, also while one runs."""
    serve(1)
    for died in (1, 2, 3):
        process = worker()
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        code, said = status()
        assert code == 1
        assert "died without a word" in said["alarms"][-1 if died < 3 else -2]
        assert ("died or failed 3 times" in said["alarms"][-1]) == (died == 3)

    worker()
    code, said = status()  # it runs, and may die again
    assert (code, said["health"]["state"]) == (1, "running")


def test_a_worker_that_ends_by_an_error_says_by_which():
    """Before its store is open, too: the error stands in the status."""
    serve(1)
    Path(".shadoweval", "shadow.db").write_bytes(b"no database, and long enough to be looked at" * 100)
    command = [sys.executable, "-m", "shadoweval", "worker", "statusapp:toy"]
    assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode == 4

    code, said = status()

    assert code == 1
    assert any("ended" in alarm and "not a database" in alarm for alarm in said["alarms"])
    assert any("can't be used" in alarm for alarm in said["alarms"])  # nor can status read it, and says the rest


def test_a_stopped_process_is_no_running_worker(worker):
    """SIGSTOP: after a minute without a sign it counts as hanging; its file is aged here rather than waited for."""
    serve(1)
    process = worker()
    wait_for(lambda told: told[0] == 0 and told[1]["candidates"]["new"]["paired"] == 1)
    process.send_signal(signal.SIGSTOP)
    file = Path(".shadoweval", "heartbeat-toy.json")
    sign = json.loads(file.read_text(encoding="utf-8"))
    sign["beat_at"] = sign["began_at"][:2] + "01" + sign["began_at"][4:]
    file.write_text(json.dumps(sign), encoding="utf-8")

    code, said = status()

    process.send_signal(signal.SIGCONT)
    assert (code, said["health"]["state"]) == (1, "worker gives no sign")
    assert "SIGSTOP" in said["alarms"][0]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"host": 1}'])
def test_a_damaged_sign_is_no_sign(text):
    """A torn file is not believed, and ends no command."""
    serve(1)
    Path(".shadoweval", "heartbeat-toy.json").write_text(text, encoding="utf-8")

    code, said = status()

    assert (code, said["health"]["worker"]) == (1, None)


def test_a_window_that_was_begun_is_shown():
    """Who began it, and that what was asked before counts no more."""
    script = """
        import statusapp
        from shadoweval import evaluate
        evaluate(statusapp.toy, new_window=True, who="ada", why="a new index")
    """
    subprocess.run([sys.executable, "-c", textwrap.dedent(script)], check=True, timeout=120)
    told = invoke("status", "statusapp:toy").stdout

    assert "The window begins at" in told
    assert ": a new index); what was asked before counts no more" in told
    assert "(ada, " in status()[1]["windows"]["new"]
