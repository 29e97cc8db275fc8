"""The nouns."""

import datetime as dt
import math

import msgspec
import pytest

from shadoweval import records
from shadoweval.records import (
    Coverage,
    GateResult,
    Labels,
    Observation,
    Outcome,
    PairScore,
    Query,
    Scored,
    ToolCall,
    Unscored,
    Verdict,
)

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


def test_every_record_is_frozen():
    """No record can be changed once made."""
    for name in records.__all__:
        kind = getattr(records, name)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            assert kind.__struct_config__.frozen, name


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_score_is_a_finite_number(value):
    """NaN and infinities are refused where they are made."""
    with pytest.raises(ValueError, match="finite number"):
        Scored(value)


def test_an_observation_is_an_outcome_or_a_failure():
    """An observation without either, or with both, can't be made."""
    with pytest.raises(ValueError, match="either an outcome or a failure"):
        Observation(query_id="q", arm="a", place="served", started_at=NOON, duration=1.0)


def test_scores_round_trip_as_value_or_reason():
    """A value and a reason stay apart on the wire."""
    score = PairScore(metric="m", query_id="q", incumbent=Scored(0.5), candidate=Unscored("no label"))

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(score), type=PairScore) == score


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("How do I  sort?", " How do I sort?", True), ("U.S.", "u.s.", False), ("sort?", "sort", False)],
)
def test_duplicate_queries_share_a_key(one, other, same):
    """Spacing does not make another question; case may."""
    keys = [Query(id=str(i), text=text, asked_at=NOON).key for i, text in enumerate((one, other))]

    assert (keys[0] == keys[1]) is same


def test_the_unit_of_inference():
    """A session is one unit; without one each distinct question is."""
    assert Query(id="1", text="a", unit="session-7", asked_at=NOON).cluster == "session-7"
    assert Query(id="1", text="a", asked_at=NOON).cluster == Query(id="2", text=" a", asked_at=NOON).cluster


def test_unknown_effects_count_as_writes():
    """A tool that nobody classed is taken for one that writes."""
    assert [ToolCall(name="t", effect=e).writes for e in ("read", "write", "unknown")] == [False, True, True]


def test_fidelity_counts_how_calls_were_answered():
    """Fidelity is the count of tool calls by how they were answered."""
    calls = (ToolCall(name="a", answered="replayed"), ToolCall(name="b", answered="replayed"), ToolCall(name="c"))
    observation = Observation(
        query_id="q", arm="c", place="shadow", outcome=Outcome(tool_calls=calls), started_at=NOON, duration=1.0
    )

    assert observation.fidelity == {"replayed": 2, "live": 1}


def test_later_labels_add_and_replace():
    """Labels that come later win; what they do not mention stays."""
    merged = Labels(relevant={"a": 1, "b": 2}, reference="old").merged(Labels(relevant={"b": 0, "c": 1}))

    assert merged == Labels(relevant={"a": 1, "b": 0, "c": 1}, reference="old")


@pytest.mark.parametrize(
    ("changes", "gap"),
    [({}, 0), ({"eligible": 101}, 1), ({"paired": 40}, 10), ({"waiting": 3}, 3)],
)
def test_the_funnel_knows_its_gap(changes, gap):
    """A funnel that does not add up says by how much."""
    numbers = {
        "eligible": 100,
        "not_mirrored": {"not_sampled": 40},
        "mirrored": 60,
        "failed": {"corrupt": 10},
        "paired": 50,
    }

    assert Coverage(**{**numbers, **changes}).gap == gap


def test_a_verdict_prints_as_a_table():
    """The same table stands in print, assert, log and alert, with live writes."""
    gate = GateResult(
        sentence="recall@5 is better by 0.02",
        metric="recall@5",
        kind="better",
        state="holds",
        margin=0.02,
        incumbent=0.41,
        candidate=0.52,
        difference=0.11,
        lower=0.07,
        upper=0.15,
        n=240,
    )
    verdict = Verdict(experiment="docs", candidate="hybrid", decision="promote", why="proven", gates=(gate,), pairs=251)

    text = str(verdict)

    assert "docs / hybrid: PROMOTE (proven) after 251 pairs" in text
    assert "recall@5 is better by 0.02" in text
    assert "0.52 instead of 0.41 (+0.11); 0.07 to 0.15 more; n=240" in text
    assert "live writes by candidates: 0" in text


def test_several_references_and_the_first_of_them():
    """`reference` is one of `references`, however they are given; later ones take the place of all before."""
    assert Labels(reference="42").references == ("42",)
    assert Labels(references=("42", "forty-two")).reference == "42"
    assert Labels(reference="42", references=("forty-two", "42")).references == ("42", "forty-two")
    several = Labels(references=("41", "forty-one"))
    assert several.merged(Labels(relevant={"a": 1})).references == several.references
    assert several.merged(Labels(reference="42")).references == ("42",)
