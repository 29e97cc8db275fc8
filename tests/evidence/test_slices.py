"""Slices: found where they are worse, silent where they are not, fixed before their pairs are judged."""

from __future__ import annotations

import numpy as np
import pytest

from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.profiles import AttributeColumn
from shadoweval.evidence.slices import Contrasts, SliceEvidence

WIDTHS = {"quality": 1.0}


def count(evidence: SliceEvidence, differences, attributes) -> SliceEvidence:
    profiles = evidence.profiles(attributes, len(differences))
    evidence.add({"quality": Contrasts(np.asarray(differences, dtype=float), profiles)})
    return evidence


def evidence_of(differences, attributes) -> SliceEvidence:
    return count(SliceEvidence(), differences, attributes)


def column(codes, *values: str) -> AttributeColumn:
    return AttributeColumn(codes=np.asarray(codes, dtype=np.int64), values=values)


def test_each_slice_holds_the_evidence_of_its_own_pairs() -> None:
    """A slice's histogram equals the one of its pairs alone, for values, pairs of values, and pairs without one."""
    rng = np.random.default_rng(0)
    differences = rng.integers(-5, 6, 600) / 10
    plan, language = rng.integers(0, 2, 600), rng.integers(-1, 3, 600)
    evidence = evidence_of(
        differences, {"plan": column(plan, "free", "pro"), "language": column(language, "de", "en", "fr")}
    )
    results = {r.slice: r for r in evidence.results(WIDTHS, alpha=0.05)}
    masks = {
        "plan=pro": plan == 1,
        "language=de": language == 0,
        "language=fr & plan=free": (language == 2) & (plan == 0),
    }
    for name, mask in masks.items():
        alone = HistBet.of(differences[mask])
        assert results[name].n == mask.sum()
        assert results[name].difference == pytest.approx(differences[mask].mean())
        assert results[name].lower == pytest.approx(alone.bound(0.05, "lower"), abs=1e-6)
    assert len(results) == 2 + 3 + 6


def test_a_slice_of_nearly_everything_is_none() -> None:
    """An attribute with one usual value makes no slice of it, and no crosses that repeat another attribute's values."""
    rng = np.random.default_rng(2)
    differences, plan = rng.integers(-5, 6, 2_000) / 10, rng.integers(0, 2, 2_000)
    script = (np.arange(2_000) % 40 == 0).astype(np.int64)
    evidence = evidence_of(
        differences,
        {
            "plan": column(plan, "free", "pro"),
            "tier": column(plan, "low", "high"),
            "script": column(script, "latin", "greek"),
        },
    )
    restored = SliceEvidence()
    restored.restore(evidence.to_state())
    for one in (evidence, restored):
        names = {r.slice for r in one.results(WIDTHS, alpha=0.05)}
        assert names == {
            "plan=free",
            "plan=pro",
            "tier=low",
            "tier=high",
            "script=greek",
            "plan=free & script=greek",
            "plan=pro & script=greek",
            "script=greek & tier=low",
            "script=greek & tier=high",
        }


def test_many_profiles_make_the_same_slices_as_few(monkeypatch) -> None:
    """Whether values are sorted by profile or by slice, each slice holds the same evidence."""
    rng = np.random.default_rng(4)
    differences = rng.integers(-5, 6, 900) / 10
    attributes = {name: column(rng.integers(-1, 4, 900), *"abcd") for name in ("one", "two", "three")}
    few = evidence_of(differences, attributes).results(WIDTHS, alpha=0.05)
    monkeypatch.setattr("shadoweval.evidence.slices._FEW_PROFILES", 0)
    many = evidence_of(differences, attributes).results(WIDTHS, alpha=0.05)
    few, many = sorted(few, key=lambda r: r.slice), sorted(many, key=lambda r: r.slice)
    assert [(r.slice, r.n, r.state) for r in many] == [(r.slice, r.n, r.state) for r in few]
    assert [r.difference for r in many] == pytest.approx([r.difference for r in few])


def test_the_worst_slice_comes_first_and_small_ones_say_so() -> None:
    """One language that loses is named first; slices below 50 units are listed as too small, with how many."""
    rng = np.random.default_rng(1)
    language = rng.integers(0, 8, 4_000)
    language[:20] = 8
    differences = rng.choice([-1.0, 0.0, 1.0], 4_000, p=[0.05, 0.9, 0.05])
    differences[language == 5] = rng.choice([-1.0, 0.0], (language == 5).sum(), p=[0.2, 0.8])
    results = evidence_of(differences, {"language": column(language, *"abcdefghi")}).results(WIDTHS, alpha=0.05)
    assert (results[0].slice, results[0].state) == ("language=f", "worse")
    assert sum(r.state == "worse" for r in results) == 1
    assert (results[-1].slice, results[-1].state, results[-1].n) == ("language=i", "too_small", 20)


def test_equal_arms_raise_no_false_discoveries() -> None:
    """Over 40 worlds without any difference, looked at six times, hardly any slice is ever called worse."""
    false_ones = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        evidence, ever = SliceEvidence(), False
        for _ in range(6):
            attributes = {
                "plan": column(rng.integers(0, 3, 500), *"abc"),
                "topic": column(rng.integers(0, 12, 500), *"abcdefghijkl"),
            }
            count(evidence, rng.choice([-0.2, 0.0, 0.2], 500), attributes)
            ever |= any(r.state == "worse" for r in evidence.results(WIDTHS, alpha=0.05))
        false_ones += ever
    assert false_ones <= 8  # Binomial(40, 0.10): more has probability 1.6 %; measured far lower


def test_better_overall_but_worse_everywhere_is_said() -> None:
    """Simpson's paradox: each plan loses, the mix of plans hides it."""
    plan = np.repeat([0, 1], [1_000, 1_000])
    # Both arms are the same pairs, so the paradox needs units that are in no slice: sessions that changed plans.
    differences = np.concatenate([np.full(1_000, -0.01), np.full(1_000, -0.01), np.full(150, 0.9)])
    codes = np.concatenate([plan, np.full(150, -1)])
    evidence = evidence_of(differences, {"plan": column(codes, "free", "pro")})
    assert evidence.reversals({"quality": HistBet.of(differences)}) == (("quality", "plan", 2),)


def test_free_text_makes_no_slices() -> None:
    """An attribute with a value for each query stops at fifty slices; the others keep theirs."""
    ids = column(np.arange(500), *map(str, range(500)))
    evidence = evidence_of(np.zeros(500), {"order": ids, "plan": column(np.arange(500) % 2, "free", "pro")})
    results = evidence.results(WIDTHS, alpha=0.05)
    assert sum(r.slice.startswith("order=") and "&" not in r.slice for r in results) == 50
    assert {r.slice for r in results if r.n == 250} == {"plan=free", "plan=pro"}


def test_names_that_are_new_with_each_pair_are_not_kept_for_ever() -> None:
    """The state of twelve batches with a hundred new attributes each stops at a thousand of them."""
    evidence = SliceEvidence()
    for batch in range(12):
        rows = np.eye(100, dtype=np.int64) - 1
        names = {f"call {batch} {n}": column(rows[n], "1") for n in range(100)}
        count(evidence, np.zeros(100), {"plan": column(np.arange(100) % 2, "free", "pro"), **names})
    state = evidence.to_state()["profiles"]
    assert len(state["values"]) == 1_000
    assert len(state["profiles"]) == 1_001  # 999 with an attribute of their own, and the two plans
    assert next(r.n for r in evidence.results(WIDTHS, alpha=0.05) if r.slice == "plan=pro") == 600


def test_slices_survive_their_state() -> None:
    """What `to_state` writes, `restore` takes up: same results, also after more pairs."""
    rng = np.random.default_rng(2)
    attributes = {"plan": column(rng.integers(0, 2, 300), "free", "pro")}
    differences = rng.integers(-5, 6, 300) / 10
    whole, resumed = evidence_of(differences, attributes), SliceEvidence()
    resumed.restore(whole.to_state())
    for evidence in (whole, resumed):
        count(evidence, differences, attributes)
    assert resumed.results(WIDTHS, alpha=0.05) == whole.results(WIDTHS, alpha=0.05)
