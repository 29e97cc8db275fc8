"""Rankings of a pair against its labels."""

import pytest

from shadoweval.records import Labels, Scored, Unscored
from shadoweval.scoring import (
    context_precision,
    mean_average_precision,
    ndcg,
    overlap,
    precision,
    r_precision,
    recall,
    recall_at_level,
)
from shadoweval.testing import make_pair


def scores(scorer, *, incumbent, candidate, relevant, rerun=None):
    pair = make_pair(
        served={"hits": incumbent},
        shadow={"hits": candidate},
        labels=Labels(relevant=relevant),
        rerun=None if rerun is None else {"hits": rerun},
    )
    (score,) = scorer.score(pair)
    return score.incumbent, score.candidate


def hits(*rows):
    from shadoweval.records import Hit

    return tuple(Hit(id=name, rank=rank, text=passage(text)) for rank, (name, text) in enumerate(rows, 1))


def passage(text):
    """Long enough to tell a document."""
    return f"{text}, with all that a passage of some forty letters has to say"


def test_short_texts_tell_no_document():
    """A title, or a stock phrase, is that of many: another document with the same one is another document."""
    from shadoweval.records import Hit

    old, new = ((Hit(id=name, rank=1, text="Returns and refunds"),) for name in ("a", "b"))
    assert scores(recall(1), incumbent=old, candidate=new, relevant={"a": 1}) == (Scored(1.0), Scored(0.0))
    (score,) = overlap(1).score(make_pair(served={"hits": old}, shadow={"hits": new}))
    assert score.candidate == Scored(0.0)


def test_a_document_under_a_new_id_is_known_by_its_text():
    """An index that was built anew gives other ids: the same documents score the same, by every metric."""
    old = hits(("a", "alpha text"), ("b", "beta text"), ("c", "gamma text"))
    new = hits(("7f-1", "alpha text"), ("7f-2", "beta text"), ("7f-3", "gamma text"))
    relevant = {"a": 2, "c": 1, "x": 1}
    for scorer in (recall(2), ndcg(3), precision(3), mean_average_precision(), r_precision(), context_precision(3)):
        incumbent, candidate = scores(scorer, incumbent=old, candidate=new, relevant=relevant)
        assert incumbent == candidate, scorer.metrics[0].name
        assert incumbent.value > 0
    pair = make_pair(served={"hits": old}, shadow={"hits": new})
    (score,) = overlap(3).score(pair)
    assert score.candidate == Scored(1.0)


def test_an_id_that_labels_name_is_never_taken_for_another():
    """Two labelled documents with one text stay two; a text that no labelled hit has is nobody's."""
    old = hits(("a", "same"), ("b", "same"))
    new = hits(("b", "same"), ("new", "other"))
    incumbent, candidate = scores(recall(2), incumbent=old, candidate=new, relevant={"a": 1, "b": 1})
    assert (incumbent, candidate) == (Scored(1.0), Scored(0.5))


def test_documents_under_new_ids_are_parts_of_labelled_documents_too():
    """A label for a whole document, parts by other ids in the rebuilt index."""
    old = hits(("book#1", "one"), ("leaf#1", "two"))
    new = hits(("u-2", "two"), ("u-1", "one"))
    incumbent, candidate = scores(recall(1), incumbent=old, candidate=new, relevant={"book#*": 1})
    assert (incumbent, candidate) == (Scored(1.0), Scored(0.0))


def test_parts_of_a_document_count_once():
    """Three parts of one labelled document are one document of two; ranks stay taken up."""
    parts = ["book#1", "book#2", "book#3", "leaf#9"]
    relevant = {"book#*": 1, "leaf#*": 1}
    incumbent, candidate = scores(recall(3), incumbent=parts, candidate=parts[2:], relevant=relevant)
    assert (incumbent, candidate) == (Scored(0.5), Scored(1.0))


def test_recall_at_a_level_counts_higher_grades_alone():
    """Grade 2 and above; a query without any has no score, with that reason."""
    given = {"incumbent": ["a", "b"], "candidate": ["b"], "relevant": {"a": 1, "b": 2, "c": 3}}
    assert scores(recall_at_level(2, level=2), **given) == (Scored(0.5), Scored(0.5))
    assert scores(recall_at_level(2, level=1), **given) == (Scored(2 / 3), Scored(1 / 3))
    assert isinstance(scores(recall_at_level(level=4), **given)[0], Unscored)
    assert recall_at_level(5, level=2).metrics[0].name == "recall(rel=2)@5"


def test_context_precision_says_how_far_up_the_useful_hits_stand():
    """Two useful of four, at ranks 1 and 3: (1 + 2/3) / 2; none is 0."""
    incumbent, candidate = scores(
        context_precision(4), incumbent=["a", "x", "b", "y"], candidate=["x", "y"], relevant={"a": 1, "b": 1, "c": 1}
    )
    assert incumbent.value == pytest.approx((1 + 2 / 3) / 2)
    assert candidate == Scored(0.0)
