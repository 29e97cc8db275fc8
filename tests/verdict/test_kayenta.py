"""The Kayenta-compatible judge against Kayenta's own test cases, and where it is unsound."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from shadoweval.verdict.kayenta import Classification, KayentaMetric, Thresholds, classify, score, shift, warnings
from shadoweval.verdict.kayenta import statistic as rank_statistic

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


def test_outliers_and_missing_points_are_treated_as_asked() -> None:
    """NaN is left out or counts as 0; outliers stay unless asked for."""
    nan = float("nan")
    assert classify([nan], [1.0]).label == "Nodata"
    assert classify([nan], [1.0], KayentaMetric(must_have_data=True)).label == "NodataFailMetric"
    assert classify([nan, nan], [0.0, 0.0], KayentaMetric(missing="replace")).label == "Pass"
    rng = np.random.default_rng(1)
    steady = rng.normal(10, 1, 100)
    spiked = np.concatenate([steady, rng.normal(10, 1, 100), [1e6]])
    kept = classify(steady.tolist(), spiked.tolist(), KayentaMetric())
    dropped = classify(steady.tolist(), spiked.tolist(), KayentaMetric(drop_outliers=True))
    assert kept.ratio is not None
    assert kept.ratio > 100
    assert dropped.ratio == pytest.approx(1.0, abs=0.05)
