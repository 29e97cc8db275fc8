"""The Kayenta-compatible rule against Kayenta's own test cases, and where it is unsound."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from shadoweval.evidence.rank_shift import shift
from shadoweval.evidence.rank_shift import statistic as rank_statistic
from shadoweval.records import Coverage
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.gates import at_least, at_most, no_worse
from shadoweval.verdict.kayenta import (
    Classification,
    KayentaMetric,
    Thresholds,
    by_kayenta,
    classify,
    opinion_of,
    score,
    warnings,
)
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

CASES = Path(__file__).resolve().parents[3] / "shared" / "data" / "kayenta"


def cases(name: str) -> list[dict]:
    path = CASES / f"{name}.jsonl"
    if not path.exists():
        return []
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def named(case: dict) -> str:
    return case["name"]


def numbers(values: list) -> list[float]:
    return [float("nan") if value is None or value == "NaN" else float(value) for value in values]


def metric_of(case: dict) -> KayentaMetric:
    """The settings that a case of Kayenta's suite was written with."""
    options, call = case["options"], case["call"]
    sizes = {
        key: Thresholds(*map(float, re.search(rf"{key}\s*=\s*\(([\d.]+), ([\d.]+)\)", options).groups()))
        for key in ("effectSizeThresholds", "criticalThresholds")
        if key in options
    }
    return KayentaMetric(
        direction=re.search(r"MetricDirection\.(\w+)", call)[1].lower(),
        tolerance=float(re.search(r"tolerance = ([\d.]+)", options)[1]),
        confidence=float(re.search(r"confLevel = ([\d.]+)", options)[1]),
        effect="cles" if "cles" in options else "meanRatio",
        effect_size=sizes.get("effectSizeThresholds"),
        critical_size=sizes.get("criticalThresholds", Thresholds()),
        critical="isCriticalMetric = true" in call,
        missing="replace" if "NaNStrategy.Replace" in call else "remove",
    )


@pytest.mark.skipif(not CASES.exists(), reason="Kayenta's test cases are not beside the project")
@pytest.mark.parametrize(
    "case", [c for c in cases("classifier") if c["classifier"] == "MannWhitneyClassifier"], ids=named
)
def test_it_classifies_kayentas_own_cases_as_kayenta_does(case) -> None:
    """Pass, High, Low and Nodata, and whether it is critical, as in MannWhitneyClassifierSuite."""
    found = classify(numbers(case["arrays"]["controlData"]), numbers(case["arrays"]["experimentData"]), metric_of(case))
    assert found.label == case["expected"]
    if case["critical"] is not None:
        assert found.critical == case["critical"]


@pytest.mark.skipif(not CASES.exists(), reason="Kayenta's test cases are not beside the project")
@pytest.mark.parametrize("case", [c for c in cases("mann_whitney") if c["expected"]], ids=named)
def test_its_intervals_are_kayentas(case) -> None:
    """Interval and estimate of MannWhitneySuite, to the tolerance stated there."""
    arrays = case["arrays"]
    found = shift(numbers(arrays[case["control"]]), numbers(arrays[case["experiment"]]), confidence=case["confidence"])
    values = {
        "confidenceInterval.head": found.lower,
        "confidenceInterval.last": found.upper,
        "estimate": found.estimate,
    }
    for name, expected in case["expected"].items():
        assert values[name] == pytest.approx(expected["value"], abs=expected["tol"]), name


@pytest.mark.skipif(not CASES.exists(), reason="Kayenta's test cases are not beside the project")
def test_its_statistic_is_rs() -> None:
    """The standardised rank sum of MannWhitneySuite's first case."""
    case = cases("mann_whitney")[0]
    x, y = (np.array(numbers(case["arrays"][name])) for name in ("x", "y"))
    for step in case["wilcoxon_diff"]:
        assert rank_statistic(x, y, moved=step["mu"]) == pytest.approx(step["value"], abs=1e-5)


def scorer_cases() -> list[dict]:
    return [c for c in cases("other") if c["suite"] == "ScorerSuite" and any("summaryScore" in a for a in c["asserts"])]


@pytest.mark.skipif(not CASES.exists(), reason="Kayenta's test cases are not beside the project")
@pytest.mark.parametrize("case", scorer_cases(), ids=named)
def test_its_score_is_kayentas(case) -> None:
    """Weighted groups, missing data and critical failures as in ScorerSuite."""
    labels, groups = case["classifications"], [g.strip('"') for g in case["groups"]]
    # The suite lists `critical` only where it is set: for all metrics, or for the last ones.
    flags = [False] * (len(labels) - len(case["critical"])) + [c == "true" for c in case["critical"]]
    weights = {k: float(v) for k, v in re.findall(r'"([\w-]+)" -> ([\d.]+)', case["setup"][0])}
    results = [
        (group, Classification(label=label, critical=flag))
        for group, label, flag in zip(groups, labels, flags, strict=True)
    ]
    expected = next(float(re.search(r"==+ ([\d.]+)", a)[1]) for a in case["asserts"] if "summaryScore" in a)
    assert score(results, weights=weights) == pytest.approx(expected)


def test_it_says_where_it_is_unsound() -> None:
    """Few points, few distinct values and autocorrelation each make a warning; a fair sample makes none."""
    rng = np.random.default_rng(0)
    fair = rng.normal(10, 1, 300)
    walk = np.cumsum(rng.normal(0, 1, 300))
    assert warnings(fair.tolist(), fair.tolist()) == ()
    assert "30 points" in warnings(fair[:30].tolist(), fair.tolist())[0]
    assert "takes only 2 values" in warnings(fair.tolist(), rng.integers(0, 2, 300).tolist())[0]
    assert "autocorrelated" in warnings(walk.tolist(), fair.tolist())[0]


def test_missing_points_are_treated_as_asked() -> None:
    """NaN is left out or counts as 0."""
    nan = float("nan")
    assert classify([nan], [1.0]).label == "Nodata"
    assert classify([nan], [1.0], KayentaMetric(must_have_data=True)).label == "NodataFailMetric"
    assert classify([nan, nan], [0.0, 0.0], KayentaMetric(missing="replace")).label == "Pass"


def kayenta_on(columns, metrics, gates):
    """What the rule says of columns of scores."""
    samples = {name: (s.incumbent.tolist(), s.candidate.tolist()) for name, s in columns.scores.items()}
    return opinion_of(samples, metrics, gates)


def test_equal_arms_pass_and_slow_ones_fail(metrics, world) -> None:
    """The score follows the classification of each comparing gate; a critical failure is 0."""
    gates = (at_most("latency.p95", ratio=1.1, critical=True), at_most("cost", ratio=1.1), at_least("recall@5", 0.5))
    equal = kayenta_on(world(400, seed=1), metrics, gates)
    slow = kayenta_on(world(400, seed=1, latency=1.6), metrics, gates)
    assert (equal.outcome, equal.score) == ("pass", 100.0)
    assert (slow.outcome, slow.score) == ("fail", 0.0)
    assert slow.classifications[gates[0].sentence].label == "High"
    assert set(slow.classifications) == {gates[0].sentence, gates[1].sentence}


def test_it_warns_where_scores_take_few_values(metrics, world) -> None:
    """On recall@5 and errors its answer should not be trusted, and it says so."""
    gates = (no_worse("recall@5", by=0.02), no_worse("errors", by=0.01))
    opinion = kayenta_on(world(400, seed=2, errors=0.04), metrics, gates)
    assert any(w.startswith("errors:") and "takes only 2 values" in w for w in opinion.warnings)
    assert opinion.classifications["errors is no worse by 0.01"].label == "Pass"


def test_it_classifies_the_samples_it_was_given(metrics, world) -> None:
    """The same samples through `classify` directly give the same label and ratio."""
    columns = world(300, seed=3, latency=1.2)
    opinion = kayenta_on(columns, metrics, (at_most("latency.p50", ratio=1.1),))
    scores = columns.scores["latency"]
    alone = classify(scores.incumbent.tolist(), scores.candidate.tolist(), KayentaMetric(direction="increase"))
    (found,) = opinion.classifications.values()
    assert found.ratio == pytest.approx(alone.ratio)
    assert found.reason == alone.reason


@pytest.fixture
def judged(metrics, full, now):
    """The verdicts of both rules over the same columns."""

    def make(columns, gates, *, coverage=None, **floors):
        trial, rules = Trial(metrics, gates), Rules(**floors)
        trial.add(columns)
        rest = {"coverage": coverage or full(columns.n), "now": now, "rules": rules}
        paired = assess(trial, experiment="e", candidate="c", **rest)
        return paired.verdict, by_kayenta(paired, trial, **rest).verdict

    return make


COST = (at_most("cost", ratio=1.1), at_most("latency", ratio=1.1, critical=True))


def test_the_score_decides_and_says_that_it_proves_nothing(judged, world) -> None:
    """Equal arms pass long before anything is proven, slow ones fail; every verdict carries the warning."""
    paired, equal = judged(world(300, seed=1), COST)
    _paired, slow = judged(world(300, seed=1, latency=1.6), COST)
    assert (paired.decision, equal.decision, slow.decision) == ("hold", "promote", "rollback")
    assert equal.reasons == ("Kayenta's score is 100 of 100: pass",)
    assert "The paired evidence alone says hold" in equal.notices
    assert slow.reasons[1:] == ("broken: latency is at most 1.1 x incumbent",)
    for verdict in (equal, slow):
        assert any("corrects neither for looking again" in notice for notice in verdict.notices)
        assert all("NetflixACAJudge" in gate.method for gate in verdict.gates)


def test_unsound_evidence_and_floors_hold_under_this_rule_too(judged, world) -> None:
    """Losses on the way, too few units, too few hours or an unproven level: never promote."""
    lossy = Coverage(eligible=500, mirrored=500, failed={"corrupt": 200}, paired=300, distinct=300)
    _, unsound = judged(world(300, seed=1), COST, coverage=lossy)
    _, few = judged(world(300, seed=1), COST, min_units=400)
    _, short = judged(world(300, seed=1), COST, min_hours=24)
    _, level = judged(world(300, seed=1), (*COST, at_least("recall@5", 0.79)))
    assert (unsound.why, few.why, short.why, level.why) == ("error", *["inconclusive"] * 3)
    assert {v.decision for v in (unsound, few, short, level)} == {"hold"}
    assert "275 of at least 400 units" in few.reasons
    assert "not proven yet: recall@5 is at least 0.79" in level.reasons


def test_it_promotes_nothing_that_is_proven_broken(judged, world) -> None:
    """Errors that rise from 2 to 6 % pass there; the paired proof stands in the way, and says so."""
    gates = (no_worse("errors", by=0.01),)
    paired, canary = judged(world(2_000, seed=2, errors=0.04), gates)
    assert paired.rolls_back
    assert canary.gates[0].state == "holds"
    assert canary.decision == "hold"
    assert any("proven broken: errors" in reason for reason in canary.reasons)
