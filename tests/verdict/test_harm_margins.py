"""What is tolerated where no gate asks of that very place."""

import pytest

from shadoweval.protocols import Metric
from shadoweval.verdict.claims import scale_of
from shadoweval.verdict.gates import at_least, at_most, better, no_worse
from shadoweval.verdict.harm_margins import is_looked_at, tolerated_loss

RIGHT = Metric(name="m")
STARS = Metric(name="m", low=1.0, high=5.0)
ERRORS = Metric(name="m", higher_is_better=False)
SECONDS = Metric(name="m", higher_is_better=False, high=None, failure_scores=30.0)


@pytest.mark.parametrize(
    ("metric", "gates", "incumbent", "tolerated"),
    [
        (RIGHT, [], 0.8, 0.05),
        (SECONDS, [], 2.0, 0.2),
        (RIGHT, [no_worse("m", by=0.02)], 0.8, 0.02),
        (STARS, [no_worse("m", by=0.4)], 4.0, 0.1),
        (RIGHT, [better("m", by=0.03), no_worse("m", by=0.1)], 0.8, 0.03),
        (RIGHT, [better("m", by=0)], 0.8, 0.05),
        (RIGHT, [no_worse("m", by=0.3, dry_run=True), no_worse("m", by=0.1)], 0.8, 0.1),
        (RIGHT, [at_least("m", 0.5)], 0.8, 0.3),
        (RIGHT, [at_least("m", 0.79)], 0.8, 0.05),
        (ERRORS, [at_most("m", 0.2)], 0.05, 0.15),
        (ERRORS, [at_most("m", ratio=3.0)], 0.05, 0.1),
        (SECONDS, [at_most("m.p95", ratio=1.1)], 2.0, 0.2),
        (SECONDS, [at_most("m", ratio=2.0)], 2.0, 0.5),
        (SECONDS, [at_most("m", 8.0)], 2.0, 0.75),
        (SECONDS, [no_worse("m.p50", by=2.0)], 2.0, 0.5),
    ],
)
def test_what_is_tolerated(metric, gates, incumbent, tolerated):
    """The margin of the gates on the mean difference, else what the others let pass, at least the usual."""
    assert tolerated_loss(metric, gates, scale=scale_of(metric), incumbent=incumbent) == pytest.approx(tolerated)


def test_what_is_looked_at():
    """All but what describes and no gate asks for, and what only dry runs ask for."""
    describes = Metric(name="m", descriptive=True)
    assert is_looked_at(RIGHT, [])
    assert not is_looked_at(describes, [])
    assert is_looked_at(describes, [no_worse("m", by=0.1)])
    assert not is_looked_at(RIGHT, [no_worse("m", by=0.1, dry_run=True)])
