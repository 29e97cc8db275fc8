"""Which goes with which, so that all together fit best."""

from itertools import permutations

from hypothesis import given
from hypothesis import strategies as st

from shadoweval.scoring.assignment import best_assignment

SIZES = st.tuples(st.integers(0, 4), st.integers(0, 4))


@given(SIZES.flatmap(lambda size: st.lists(
    st.lists(st.integers(0, 3), min_size=size[1], max_size=size[1]), min_size=size[0], max_size=size[0]
)))  # fmt: skip
def test_no_other_assignment_is_worth_more(worth):
    """Against trying all of them; each row and column is used once, and none for nothing."""
    pairs = best_assignment(worth)
    rows, columns = len(worth), len(worth[0]) if worth else 0
    wide = [[*row, *([0] * max(0, rows - columns))] for row in worth]
    best = max((sum(wide[row][column] for row, column in enumerate(chosen))
                for chosen in permutations(range(max(rows, columns)), rows)), default=0)  # fmt: skip

    assert sum(worth[row][column] for row, column in pairs) == best
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(worth[row][column] > 0 for row, column in pairs)
