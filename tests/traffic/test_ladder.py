"""The rollout ladder."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.errors import LadderError
from shadoweval.records import Verdict
from shadoweval.traffic.ladder import RUNGS, Rung, by_operator, by_verdict, checked, roles, start

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNITS = [f"u-{i}" for i in range(2000)]


def verdict(decision, *, candidate="rerank", experiment="support"):
    return Verdict(experiment=experiment, candidate=candidate, decision=decision, why="proven")


def climb(rungs_up):
    """A position so many rungs up, a day on each."""
    position, when = start("support", "rerank", when=NOON), NOON
    if rungs_up:
        position = by_operator(position, "dark", reason="begin", when=when)
    for _ in range(rungs_up - 1):
        when += timedelta(hours=24)
        position = by_verdict(position, verdict("promote"), when=when)
    return position


def later(position, hours=24):
    return position.since + timedelta(hours=hours)


def test_it_climbs_with_verdicts():
    """Off, dark by hand, then a rung for each promote, to the top, where it stays."""
    steps = [(climb(i).stage, climb(i).share) for i in range(len(RUNGS))]

    assert steps == [(r.stage, r.share) for r in RUNGS]
    top = climb(5)
    assert by_verdict(top, verdict("promote"), when=later(top)) is top


def test_hold_moves_nothing():
    """Undecided is no step in any direction, at any rung."""
    for i in range(len(RUNGS)):
        position = climb(i)
        assert by_verdict(position, verdict("hold"), when=later(position)) is position


def test_one_verdict_is_one_rung():
    """A verdict that was made before a rung's stay was over does not count for it: evidence is not used twice."""
    position = climb(2)
    with pytest.raises(LadderError, match="a verdict counts from 2026-03-03T12:00:00"):
        by_verdict(position, verdict("promote"), when=later(position, 23.9))

    assert by_verdict(position, verdict("promote"), when=later(position)).stage == "progressive"


@pytest.mark.parametrize(
    ("rungs_up", "to"), [(0, "off"), (1, "off"), (2, "dark"), (3, "dark"), (4, "dark"), (5, "dark")]
)
def test_rollback_from_anywhere_at_once(rungs_up, to):
    """A rollback waits for nothing: users get the incumbent, which the dark candidate goes on shadowing."""
    position = climb(rungs_up)

    back = by_verdict(position, verdict("rollback"), when=position.since)

    assert (back.stage, back.share) == (to, 0.0)
    assert all(roles(back, unit)[0] == "incumbent" for unit in UNITS)


def test_verdicts_about_others_do_not_count():
    """Another candidate's or experiment's verdict moves nothing, not even down."""
    position = climb(3)
    for other in (verdict("rollback", candidate="hyde"), verdict("rollback", experiment="checkout")):
        with pytest.raises(LadderError, match="the verdict is about"):
            by_verdict(position, other, when=later(position))


def test_only_an_operator_starts_it():
    """From off no verdict leads up."""
    position = climb(0)
    with pytest.raises(LadderError, match="operator has to start it"):
        by_verdict(position, verdict("promote"), when=later(position, 1000))


def test_by_hand_up_one_and_down_anywhere():
    """An operator can't jump over a rung, and can go down as far as needed, each time with a reason."""
    position = climb(3)
    assert by_operator(position, "progressive", reason="looks fine", when=NOON).share == 0.5
    for stage in ("off", "dark", "canary"):
        assert by_operator(position, stage, reason="incident", when=NOON).stage == stage
    with pytest.raises(LadderError, match="nobody gets to full in one step"):
        by_operator(position, "full", reason="trust me", when=NOON)
    with pytest.raises(LadderError, match="needs a reason"):
        by_operator(position, "dark", reason="  ", when=NOON)


def test_roles_at_each_rung():
    """Off: nobody shadows. Then the other arm shadows whoever answers, after full the old one: a reverse shadow."""
    assert set(roles(climb(0), u) for u in UNITS) == {("incumbent", None)}  # noqa: C401 - reads better
    assert {roles(climb(1), u) for u in UNITS} == {("incumbent", "rerank")}
    assert {roles(climb(3), u) for u in UNITS} == {("incumbent", "rerank"), ("rerank", "incumbent")}
    assert {roles(climb(5), u) for u in UNITS} == {("rerank", "incumbent")}


def test_without_a_unit_the_incumbent_answers_until_full():
    """Nobody knows whether such a call comes from somebody who had the other arm before."""
    assert [roles(climb(i), "")[0] for i in range(1, 6)] == ["incumbent"] * 4 + ["rerank"]


def test_sticky_on_the_way_up_and_after_a_rollback():
    """Who got the candidate keeps it on the way up, and is among the first who get it again after a rollback."""
    served = [{u for u in UNITS if roles(climb(i), u)[0] == "rerank"} for i in range(6)]
    assert served[0] == served[1] == set()
    assert served[2] < served[3] < served[4] < served[5] == set(UNITS)
    down = by_verdict(climb(4), verdict("rollback"), when=NOON)
    again = by_verdict(down, verdict("promote"), when=later(down))

    assert {u for u in UNITS if roles(again, u)[0] == "rerank"} == served[2]
    assert again.salt == climb(2).salt


@given(st.lists(st.sampled_from(["promote", "hold", "rollback", "dark", "off", "canary", "full"]), max_size=30))
def test_no_history_skips_a_rung(history):
    """Whatever is tried in whatever order: the share never grows by more than one rung, and only when allowed."""
    position, shares = start("support", "rerank", when=NOON), [rung.share for rung in RUNGS]
    for step in history:
        before = position
        try:
            if step in {"promote", "hold", "rollback"}:
                position = by_verdict(position, verdict(step), when=later(position))
            else:
                position = by_operator(position, step, reason="try", when=later(position))
        except LadderError:
            position = before
        if position.share > before.share:
            assert step not in {"hold", "rollback"}
            assert shares.index(position.share) - max(shares.index(before.share), 1) <= 1
        assert position.number - before.number in {0, 1}


@pytest.mark.parametrize(
    "rungs",
    [
        RUNGS[1:],
        RUNGS[:-1],
        (*RUNGS[:2], Rung(stage="progressive", share=0.2), Rung(stage="canary", share=0.5), RUNGS[-1]),
        (*RUNGS[:2], Rung(stage="canary", share=0.2), Rung(stage="progressive", share=0.1), RUNGS[-1]),
        (),
    ],
)
def test_a_ladder_goes_up(rungs):
    """Ladders that miss an end or step down are refused."""
    with pytest.raises(ValueError, match="ladder"):
        checked(rungs)


def test_a_position_that_the_ladder_does_not_have_is_refused():
    """After the rungs were changed in the code, a position between them says so instead of guessing."""
    position = climb(3)
    short = (*RUNGS[:3], RUNGS[-1])

    with pytest.raises(LadderError, match="which this ladder does not have"):
        by_verdict(position, verdict("promote"), when=later(position), rungs=short)
    assert by_verdict(position, verdict("rollback"), when=later(position), rungs=short).stage == "dark"
