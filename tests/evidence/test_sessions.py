"""From pairs to units of inference, against a slow reading of the same rules."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.sessions import CAP, IDLE, SeenIds, Sessions, Units


def by_hand(ids, times, values, known) -> dict[int, tuple[list[float], bool]]:
    """Session -> the values that count, and whether it is over; one pair after the other."""
    sessions: dict[int, dict] = {}
    for session, time, value, has in zip(ids, times, values, known, strict=True):
        found = sessions.setdefault(int(session), {"n": 0, "last": time, "values": [], "over": False})
        if found["over"] or time - found["last"] > IDLE:
            found["over"] = True
            continue
        found["n"] += 1
        found["last"] = time
        if has:
            found["values"].append(value)
        found["over"] = found["n"] >= CAP
    newest = times[-1]
    return {s: (f["values"], f["over"] or newest - f["last"] > IDLE) for s, f in sessions.items()}


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 200),
    sessions=st.integers(1, 12),
    pace=st.sampled_from([1.0, 200.0, 1500.0]),
    cuts=st.lists(st.integers(0, 200), max_size=5),
    seed=st.integers(0, 10_000),
)
def test_sessions_become_units_as_the_rules_say(n, sessions, pace, cuts, seed) -> None:
    """First 20 pairs, over after 30 idle minutes, nothing counted afterwards, however the stream is cut."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(1, sessions + 1, n).astype(np.uint64)
    times = np.cumsum(rng.exponential(pace, n))
    values, known = rng.random(n), rng.random(n) < 0.8
    book, over = Sessions(1, 1), []
    edges = [0, *sorted({min(cut, n) for cut in cuts} - {0, n}), n]
    for start, stop in pairwise(edges):
        part = slice(start, stop)
        pairs = Units(
            sums=np.where(known, values, 0.0)[np.newaxis, part],
            counts=known.astype(np.int64)[np.newaxis, part],
            codes=ids.astype(np.int64)[np.newaxis, part],
        )
        over.append(book.add(ids[part], times[part], pairs=pairs, newest=float(times[stop - 1])))
    expected = by_hand(ids, times, values, known)
    finished = {int(s): (u.sums[0, k], u.counts[0, k]) for u in over for k, s in enumerate(u.codes[0])}
    open_now = book.unfinished()
    still_open = {int(s): (open_now.sums[0, k], open_now.counts[0, k]) for k, s in enumerate(open_now.codes[0])}
    assert set(finished) == {s for s, (_, is_over) in expected.items() if is_over}
    assert set(still_open) == {s for s, (_, is_over) in expected.items() if not is_over}
    for session, (total, count) in {**finished, **still_open}.items():
        assert count == len(expected[session][0])
        assert total == pytest.approx(sum(expected[session][0]))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=30), max_size=12))
def test_an_id_comes_for_the_first_time_once(batches) -> None:
    """`first_time` marks the first place of each id over all batches, as a set does."""
    seen, book = set(), SeenIds()
    for batch in batches:
        ids = np.array(batch, dtype=np.uint64)
        expected = []
        for one in batch:
            expected.append(one not in seen)
            seen.add(one)
        assert book.first_time(ids).tolist() == expected
    assert book.array.tolist() == sorted(seen)
    assert SeenIds(book.array).has(np.array([1, 61], dtype=np.uint64)).tolist() == [1 in seen, False]
