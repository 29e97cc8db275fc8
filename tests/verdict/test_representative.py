"""Scored pairs beside unscored ones."""

from __future__ import annotations

import json

import numpy as np
import pytest

from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.verdict.columns import ScoreColumns
from shadoweval.verdict.representative import Representative


def columns(rng, *, labelled, slower=0.0):
    """Scores of `quality`, where labelled, and of `latency`, slower where not."""
    n = labelled.size
    everywhere = np.ones(n, dtype=bool)
    seconds = np.exp(rng.normal(0, 0.5, n)) + slower * ~labelled
    quality = ScoreColumns(
        incumbent=np.where(labelled, 1.0, 0.0),
        candidate=np.where(labelled, 1.0, 0.0),
        incumbent_scored=labelled,
        candidate_scored=labelled,
        uninformative=(~labelled, ~labelled),
    )
    latency = ScoreColumns(
        incumbent=seconds, candidate=seconds, incumbent_scored=everywhere, candidate_scored=everywhere
    )
    return {"quality": quality, "latency": latency}


def plans(codes):
    return {"plan": AttributeColumn(codes=np.asarray(codes), values=("free", "pro"))}


def test_labels_for_one_plan_only_are_noticed() -> None:
    """The attribute and both shares are named; evidence goes through JSON."""
    rng = np.random.default_rng(1)
    labelled = np.arange(400) % 2 == 0
    counted = Representative(["quality"])
    counted.count(columns(rng, labelled=labelled), plans(labelled.astype(np.int64)))
    resumed = Representative(["quality"])
    resumed.restore(json.loads(json.dumps(counted.to_state())))
    (said,) = resumed.notices()
    assert said.startswith("quality: the 200 labelled (scored) pairs are not like the 200 unlabelled: plan=")


def test_labels_for_the_quick_ones_only_are_noticed() -> None:
    """By another metric of either arm."""
    rng = np.random.default_rng(2)
    labelled = rng.random(600) < 0.4
    counted = Representative(["quality"])
    counted.count(columns(rng, labelled=labelled, slower=1.0), {})
    (said,) = counted.notices()
    assert "'s latency" in said


@pytest.mark.parametrize("n", [40, 1_000, 5_000])
def test_a_random_part_is_like_the_rest(n) -> None:
    """Nothing is said of labels drawn by chance, nor of a handful."""
    for seed in range(20):
        rng = np.random.default_rng(seed)
        counted = Representative(["quality"])
        labelled = rng.random(n) < 0.5
        counted.count(columns(rng, labelled=labelled), plans(rng.integers(0, 2, n)))
        assert list(counted.notices()) == []


def test_amounts_near_the_end_of_the_numbers_are_counted() -> None:
    """Their squares don't overflow, whatever a scorer of money or time gives."""
    labelled = np.arange(100) % 2 == 0
    scores = columns(np.random.default_rng(1), labelled=labelled)
    huge = np.full(100, 1.7e308)
    everywhere = np.ones(100, dtype=bool)
    scores["cost"] = ScoreColumns(
        incumbent=huge, candidate=-huge, incumbent_scored=everywhere, candidate_scored=everywhere
    )
    seen = Representative(["quality"])

    with np.errstate(all="raise"):
        seen.count(scores, plans(np.zeros(100, dtype=int)))
        assert list(seen.notices()) == []
        assert np.isfinite(seen.to_state()["amounts"]["quality"]["incumbent's cost"]).all()


@pytest.mark.parametrize("price", [0.1, 0.001, 0.003, 0.7])
def test_an_amount_that_never_changes_is_like_itself(price) -> None:
    """The variance of equal amounts is 0, on whichever side of it rounding falls."""
    for n in range(80, 120):
        labelled = np.arange(n) % 2 == 0
        scores = columns(np.random.default_rng(1), labelled=labelled)
        same, everywhere = np.full(n, price), np.ones(n, dtype=bool)
        scores["cost"] = ScoreColumns(
            incumbent=same, candidate=same, incumbent_scored=everywhere, candidate_scored=everywhere
        )
        seen = Representative(["quality"])
        seen.count(scores, {})
        assert list(seen.notices()) == []
