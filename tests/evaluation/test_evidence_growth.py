"""How the evidence grew within one look."""

import pytest

from shadoweval import at_most, better, evaluate_pairs, no_worse
from shadoweval.reporting.html import render

GATES = [no_worse("quality", by=0.05), better("quality", by=0.01), at_most("latency.p95", ratio=1.2)]


def judged(rows, **more):
    """The first so many of one stream of scores."""
    scores = {
        "quality": ([float(n % 3 > 0) for n in range(rows)], [float(n % 5 > 0) for n in range(rows)]),
        "latency": ([0.1 + n % 11 / 100 for n in range(rows)], [0.1 + n % 10 / 100 for n in range(rows)]),
    }
    return evaluate_pairs(scores, GATES, **more)


@pytest.mark.parametrize("users", [None, 7], ids=["each alone", "users who come back"])
def test_each_point_is_what_a_look_at_that_moment_would_have_shown(users):
    """Share of the evidence, difference and bounds are those of an evaluation of the pairs until then."""

    def units(rows):
        return {} if users is None else {"units": [f"user {n // users}" for n in range(rows)]}

    points = judged(400, **units(400)).history["candidate"]

    assert [point.pairs for point in points[:4]] == [8, 16, 24, 34]
    assert 200 < points[-1].pairs < 400
    for point in (points[2], points[-1]):
        (then,) = judged(point.pairs, **units(point.pairs)).verdicts
        for gate in then.gates:
            shown = (gate.share_of_evidence, gate.difference, gate.lower, gate.upper)
            assert point.gates[gate.sentence][1:] == pytest.approx(shown, nan_ok=True), gate.sentence


def test_a_first_report_draws_them():
    """Evidence and interval of each gate, from the first pairs to the last, in a picture and in words."""
    html = render(judged(400))

    assert "How the evidence grew as the pairs of this look came: quality is no worse by 0.05" in html
    for gate in GATES:
        assert f"{gate.sentence}: from" in html
