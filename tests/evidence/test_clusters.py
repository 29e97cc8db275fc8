import json
import math

import numpy as np
import pytest
import statsmodels.api as sm
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.evidence.cluster_robust import ClusterRobustMean
from shadoweval.evidence.clusters import cluster_means, first_occurrences, joined_groups
from shadoweval.evidence.inputs import StatsInputError

keyed = st.lists(st.tuples(st.floats(-1, 1), st.integers(0, 6)), min_size=1, max_size=40)


@given(keyed, st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_cluster_means_equal_a_loop_over_the_pairs(rows, cap):
    """The first `cap` scores of each cluster, at the index of the last of them, in that order."""
    values, keys = [v for v, _ in rows], [k for _, k in rows]
    kept = {}
    for index, (value, key) in enumerate(rows):
        if len(kept.setdefault(key, [])) < cap:
            kept[key].append((index, value))
    expected = sorted((entry[-1][0], np.mean([v for _, v in entry])) for entry in kept.values())
    means, closed = cluster_means(values, np.array(keys), cap=cap)
    assert closed.tolist() == [index for index, _ in expected]
    assert means == pytest.approx([mean for _, mean in expected], abs=1e-12)


def test_no_pair_makes_no_cluster():
    """Empty in, empty out."""
    means, closed = cluster_means([], np.array([], dtype=int))
    assert means.size == closed.size == 0
    assert joined_groups(np.array([], dtype=int), np.array([], dtype=int)).size == 0


def test_first_occurrences_keep_query_order():
    """One index per key, the first one."""
    assert first_occurrences(np.array(["b", "a", "b", "c", "a"])).tolist() == [0, 1, 3]


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), max_size=30))
@settings(max_examples=80, deadline=None)
def test_joined_groups_equal_union_find(pairs):
    """Two pairs are together exactly when a chain of equal keys links them."""
    parent = {}

    def root(node):
        while parent.setdefault(node, node) != node:
            node = parent[node]
        return node

    for one, two in pairs:
        parent[root(("one", one))] = root(("two", two))
    ours = joined_groups(np.array([a for a, _ in pairs], dtype=int), np.array([b for _, b in pairs], dtype=int))
    theirs = [root(("one", one)) for one, _ in pairs]
    for i in range(len(pairs)):
        for j in range(i):
            assert (ours[i] == ours[j]) == (theirs[i] == theirs[j])


def test_long_chains_are_joined_in_few_rounds():
    """100,000 pairs chained end to end become one group."""
    index = np.arange(100_000)
    chain = joined_groups((index + 1) // 2, index // 2)
    assert (chain == 0).all()


def test_robust_error_equals_the_reference(vectors):
    """CR0, CR1 and the design effect against statsmodels."""
    case = vectors["cluster_robust_se"]
    tracker = ClusterRobustMean().extend(case["input"]["x"], case["input"]["g"])
    expected, tol = case["expected"], case["tol"]
    assert tracker.mean == pytest.approx(expected["mean"], abs=tol)
    assert tracker.clusters == expected["clusters"]
    assert tracker.standard_error(small_sample=False) == pytest.approx(expected["se_cr0"], abs=tol)
    assert tracker.standard_error() == pytest.approx(expected["se_cr1"], abs=tol)
    assert tracker.design_effect() == pytest.approx(expected["design_effect_cr1"], abs=1e-5)
    assert tracker.effective_n() == pytest.approx(200 / expected["design_effect_cr1"], rel=1e-5)


def test_robust_error_equals_statsmodels(rng):
    """Without any file: a regression on a constant with clustered covariance."""
    groups = rng.integers(0, 30, 300)
    values = rng.normal(0, 0.2, 300) + rng.normal(0, 0.2, 30)[groups]
    fit = sm.OLS(values, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False})
    tracker = ClusterRobustMean().extend(values, groups.tolist())
    assert tracker.standard_error(small_sample=False) == pytest.approx(fit.bse[0])


@given(keyed, st.integers(0, 40))
@settings(max_examples=60, deadline=None)
def test_merging_and_resuming_change_nothing(rows, cut):
    """Clusters that both parts saw are joined; to 1e-9."""
    values, keys = [v for v, _ in rows], [k for _, k in rows]
    whole = ClusterRobustMean().extend(values, keys)
    merged = ClusterRobustMean().extend(values[:cut], keys[:cut])
    merged.merge(ClusterRobustMean().extend(values[cut:], keys[cut:]))
    resumed = ClusterRobustMean().extend(values[:cut], keys[:cut])
    resumed = ClusterRobustMean.from_state(json.loads(json.dumps(resumed.to_state()))).extend(values[cut:], keys[cut:])
    for other in (merged, resumed):
        assert (other.n, other.clusters) == (whole.n, whole.clusters)
        assert other.mean == pytest.approx(whole.mean, abs=1e-9)
        if whole.clusters > 1:
            assert other.standard_error() == pytest.approx(whole.standard_error(), abs=1e-7)


def test_closed_clusters_are_forgotten_but_counted(rng):
    """The state stays small, the error stays the same."""
    values, keys = rng.normal(0, 0.2, 600), np.repeat(np.arange(120), 5)
    tracker = ClusterRobustMean().extend(values, keys.tolist())
    before = tracker.standard_error()
    tracker.close(range(120))
    assert tracker.standard_error() == before
    assert len(json.dumps(tracker.to_state())) < 400


def test_interval_needs_fifty_clusters_and_covers_the_mean(rng):
    """Unbounded before, around the mean after; wider than for independent scores."""
    keys = np.repeat(np.arange(60), 5)
    values = rng.normal(0, 0.1, 300) + rng.normal(0, 0.2, 60)[keys]
    assert ClusterRobustMean().extend(values[:200], keys[:200].tolist()).interval(0.05) == (-math.inf, math.inf)
    clustered = ClusterRobustMean().extend(values, keys.tolist())
    lower, upper = clustered.interval(0.05)
    assert lower < values.mean() < upper
    assert clustered.design_effect() > 2


def test_unusable_input_is_refused():
    """NaN, lengths that differ, no cluster and damaged states raise."""
    with pytest.raises(StatsInputError):
        ClusterRobustMean().add(math.nan, 1)
    with pytest.raises(StatsInputError):
        ClusterRobustMean().extend([0.1], [])
    with pytest.raises(StatsInputError, match="two clusters"):
        ClusterRobustMean().extend([0.1], [1]).standard_error()
    with pytest.raises(StatsInputError, match="no mean"):
        _ = ClusterRobustMean().mean
    with pytest.raises(StatsInputError):
        cluster_means([0.1, math.nan], np.array([1, 1]))
    with pytest.raises(StatsInputError):
        cluster_means([0.1], np.array([1, 1]))
    with pytest.raises(StatsInputError, match="one-dimensional"):
        joined_groups(np.array([[1]]), np.array([[1]]))
    with pytest.raises(StatsInputError):
        joined_groups(np.array([1]), np.array([1, 2]))
    with pytest.raises(StatsInputError, match="damaged"):
        ClusterRobustMean.from_state(ClusterRobustMean().to_state() | {"open": [[1, 0.2, 0]]})
