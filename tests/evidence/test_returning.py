"""Units that come back, however the stream is cut."""

from __future__ import annotations

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.returning import DAY, UnitBook
from shadoweval.evidence.segments import KEPT


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(1, 15), st.integers(1, 9), st.integers(0, 30)), max_size=20), max_size=8)
)
def test_a_cluster_has_the_place_that_counting_gives_it(batches) -> None:
    """Generation, day of the cluster before, and the largest unit, as a dictionary would have them."""
    book, seen = UnitBook(), {}
    in_time = iter(sorted(day for batch in batches for _, _, day in batch))
    for events in batches:
        batch = [(unit, n, next(in_time)) for unit, n, _ in events]
        ids = np.array([unit for unit, _, _ in batch], dtype=np.uint64)
        pairs = np.array([n for _, n, _ in batch], dtype=np.int64)
        days = np.array([day for _, _, day in batch], dtype=np.int64)
        which = book.enter(ids, pairs=pairs, ended=days * DAY + 5.0)
        for place, (unit, n, day) in enumerate(batch):
            clusters, total, last = seen.get(unit, (0, 0, None))
            assert which.number[place] == clusters + 1
            assert which.day[place] == day
            assert last is None or which.before[place] == last
            seen[unit] = (clusters + 1, total + n, day)
    assert book.most_pairs == max((total for _, total, _ in seen.values()), default=0)
    resumed = UnitBook()
    resumed.restore(book.to_state())
    for each in (book, resumed):
        again = each.enter(np.array([1], dtype=np.uint64), pairs=np.array([1]), ended=np.array([40 * DAY]))
        assert again.number.tolist() == [seen.get(1, (0, 0, 0))[0] + 1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 60), st.booleans()), max_size=30), max_size=12))
def test_a_question_comes_for_the_first_time_once(batches) -> None:
    """Over all batches and through a state, as a set has it; asked for nobody, it is its unit's first cluster then."""
    seen, complete, book = set(), set(), UnitBook()
    for batch in batches:
        keys = np.array([key for key, _ in batch], dtype=np.uint64)
        alone = np.array([alone for _, alone in batch], dtype=np.bool_)
        expected = []
        for key, is_alone in batch:
            expected.append(key not in seen)
            complete |= {key} if is_alone and key not in seen else set()
            seen.add(key)
        assert book.ask(keys, alone=alone, asked=np.full(keys.size, 5 * DAY)).tolist() == expected
        state, book = msgspec.msgpack.decode(msgspec.msgpack.encode(book.to_state())), UnitBook()
        book.restore(state)
    every = np.arange(61, dtype=np.uint64)
    which = book.enter(every, pairs=np.ones(61, dtype=np.int64), ended=np.full(61, 6 * DAY))
    assert which.number.tolist() == [2 if key in complete else 1 for key in range(61)]
    assert [day for day in which.before.tolist() if day > 0] == [5] * len(complete)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans(), st.integers(0, 70)), max_size=40),
    st.integers(1, 40),
    st.booleans(),
)
def test_who_has_not_come_for_ninety_days_begins_anew(events, size, resumed) -> None:
    """A question, or a unit's cluster, after a longer silence is the first one again, however the stream is cut."""
    book, asked, ended, day = UnitBook(), {}, {}, 0
    stream = []
    for key, is_question, wait in events:
        day += wait
        stream.append((key if is_question else key + 100, is_question, day))
    for start in range(0, len(stream), size):
        part = stream[start : start + size]
        questions = [(key, at) for key, is_question, at in part if is_question]
        keys, days = (np.array([each[place] for each in questions]) for place in (0, 1))
        first = book.ask(keys.astype(np.uint64), alone=np.ones(keys.size, dtype=np.bool_), asked=days * DAY + 7.0)
        assert first.tolist() == [_is_first(asked, key, at) for key, at in questions]
        clusters = [(unit, at) for unit, is_question, at in part if not is_question]
        units, days = (np.array([each[place] for each in clusters]) for place in (0, 1))
        which = book.enter(units.astype(np.uint64), pairs=np.ones(units.size, dtype=np.int64), ended=days * DAY + 7.0)
        assert which.number.tolist() == [_number(ended, unit, at) for unit, at in clusters]
        if resumed:
            state, book = msgspec.msgpack.decode(msgspec.msgpack.encode(book.to_state())), UnitBook()
            book.restore(state)


def _is_first(asked, key, day):
    before, asked[key] = asked.get(key), day
    return before is None or day - before > KEPT


def _number(ended, unit, day):
    number, before = ended.get(unit, (0, day))
    ended[unit] = (number + 1 if day - before <= KEPT else 1), day
    return ended[unit][0]


def test_a_million_questions_take_eight_bytes_each_and_little_beside() -> None:
    """The state of a million ids over ninety days, and its way there and back in seconds."""
    rng, book = np.random.default_rng(1), UnitBook()
    keys = rng.integers(0, 2**63, 1_000_000).astype(np.uint64)
    book.ask(keys, alone=rng.random(keys.size) < 0.5, asked=np.sort(rng.random(keys.size)) * 90 * DAY)
    size = sum(len(text) for _, _, text in book.to_state()["segments"])
    assert size <= 12.5e6
    resumed = UnitBook()
    resumed.restore(book.to_state())
    assert not resumed.ask(keys, alone=np.ones(keys.size, dtype=np.bool_), asked=np.zeros(keys.size)).any()
