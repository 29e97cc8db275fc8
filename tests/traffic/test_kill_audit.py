"""Changes of the kill switch that nobody wrote down."""

import pytest

from shadoweval.testing import FixedClock
from shadoweval.traffic.audit import audit_trail
from shadoweval.traffic.flags import StaticFlags
from shadoweval.traffic.kill import ALL, KillSwitch
from shadoweval.traffic.kill_audit import UNKNOWN, KillAuditor


@pytest.fixture(name="home")
def _home(tmp_path):
    (tmp_path / "kill").mkdir()
    return tmp_path


@pytest.fixture(name="clock")
def _clock():
    return FixedClock()


def polled(auditor, clock):
    """Two looks, the second when the first has settled."""
    auditor.poll()
    clock.tick(1)
    return auditor.poll()


def test_touch_and_rm_are_written_down_once(home, clock):
    """Each change is one line: who unknown, when, old, new, and what did it. Looking on adds nothing."""
    auditor = KillAuditor(KillSwitch("support", home=home), clock=clock.seconds)
    assert polled(auditor, clock) is None
    assert audit_trail(home) == []

    (home / "kill" / "support").touch()
    for _ in range(3):
        polled(auditor, clock)
    (home / "kill" / "support").unlink()
    for _ in range(3):
        polled(auditor, clock)

    killed, running = audit_trail(home)
    assert (killed["who"], killed["old"], killed["new"]) == (UNKNOWN, "running", "killed")
    assert killed["reason"] == f"the file {home / 'kill' / 'support'}"
    assert killed["when"]
    assert (running["who"], running["old"], running["new"]) == (UNKNOWN, "killed", "running")


def test_the_environment_is_written_down(home, clock, monkeypatch):
    """The line names the variable and its value."""
    auditor = KillAuditor(KillSwitch("support", home=home), clock=clock.seconds)
    polled(auditor, clock)

    monkeypatch.setenv("SHADOWEVAL_KILL", "support")
    polled(auditor, clock)

    assert "SHADOWEVAL_KILL=support" in audit_trail(home)[-1]["reason"]


@pytest.mark.parametrize("deleted", [False, True])
def test_the_flag_file_is_written_down(home, clock, deleted):
    """A `kill` in it, and its deletion, are changes like any other."""
    file = home / "flags.toml"
    file.write_text("[experiments.support]\nenabled = true\nshare = 1.0\n", encoding="utf-8")
    flags = StaticFlags(file, interval=0.0)
    auditor = KillAuditor(KillSwitch("support", home=home, also=flags.kill_reason), clock=clock.seconds)
    assert polled(auditor, clock) is None

    if deleted:
        file.unlink()
    else:
        file.write_text("kill = ['support']\n", encoding="utf-8")
    polled(auditor, clock)

    (line,) = audit_trail(home)
    assert (line["who"], line["new"]) == (UNKNOWN, "killed")
    assert str(file) in line["reason"]


def test_what_kill_and_resume_wrote_is_not_written_again(home, clock):
    """Their own lines name who; the auditor has nothing to add, in whichever order it sees them."""
    switch = KillSwitch("support", home=home)
    auditor = KillAuditor(KillSwitch("support", home=home), clock=clock.seconds)
    polled(auditor, clock)
    switch.kill("bad answers", who="ada")
    polled(auditor, clock)
    switch.resume("mended", who="bob")
    polled(auditor, clock)
    switch.kill("again", who="ada")
    auditor.poll()
    switch.resume("mended", who="bob")
    polled(auditor, clock)

    assert [line["who"] for line in audit_trail(home)] == ["ada", "bob", "ada", "bob"]


def test_a_kill_whose_line_is_missing_gets_the_one_from_its_file(home, clock):
    """The trail could not be written when it was killed: the kill file still says who."""
    KillSwitch("support", home=home).kill("bad answers", who="ada")
    (home / "audit.jsonl").unlink()

    polled(KillAuditor(KillSwitch("support", home=home), clock=clock.seconds), clock)

    assert [(line["who"], line["reason"]) for line in audit_trail(home)] == [("ada", "bad answers")]


def test_what_changed_while_nobody_watched_is_written_at_the_first_look(home, clock):
    """A worker that starts compares what it sees with the last line."""
    KillSwitch("support", home=home).kill("bad answers", who="ada")
    (home / "kill" / "support").unlink()

    polled(KillAuditor(KillSwitch("support", home=home), clock=clock.seconds), clock)

    assert [line["new"] for line in audit_trail(home)] == ["killed", "running"]


def test_several_watchers_make_one_line(home, clock):
    """The worker and `status` see the same change."""
    switches = [KillSwitch("support", home=home) for _ in range(3)]
    watchers = [KillAuditor(switch, clock=clock.seconds) for switch in switches]
    (home / "kill" / ALL).touch()

    for auditor in watchers:
        polled(auditor, clock)

    assert [line["new"] for line in audit_trail(home)] == ["killed"]


def test_a_trail_that_cannot_be_written_is_tried_again(home, clock, caplog):
    """One warning, no exception, and the line as soon as it can be written."""
    (home / "audit.jsonl").mkdir()
    (home / "kill" / "support").touch()
    auditor = KillAuditor(KillSwitch("support", home=home), clock=clock.seconds)
    polled(auditor, clock)
    polled(auditor, clock)
    assert len(caplog.records) == 1

    (home / "audit.jsonl").rmdir()
    polled(auditor, clock)

    assert [line["new"] for line in audit_trail(home)] == ["killed"]
