"""Pictures of the report, and what they say in words."""

import re
import sys
from pathlib import Path

import msgspec
import pytest

from shadoweval.reporting.charts import interval
from shadoweval.reporting.figures import distributions, forest, growth

sys.path.insert(0, str(Path(__file__).parent))
from sample import evaluation, gate


def drawn(one):
    """Where the shade of the margin ends, and the bar, from 0 (worse) to 200 (better)."""
    chart = forest([one])
    margin = float(re.search(r'class="margin" x1="([\d.]+)"', chart)[1])
    left, right = map(float, re.search(r'class="range" x1="([\d.]+)" x2="([\d.]+)"', chart).groups())
    return margin, left, right


HOLDS = [
    gate("recall@5 is no worse by 0.01", "holds", margin=0.01, lower=-0.005, upper=0.02),
    gate("recall@5 is better by 0.02", "holds", kind="better", margin=0.02, lower=0.03, upper=0.05),
    gate("cost is at most 1.1 x incumbent", "holds", kind="at_most", ratio=True, margin=1.1, lower=0.9, upper=1.05),
    gate("cost is at most 0.8 x incumbent", "holds", kind="at_most", ratio=True, margin=0.8, lower=0.5, upper=0.7),
    gate("cost is at most 0.02", "holds", kind="at_most", margin=0.02, lower=0.01, upper=0.015),
    gate("recall@5 is at least 0.4", "holds", kind="at_least", margin=0.4, lower=0.43, upper=0.5),
]


@pytest.mark.parametrize("one", HOLDS, ids=lambda one: one.sentence)
def test_what_holds_lies_right_of_the_shade(one):
    """Whatever the kind of gate and the direction of its metric, right is better."""
    margin, left, right = drawn(one)

    assert margin <= left < right


def test_what_is_broken_lies_in_the_shade():
    """And what is broken left of its margin."""
    margin, _, right = drawn(gate("x is no worse by 0.01", "broken", margin=0.01, lower=-0.025, upper=-0.015))

    assert right < margin


def test_an_interval_without_spread_is_drawn():
    """All points on one spot, or without a margin, make a picture and no division by zero."""
    assert "svg" in interval(lower=0.0, middle=None, upper=0.0, margin=0.0, state="holds", label="flat")
    assert "svg" in forest([gate("x is no worse by 0", "open", margin=0.0, lower=0.0, upper=0.0)])


def test_evidence_is_shown_over_the_looks():
    """Each gate has a line, and the caption says from where to where."""
    whole = evaluation()
    shown = growth(whole, whole.verdicts[0])

    assert "How the evidence grew over 4 looks" in shown
    assert "recall@5 is better by 0.02 20 % to 40 %" in shown
    assert "from -0.08 … 0.12 at first to 0.011 … 0.093 now" in shown
    few = msgspec.structs.replace(whole, history={})
    assert "once there are more pairs" in growth(few, few.verdicts[0])


def test_distributions_say_their_quantiles():
    """Both arms' median and 95th percentile stand in words beside the picture; agreement has no second arm."""
    _, latency, tokens, overlap = evaluation().summaries["hybrid"]
    said = distributions(latency)

    assert "latency: 50 % of the queries at or below 0.201 s (incumbent 30.0 ms)" in said[0]
    assert "differs most at 95 %" in said[1]
    assert distributions(tokens) == distributions(overlap) == ()
