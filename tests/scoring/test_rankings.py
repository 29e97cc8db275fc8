"""What the runs of a pair retrieved, by the names of its labels."""

from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.records import Hit, Labels, Scored
from shadoweval.scoring import ndcg, recall
from shadoweval.scoring.rankings import LabelledPair, labelled
from shadoweval.testing import make_pair

TEXTS = ["a short one", *(f"passage {n}, which is long enough to tell one document from all others" for n in range(3))]


@st.composite
def retrieved(draw):
    rows = draw(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from([None, *TEXTS])), max_size=4))
    ranks = draw(st.permutations(range(1, len(rows) + 1)))
    return tuple(Hit(id=name, rank=rank, text=text) for rank, (name, text) in zip(ranks, rows, strict=True))


def by_definition(run, pair):
    """A hit whose id no label names is the document that a run beside this one has under the same telling text."""
    labels, names = pair.labels.relevant, []
    for hit in sorted(run.hits, key=lambda hit: hit.rank):
        telling = hit.text is not None and len(hit.text.strip()) >= 40
        twins = [
            twin.id
            for other in pair.runs
            for twin in sorted(other.hits, key=lambda hit: hit.rank)
            if other is not run and telling and twin.text == hit.text and twin.id in labels
        ]
        names.append(hit.id if hit.id in labels or not twins else twins[-1])
    return tuple(names)


@given(st.tuples(retrieved(), retrieved(), st.none() | retrieved()), st.sets(st.sampled_from("abcd"), min_size=1))
@settings(deadline=None, max_examples=200)
def test_each_run_is_read_by_the_definition(hits, relevant):
    """Whatever stands in which run, under whatever ranks: read for all metrics at once, each run is as by itself."""
    served, shadow, rerun = hits
    pair = make_pair(
        served={"hits": served},
        shadow={"hits": shadow},
        rerun=None if rerun is None else {"hits": rerun},
        labels=Labels(relevant=dict.fromkeys(relevant, 1)),
    )
    for run in pair.runs:
        assert LabelledPair(pair).ranking(run).names == by_definition(run, pair)
        assert labelled(pair).ranking(run) == LabelledPair(pair).ranking(run)


def test_pairs_that_take_turns_are_not_mixed_up():
    """Two pairs of one query, asked for in turn, have scores of their own: a pair is known by the object."""
    hits = {name: tuple(Hit(id=each, rank=rank) for rank, each in enumerate(name, 1)) for name in ("ab", "xa")}
    labels = Labels(relevant={"a": 1})
    pairs = [make_pair(served={"hits": hits[name]}, shadow={"hits": hits[name]}, labels=labels) for name in hits]
    for scorer, expected in ((recall(1), (1.0, 0.0)), (ndcg(2), (1.0, 0.6309297535714575))) * 2:
        for pair, value in zip(pairs, expected, strict=True):
            (score,) = scorer.score(pair)
            assert score.candidate == Scored(value)


def test_a_run_from_elsewhere_is_read_in_its_place():
    """A probe or another reader's run that the pair does not hold is read by the pair's labels and texts."""
    pair = make_pair(served={"hits": (Hit(id="a", rank=1, text=TEXTS[1]),)}, labels=Labels(relevant={"a": 1}))
    other = make_pair(served={"hits": (Hit(id="new", rank=1, text=TEXTS[1]),)}).served
    assert labelled(pair).ranking(other).names == ("a",)
