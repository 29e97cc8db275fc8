"""Where a candidate stands, kept in a file."""

import threading
from datetime import timedelta

import msgspec
import pytest

from shadoweval.errors import LadderError
from shadoweval.records import Verdict
from shadoweval.testing import FixedClock
from shadoweval.traffic.audit import audit_trail
from shadoweval.traffic.ladder_file import Ladder


@pytest.fixture(name="clock")
def _clock():
    return FixedClock()


@pytest.fixture(name="make")
def _make(tmp_path, clock):
    return lambda: Ladder("support", "rerank", home=tmp_path, clock=clock, seconds=clock.seconds)


def verdict(decision):
    return Verdict(experiment="support", candidate="rerank", decision=decision, why="proven", reasons=("recall up",))


def canary(ladder, clock):
    ladder.move("dark", reason="begin", who="ada")
    clock.tick(25 * 3600)
    return ladder.follow(verdict("promote"), made_at=clock())


def file_of(tmp_path):
    return tmp_path / "ladder" / "support" / "rerank.json"


def test_a_candidate_that_never_moved_is_off(make):
    """No file: off, and the incumbent answers without a shadow."""
    ladder = make()

    assert ladder.position().stage == "off"
    assert ladder.roles("u-1") == ("incumbent", None)


def test_moves_are_seen_by_serving_processes(make, clock):
    """One process moves, another serves by it from its next look on."""
    operator, server = make(), make()
    assert server.roles("u-1") == ("incumbent", None)
    operator.move("dark", reason="begin")
    assert server.roles("u-1") == ("incumbent", None)
    clock.tick(0.11)

    assert server.roles("u-1") == ("incumbent", "rerank")


def test_every_move_is_in_the_audit_trail(make, clock, tmp_path):
    """Who, from where, to where, and why; a verdict that holds is no move."""
    ladder = make()
    canary(ladder, clock)
    ladder.follow(verdict("hold"), made_at=clock())
    ladder.follow(verdict("rollback"), made_at=clock())

    assert [(e["who"], e["old"], e["new"], e["reason"]) for e in audit_trail(tmp_path)] == [
        ("ada", "off 0", "dark 0", "begin"),
        ("verdict", "dark 0", "canary 0.01", "recall up"),
        ("verdict", "canary 0.01", "dark 0", "recall up"),
    ]
    assert {e["experiment"] for e in audit_trail(tmp_path)} == {"support/rerank"}


def test_a_verdict_moves_once(make, clock):
    """The same promote given twice is one rung: the second comes too early for the next one."""
    ladder = make()
    made_at = canary(ladder, clock).since
    with pytest.raises(LadderError, match="counts from"):
        ladder.follow(verdict("promote"), made_at=made_at)

    assert ladder.position().stage == "canary"


def test_movers_at_the_same_time_move_once(make, clock):
    """Eight processes with the same promote climb one rung together, not eight."""
    canary(make(), clock)
    made_at, refused = clock() + timedelta(hours=25), []

    def judge():
        try:
            make().follow(verdict("promote"), made_at=made_at)
        except LadderError as error:
            refused.append(error)

    threads = [threading.Thread(target=judge) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert make().position().share == 0.10
    assert len(refused) == 7


@pytest.mark.parametrize("content", [b"", b"{", b'{"stage": "full"}', b"\xff", b"[]"])
def test_a_damaged_position_is_off_for_users_and_an_error_for_operators(make, clock, tmp_path, content):
    """Serving goes on with the incumbent; moving is refused until somebody looks."""
    ladder = make()
    canary(ladder, clock)
    clock.tick(1)
    assert ladder.roles("u-1")[1] is not None
    file_of(tmp_path).write_bytes(content)
    clock.tick(1)

    assert ladder.roles("u-1") == ("incumbent", None)
    with pytest.raises(LadderError, match="damaged"):
        ladder.move("dark", reason="mend")


def test_a_position_of_another_candidate_is_refused(make, clock, tmp_path):
    """A file that was copied under another name does not make that candidate serve."""
    ladder = make()
    position = canary(ladder, clock)
    other = msgspec.structs.replace(position, candidate="hyde", stage="full", share=1.0)
    file_of(tmp_path).write_bytes(msgspec.json.encode(other))
    clock.tick(1)

    assert ladder.roles("u-1") == ("incumbent", None)
    with pytest.raises(LadderError, match="'hyde'"):
        ladder.position()


def test_no_trail_no_step_up(make, clock, tmp_path):
    """Where the audit trail can't be written nobody climbs, but a rollback goes through."""
    ladder = make()
    canary(ladder, clock)
    (tmp_path / "audit.jsonl").unlink()
    (tmp_path / "audit.jsonl").mkdir()
    with pytest.raises(OSError, match=r"audit"):
        ladder.follow(verdict("promote"), made_at=clock() + timedelta(hours=25))
    assert ladder.position().stage == "canary"

    assert ladder.follow(verdict("rollback"), made_at=clock()).stage == "dark"
    assert ladder.position().stage == "dark"
