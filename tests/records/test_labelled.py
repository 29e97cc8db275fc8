"""By what name labels know a hit."""

from hypothesis import given
from hypothesis import strategies as st

from shadoweval.records.labelled import Span, has_parts, labelled_names, span_name, span_of

numbers = st.integers(0, 60)
spans = st.tuples(st.sampled_from("ab"), numbers, numbers).filter(lambda span: span[1] < span[2])


def test_a_chunk_is_the_hit_of_that_id_alone():
    """Plain labels change nothing, whatever the ids look like."""
    ids = ["handbook", "handbook#1", "handbook#10", "handbook#char=1,2"]
    assert labelled_names(ids, {"handbook#1": 1, "handbook": 2}) == tuple(ids)


def test_a_document_is_itself_and_each_of_its_parts():
    """Parts of parts too; not what only begins alike."""
    ids = ["book", "book#3", "book#3#char=1,2", "booklet#3", "other"]
    assert labelled_names(ids, {"book#*": 1}) == ("book#*", "book#*", "book#*", "booklet#3", "other")


def test_a_labelled_chunk_comes_before_its_document():
    """The nearest label counts."""
    labels = {"book#*": 1, "book#3": 2, "book#3#*": 0}
    assert labelled_names(["book#3", "book#3#x", "book#4"], labels) == ("book#3", "book#3#*", "book#*")


def test_a_span_is_each_hit_that_shares_characters_with_it():
    """The label with most of them; another document's characters are others; touching is not sharing."""
    labels = {"a#char=10,20": 1, "a#char=20,40": 2}
    ids = ["a#char=0,10", "a#char=0,11", "a#char=15,30", "b#char=10,20", "a#char=40,50", "a"]
    named = ("a#char=0,10", "a#char=10,20", "a#char=20,40", "b#char=10,20", "a#char=40,50", "a")
    assert labelled_names(ids, labels) == named


def test_what_is_no_span_is_none():
    """A span has at least one character."""
    assert span_of("a#char=5,5") is span_of("a#char=5") is span_of("a#char=7,5") is span_of("a") is None
    assert span_of("a#1#char=5,7") == Span("a#1", 5, 7)
    assert not has_parts(["a", "a#1", "a#char=2"])


@given(spans, spans)
def test_shared_characters_are_those_of_both_sets(left, right):
    """As sets of (document, character)."""
    ours = Span(*left).shared(Span(*right))
    sets = [{(document, at) for at in range(start, end)} for document, start, end in (left, right)]
    assert ours == len(sets[0] & sets[1])
    assert span_of(span_name(*left)) == Span(*left)
