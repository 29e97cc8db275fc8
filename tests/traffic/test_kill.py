"""The kill switch."""

import json
import os
import subprocess
import sys

import pytest

from shadoweval.errors import ExperimentError
from shadoweval.traffic.audit import audit_trail
from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.kill import ALL, KillSwitch
from tests.waiting import until


@pytest.fixture(name="home")
def _home(tmp_path):
    return tmp_path / "home"


def test_runs_until_killed_and_again_when_resumed(home):
    """Kill is seen by the very next look in the process, and so is resume."""
    switch = KillSwitch("support", home=home)
    assert not switch.killed()

    switch.kill("bad answers")
    assert switch.killed()

    assert switch.resume("mended")
    assert not switch.killed()


def test_a_file_kills_whatever_is_in_it(home):
    """An empty kill file, one with rubbish and one that can't be read all kill."""
    (home / "kill").mkdir(parents=True)
    for content in (b"", b"\xff\xfe rubbish"):
        (home / "kill" / "support").write_bytes(content)
        assert KillSwitch("support", home=home).killed()


def test_a_folder_that_cannot_be_looked_at_kills(home):
    """Where the kill folder is no folder nobody can say it is safe: killed."""
    home.mkdir()
    (home / "kill").write_text("not a folder", encoding="utf-8")

    assert KillSwitch("support", home=home).killed()


def test_all_kills_every_experiment(home):
    """The file ALL stops whatever runs."""
    KillSwitch(ALL, home=home).kill("incident")

    assert KillSwitch("support", home=home).killed()
    assert KillSwitch("other", home=home).killed()


@pytest.mark.parametrize(
    ("value", "killed"), [("support", True), ("a, support", True), ("ALL", True), ("suppor", False)]
)
def test_the_environment_kills(home, monkeypatch, value, killed):
    """SHADOWEVAL_KILL names experiments, or all of them."""
    monkeypatch.setenv("SHADOWEVAL_KILL", value)

    assert KillSwitch("support", home=home).killed() is killed


def test_another_process_sees_it_without_being_told(home):
    """A kill by another process is seen within a look's interval."""
    switch = KillSwitch("support", home=home, interval=0.01)
    assert not switch.killed()

    subprocess.run([sys.executable, "-c", _KILL, str(home)], check=True)

    until(switch.killed)


_KILL = (
    "import sys\nfrom pathlib import Path\nfrom shadoweval.traffic.kill import KillSwitch\n"
    "KillSwitch('support', home=Path(sys.argv[1])).kill('from afar')\n"
)


def test_between_looks_the_file_system_is_left_alone(home):
    """A look is trusted for its interval and not a moment longer."""
    now = [0.0]
    switch = KillSwitch("support", home=home, interval=0.1, clock=lambda: now[0])
    assert not switch.killed()
    (home / "kill").mkdir(parents=True)
    (home / "kill" / "support").touch()

    now[0] = 0.099
    assert not switch.killed()
    now[0] = 0.1
    assert switch.killed()


def test_resume_says_when_something_else_still_kills(home):
    """Resuming one experiment while ALL is killed is not called running."""
    KillSwitch(ALL, home=home).kill()
    switch = KillSwitch("support", home=home)

    assert not switch.resume()
    assert audit_trail(home)[-1]["new"] == "killed"


def test_every_change_is_in_the_audit_trail(home):
    """Who, when, old, new and why, oldest first; a damaged line is kept as such."""
    switch = KillSwitch("support", home=home)
    switch.kill("bad answers", who="ada")
    switch.resume("mended", who="bob")
    with (home / "audit.jsonl").open("a", encoding="utf-8") as file:
        file.write("{torn")

    first, second, third = audit_trail(home)

    assert (first["who"], first["old"], first["new"], first["reason"]) == ("ada", "running", "killed", "bad answers")
    assert (second["who"], second["old"], second["new"]) == ("bob", "killed", "running")
    assert third == {"unreadable": "{torn"}


def test_the_kill_holds_here_even_when_the_file_cannot_be_written(home):
    """A full disk does not keep the process that pulled the switch running."""
    home.mkdir()
    (home / "kill").write_text("in the way", encoding="utf-8")
    switch = KillSwitch("support", home=home)

    with pytest.raises(OSError, match="kill"):
        switch.kill("now")

    assert switch.killed()


def test_the_kill_file_says_who_and_why(home):
    """A person who finds the file can read it."""
    KillSwitch("support", home=home).kill("bad answers", who="ada")

    line = json.loads((home / "kill" / "support").read_text(encoding="utf-8"))

    assert (line["who"], line["reason"]) == ("ada", "bad answers")
    assert os.fspath(home) not in line.values()


def test_a_resume_elsewhere_resumes_here(home):
    """The process that pulled the switch is resumed by another process like everybody else."""
    now = [0.0]
    switch = KillSwitch("support", home=home, clock=lambda: now[0])
    switch.kill("bad answers")
    now[0] += 1
    assert switch.killed()

    assert KillSwitch("support", home=home).resume("mended")
    now[0] += 0.1
    assert not switch.killed()


def test_all_can_be_resumed(home):
    """Taking back ALL says that everything runs, here and there."""
    everything, switch = KillSwitch(ALL, home=home), KillSwitch("support", home=home, interval=0.0)
    everything.kill("incident")
    assert switch.killed()

    assert everything.resume("over")
    assert audit_trail(home)[-1]["new"] == "running"
    assert not switch.killed()


def test_a_clock_that_goes_back_does_not_blind_it(home):
    """In a process restored from a snapshot the clock may stand long before the last look: it looks at once."""
    now = [1000.0]
    switch = KillSwitch("support", home=home, clock=lambda: now[0])
    assert not switch.killed()
    KillSwitch("support", home=home).kill()

    now[0] = 3.0
    assert switch.killed()


def test_a_child_process_obeys(home):
    """A forked child sees the kill of its parent before the fork, and a kill of others after it."""
    before, after = KillSwitch("before", home=home, interval=0.0), KillSwitch("after", home=home, interval=0.0)
    assert not after.killed()
    before.kill()
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.read(read, 1)
        os._exit(0 if before.killed() and after.killed() else 1)
    after.kill()
    os.write(write, b"x")

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(read)
    os.close(write)


def test_something_else_may_kill(home):
    """`also` is asked with the experiment's name at each look; where it raises, that kills."""
    asked = []

    def also(experiment):
        asked.append(experiment)
        if len(asked) == 2:
            raise RuntimeError("no answer")
        return len(asked) == 3

    switch = KillSwitch("support", home=home, interval=0.0, also=also)

    assert [switch.killed() for _ in range(4)] == [False, True, True, False]
    assert set(asked) == {"support"}


def test_a_flag_file_kills(home, tmp_path):
    """A flag file with `kill` stops what is in flight, as the kill file does."""
    file = tmp_path / "flags.toml"
    file.write_text("kill = true\n", encoding="utf-8")

    assert KillSwitch("support", home=home, also=StaticFlags(file).kill_reason).killed()


@pytest.mark.parametrize("name", ["", ".", "..", "../support", "a/b"])
def test_names_stay_in_their_folder(home, name):
    """An experiment whose name would lead elsewhere is refused: its kill file could not be found."""
    with pytest.raises(ExperimentError, match="no file name"):
        KillSwitch(name, home=home)


def test_a_kill_that_cannot_be_audited_holds(home, caplog):
    """Without an audit trail the kill stands and the line is in the log; resuming needs the trail."""
    (home / "audit.jsonl").mkdir(parents=True)
    switch = KillSwitch("support", home=home)

    switch.kill("now", who="ada")

    assert KillSwitch("support", home=home).killed()
    assert caplog.records[0].line["reason"] == "now"
    with pytest.raises(OSError, match="audit"):
        switch.resume("mended")
    assert switch.killed()


def test_a_kill_file_that_cannot_be_removed_stays_a_kill(home):
    """A resume that fails is told twice: as the attempt, and as what it came to."""
    switch = KillSwitch("support", home=home)
    (home / "kill" / "support" / "in the way").mkdir(parents=True)

    with pytest.raises(OSError, match="support"):
        switch.resume("mended")

    assert switch.killed()
    assert [line["new"] for line in audit_trail(home)] == ["running", "killed"]


def test_every_switch_of_the_process_sees_a_kill_and_a_resume_at_its_next_call(home):
    """Experiments, mountings and tests have switches of their own: none of them waits for its next look."""
    switches = [KillSwitch("support", home=home, clock=lambda: 0.0) for _ in range(3)]
    everything = KillSwitch(ALL, home=home, clock=lambda: 0.0)
    assert not any(switch.killed() for switch in switches)

    for puller in (switches[0], everything):
        puller.kill("bad answers")
        assert all(switch.killed() for switch in switches)
        puller.resume("mended")
        assert not any(switch.killed() for switch in switches)


def test_a_kill_that_cannot_be_written_holds_for_every_switch_of_the_process(home):
    """The file is in the way for one and all: whoever asks in this process is told."""
    home.mkdir()
    blocked = KillSwitch("support", home=home, clock=lambda: 0.0)
    other = KillSwitch("support", home=home, clock=lambda: 0.0)
    assert not other.killed()
    (home / "kill").write_text("in the way", encoding="utf-8")
    with pytest.raises(OSError, match="kill"):
        blocked.kill("now")
    (home / "kill").unlink()

    assert other.killed()
    assert "could not write" in other.reason()


def test_a_changed_environment_is_seen_at_the_next_call(home, monkeypatch):
    """Set or unset inside the process, it waits for no look."""
    switch = KillSwitch("support", home=home, clock=lambda: 0.0)
    assert not switch.killed()
    monkeypatch.setenv("SHADOWEVAL_KILL", "support")
    assert switch.killed()
    monkeypatch.delenv("SHADOWEVAL_KILL")
    assert not switch.killed()


def test_it_says_what_kills(home, tmp_path, monkeypatch):
    """The file, the file ALL, the environment or the flags, by name; None while nothing does."""
    file = tmp_path / "flags.toml"
    file.write_text("", encoding="utf-8")
    switch = KillSwitch("support", home=home, also=StaticFlags(file, interval=0.0).kill_reason)
    assert switch.reason() is None

    switch.kill()
    assert switch.reason() == f"the file {home / 'kill' / 'support'}"
    switch.resume()
    KillSwitch(ALL, home=home).kill()
    assert switch.reason() == f"the file {home / 'kill' / 'ALL'}"
    KillSwitch(ALL, home=home).resume()
    monkeypatch.setenv("SHADOWEVAL_KILL", "a,support")
    assert "SHADOWEVAL_KILL=a,support" in switch.reason()
    monkeypatch.delenv("SHADOWEVAL_KILL")
    file.unlink()
    assert str(file) in switch.reason()


def test_a_resume_that_did_not_help_says_so_in_the_audit(home):
    """The line of a resume under ALL names ALL."""
    KillSwitch(ALL, home=home).kill()
    KillSwitch("support", home=home).resume("mended")

    assert "kill/ALL" in audit_trail(home)[-1]["reason"]
