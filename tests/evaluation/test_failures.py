"""Failures by whose doing they were."""

import msgspec
import pytest
from scipy.stats import beta

from shadoweval.evaluation.failures import Failures
from shadoweval.evidence.looks import ALWAYS, ONCE
from shadoweval.records import Coverage, Failure
from shadoweval.testing import make_observation, make_query

FAILING = {3: Failure(kind="timeout", step="search"), 4: Failure(kind="timeout", step="search"),
           7: Failure(kind="error", error_type="KeyError"), 8: Failure(kind="refused")}  # fmt: skip


def counted(looks, runs=20):
    """Some runs of a candidate that failed, taken up from a state half way, and two calls without a pair."""
    failures = Failures()
    for number in range(1, runs + 1):
        if number == runs // 2:
            state, failures = msgspec.msgpack.encode(failures.to_state()), Failures()
            failures.restore(msgspec.msgpack.decode(state))
        query = make_query(number)
        failures.add("incumbent", make_observation(query))
        failures.add("hybrid", make_observation(query, "hybrid", failure=FAILING.get(number)))
    coverage = Coverage(eligible=30, mirrored=22, failed={"lease_expired": 2}, paired=20)
    return failures.counts(coverage, looks, alpha=0.05)


def test_each_failure_has_an_owner_a_count_and_a_first_query():
    """By kind and step, the most frequent first; what never became a pair is the infrastructure's, of all calls."""
    said = [(each.owner, each.kind, each.step, each.runs, each.of, each.first) for each in counted(ALWAYS)]

    assert said == [
        ("candidate", "timeout", "search", 2, 20, make_query(3).id),
        ("candidate", "error: KeyError", "", 1, 20, make_query(7).id),
        ("shadow", "refused", "", 1, 20, make_query(8).id),
        ("infrastructure", "lease expired", "", 2, 22, ""),
    ]


def test_bounds_of_one_look_are_clopper_and_pearsons():
    """And those that hold at every look are wider."""
    for one, always in zip(counted(ONCE), counted(ALWAYS), strict=True):
        exact = beta.ppf(0.025, one.runs, one.of - one.runs + 1), beta.ppf(0.975, one.runs + 1, one.of - one.runs)
        assert (one.lower, one.upper) == pytest.approx(exact, abs=1e-3)
        assert 0 <= always.lower <= one.lower < one.runs / one.of < one.upper <= always.upper <= 1


def test_exceptions_of_many_names_are_no_endless_list():
    """A candidate may name its exceptions as it likes."""
    failures = Failures()
    for number in range(1_000):
        failure = Failure(kind="error", error_type=f"Error{number}")
        failures.add("hybrid", make_observation(make_query(number), "hybrid", failure=failure))
    counts = failures.counts(Coverage(eligible=1, mirrored=1, paired=1), ALWAYS, alpha=0.05)

    assert len(counts) == 201
    assert sum(each.runs for each in counts) == 1_000
