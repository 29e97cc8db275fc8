"""Incidents that other judges let pass, replayed: their rule passes them again, ours does not.

The public reports name the pattern; the numbers here are made after it.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from shadoweval.protocols import Metric
from shadoweval.records import Coverage, Verdict
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.columns import Columns, ScoreColumns
from shadoweval.verdict.gates import Gate, at_most, no_worse
from shadoweval.verdict.kayenta import KayentaMetric, Thresholds, classify
from shadoweval.verdict.trial import Trial

ERRORS = Metric(name="errors", higher_is_better=False, failure_scores=1.0)
SECONDS = Metric(name="latency", higher_is_better=False, high=None, failure_scores=30.0)


def judged(metric: Metric, gates: tuple[Gate, ...], incumbent, candidate, *, scored=None, reasons=None) -> Verdict:
    """Our verdict over arrays of one metric."""
    n = len(incumbent)
    known = np.ones(n, dtype=bool)
    trial = Trial((metric,), gates)
    trial.add(
        Columns(
            asked_at=1.7e9 + 60.0 * np.arange(n),
            key=np.arange(n, dtype=np.uint64),
            cluster=np.zeros(n, dtype=np.uint64),
            alone=known,
            scores={
                metric.name: ScoreColumns(
                    incumbent=np.asarray(incumbent, dtype=float),
                    candidate=np.asarray(candidate, dtype=float),
                    incumbent_scored=known if scored is None else scored,
                    candidate_scored=known if scored is None else scored,
                    unscored=reasons or {},
                )
            },
        )
    )
    coverage = Coverage(eligible=n, mirrored=n, paired=n)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return assess(trial, experiment="incident", candidate="c", coverage=coverage, now=now).verdict


@pytest.mark.parametrize(
    ("control", "experiment", "metric"),
    [
        # spinnaker/kayenta#426: sparse errors that should be High
        ([0.0] * 6, [0.0, 1.0, 2.0, 1.0, 0.0, 0.0], KayentaMetric()),
        # spinnaker/spinnaker#6278: seven of ten values rise a hundredfold
        ([1.0] * 10, [100.0] * 7 + [1.0] * 3, KayentaMetric(effect_size=Thresholds(1.0, 1.05))),
        # spinnaker/kayenta#780, case 1: other shape, other spread
        (
            [1.0, 100.0, 4.0, 101.0, 5.0, 102.0, 6.0, 103.0, 7.0, 104.0, 8.0, 105.0, 9.0, 106.0, 17.0],
            [10.0, 10.1, 10.2, 10.3, 10.4, 10.5, 10.6, 17.0, 17.1, 17.2, 17.3, 17.4, 17.5, 17.6, 17.7],
            KayentaMetric(),
        ),
    ],
)
def test_the_reported_samples_pass_there_and_prove_nothing_here(control, experiment, metric) -> None:
    """The very numbers of the reports: too few to promote on, by a sentence that says so."""
    assert classify(control, experiment, metric).label == "Pass"
    verdict = judged(SECONDS, (at_most("latency", ratio=1.05, cap=200.0),), control, experiment)
    assert verdict.holds, verdict
    assert f"{len(control)} of at least 200 units" in str(verdict)


def test_errors_that_are_mostly_zero() -> None:
    """spinnaker/kayenta#426 at the size of real traffic: errors that appear out of nowhere pass there; here not."""
    rng = np.random.default_rng(426)
    incumbent, candidate = np.zeros(1_500), (rng.random(1_500) < 0.03).astype(float)
    assert classify(incumbent.tolist(), candidate.tolist(), KayentaMetric(direction="increase")).label == "Pass"
    verdict = judged(ERRORS, (no_worse("errors", by=0.01),), incumbent, candidate)
    assert verdict.rolls_back, verdict


def test_a_bimodal_latency_with_the_same_middle() -> None:
    """spinnaker/kayenta#780: half the calls faster, half much slower; ranks cancel, the 95th percentile does not."""
    rng = np.random.default_rng(780)
    incumbent = np.exp(rng.normal(0, 0.2, 1_500))
    candidate = np.exp(rng.normal(0, 0.2, 1_500)) * np.where(rng.random(1_500) < 0.5, 0.5, 2.0)
    assert classify(incumbent.tolist(), candidate.tolist(), KayentaMetric(direction="increase")).label == "Pass"
    verdict = judged(SECONDS, (at_most("latency.p95", ratio=1.2),), incumbent, candidate)
    assert verdict.rolls_back, verdict


def test_a_slow_down_beyond_the_allowed_increase() -> None:
    """spinnaker/kayenta#744: +12.5 % passed with allowedIncrease 1.1; paired by query the excess is plain."""
    rng = np.random.default_rng(744)
    difficulty = np.exp(rng.normal(0, 0.9, 800))
    incumbent = difficulty * np.exp(rng.normal(0, 0.005, 800))
    candidate = 1.125 * difficulty * np.exp(rng.normal(0, 0.005, 800))
    allowed = KayentaMetric(direction="increase", effect_size=Thresholds(1.0, 1.1))
    assert classify(incumbent[:120].tolist(), candidate[:120].tolist(), allowed).label == "Pass"
    verdict = judged(SECONDS, (at_most("latency.p50", ratio=1.1),), incumbent, candidate)
    assert not verdict.promotes, verdict
    assert verdict.rolls_back, verdict


def test_errors_and_failures_that_take_turns() -> None:
    """argoproj/argo-rollouts#4479: measurements that alternate between error and failure were called successful."""
    n = 600
    measured = np.arange(n) % 2 == 0
    verdict = judged(
        ERRORS,
        (no_worse("errors", by=0.01),),
        np.zeros(n),
        measured.astype(float),
        scored=measured,
        reasons={"candidate: ConnectionError: no metrics": n // 2, "incumbent: ConnectionError: no metrics": n // 2},
    )
    assert verdict.rolls_back, verdict
    assert any("raised 600 times" in notice for notice in verdict.notices)


def test_a_metric_that_stopped_after_a_good_start() -> None:
    """argoproj/argo-rollouts#1329: a metric that was terminated early counted as successful; here it proves nothing."""
    n = 600
    verdict = judged(
        ERRORS,
        (no_worse("errors", by=0.05),),
        np.zeros(n),
        np.zeros(n),
        scored=np.arange(n) < 120,
        reasons={"candidate: terminated": n - 120, "incumbent: terminated": n - 120},
    )
    assert verdict.holds, verdict
    assert "480 of 600 pairs have no score of errors" in str(verdict)
