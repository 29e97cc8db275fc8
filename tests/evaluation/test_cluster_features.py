"""What queries may have in common: words of any script, and what happened, told alike of both arms."""

import pytest

from shadoweval.evaluation.cluster_features import FeatureRows, asked_with, happened, words_of
from shadoweval.evidence.subgroups import Rule
from shadoweval.records import Failure, Pair, ToolCall
from shadoweval.testing import make_observation, make_query


def pair(*, served=None, candidate=None, **given):
    query = make_query(1, **given)
    return Pair(
        query=query,
        served=make_observation(query, **(served or {"answer": "a"})),
        candidate=make_observation(query, "new", **(candidate or {"answer": "a"})),
    )


@pytest.mark.parametrize(
    ("text", "known"),
    [
        ("Refunds, REFUNDED!", ["refund", "refund"]),
        ("<b>x</b>", ["b", "x", "b"]),
        ("返品した", ["返品", "品し", "した"]),
        ("नमस्ते दुनिया", ["नमस्ते", "दुनिया"]),
        ("مرحبا بالعالم", ["مرحبا", "بالعال"]),
        ("ＡＢＣ注文", ["abc", "注文"]),
        ("犬", ["犬"]),
        ("", []),
    ],
)
def test_words_are_known_by_their_beginning_in_any_script(text, known):
    """Without case, width or punctuation; of a script without spaces each two characters."""
    assert [stem for stem, _ in words_of(text)] == known


def test_only_the_beginning_of_a_long_text_counts():
    """A pasted book costs no more than a page."""
    assert len(list(words_of("word " * 100_000))) == 200


def test_what_happened_is_the_same_whichever_arm_it_happened_to():
    """Else two arms of one pipeline would differ by definition in what is called a failure."""
    bad = {"failure": Failure(kind="timeout", message="late")}
    calls = {"answer": "a", "calls": [ToolCall(name="refund", arguments={}, effect="write", answered="stubbed")]}
    one, other = pair(served=bad, candidate=calls), pair(served=calls, candidate=bad)

    assert happened(one, "the run succeeds") == happened(other, "the run fails")
    assert happened(one, "goes on") == happened(one, "stops earlier")
    assert happened(one, "a call fails") == happened(one, "a call succeeds")
    assert {(each.name, each.value) for each in happened(one, "")} == {("tool", "refund"), ("failure", "timeout")}


def test_that_the_incumbent_failed_is_no_part():
    """There the candidate wins by definition."""
    failed = pair(served={"failure": Failure(kind="timeout", message="late")}, attributes={"plan": "pro"})

    assert {each.name for each in asked_with(failed)} == {"length", "script", "plan"}


def test_a_word_is_shown_in_its_commonest_form():
    """What is cut to tell forms alike is no word."""
    rows = FeatureRows()
    for number in range(30):
        rows.add([], text="refunded" if number % 3 else "refunding")
    features = rows.features()

    assert features.alternatives.tolist() == [True]
    assert rows.described(Rule(any_of=(0,), sign=-1)) == {"the word": ("refunded",)}


def test_a_further_feature_stands_beside_the_first():
    """Of the same kind it takes no other's place."""
    rows = FeatureRows()
    calls = [ToolCall(name=name, arguments={}, effect="read") for name in ("search", "refund")]
    for _ in range(10):
        rows.add(happened(pair(served={"answer": "a", "calls": calls}), ""), text="parcel lost")
    rows.features()

    assert rows.described(Rule(any_of=(0,), further=1, sign=-1)) == {
        "the word": ("parcel",),
        "also the word": ("lost",),
    }
    assert rows.described(Rule(any_of=(2,), further=3, sign=-1)) == {"tool": ("search",), "also tool": ("refund",)}
    assert rows.described(Rule(any_of=(0, 1), sign=-1)) == {"one of the words": ("parcel", "lost")}


def test_what_few_rows_have_is_no_feature():
    """A thousand values of an attribute cost nothing."""
    rows = FeatureRows()
    for number in range(1000):
        rows.add([*asked_with(pair(attributes={"ticket": f"T{number}"}))])

    assert len(rows.features().alternatives) == 2  # length and script
