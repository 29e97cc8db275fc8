"""Passages that repeat each other."""

import pytest

from shadoweval.errors import ArgumentError
from shadoweval.records import Hit, Scored, Unscored
from shadoweval.scoring import near_duplicates, redundancy
from shadoweval.scoring.contexts import near_duplicates_of, redundancy_of
from shadoweval.testing import make_pair

SPLIT = "Return a list of the words in the string, using sep as the delimiter string."
JOIN = "Concatenate any number of strings; the string whose method is called is inserted in between."


def hits(*texts):
    return tuple(Hit(id=f"d{rank}", rank=rank, text=text) for rank, text in enumerate(texts, 1))


def test_what_stood_above_is_redundant_and_what_is_new_is_not():
    """A copy repeats all of itself, another text nothing, a half a half; spelling and spaces don't count."""
    assert redundancy_of([SPLIT]) == 0.0
    assert redundancy_of([SPLIT, SPLIT]) == 0.5
    assert redundancy_of([SPLIT, f"  {SPLIT.upper()}\n"]) == 0.5
    assert redundancy_of([SPLIT, JOIN]) < 0.05
    assert redundancy_of([SPLIT + JOIN, SPLIT, JOIN]) == pytest.approx(2 / 3, abs=0.01)
    assert redundancy_of(["短い文章です", "短い文章です"]) == 0.5  # no script needs words


def test_near_duplicates_differ_in_a_word_or_not_at_all():
    """One word of fifteen changed is the same passage; a text half of which is new is another."""
    changed = SPLIT.replace("words", "terms")
    assert near_duplicates_of([SPLIT, changed, JOIN], alike=0.6) == pytest.approx(1 / 3)
    assert near_duplicates_of([SPLIT, changed], alike=1.0) == 0.0
    assert near_duplicates_of([SPLIT, SPLIT + JOIN], alike=0.8) == 0.0


@pytest.mark.parametrize("scorer", [redundancy(5), near_duplicates(5)], ids=["redundancy", "near_duplicates"])
def test_both_arms_are_looked_at_and_nothing_is_said_of_nothing(scorer):
    """An arm that retrieves nothing repeats nothing, which is no score; nor is one without texts."""
    pair = make_pair(served={"hits": hits(SPLIT, SPLIT)}, shadow={"hits": hits(SPLIT, JOIN)})
    (score,) = scorer.score(pair)
    assert (score.incumbent, score.candidate.value < 0.05) == (Scored(0.5), True)

    (score,) = scorer.score(make_pair(served={"hits": hits(SPLIT)}, shadow={"hits": ["only-an-id"]}))
    assert "text" in score.candidate.reason
    (score,) = scorer.score(make_pair(served={"hits": hits(SPLIT)}))
    assert isinstance(score.candidate, Unscored)
    assert score.candidate.informative


def test_how_much_alike_is_a_share():
    """1.5 is refused where it is written."""
    with pytest.raises(ArgumentError, match="alike"):
        near_duplicates(alike=1.5)


def test_another_share_is_another_version():
    """Scores that are stored hold for the share by which they were counted."""
    assert near_duplicates(alike=0.8).version != near_duplicates(alike=0.9).version
