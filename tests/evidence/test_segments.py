"""Ids in segments by day: what is old is not written again, and what is too old is dropped."""

import copy
import tracemalloc

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.inputs import StatsInputError
from shadoweval.evidence.segments import KEPT, Segments


def written(segments, ids, numbers, day):
    """The ids, each with these numbers, all on one day."""
    rows = np.array([numbers] * len(ids)).T
    segments.put(np.array(sorted(ids), dtype=np.uint64), rows, days=np.full(len(ids), day))


def numbers_of(segments, ids):
    known, numbers = segments.get(np.array(ids, dtype=np.uint64))
    return {key: tuple(row) for key, there, row in zip(ids, known, numbers.T.tolist(), strict=True) if there}


def restored(segments, columns=2):
    state, again = msgspec.msgpack.decode(msgspec.msgpack.encode(segments.to_state())), Segments(columns)
    again.restore(state)
    return again


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.sets(st.integers(0, 30), max_size=12), st.integers(0, 3), st.booleans()), max_size=20))
def test_it_holds_what_a_dictionary_holds(batches) -> None:
    """The newest entry of each id, over batches, days and states."""
    segments, expected, day = Segments(2), {}, 0
    for number, (ids, days, through_a_state) in enumerate(batches):
        day += days
        if ids:
            written(segments, ids, (number, -number), day)
        expected |= dict.fromkeys(ids, (number, -number))
        segments = restored(segments) if through_a_state else segments
    assert numbers_of(segments, list(range(31))) == dict(sorted(expected.items()))


def test_days_without_news_are_not_written_again() -> None:
    """Their segments keep their names; today's is another one."""
    segments = Segments(2)
    for day in range(5):
        written(segments, range(100 * day, 100 * day + 50), (1, 2), day)
    before = segments.to_state()
    segments = restored(segments)
    written(segments, [3, 1000], (7, 8), 4)  # an id of the first day, and a new one
    after = segments.to_state()

    assert [day for day, _, _ in before] == [day for day, _, _ in after] == [0, 1, 2, 3, 4]
    assert before[:4] == after[:4]
    assert before[4] != after[4]
    assert numbers_of(segments, [3, 4, 1000]) == {3: (7, 8), 4: (1, 2), 1000: (7, 8)}


def test_it_does_not_grow_with_the_length_of_the_window() -> None:
    """A year of 50 new ids a day: the segments of ninety days, and today's."""
    segments = Segments(2)
    for day in range(365):
        written(segments, range(50 * day, 50 * day + 50), (1, 2), day)
        if day % 40 == 0:
            segments = restored(segments)
    state = segments.to_state()

    assert [day for day, _, _ in state] == list(range(364 - KEPT, 365))
    assert numbers_of(restored(segments), [50 * 364, 0]) == {50 * 364: (1, 2)}


def test_a_copy_goes_its_own_way() -> None:
    """What either writes is not seen by the other."""
    segments = Segments(2)
    written(segments, [1, 2], (1, 1), 1)
    segments.to_state()
    twin = copy.deepcopy(segments)
    written(twin, [2, 3], (5, 5), 2)
    twin.to_state()

    assert numbers_of(segments, [1, 2, 3]) == {1: (1, 1), 2: (1, 1)}
    assert numbers_of(twin, [1, 2, 3]) == {1: (1, 1), 2: (5, 5), 3: (5, 5)}


@pytest.mark.parametrize("content", [b"", b"AAAA"])
def test_a_segment_that_is_another_one_is_refused(content) -> None:
    """Its name is a digest of what is in it."""
    segments = Segments(2)
    written(segments, [1, 2], (1, 1), 1)
    ((day, name, _),) = segments.to_state()

    with pytest.raises(StatsInputError, match="damaged, or another one"):
        Segments(2).restore([[day, name, content]])


def test_merging_needs_the_memory_of_one_day() -> None:
    """Beside 24 bytes an id, and some 8 as they are stored."""
    days, a_day, segments = 20, 10_000, Segments(4)
    rng = np.random.default_rng(1)
    tracemalloc.start()
    try:
        for day in range(days):
            for _ in range(10):
                written(segments, set(rng.integers(0, 2**63, a_day // 10).tolist()), (1, 2, 3, 4), day)
        segments.to_state()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 2 * 24 * days * a_day  # all days merged took 25 MB
