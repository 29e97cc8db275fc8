"""The bounded variables behind the gates, against the engines and the plain formulas they stand for."""

from __future__ import annotations

import numpy as np
import pytest

from shadoweval.evidence import HistBet, PairedExceedance
from shadoweval.protocols import Metric
from shadoweval.verdict.claims import claim_of, contrast_of
from shadoweval.verdict.columns import ScoreColumns
from shadoweval.verdict.gates import at_least, at_most, better, no_worse
from shadoweval.verdict.variables import AutoCap, CappedRatio, Exceedance, Noise, Relative

LATENCY = Metric(name="latency", higher_is_better=False, high=None, like_with_like=True)
RECALL = Metric(name="recall@5")


def scores(incumbent, candidate, scored=None, noise=None) -> ScoreColumns:
    known = np.ones(len(incumbent), dtype=bool) if scored is None else np.asarray(scored)
    return ScoreColumns(
        incumbent=np.asarray(incumbent, dtype=float),
        candidate=np.asarray(candidate, dtype=float),
        incumbent_scored=known,
        candidate_scored=np.ones(len(incumbent), dtype=bool),
        noise=None if noise is None else np.asarray(noise, dtype=float),
        noise_scored=None if noise is None else np.ones(len(incumbent), dtype=bool),
    )


@pytest.fixture
def seconds():
    rng = np.random.default_rng(5)
    return np.exp(rng.normal(0, 0.8, 900)), 1.1 * np.exp(rng.normal(0, 0.8, 900))


@pytest.mark.parametrize("ratio", [1.0, 1.2])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_exceedance_is_the_paired_exceedance_engine(seconds, ratio, level) -> None:
    """Fed in uneven parts, X counts exactly what stats.PairedExceedance counts, and weighs the same."""
    incumbent, candidate = seconds
    engine = PairedExceedance((level,), ratio=ratio).extend(incumbent, candidate)
    variable, evidence = Exceedance(LATENCY, level, ratio=ratio), HistBet()
    for part in (slice(0, 30), slice(30, 31), slice(31, 900)):
        values, known = variable.measure(scores(incumbent[part], candidate[part]))
        evidence.extend(values[known])
    more, less = engine.counts(level)
    assert (evidence.counts[-1], evidence.counts[0], evidence.n) == (more, less, engine.n)
    assert evidence.log_e(0.0, "greater") == pytest.approx(engine.log_e(level, "greater"))
    assert evidence.log_e(0.0, "less") == pytest.approx(engine.log_e(level, "less"))


def test_pairs_without_a_re_run_do_not_move_the_thresholds(seconds) -> None:
    """Where the incumbent has no score X is unknown, and the thresholds come from the others alone."""
    incumbent, candidate = seconds
    kept = np.arange(900) % 3 > 0
    all_rows, only_kept = Exceedance(LATENCY, 0.9), Exceedance(LATENCY, 0.9)
    values, known = all_rows.measure(scores(np.where(kept, incumbent, 0.0), candidate, kept))
    fewer, known_fewer = only_kept.measure(scores(incumbent[kept], candidate[kept]))
    assert not known[~kept].any()
    assert values[known].tolist() == fewer[known_fewer].tolist()


def test_a_mean_ratio_is_at_most_r_exactly_when_x_is_positive() -> None:
    """(r * i - c) / cap has mean 0 where mean(c) = r * mean(i) and no value reaches the cap."""
    incumbent = np.array([1.0, 2.0, 3.0, 2.0])
    candidate = np.array([1.1, 2.2, 3.3, 2.2])
    variable = CappedRatio(LATENCY, 10.0, ratio=1.1)
    values, known = variable.measure(scores(incumbent, candidate))
    assert known.all()
    assert values.mean() == pytest.approx(0.0)
    assert variable.measure(scores([1.0], [50.0]))[0][0] == pytest.approx((1.1 - 10.0) / 10.0)
    assert variable.capped == 1


def test_a_cap_nobody_declared_comes_from_the_first_fifty() -> None:
    """Ten times the largest of the first 50 incumbents; those pairs are not judged, whatever the batches."""
    rng = np.random.default_rng(1)
    values = rng.random(200)
    whole, parts = AutoCap(None), AutoCap(None)
    known = whole.advance(scores(values, values))
    pieces = [parts.advance(scores(values[a:b], values[a:b])) for a, b in ((0, 20), (20, 49), (49, 50), (50, 200))]
    assert known.tolist() == [False] * 50 + [True] * 150
    assert np.concatenate(pieces).tolist() == known.tolist()
    assert whole.cap == parts.cap == pytest.approx(10 * values[:50].max())


def test_a_relative_difference_is_bounded_and_oriented() -> None:
    """Twice as slow is -0.5, half as slow +0.5, both zero is 0."""
    values, _ = Relative(LATENCY).measure(scores([1.0, 2.0, 0.0, 0.0], [2.0, 1.0, 0.0, 5.0]))
    assert values.tolist() == [-0.5, 0.5, 0.0, -1.0]


def test_noise_compares_the_incumbent_with_itself() -> None:
    """Re-run - served, never the candidate."""
    values, known = Noise(RECALL).measure(scores([0.4, 1.0], [0.0, 0.0], noise=[0.6, 1.0]))
    assert values.tolist() == pytest.approx([0.2, 0.0])
    assert known.all()
    assert not Noise(RECALL).measure(scores([1.0], [1.0]))[1].any()


@pytest.mark.parametrize(
    ("gate", "good", "bad"),
    [
        (no_worse("recall@5", by=0.1), -0.05, -0.2),
        (better("recall@5", by=0.1), 0.2, -0.1),
        (at_least("recall@5", 0.7), 0.1, -0.2),
    ],
)
def test_a_claim_on_a_mean_holds_and_breaks_on_its_two_sides(gate, good, bad) -> None:
    """With the truth clearly on one side of the margin, that side's evidence grows and the other's does not."""
    rng = np.random.default_rng(2)
    incumbent = np.clip(rng.normal(0.75, 0.05, 2000), 0, 1)
    for shift, wins in ((good, "holds"), (bad, "breaks")):
        claim = claim_of(gate, [RECALL], contrasts={"recall@5": contrast_of(RECALL)})
        candidate = np.clip(incumbent + shift + rng.normal(0, 0.05, 2000), 0, 1)
        evidence = {}
        for variable in claim.variables:
            values, known = variable.measure(scores(incumbent, candidate))
            evidence[variable] = HistBet.of(values[known], lo=variable.lo, hi=variable.hi, bins=variable.bins)
        holds = evidence[claim.holds.variable].log_e(claim.holds.margin, claim.holds.side)
        breaks = evidence[claim.breaks.variable].log_e(claim.breaks.margin, claim.breaks.side)
        assert (holds > 3.0) == (wins == "holds")
        assert (breaks > 3.0) == (wins == "breaks")


@pytest.mark.parametrize(
    ("gate", "good", "bad"),
    [
        (at_most("latency.p95", ratio=1.3), 1.0, 2.0),
        (at_most("latency.p50", 1.5), 1.0, 2.5),
        (no_worse("latency.p50", by=0.4), 1.0, 2.5),
        (better("latency.p50", by=0.3), 0.3, 2.0),
        (at_most("latency", ratio=1.3), 1.0, 2.5),
        (at_most("latency", 3.0), 1.0, 5.0),
        (no_worse("latency", by=0.5, cap=20.0), 1.0, 3.0),
        (better("latency", by=0.3, cap=20.0), 0.3, 2.0),
    ],
)
def test_a_claim_on_seconds_holds_and_breaks_on_its_two_sides(gate, good, bad) -> None:
    """The same for latencies: quantiles and means, ratios and differences, both arms and one."""
    rng = np.random.default_rng(3)
    incumbent = np.exp(rng.normal(0, 0.5, 8000))
    for factor, wins in ((good, "holds"), (bad, "breaks")):
        claim = claim_of(gate, [LATENCY], contrasts={"latency": contrast_of(LATENCY)})
        candidate = factor * np.exp(rng.normal(0, 0.5, 8000))
        evidence = {}
        for variable in claim.variables:
            values, known = variable.measure(scores(incumbent, candidate))
            evidence[variable] = HistBet.of(values[known], lo=variable.lo, hi=variable.hi, bins=variable.bins)
        holds = evidence[claim.holds.variable].log_e(claim.holds.margin, claim.holds.side)
        breaks = evidence[claim.breaks.variable].log_e(claim.breaks.margin, claim.breaks.side)
        assert (holds > 3.0) == (wins == "holds"), (holds, breaks)
        assert (breaks > 3.0) == (wins == "breaks"), (holds, breaks)
