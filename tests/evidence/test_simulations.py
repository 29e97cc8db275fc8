"""The promises about error rates and delays, simulated: short here, in full with -m slow."""

from functools import partial

import numpy as np
import pytest

from benchmarks.statistics import (
    clusters,
    cost,
    drift,
    false_alarms,
    labels,
    latency,
    order,
    slices,
    verdicts,
    worlds,
)
from benchmarks.statistics.__main__ import NAMES
from benchmarks.statistics.bars import Scale, quantile, rate, table


def check(*bars):
    failed = [bar for bar in bars if not bar.ok]
    assert not failed, "\n" + table(failed)


@pytest.mark.parametrize("name", ["recall@5, r = 0.6", "success, 10 % discordant", "rare big gain, 0.2 %"])
def test_equal_arms_rarely_alarm_though_every_pair_is_looked_at(rng, name):
    """At most 5 % of 300 streams of 3,000 pairs, skewed ones too."""
    times = false_alarms.stopping_times(false_alarms.NULLS[name], rng, (300, 3_000))
    check(rate("false alarms", name, np.isfinite(times), limit=0.05))


def test_three_points_of_recall_are_found_in_time(rng):
    """Half of the runs by 575 pairs and 95 % by 1,600, give or take the chance of 300 runs."""
    make = partial(worlds.recall, candidate=0.77)
    times = false_alarms.stopping_times(make, rng, (300, 3_000))
    check(
        quantile("power", "half", times, q=0.5, limit=575, short=True),
        quantile("power", "most", times, q=0.95, limit=1_600, short=True),
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "world", ["recall at the margin, -.02", "latency at the margin, +20 %", "success at the margin, -.01"]
)
def test_a_guard_at_its_margin_is_rarely_promoted_and_rarely_rolled_back(rng, world):
    """At most 5 % either way, looked at every 25 pairs up to 10,000."""
    runs = [verdicts.outcome(rng, **verdicts.WORLDS[world]) for _ in range(40)]
    check(*verdicts.world_bars(world, runs, short=True))


@pytest.mark.slow
def test_equal_arms_are_promoted_and_a_worse_one_rolled_back(rng):
    """Within 10,000 pairs, in the time that the benchmark states."""
    for world in ("equal arms", "recall -.05"):
        runs = [verdicts.outcome(rng, **verdicts.WORLDS[world]) for _ in range(40)]
        check(*verdicts.world_bars(world, runs, short=True))


@pytest.mark.slow
def test_under_drift_claims_about_the_average_so_far_stay_true(rng):
    """Where a bettor that adapts is always wrong, constant bets almost never are."""
    check(*false_alarms.under_drift(rng, streams=40, pairs=10_000))


def test_clusters_are_counted_once(rng):
    """Sessions and repeated queries as a trial counts them keep 5 % where counting pairs does not."""
    for world, units in (("sessions of 10, correlation 0.6", "clusters"), ("repeated queries, Zipf 1.1", "keys")):
        naive, ours = [], []
        for _ in range(80):
            values, ids, when = clusters.WORLDS[world](rng)
            naive.append(clusters.alarms(values, when))
            ours.append(clusters.alarms(values, when, **{units: ids}))
        check(
            rate("clusters", world, ours, limit=0.05),
            rate("clusters", f"{world}, pairs", naive, limit=0.18, sense=">="),
        )


def test_slow_candidates_are_found_and_equal_ones_left_alone(rng):
    """50 % slower: noticed within 260 pairs; equal arms break a gate on p95 in at most 5 %."""
    slow = latency.alarm_times(
        rng, streams=80, pairs=1_000, ratio=1.1, evidence=latency.notice_log_e, world={"scale": 1.5}
    )
    quiet = latency.alarm_times(rng, streams=80, pairs=2_000, ratio=1.0)
    check(
        quantile("latency", "50 % slower", slow, q=0.95, limit=260, short=True),
        rate("latency", "equal arms", np.isfinite(quiet), limit=0.05),
    )


def test_the_exact_cost_gate_is_not_fooled_by_rare_loops(rng):
    """Where the display says "cheaper" too often, the gate does not."""
    gate, display = cost.false_cheaper(rng, 0.01, streams=80)
    check(
        rate("cost", "gate", gate, limit=0.05),
        rate("cost", "display", display, limit=0.3, sense=">="),
    )


def test_query_order_keeps_slow_failures_in(rng):
    """Judging on completion flatters the candidate; behind a watermark it does not."""
    behind = [order.false_better(rng, watermark=True) for _ in range(60)]
    hasty = [order.false_better(rng, watermark=False) for _ in range(60)]
    check(
        rate("order", "watermark", behind, limit=0.05),
        rate("order", "completion", hasty, limit=0.2, sense=">="),
    )


def test_a_biased_judge_with_labels_stays_honest(rng):
    """The sequence misses the truth in at most 5 % though the judge favours the candidate."""
    check(labels.anytime(rng, accuracy=0.85, share=0.2, streams=60))


def test_listed_slices_are_bad_ones(rng):
    """At most 10 % of the listed slices are innocent, and nine in ten bad ones are listed."""
    wrong, found = [], []
    bad = slices.WORLDS["three bad slices"]
    for _ in range(10):
        scores, codes, mean = slices.world(rng, bad)
        ours, _ = slices.listed(scores, codes)
        wrong.append(slices.false_share(ours, codes, mean, null=-1e-3))
        found.append(np.mean([f"a{attribute}=v{value}" in ours for attribute, value, _ in bad]))
    check(
        rate("slices", "false share", wrong, limit=0.1),
        rate("slices", "found", found, limit=0.9, sense=">="),
    )


def test_drift_alarms_are_rare_on_quiet_streams(rng):
    """At most 5 % within a horizon of 5,000."""
    quiet = [
        drift.alarm(
            drift.DriftDetector.from_reference(rng.standard_normal(1_000), horizon=5_000),
            rng.standard_normal(5_000),
            rng.random(5_000),
        )
        for _ in range(40)
    ]
    check(rate("drift", "quiet", np.isfinite(quiet), limit=0.05))


@pytest.mark.marathon
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("name", [name for name in NAMES if name != "effort"])
def test_every_bar_holds_in_full(name):
    """All numbers of docs/statistics.md, with as many streams as it states."""
    import importlib

    check(*importlib.import_module(f"benchmarks.statistics.{name}").measure(Scale()))
