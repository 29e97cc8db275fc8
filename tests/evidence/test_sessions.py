"""From pairs to clusters, against a slow reading of the same rules."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.returning import DAY
from shadoweval.evidence.sessions import CAP, IDLE, Clusters, Sessions


def by_hand(ids, times, values, known, daily) -> list[tuple[int, int, float, list[float], bool]]:
    """Unit, pairs, end, values and whether it is complete, of each cluster; one pair after the other."""
    clusters: dict[int, list[dict]] = {}
    for unit, time, value, has, by_day in zip(ids, times, values, known, daily, strict=True):
        own = clusters.setdefault(int(unit), [])
        last = own[-1] if own else None
        if by_day:
            fits = last is not None and last["end"] // DAY == time // DAY
        else:
            fits = last is not None and time - last["end"] <= IDLE and last["n"] < CAP
        if not fits:
            own.append({"n": 0, "values": []})
        own[-1]["n"] += 1
        own[-1]["end"] = time
        own[-1]["daily"] = by_day
        if has:
            own[-1]["values"].append(value)
    rows, newest = [], times[-1]
    for unit, own in clusters.items():
        for place, each in enumerate(own):
            over = newest // DAY > each["end"] // DAY if each["daily"] else newest - each["end"] > IDLE
            complete = place < len(own) - 1 or over or (not each["daily"] and each["n"] >= CAP)
            rows.append((unit, each["n"], each["end"], each["values"], complete))
    return rows


@settings(max_examples=80, deadline=None)
@given(
    n=st.integers(1, 200),
    units=st.integers(1, 12),
    pace=st.sampled_from([1.0, 200.0, 1500.0, 40_000.0]),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    seed=st.integers(0, 10_000),
)
def test_pairs_become_clusters_as_the_rules_say(n, units, pace, cuts, seed) -> None:
    """Sessions of up to 20 pairs with no gap of 30 minutes, questions by the day; every pair is in one of them."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, units + 1, n).astype(np.uint64)
    daily = ids % 2 == 0
    times = np.cumsum(rng.exponential(pace, n))
    values, known = rng.random(n), rng.random(n) < 0.8
    book, complete = Sessions(1, 1), []
    edges = [0, *sorted({min(cut, n) for cut in cuts} - {0, n}), n]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        pairs = Clusters(
            units=ids[part],
            pairs=np.ones(stop - start, dtype=np.int64),
            ended=times[part],
            sums=np.where(known, values, 0.0)[np.newaxis, part],
            counts=known.astype(np.int64)[np.newaxis, part],
            codes=ids.astype(np.int64)[np.newaxis, part],
        )
        complete.append(book.add(pairs, daily=daily[part], newest=float(times[stop - 1])))

    def rows(clusters: Clusters, over: bool) -> list[tuple[int, int, float, float, int, bool]]:
        columns = (clusters.units, clusters.pairs, clusters.ended, clusters.sums[0], clusters.counts[0])
        return [(int(u), int(p), e, s, int(c), over) for u, p, e, s, c in zip(*columns, strict=True)]

    found = [row for each in complete for row in rows(each, over=True)] + rows(book.unfinished(), over=False)
    expected = by_hand(ids, times, values, known, daily)
    assert sum(row[1] for row in found) == n
    assert sorted((u, p, e, over) for u, p, e, _, _, over in found) == sorted(
        (u, p, e, over) for u, p, e, _, over in expected
    )
    by_place = {(u, e): (total, count) for u, _, e, total, count, _ in found}
    for unit, _, end, parts, _ in expected:
        assert by_place[unit, end] == (pytest.approx(sum(parts)), len(parts))
