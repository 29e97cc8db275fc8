"""Shares that are measured while a run runs."""

import pytest

import shadoweval
from shadoweval.capture import Recorder, recording
from shadoweval.records import BRUTE_FORCE, EXACT_SEARCH, NOT_RERUN, Scored, Step, Unscored
from shadoweval.scoring import cache_hits, index_recall
from shadoweval.testing import make_pair


def looked(*looks):
    """What recording these looks leaves."""
    with recording(Recorder()) as recorder:
        for hit, name in looks:
            shadoweval.record_cache(hit=hit, name=name)
    assert recorder.fault is None
    return recorder.parts().steps


def score(scorer, *, rerun, candidate):
    pair = make_pair(shadow={"steps": candidate}, rerun=None if rerun is None else {"steps": rerun})
    (made,) = scorer.score(pair)
    return made.incumbent, made.candidate


def test_the_share_of_looks_that_hit():
    """Over all caches, or of the one that is named; the incumbent's is its re-run's, with the same caches."""
    rerun = looked((True, "embeddings"), (False, "answers"))
    candidate = looked((True, "embeddings"), (True, "embeddings"), (False, "answers"), (True, ""))
    assert score(cache_hits(), rerun=rerun, candidate=candidate) == (Scored(0.5), Scored(0.75))
    assert score(cache_hits("embeddings"), rerun=rerun, candidate=candidate) == (Scored(1.0), Scored(1.0))
    assert score(cache_hits("answers"), rerun=None, candidate=candidate) == (
        Unscored(NOT_RERUN, informative=False),
        Scored(0.0),
    )
    assert cache_hits("embeddings").metrics[0].name == "cache_hits:embeddings"


def test_a_run_that_asked_no_cache_has_no_share():
    """Not 0, which would be a cache that never has anything."""
    _, candidate = score(cache_hits(), rerun=(), candidate=looked())
    assert "record_cache" in candidate.reason


def test_a_cache_may_be_asked_outside_a_recording():
    """Nothing happens."""
    shadoweval.record_cache(hit=True)


@pytest.mark.parametrize(
    ("names_and_values", "expected"),
    [
        ([(EXACT_SEARCH, 0.5), (EXACT_SEARCH, 1.0)], Scored(0.75)),
        ([(f"{EXACT_SEARCH}: {BRUTE_FORCE}", None)], Unscored(BRUTE_FORCE, informative=False)),
        ([(f"{EXACT_SEARCH}: OSError: away", None), (EXACT_SEARCH, 0.5)], Scored(0.5)),
    ],
)
def test_index_recall_is_the_mean_over_a_runs_searches(names_and_values, expected):
    """A search that could not be made exactly says why, unless others could."""
    steps = tuple(Step(kind="other", name=name, value=value) for name, value in names_and_values)
    assert score(index_recall(), rerun=(), candidate=steps)[1] == expected


def test_no_exact_search_is_no_score():
    """The reason says how one is made."""
    assert "exact=" in score(index_recall(), rerun=(), candidate=())[1].reason
