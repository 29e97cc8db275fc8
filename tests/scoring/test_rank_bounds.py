"""Bounds of a ranking's values while some documents are not judged."""

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.scoring import rank_bounds
from shadoweval.scoring.rank_bounds import ndcg_bounds_of, recall_bounds_of
from shadoweval.scoring.rank_metrics import Judgements, ndcg_of, read_judgements, recall_of

DOCUMENTS = [f"d{number}" for number in range(6)]
rankings = st.lists(st.sampled_from(DOCUMENTS), max_size=6, unique=True)
grades = st.dictionaries(st.sampled_from(DOCUMENTS), st.integers(0, 2))


def all_values(ranking, known, unjudged, metric, k, highest):
    """The metric under every assignment that has a value."""
    values = []
    for assigned in itertools.product(range(highest + 1), repeat=len(unjudged)):
        judgements = read_judgements({**known, **dict(zip(unjudged, assigned, strict=True))})
        if isinstance(judgements, Judgements):
            values.append(metric(ranking, judgements, k=k))
    return values


@settings(deadline=None)
@given(ranking=rankings, known=grades, k=st.integers(1, 6), data=st.data())
def test_bounds_are_the_extremes_over_all_assignments(ranking, known, k, data):
    """Exactly recall's and nDCG's; what is tried in part is bounded all the same."""
    rest = [document for document in DOCUMENTS if document not in known]
    unjudged = data.draw(st.lists(st.sampled_from(rest), max_size=4, unique=True) if rest else st.just([]))
    recalls = all_values(ranking, known, unjudged, recall_of, k, 2)
    if not recalls:
        return
    assert recall_bounds_of(ranking, known, unjudged=unjudged, k=k) == pytest.approx((min(recalls), max(recalls)))
    ndcgs = all_values(ranking, known, unjudged, ndcg_of, k, 2)
    exact = ndcg_bounds_of(ranking, known, unjudged=unjudged, k=k, highest=2)
    assert exact == pytest.approx((min(ndcgs), max(ndcgs)))
    low, high = rank_bounds._sound_bounds(ranking, known, unjudged=unjudged, k=k, highest=2)
    assert low - 1e-12 <= min(ndcgs)
    assert max(ndcgs) <= high + 1e-12


def test_many_unjudged_documents_are_bounded_at_once():
    """3 ** 12 assignments are not tried."""
    many = [f"new{number}" for number in range(12)]
    low, high = ndcg_bounds_of(many, {"a": 1}, unjudged=many, k=5, highest=2)
    assert (low, high) == (0.0, 1.0)
