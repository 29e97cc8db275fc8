"""From records to columns: nothing is missing without a reason."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from shadoweval.protocols import Metric
from shadoweval.records import (
    INCUMBENT,
    Failure,
    Observation,
    Outcome,
    Pair,
    PairScore,
    Query,
    Scored,
    ToolCall,
    Unscored,
)
from shadoweval.verdict.columns import ScoreColumns, columns_of
from shadoweval.verdict.facts import PairFacts, facts_of
from shadoweval.verdict.ranges import sound

START = datetime(2026, 1, 1, tzinfo=UTC)
RECALL, LATENCY = Metric(name="recall@5"), Metric(name="latency", high=None, like_with_like=True)


def facts(name: str, **settings) -> PairFacts:
    return PairFacts(query_id=name, key=name, asked_at=START, **settings)


def score(metric: str, incumbent, candidate, noise=None) -> PairScore:
    return PairScore(metric=metric, query_id="q", incumbent=incumbent, candidate=candidate, noise=noise)


def test_every_missing_score_has_its_reason_counted() -> None:
    """Unscored, not made and made for one arm only: masks and reasons agree."""
    pairs = [
        (facts("a"), [score("recall@5", Scored(1.0), Scored(0.5))]),
        (facts("b"), [score("recall@5", Scored(1.0), Unscored("no hits"))]),
        (facts("c"), [score("recall@5", Unscored("no labels"), Unscored("no labels"))]),
        (facts("d"), []),
    ]
    column = columns_of(pairs, [RECALL]).scores["recall@5"]
    assert column.incumbent_scored.tolist() == [True, True, False, False]
    assert column.candidate_scored.tolist() == [True, False, False, False]
    assert column.both.tolist() == [True, False, False, False]
    assert column.unscored == {
        "incumbent: no labels": 1,
        "incumbent: the scorer said nothing": 1,
        "candidate: no hits": 1,
        "candidate: no labels": 1,
        "candidate: the scorer said nothing": 1,
    }


def test_a_re_run_that_was_not_drawn_is_missing_by_design() -> None:
    """Not run again on this query says nothing about the incumbent; run again without a score does."""
    pairs = [
        (facts("a"), [score("latency", Unscored("not run again"), Scored(1.0))]),
        (facts("b"), [score("latency", Unscored("not timed"), Scored(1.0), noise=Unscored("lost"))]),
        (facts("c"), [score("latency", Scored(1.0), Scored(1.0), noise=Scored(1.0))]),
    ]
    column = columns_of(pairs, [LATENCY]).scores["latency"]
    assert column.missing_by_design is not None
    assert column.missing_by_design.tolist() == [True, False, False]


def test_values_that_cannot_be_judged_are_unscored_with_why() -> None:
    """Not finite, or outside the declared range: no score, a reason, and the other arm's score stays."""
    known = np.array([True, True, True, False])
    columns = ScoreColumns(
        incumbent=np.array([0.5, 1.5, 0.5, 9.0]),
        candidate=np.array([np.nan, 0.5, 0.5, np.inf]),
        incumbent_scored=known,
        candidate_scored=known,
        noise=np.array([-1.0, 0.5, 0.5, 0.5]),
        noise_scored=known,
    )
    judged = sound({RECALL.name: columns}, [RECALL], 4)[RECALL.name]
    assert judged.incumbent_scored.tolist() == [True, False, True, False]
    assert judged.candidate_scored.tolist() == [False, True, True, False]
    assert judged.noise_scored is not None
    assert judged.noise_scored.tolist() == [False, True, True, False]
    assert np.isfinite(judged.candidate).all()
    assert sum(judged.unscored.values()) == 2
    assert not sound({}, [RECALL], 3)[RECALL.name].both.any()


def test_aborted_pairs_are_counted_and_left_out() -> None:
    """The caller went away: no row, one count."""
    columns = columns_of([(facts("a", aborted=True), []), (facts("b"), [])], [RECALL])
    assert (columns.n, columns.facts.aborted) == (1, 1)


def test_sessions_and_duplicates_have_their_ids() -> None:
    """Equal keys and equal units have equal ids; no unit means alone."""
    columns = columns_of([(facts("a", unit="ann"), []), (facts("a"), []), (facts("b", unit="ann"), [])], [RECALL])
    assert columns.key[0] == columns.key[1] != columns.key[2]
    assert columns.cluster[0] == columns.cluster[2]
    assert columns.alone.tolist() == [False, True, False]


def observation(arm: str, place="shadow", **settings) -> Observation:
    values = {"query_id": "q", "started_at": START, "duration": 1.0, "outcome": Outcome(), **settings}
    return Observation(arm=arm, place=place, **values)


def test_facts_are_read_off_a_pair() -> None:
    """Versions by arm, fidelity, live writes of both shadows, failures and times."""
    calls = (ToolCall(name="a", answered="replayed"), ToolCall(name="b", answered="refused"))
    pair = Pair(
        query=Query(id="q", text="Hi", unit="ann", asked_at=START, salt="s", bucket=0.25, attributes={"plan": "pro"}),
        served=observation(
            INCUMBENT, "served", outcome=None, failure=Failure(kind="timeout"), versions={"prompt": "1"}
        ),
        candidate=observation(
            "rerank",
            outcome=Outcome(tool_calls=calls),
            versions={"prompt": "2"},
            live_writes=1,
            started_at=START + timedelta(1),
        ),
        rerun=observation(INCUMBENT, versions={"prompt": "1"}, live_writes=2),
    )
    found = facts_of(pair)
    assert found.versions == {"incumbent": {"prompt": "1"}, "rerank": {"prompt": "2"}, "rerun": {"prompt": "1"}}
    assert found.fidelity == {"replayed": 1, "refused": 1}
    assert (found.live_writes, found.incumbent_failed, found.candidate_failed, found.aborted) == (3, True, False, False)
    assert (found.unit, found.salt, found.bucket) == ("ann", "s", 0.25)
    assert found.ran_at == START + timedelta(1)
    assert found.attributes["plan"] == "pro"


def test_a_batch_merges_into_the_facts_of_the_whole() -> None:
    """Facts of two batches together equal the facts of both as one."""
    settings = [
        {
            "versions": {"incumbent": {"prompt": "1"}},
            "salt": "s",
            "bucket": 0.1,
            "ran_at": START - timedelta(seconds=9),
        },
        {"versions": {"incumbent": {"prompt": "2"}}, "salt": "t", "live_writes": 2, "candidate_failed": True},
        {"fidelity": {"live": 3}, "incumbent_failed": True, "aborted": True},
    ]
    pairs = [(facts(str(n), **one), []) for n, one in enumerate(settings)]
    whole = columns_of(pairs, [RECALL]).facts
    first, second = columns_of(pairs[:1], [RECALL]).facts, columns_of(pairs[1:], [RECALL]).facts
    first.merge(second)
    assert first == whole
    assert whole.latest_lead == pytest.approx(9.0)
