"""What a report asks of the store, on either database."""

import msgspec
import pytest

from shadoweval.records import Envelope, PairScore, Scored, Unscored
from shadoweval.store import SqlStore
from shadoweval.testing import make_observation, make_query

MANY = 700
"""More ids than one portion holds."""


@pytest.fixture(name="store")
def _store(url):
    with SqlStore(url) as store:
        queries = [make_query(number, unit="ann" if number == 2 else "bob") for number in range(1, 5)]
        for query in queries:
            envelope = Envelope(experiment="e", query=query, served=make_observation(query))
            store.add_envelopes([envelope], arms={query.id: ["new"]})
        for query in (queries[2], queries[0], queries[1]):  # the last one waits
            store.add_observation(make_observation(query, "new", answer=query.id))
        scores = [
            PairScore(metric="recall", query_id=queries[0].id, incumbent=Scored(0.25), candidate=Scored(0.5)),
            PairScore(metric="judge", query_id=queries[0].id, incumbent=Scored(1.0), candidate=Unscored("busy")),
            PairScore(metric="judge", query_id=queries[1].id, incumbent=Unscored("busy"), candidate=Scored(0.0)),
            PairScore(metric="recall", query_id=queries[2].id, incumbent=Scored(1.0), candidate=Scored(0.0)),
        ]
        store.add_scores("e", "new", scores)
        store.add_scores("e", "other", [msgspec.structs.replace(scores[0], candidate=Scored(0.75))])
        yield store


def ids(*numbers):
    return [make_query(number).id for number in numbers]


def test_values_are_those_scored_in_both_arms_in_query_order(store):
    """A pair with none of them comes too; one that waits for its run does not, nor one outside of the window."""
    first, second, third = ids(1, 2, 3)
    seen = [(query_id, dict(values)) for query_id, values in store.values("e", "new")]
    assert seen == [(first, {"recall": (0.25, 0.5)}), (second, {}), (third, {"recall": (1.0, 0.0)})]
    later = make_query(2).asked_at
    assert [query_id for query_id, _ in store.values("e", "new", since=later)] == [second, third]
    assert [query_id for query_id, _ in store.values("e", "new", until=later)] == [first]
    assert list(store.values("e", "nobody")) == []


def test_scores_and_pairs_of_some_queries(store):
    """Those of that candidate, of queries that are there, among more ids than one statement asks for."""
    first, second, third, waiting = ids(1, 2, 3, 4)
    asked = [*ids(*range(10, MANY)), third, waiting, first]
    scores = store.scores_of("new", asked)
    assert {query_id: [score.metric for score in of] for query_id, of in scores.items()} == {
        first: ["recall", "judge"],
        third: ["recall"],
    }
    assert sorted(pair.candidate.outcome.answer for pair in store.pairs_of("e", "new", asked)) == sorted([first, third])
    assert list(store.pairs_of("e", "new", [])) == []
    assert second not in scores


def test_what_is_gone(store):
    """Erased, purged or never there; what waits is there."""
    first, second, third, waiting = ids(1, 2, 3, 4)
    assert store.gone([first, second, third, waiting]) == set()
    store.erase("ann")
    assert store.gone([first, second, *ids(*range(10, MANY))]) == {second, *ids(*range(10, MANY))}
    assert [query_id for query_id, _ in store.values("e", "new")] == [first, third]
    store.purge(make_query(3).asked_at)
    assert store.gone([first, third]) == {first}
