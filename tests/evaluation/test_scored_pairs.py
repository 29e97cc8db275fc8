"""`evaluate_pairs`: the verdict on columns of scores."""

import random
from datetime import UTC, datetime, timedelta

import pytest

from shadoweval import better, evaluate_pairs, no_worse
from shadoweval.errors import ArgumentError, ExperimentError
from shadoweval.protocols import Metric


def columns(n, *, gain, seed=1):
    draw = random.Random(seed)
    old = [draw.random() * 0.5 for _ in range(n)]
    return old, [value + gain * draw.random() for value in old]


def test_the_order_of_rows_with_times_does_not_matter():
    """Rows are judged in the order in which they were asked, however they are handed over."""
    old, new = columns(150, gain=0.3)
    times = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=n) for n in range(150)]
    mixed = random.Random(7).sample(range(150), 150)

    def result(rows):
        evaluation = evaluate_pairs(
            {"quality": ([old[n] for n in rows], [new[n] for n in rows])},
            [better("quality", by=0.05)],
            units=[f"u{n % 60}" for n in rows],
            asked_at=[times[n] for n in rows],
        )
        return evaluation.verdicts[0].gates

    assert result(range(150)) == result(mixed)


def test_a_missing_score_is_a_reason_and_enough_of_them_hold():
    """Scores that only the candidate lacks are no scores of nought, and do not vanish either."""
    old, new = columns(200, gain=0.3)
    lacking = [None if n % 4 == 0 else value for n, value in enumerate(new)]

    (verdict,) = evaluate_pairs({"quality": (old, lacking)}, [better("quality", by=0.05)]).verdicts

    assert verdict.why == "error"
    assert "lacks only the candidate's score in 50 pairs" in verdict.reasons[0]
    assert verdict.gates[0].unscored == {"candidate: no value was given": 50}


def test_a_text_asked_again_is_no_further_evidence():
    """Equal texts are one query: 200 rows of ten questions are ten."""
    old, new = columns(200, gain=0.3)
    texts = [f"question {n % 10}" for n in range(200)]

    (verdict,) = evaluate_pairs({"quality": (old, new)}, [better("quality", by=0.05)], queries=texts).verdicts

    assert verdict.gates[0].n == 10


def test_nobody_guesses_what_is_good():
    """Values beyond 0 to 1 need a declared range; a wrong declaration is unscored, not clipped."""
    ranks = [1.0, 2.0, 3.0] * 20, [2.0, 3.0, 4.0] * 20

    with pytest.raises(ExperimentError, match="nobody has said which are good"):
        evaluate_pairs({"rank": ranks}, [no_worse("rank", by=0.5)])

    less = Metric(name="rank", low=1, high=10, higher_is_better=False)
    (verdict,) = evaluate_pairs({"rank": ranks}, [no_worse("rank", by=0.5)], metrics=[less]).verdicts
    assert verdict.rolls_back


@pytest.mark.parametrize(
    ("scores", "units"),
    [
        ({"q": ([1, 0], [1])}, None),
        ({"q": ([1, 0], [1, 0])}, ["u"]),
        ({"q": [1, 0, 1]}, None),
        ({"q": ("ab", "cd")}, None),
    ],
    ids=["one value fewer", "one unit fewer", "one column", "words"],
)
def test_columns_that_do_not_fit_are_refused(scores, units):
    """By name, before anything is judged."""
    with pytest.raises(ArgumentError):
        evaluate_pairs(scores, [better("q", by=0)], units=units)
