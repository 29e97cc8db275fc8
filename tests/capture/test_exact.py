"""Searches that are made again, exactly, in shadows."""

import asyncio

import pytest

from shadoweval import record_hits, retriever
from shadoweval.capture import Recorder, recording, set_interceptor
from shadoweval.capture.exact import given_share
from shadoweval.errors import ArgumentError
from shadoweval.records import EXACT_SEARCH
from shadoweval.testing import FixedStub


@pytest.fixture
def shadow():
    set_interceptor(FixedStub({}))
    yield
    set_interceptor(None)


def rows(*names, scores=None):
    return [(name, rank, None if scores is None else scores[rank - 1], None) for rank, name in enumerate(names, 1)]


def test_the_share_is_of_the_exact_documents():
    """In any order; more than were asked for don't help."""
    assert given_share(rows("a", "b", "x"), rows("c", "b", "a")) == pytest.approx(2 / 3)
    assert given_share(rows("x", "y", "a"), rows("a", "b")) == 0.0
    assert given_share(rows(), rows("a")) == 0.0
    assert given_share(rows("a"), rows()) is None


@pytest.mark.parametrize("scores", [(0.9, 0.8, 0.7), (0.1, 0.2, 0.3)], ids=["similarities", "distances"])
def test_a_near_duplicate_at_the_edge_is_as_good(scores):
    """The document that ties with the last exact one is no loss, one that is worse is; whichever way scores go."""
    worse = scores[2] + (scores[2] - scores[0]) / 10
    exact = rows("a", "b", "c", scores=scores)
    assert given_share(rows("a", "b", "c-again", scores=scores), exact) == 1.0
    assert given_share(rows("a", "b", "d", scores=(*scores[:2], worse)), exact) == pytest.approx(2 / 3)


def test_production_searches_once():
    """Without an interceptor the exact search is not asked, recorded or not."""
    asked = []
    search = retriever(exact=asked.append)(lambda question: ["a"])
    with recording(Recorder()) as recorder:
        assert search("q") == ["a"]
    assert search("q") == ["a"]
    assert (asked, recorder.fault, len(recorder.parts().steps)) == ([], None, 1)


@pytest.mark.parametrize("kind", ["sync", "async", "async over sync"])
def test_a_shadow_searches_twice_and_records_once(shadow, kind):
    """The caller's documents and the recorded hits are the index's; the share stands in a step of its own."""

    def exact(question):
        record_hits(["recorded by the exact search"])
        return [{"doc": question}, {"doc": "b"}]

    async def aexact(question):
        return exact(question)

    def search(question):
        return [{"doc": "b"}]

    async def asearch(question):
        return search(question)

    with recording(Recorder(hit_id=lambda document: document["doc"])) as recorder:
        if kind == "sync":
            assert retriever(exact=exact)(search)("q") == [{"doc": "b"}]
        else:
            twice = retriever(exact=aexact if kind == "async" else exact)(asearch)
            assert asyncio.run(twice("q")) == [{"doc": "b"}]
    parts = recorder.parts()
    assert recorder.fault is None
    assert [hit.id for hit in parts.hits] == ["b"]
    assert [(step.kind, step.name, step.value) for step in parts.steps] == [
        ("retrieval", search.__name__ if kind == "sync" else "asearch", None),
        ("other", EXACT_SEARCH, 0.5),
    ]


def test_an_exact_search_that_fails_costs_its_score_alone(shadow):
    """The run goes on; the step says why there is no share."""

    def exact(question):
        raise OSError("away")

    with recording(Recorder()) as recorder:
        assert retriever(exact=exact)(lambda question: ["a"])("q") == ["a"]
    step = recorder.parts().steps[-1]
    assert (step.name, step.value, step.error) == (f"{EXACT_SEARCH}: OSError: away", None, None)
    assert not recorder.parts().failed_step


def test_its_time_is_off_the_clock(monkeypatch):
    """The interceptor's clock runs while it searches again, and only then."""
    events = []

    class Clock:
        def __enter__(self):
            events.append("off")

        def __exit__(self, *_):
            events.append("on")

    stub = FixedStub({})
    stub.off_the_clock = Clock
    set_interceptor(stub)
    try:
        with recording(Recorder()):
            twice = retriever(exact=lambda question: events.append("exact") or ["a"])
            twice(lambda question: events.append("search") or ["a"])("q")
    finally:
        set_interceptor(None)
    assert events == ["search", "off", "exact", "on"]


def test_what_cannot_be_searched_twice_is_refused():
    """A retriever that yields, an async exact search of a sync one, no function at all."""
    with pytest.raises(ArgumentError, match="returns its list"):

        @retriever(exact=list)
        def yields(question):
            yield question

    async def later(question):
        return [question]

    with pytest.raises(ArgumentError, match="exact"):
        retriever(exact=later)(lambda question: [question])
    with pytest.raises(ArgumentError, match="exact"):
        retriever(exact="search")
