"""ragas metrics as scorers."""

import math
import os
import warnings

import pytest

from shadoweval.records import Labels, Scored, Unscored
from shadoweval.scoring import ragas_metric
from shadoweval.testing import make_pair

os.environ.setdefault("RAGAS_DO_NOT_TRACK", "true")

pytestmark = [
    pytest.mark.slow,  # importing ragas takes most of it
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # ragas leaves a file of its own open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class Fixed:
    """A metric that gives, or raises, what it is told."""

    name = "fixed"

    def __init__(self, value):
        self._value = value

    def single_turn_score(self, sample):
        if isinstance(self._value, Exception):
            raise self._value
        return self._value


@pytest.fixture(name="ragas", scope="module")
def _ragas():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("ragas.dataset_schema")
        return pytest.importorskip("ragas.metrics")


def scores(metric, pair):
    (score,) = ragas_metric(metric, version="1").score(pair)
    return score.incumbent, score.candidate


def test_a_real_metric_scores_both_arms(ragas):
    """The exact match of ragas reads answer and reference of each arm."""
    pair = make_pair(served={"answer": "yes"}, shadow={"answer": "no"}, labels=Labels(reference="yes"))

    assert scores(ragas.ExactMatch(), pair) == (Scored(1.0), Scored(0.0))


def test_retrieval_by_ids(ragas):
    """Ids of hits and of relevant documents reach the metrics over ids."""
    pair = make_pair(
        served={"hits": ["a", "x"]}, shadow={"hits": ["a", "b"]}, labels=Labels(relevant={"a": 1, "b": 2, "z": 0})
    )

    assert scores(ragas.IDBasedContextRecall(), pair) == (Scored(0.5), Scored(1.0))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "ragas gave no number"),
        (2.0, "ragas gave 2, outside [0, 1]"),
        (RuntimeError("429"), "RuntimeError: 429"),
    ],
)
def test_what_is_no_score_is_a_reason(ragas, value, reason):
    """NaN, a value out of range and an exception are never numbers."""
    assert scores(Fixed(value), make_pair())[1] == Unscored(reason)
