"""Agreement of an arm with itself."""

from itertools import combinations
from math import comb

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.errors import ArgumentError
from shadoweval.protocols import Scorer
from shadoweval.records import Failure, Labels, Scored, ToolCall, Unscored
from shadoweval.scoring import consistency, errors, exact_match, latency
from shadoweval.testing import make_observation, make_pair, make_query

PAID, PAID_TOO = (ToolCall(name="pay", arguments={"n": n}) for n in (1, 1.0))
CRASH = Failure(kind="crash")
ENDED = Failure(kind="killed", cause="a kill")


def runs(*each, arm="new"):
    """Changes of a first run that has the others in it."""
    first, *rest = ({"answer": run} if isinstance(run, str) else run for run in each)
    return {**first, "again": tuple(make_observation(make_query(1), arm, **run) for run in rest)}


def candidate(scorer, *each, labels=None):
    pair = make_pair(shadow=runs(*each), rerun=runs("a", "a"), labels=labels or Labels())
    return [score.candidate for score in scorer.score(pair)]


@pytest.mark.parametrize(
    ("each", "value"),
    [
        (("at nine", "at nine"), 1.0),
        (("at nine", "At nine!"), 1.0),
        (("at nine", "at ten"), 0.5),
        (("a", "a", "b"), 1 / 3),
        (("", ""), 0.0),
        ((" ", " \n"), 0.0),
        (("", "b"), 0.0),
        (("a", {"failure": CRASH}), 0.0),
        (({"failure": CRASH}, {"failure": CRASH}), 0.0),
        (({"answer": None, "hits": ["x", "y"]}, {"answer": None, "hits": ["y", "z"]}), 0.5),
        (({"answer": "a", "hits": ["x"]}, {"answer": "a", "hits": ["y"]}), 0.5),
        (({"answer": "a", "calls": [PAID]}, "a"), 0.5),
        (({"calls": [PAID]}, {"calls": [PAID_TOO]}), 1.0),
    ],
)  # fmt: skip
def test_how_far_runs_agree(each, value):
    """In words, documents and calls; a run that failed agrees with nothing."""
    (score,) = candidate(consistency(), *each)
    assert score.value == pytest.approx(value)


def test_what_can_not_be_compared_is_unscored():
    """One run, runs that the shadow ended, and nothing in them."""
    for each in (("a",), ("a", {"failure": ENDED}), ({"failure": ENDED}, "a")):
        (score,) = candidate(consistency(), *each)
        assert "not run twice" in score.reason
        assert not score.informative
    (score,) = candidate(consistency(), {"answer": None}, {"answer": None})
    assert isinstance(score, Unscored)


def test_the_incumbent_is_compared_by_its_runs_in_the_worker():
    """What was served met another world."""
    pair = make_pair(served={"answer": "x"}, shadow=runs("a", "b"), rerun=runs("a", "a", arm="incumbent"))
    (score,) = consistency().score(pair)
    assert (score.incumbent, score.candidate, score.noise) == (Scored(1.0), Scored(0.0), Scored(1.0))
    (score,) = consistency().score(make_pair(shadow=runs("a", "b")))
    assert "not run again" in score.incumbent.reason
    assert isinstance(consistency(), Scorer)


@given(st.lists(st.booleans(), min_size=2, max_size=6), st.integers(2, 6))
def test_pass_k_is_the_share_of_choices_that_all_pass(passed, k):
    """Counted one by one, as an independent source."""
    labels = Labels(reference="yes")
    _, score = candidate(
        consistency(passes=exact_match(), k=k), *("yes" if each else "no" for each in passed), labels=labels
    )
    if len(passed) < k:
        assert isinstance(score, Unscored)
        return
    choices = list(combinations(passed, k))
    assert len(choices) == comb(len(passed), k)
    assert score.value == pytest.approx(sum(map(all, choices)) / len(choices))


def test_a_failed_run_does_not_pass_and_one_that_can_not_be_scored_says_why():
    """No reference, no pass^k."""
    scorer = consistency(passes=exact_match())
    assert candidate(scorer, "yes", {"failure": CRASH}, labels=Labels(reference="yes"))[1] == Scored(0.0)
    assert isinstance(candidate(scorer, "yes", "yes")[1], Unscored)


@pytest.mark.parametrize(
    "options",
    [{"k": 1}, {"passes": errors()}, {"passes": latency()}, {"passes": 7}, {"at_least": 0.5}, {"agree": "words"}],
)
def test_wrong_options_are_errors_where_they_are_written(options):
    """With the mend."""
    with pytest.raises(ArgumentError):
        consistency(**options)


def test_versions_tell_what_passes():
    """Another scorer or another threshold is another score."""
    made = [consistency(), consistency(passes=exact_match()), consistency(passes=exact_match(), at_least=0.5)]
    assert len({scorer.version for scorer in made}) == 3
