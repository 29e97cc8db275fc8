import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.scoring import rank_metrics
from shadoweval.scoring.rank_columns import read_columns
from shadoweval.scoring.rank_metrics import Judgements, Unjudged, read_judgements

documents = st.sampled_from([f"d{number}" for number in range(8)])
rankings = st.lists(documents, max_size=10)
grades = st.dictionaries(documents, st.integers(-1, 3) | st.floats(-1, 3), max_size=8)
queries = st.lists(st.tuples(rankings, grades), max_size=8)

OF_ONE_AND_OF_MANY = {
    "recall": (rank_metrics.recall_of, "k"),
    "precision": (rank_metrics.precision_of, "k"),
    "hit_rate": (rank_metrics.hit_rate_of, "k"),
    "reciprocal_rank": (rank_metrics.reciprocal_rank_of, "k or whole"),
    "average_precision": (rank_metrics.average_precision_of, "k or whole"),
    "context_precision": (rank_metrics.context_precision_of, "k"),
    "ndcg": (rank_metrics.ndcg_of, "k or whole"),
    "bpref": (rank_metrics.bpref_of, "whole"),
    "r_precision": (rank_metrics.r_precision_of, "whole"),
    "judged_share": (rank_metrics.judged_share, "k"),
}


def expected(of_one, ranking, graded, *, relevant_from, **cut):
    judgements = read_judgements(graded, relevant_from=relevant_from)
    return of_one(ranking, judgements, **cut) if isinstance(judgements, Judgements) else math.nan


@settings(deadline=None)
@given(asked=queries, k=st.integers(1, 12), relevant_from=st.sampled_from([1.0, 2.0, 0.5]))
def test_each_value_is_that_of_the_single_ranking(asked, k, relevant_from):
    """Every metric is that of `rank_metrics` to 1e-12, whatever stands beside the query.

    There are repetitions, equal grades, unjudged and negatively graded documents, empty rankings, and no labels at all.
    """
    judged = read_columns([graded for _, graded in asked], relevant_from=relevant_from)
    ranked = judged.rank([ranking for ranking, _ in asked])
    for name, (of_one, cuts) in OF_ONE_AND_OF_MANY.items():
        for cut in ({"k": k},) * ("k" in cuts) + ({},) * ("whole" in cuts):
            theirs = [expected(of_one, *query, relevant_from=relevant_from, **cut) for query in asked]
            np.testing.assert_allclose(getattr(ranked, name)(**cut), theirs, rtol=0, atol=1e-12, err_msg=name)


@settings(deadline=None, max_examples=30)
@given(asked=queries)
def test_a_query_without_a_value_has_the_reason_of_the_single_query(asked):
    """No judgement, or none that is relevant, in the words of `read_judgements`; else none."""
    judged = read_columns([graded for _, graded in asked])
    for query, (_, graded) in enumerate(asked):
        single = read_judgements(graded)
        assert judged.why_unscored(query) == (single if isinstance(single, Unjudged) else None)


def test_both_arms_are_ranked_against_judgements_read_once():
    """What stands first in one arm and third in the other is worth 1 and 1/3."""
    judged = read_columns([{"good": 1}])
    assert judged.rank([["good", "other", "third"]]).reciprocal_rank(k=3) == [1.0]
    assert judged.rank([["other", "third", "good"]]).reciprocal_rank(k=3) == [pytest.approx(1 / 3)]


def test_rankings_that_miss_a_query_are_refused():
    """They would be scored against other queries' labels."""
    with pytest.raises(ValueError, match=r"1 rankings for 2 queries. Give one for each, \[\] for none"):
        read_columns([{"a": 1}, {"b": 1}]).rank([["a"]])
