"""Slices: found where they are worse, silent where they are not, fixed before their pairs are judged."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shadoweval.evidence import HistBet
from shadoweval.protocols import Metric
from shadoweval.records import INCUMBENT, Failure, Observation, Outcome, Query
from shadoweval.verdict.attributes import AttributeColumn, attribute_columns, attributes_of, script_of
from shadoweval.verdict.slices import SliceBook, learned_slices

METRICS = (Metric(name="quality"),)
START = datetime(2026, 1, 1, tzinfo=UTC)


def book_of(differences, attributes) -> SliceBook:
    book = SliceBook()
    profiles = book.profiles(attributes, len(differences))
    book.add("quality", np.asarray(differences, dtype=float), profiles)
    return book


def column(codes, *values: str, discovered=False) -> AttributeColumn:
    return AttributeColumn(codes=np.asarray(codes, dtype=np.int64), values=values, discovered=discovered)


def test_each_slice_holds_the_evidence_of_its_own_pairs() -> None:
    """A slice's histogram equals the one of its pairs alone, for values, pairs of values, and pairs without one."""
    rng = np.random.default_rng(0)
    differences = rng.integers(-5, 6, 600) / 10
    plan, language = rng.integers(0, 2, 600), rng.integers(-1, 3, 600)
    book = book_of(differences, {"plan": column(plan, "free", "pro"), "language": column(language, "de", "en", "fr")})
    results = {r.slice: r for r in book.results(METRICS, alpha=0.05)}
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
    book = book_of(
        differences,
        {
            "plan": column(plan, "free", "pro"),
            "tier": column(plan, "low", "high"),
            "script": column(script, "latin", "greek"),
        },
    )
    restored = SliceBook()
    restored.restore(book.to_state())
    for one in (book, restored):
        names = {r.slice for r in one.results(METRICS, alpha=0.05)}
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
    few = book_of(differences, attributes).results(METRICS, alpha=0.05)
    monkeypatch.setattr("shadoweval.verdict.slices._FEW_PROFILES", 0)
    many = book_of(differences, attributes).results(METRICS, alpha=0.05)
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
    results = book_of(differences, {"language": column(language, *"abcdefghi")}).results(METRICS, alpha=0.05)
    assert (results[0].slice, results[0].state) == ("language=f", "worse")
    assert sum(r.state == "worse" for r in results) == 1
    assert (results[-1].slice, results[-1].state, results[-1].reason) == (
        "language=i",
        "too_small",
        "20 of at least 50 units",
    )


def test_equal_arms_raise_no_false_discoveries() -> None:
    """Over 40 worlds without any difference, looked at six times, hardly any slice is ever called worse."""
    false_ones = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        book, ever = SliceBook(), False
        for _ in range(6):
            attributes = {
                "plan": column(rng.integers(0, 3, 500), *"abc"),
                "topic": column(rng.integers(0, 12, 500), *"abcdefghijkl"),
            }
            profiles = book.profiles(attributes, 500)
            book.add("quality", rng.choice([-0.2, 0.0, 0.2], 500), profiles)
            ever |= any(r.state == "worse" for r in book.results(METRICS, alpha=0.05))
        false_ones += ever
    assert false_ones <= 8  # Binomial(40, 0.10): more has probability 1.6 %; measured far lower


def test_better_overall_but_worse_everywhere_is_said() -> None:
    """Simpson's paradox: each plan loses, the mix of plans hides it."""
    plan = np.repeat([0, 1], [1_000, 1_000])
    # Both arms are the same pairs, so the paradox needs units that are in no slice: sessions that changed plans.
    differences = np.concatenate([np.full(1_000, -0.01), np.full(1_000, -0.01), np.full(150, 0.9)])
    codes = np.concatenate([plan, np.full(150, -1)])
    book = book_of(differences, {"plan": column(codes, "free", "pro")})
    (sentence,) = book.reversals({"quality": HistBet.of(differences)})
    assert "better overall but the opposite in each of the 2 larger slices by plan" in sentence


def test_free_text_makes_no_slices() -> None:
    """An attribute with a value for each query stops at fifty slices; the others keep theirs."""
    ids = column(np.arange(500), *map(str, range(500)))
    book = book_of(np.zeros(500), {"order": ids, "plan": column(np.arange(500) % 2, "free", "pro")})
    results = book.results(METRICS, alpha=0.05)
    assert sum(r.slice.startswith("order=") and "&" not in r.slice for r in results) == 50
    assert {r.slice for r in results if r.n == 250} == {"plan=free", "plan=pro"}


def test_slices_survive_their_state() -> None:
    """What `to_state` writes, `restore` takes up: same results, also after more pairs."""
    rng = np.random.default_rng(2)
    attributes = {"plan": column(rng.integers(0, 2, 300), "free", "pro")}
    differences = rng.integers(-5, 6, 300) / 10
    whole, resumed = book_of(differences, attributes), SliceBook()
    resumed.restore(whole.to_state())
    for book in (whole, resumed):
        book.add("quality", differences, book.profiles(attributes, 300))
    assert resumed.results(METRICS, alpha=0.05) == whole.results(METRICS, alpha=0.05)


def test_learned_topics_are_tested_on_the_other_half() -> None:
    """Clusters are fitted on even ids and given to odd ids only; they find a topic that no attribute names."""
    rng = np.random.default_rng(3)
    ids = rng.integers(0, 2**62, 4_000).astype(np.uint64)
    topic = rng.integers(0, 4, 4_000)
    vectors = np.eye(4)[topic] + rng.normal(0, 0.05, (4_000, 4))
    differences = np.where(topic == 2, rng.choice([-1.0, 0.0], 4_000, p=[0.3, 0.7]), 0.0)
    learned = learned_slices(vectors, ids, clusters=4)
    assert (learned.codes[ids % np.uint64(2) == 0] == -1).all()
    tested = learned.codes >= 0
    assert all(len(set(topic[tested & (learned.codes == k)])) == 1 for k in range(4))
    results = book_of(differences, {"topic": learned}).results(METRICS, alpha=0.05)
    assert [r.state for r in results] == ["worse", "open", "open", "open"]
    assert all(r.discovered for r in results)


def test_attributes_are_read_before_any_answer() -> None:
    """Plain attributes, length and script of the text, and where the incumbent failed."""
    query = Query(
        id="q",
        text="Где мой заказ?",
        asked_at=START,
        attributes={"plan": "pro", "vip": True, "cart": [1, 2]},
    )
    served = Observation(
        query_id="q",
        arm=INCUMBENT,
        place="served",
        failure=Failure(kind="timeout", step="search"),
        started_at=START,
        duration=1.0,
    )
    expected = {"plan": "pro", "vip": "True", "length": "short", "script": "cyrillic", "incumbent failed": "search"}
    assert attributes_of(query, served) == expected
    answered = Observation(
        query_id="q", arm=INCUMBENT, place="served", outcome=Outcome(), started_at=START + timedelta(1), duration=1.0
    )
    assert "incumbent failed" not in attributes_of(query, answered)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("where is it", "latin"),
        ("订单在哪里", "cjk"),
        ("注文はどこ", "hiragana"),
        ("أين طلبي", "arabic"),
        ("123 !?", "none"),
        ("", "none"),
    ],
)
def test_a_text_is_in_the_script_of_most_of_its_letters(text, script) -> None:
    """Unicode's names decide; a text without letters has none."""
    assert script_of(text) == script


def test_columns_of_attributes_keep_gaps() -> None:
    """A pair without an attribute has no value, not an empty one."""
    columns = attribute_columns([{"plan": "pro"}, {}, {"plan": "free", "vip": "1"}])
    assert columns["plan"].codes.tolist() == [0, -1, 1]
    assert columns["plan"].values == ("pro", "free")
    assert columns["vip"].codes.tolist() == [-1, -1, 0]
