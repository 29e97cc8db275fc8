"""Views of units that come back: shares of alpha, counts, and the mean over traffic."""

from __future__ import annotations

import math

import numpy as np
import pytest

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.returning import UnitBook
from shadoweval.evidence.traffic_mean import TrafficMean
from shadoweval.evidence.views import Places, Views

DAY = 86_400.0


def streams(every_pair, *, visits, users=60):
    """Views after each of so many users came on as many days, all alike."""
    views, book = Views(-1.0, 1.0, bins=200, rows=1, every_pair=every_pair), UnitBook()
    ids = np.arange(1, users + 1, dtype=np.uint64)
    for day in range(visits):
        values = np.full((1, users), -1.0 if day else 0.0)
        views.add_pairs(values)
        which = book.enter(ids, pairs=np.ones(users, dtype=np.int64), ended=np.full(users, (100 + day) * DAY))
        places = Places(which, first_day=100)
        for period, at in places.firsts:
            views.add_firsts([HistBet.of(values[0, at])], period=period)
        if not places.all_first:
            views.add_returning(values, places)
    return views


@pytest.mark.parametrize("every_pair", [False, True])
@pytest.mark.parametrize("visits", [2, 40, 300])
def test_shares_of_alpha_never_sum_to_more_than_one(every_pair, visits) -> None:
    """Whatever comes, the views together have one alpha."""
    views = list(streams(every_pair, visits=visits, users=3).of(0.0, row=0, margin=-0.02, side="less"))
    assert sum(math.exp(view.log_share) for view in views) <= 1 + 1e-12
    assert len(views) <= 40


def test_who_comes_back_is_seen_and_counts_once_in_each_view() -> None:
    """The first visits say nothing; the second, and what came since the second day, prove the harm."""
    views = {v.name: v for v in streams(False, visits=3).of(0.0, row=0, margin=-0.02, side="less")}
    assert set(views) == {
        "",
        "the 2nd time that units came",
        "the 3rd time that units came",
        "what came 1 day after the first query, or later",
        "what came 2 days after the first query, or later",
    }
    for name, view in views.items():
        assert (view.log_e >= view.needed(0.05)) is bool(name)
    assert views["the 2nd time that units came"].log_e == pytest.approx(
        views["what came 1 day after the first query, or later"].log_e
    )


def test_state_is_taken_up() -> None:
    """Views and traffic go on where they were."""
    views = streams(True, visits=4)
    resumed = Views(-1.0, 1.0, bins=200, rows=1, every_pair=True)
    resumed.restore(views.to_state())
    asked = {"row": 0, "margin": -0.02, "side": "less"}
    assert list(resumed.of(0.3, **asked)) == list(views.of(0.3, **asked))
    assert not resumed.alike


def test_the_interval_of_the_traffic_knows_that_pairs_of_a_unit_are_no_strangers() -> None:
    """Against the variance of a ratio of cluster sums; users who are always alike are as wide as one visit."""
    rng = np.random.default_rng(4)
    sums, counts = rng.normal(0, 1, 400), rng.integers(1, 9, 400)
    traffic = TrafficMean(-1.0, 1.0)
    traffic.add_pairs(np.repeat(sums / counts, counts))
    traffic.add_clusters(sums, counts, np.ones(400, dtype=np.int64))
    mean = sums.sum() / counts.sum()
    assert traffic.mean == pytest.approx(mean)
    lower, upper = traffic.bounds(0.025, 0.025)
    radius = upper - mean
    assert mean - lower == pytest.approx(radius)
    spread = ((sums - mean * counts) ** 2).sum() / counts.sum() ** 2 * 400 / 399
    single = TrafficMean(-1.0, 1.0)
    values = rng.normal(0, 0.2, 400)
    single.add_pairs(values)
    single.add_clusters(values, np.ones(400), np.ones(400, dtype=np.int64))
    unit_radius = (single.bounds(0.025, 0.025)[1] - single.mean) / (values.std(ddof=1) / math.sqrt(400))
    assert radius / math.sqrt(spread) == pytest.approx(unit_radius, rel=1e-6)
    alike = TrafficMean(-1.0, 1.0)
    for visit in range(1, 6):
        alike.add_pairs(values)
        alike.add_clusters(values, np.ones(400), np.full(400, visit))
    assert alike.bounds(0.05, 0.05) == pytest.approx(single.bounds(0.05, 0.05))
