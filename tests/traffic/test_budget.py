"""Daily budgets."""

import logging
import os
import threading
from datetime import UTC, datetime

import pytest

from shadoweval.errors import SettingsError
from shadoweval.traffic.budget import Budget, Spending


class Wall:
    """Seconds since 1970 that move when told to."""

    def __init__(self):
        self.now = datetime(2026, 3, 1, 12, tzinfo=UTC).timestamp()

    def __call__(self):
        return self.now


@pytest.fixture(name="wall")
def _wall():
    return Wall()


@pytest.fixture(name="make")
def _make(tmp_path, wall):
    return lambda **limits: Budget("support", home=tmp_path, clock=wall, **limits)


def file_of(tmp_path):
    return tmp_path / "budget" / "support.2026-03-01"


@pytest.mark.parametrize(
    ("limits", "charge", "reason"),
    [
        ({"calls": 2}, {"calls": 1}, "2 of 2 calls are spent today"),
        ({"tokens": 1000}, {"tokens": 500}, "1,000 of 1,000 tokens are spent today"),
        ({"usd": 0.5}, {"usd": 0.25}, "0.5 of 0.5 USD are spent today"),
        ({"calls": 100, "usd": 0.5}, {"calls": 1, "usd": 0.25}, "0.5 of 0.5 USD are spent today"),
    ],
)
def test_a_limit_ends_it(make, limits, charge, reason):
    """Each of the three limits holds by itself, from the charge that reaches it on."""
    budget = make(**limits)
    assert not budget.spent()
    budget.charge(**charge)
    assert not budget.spent()
    budget.charge(**charge)

    assert budget.spent()
    assert budget.reason() == reason


def test_without_limits_nothing_is_ever_spent_but_counted(make):
    """No limit: never spent, still told."""
    budget = make()
    budget.charge(calls=1, tokens=7, usd=0.001)

    assert not budget.spent()
    assert budget.reason() is None
    assert budget.spending() == Spending(calls=1, tokens=7, usd=0.001)


def test_a_limit_of_nothing_is_spent_from_the_start(make):
    """0 calls a day is none."""
    assert make(calls=0).spent()


def test_tiny_charges_add_up(make):
    """A ten-millionth of a dollar is not rounded away."""
    budget = make(usd=1.0)
    for _ in range(1000):
        budget.charge(usd=1e-7)

    assert budget.spending().usd == pytest.approx(1e-4)


def test_the_largest_charges_are_spent_and_stop_nothing(make):
    """What no row holds counts as the most that it does; later charges come on top of it."""
    budget = make(usd=1.0)
    for usd in (1e308, float("inf"), 1e308):
        assert budget.charge(tokens=2**63, usd=usd)
    assert "USD are spent" in budget.reason()
    with pytest.raises(ValueError, match="negative"):
        budget.charge(usd=float("nan"))


def test_midnight_utc_begins_anew(make, wall):
    """Spent until midnight in UTC and no longer than an answer holds; yesterday's file stays to be read."""
    budget = make(calls=1)
    budget.charge(calls=1)
    assert budget.spent()
    wall.now += 12 * 3600 - 0.1
    assert budget.spent()
    wall.now += 0.1
    assert not budget.spent()
    assert budget.spending().calls == 0
    wall.now -= 60
    assert budget.spent()


def test_two_share_one_budget(make):
    """What one charges the other sees after its own next charge, or 50 ms later."""
    one, other = make(calls=3), make(calls=3)
    one.charge(calls=1)
    other.charge(calls=1)
    one.charge(calls=1)

    assert one.spent()
    assert other.spent()
    assert one.spending() == other.spending() == Spending(calls=3)


def test_an_answer_holds_for_fifty_milliseconds(make, wall, tmp_path):
    """Between looks no system call is made; a charge of one's own looks at once."""
    one, other = make(calls=1), make(calls=1)
    assert not one.spent()
    other.charge(calls=1)
    assert not one.spent()
    wall.now += 0.051
    assert one.spent()


def test_a_row_is_reused_when_its_owner_is_gone(make, tmp_path):
    """A hundred processes one after the other leave one row, and everything they spent."""
    for _ in range(100):
        budget = make(calls=1000)
        budget.charge(calls=1)
        del budget

    assert file_of(tmp_path).stat().st_size == 32
    assert make(calls=1000).spending().calls == 100


def test_threads_lose_nothing(make):
    """Eight threads that charge at once are all counted."""
    budget = make(calls=10**6)
    threads = [
        threading.Thread(target=lambda: [budget.charge(calls=1, usd=1e-6) for _ in range(500)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert budget.spending() == Spending(calls=4000, usd=pytest.approx(0.004))


def test_it_is_said_once(tmp_path, wall, caplog):
    """A budget that can't be opened is one line in the log, however many calls ask."""
    (tmp_path / "budget").write_text("in the way", encoding="utf-8")
    budget = Budget("support", home=tmp_path, calls=1, clock=wall)
    with caplog.at_level(logging.WARNING, "shadoweval.traffic"):
        for _ in range(100):
            wall.now += 0.06
            assert budget.spent()

    assert len(caplog.records) == 1


@pytest.mark.parametrize("charge", [{"calls": -1}, {"tokens": -1}, {"usd": -0.01}, {"usd": float("nan")}])
def test_charges_only_add(make, charge):
    """Nothing can be given back, and NaN is no sum."""
    with pytest.raises(ValueError, match=r"negative|NaN"):
        make(calls=1).charge(**charge)


@pytest.mark.parametrize("limits", [{"calls": -1}, {"usd": float("nan")}])
def test_limits_are_numbers_from_zero_up(make, limits):
    """A limit that is none is refused with its name."""
    with pytest.raises(SettingsError, match=f"budget.{next(iter(limits))}"):
        make(**limits)


def test_a_fork_spends_from_a_row_of_its_own(make, tmp_path):
    """A child that charges after a fork adds to its own row: nothing of the parent's is overwritten."""
    budget = make(calls=1000)
    budget.charge(calls=5)
    child = os.fork()
    if child == 0:
        try:
            for _ in range(10):
                budget.charge(calls=1)
            code = 0 if budget.spending().calls >= 15 else 1
        finally:
            os._exit(code)
    for _ in range(10):
        budget.charge(calls=1)

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert budget.spending().calls == 25
    assert file_of(tmp_path).stat().st_size == 64


def test_calls_that_are_used_up_do_not_hold_what_was_mirrored(tmp_path):
    """The last allowed call is mirrored, so its candidates may run; tokens and dollars hold them."""
    budget = Budget("support", home=tmp_path, calls=1, tokens=10)
    budget.charge(calls=1)
    assert budget.reason() is not None
    assert budget.reason(runs=True) is None

    budget.charge(tokens=10)
    assert "10 of 10 tokens" in budget.reason(runs=True)
