"""Times at which runs may begin: one after the other, whoever asks."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import update

from shadoweval.store import SqlStore, tables
from shadoweval.store.engine import transaction


def test_times_follow_each_other_whoever_asks(url):
    """Forty times by four stores at once, half a second apart: none twice, none left out."""
    began = time.monotonic()

    def reserved(_number):
        with SqlStore(url) as store:
            return [store.reserve("docs", "a:1", seconds=0.5, longest=60) + time.monotonic() for _ in range(10)]

    with ThreadPoolExecutor(4) as threads:
        times = sorted(at for each in threads.map(reserved, range(4)) for at in each)

    ended = time.monotonic()
    assert times[-1] - began >= 39 * 0.5 - 0.1
    assert times[-1] <= ended + 20.5
    # Every time is read with the lock held, and by the caller a moment later: they differ by that moment.
    assert all(at >= began + 0.5 * number - 0.1 for number, at in enumerate(times))


def test_experiments_and_endpoints_have_times_of_their_own(url):
    """Each begins at once."""
    with SqlStore(url) as store:
        first = [store.reserve(name, to, seconds=20, longest=30) for name in ("docs", "mail") for to in ("a:1", "b:2")]
        second = store.reserve("docs", "a:1", seconds=20, longest=30)

    assert first == [0.0] * 4
    assert second == pytest.approx(20, abs=5)


def test_what_is_too_far_ahead_is_not_reserved(url):
    """The third would wait for longer than it may: it is told so, and takes nothing from those after it."""
    with SqlStore(url) as store:
        waits = [store.reserve("docs", "a:1", seconds=20, longest=30) for _ in range(5)]

    assert waits[:2] == pytest.approx([0, 20], abs=5)
    assert waits[2:] == pytest.approx([40] * 3, abs=5)


def test_time_that_was_not_used_is_no_credit(url):
    """After a pause one run may begin, not all that could have."""
    with SqlStore(url) as store:
        store.reserve("docs", "a:1", seconds=0.01, longest=30)
        time.sleep(0.2)
        assert store.reserve("docs", "a:1", seconds=10, longest=30) == 0.0
        assert store.reserve("docs", "a:1", seconds=10, longest=30) == pytest.approx(10, abs=5)


def test_a_clock_that_was_set_back_holds_nobody_up(url):
    """A time an hour ahead was reserved by no rule of ours."""
    with SqlStore(url) as store:
        store.reserve("docs", "a:1", seconds=1, longest=30)
        with transaction(store._engine, write=True) as connection:
            connection.execute(update(tables.Rate).values(next_at=round((time.time() + 3600) * 1e6)))

        assert store.reserve("docs", "a:1", seconds=1, longest=30) == 0.0
