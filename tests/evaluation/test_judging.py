"""Judges of an evaluation remember and spend in its store."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from shadoweval.evaluation.judging import judging
from shadoweval.records import Envelope, Unscored
from shadoweval.scoring import JudgeBudget, Message, Question, Reply
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, ScriptedJudge, make_observation, make_query

SCHEMA = {"type": "object", "properties": {"score": {"type": "integer"}}, "required": ["score"]}


def question(number, text=""):
    messages = (Message("user", text or f"text {number}"),)
    return Question(messages=messages, schema=SCHEMA, name="grade", query_id=f"q-{number}")


@pytest.fixture(name="store")
def _store(url):
    with SqlStore(url, clock=FixedClock()) as store:
        for number in range(120):
            query = make_query(number, unit="anna" if number == 1 else "")
            store.add_envelopes(
                [Envelope(experiment="e", query=query, served=make_observation(query))], arms={query.id: []}
            )
        yield store


def ask(store, judge, questions):
    with judging("e", store):
        return judge.ask_many(questions)


def test_what_was_said_is_kept_for_other_processes(store):
    """Another judge object of the same kind asks nobody."""
    first, second = ScriptedJudge({"score": 1}), ScriptedJudge({"score": 1})
    ask(store, first, [question(1), question(2)])

    said = ask(store, second, [question(1), question(2), question(3)])

    assert [each.cached for each in said] == [True, True, False]
    assert len(second.questions) == 1


def test_replies_are_erased_with_their_query(store):
    """And with retention: what a user asked is in no cache."""
    ask(store, ScriptedJudge({"score": 1}), [question(1), question(2)])
    store.erase("anna")
    again = ScriptedJudge({"score": 1})

    said = ask(store, again, [question(1), question(2)])

    assert [each.cached for each in said] == [False, True]
    store.purge(FixedClock().now.replace(year=2030))
    assert not ask(store, ScriptedJudge({"score": 1}), [question(2)])[0].cached


def test_processes_share_a_budget(store):
    """Together they spend no more than it, and what was under way when it ended."""
    budget = JudgeBudget(calls=20, least_chance=1.0)
    judges = [ScriptedJudge({"score": 1}, budget=budget, concurrency=2) for _ in range(2)]

    with ThreadPoolExecutor(2) as threads:
        said = list(
            threads.map(
                lambda place: ask(store, judges[place], [question(n, f"{place} {n}") for n in range(60)]), range(2)
            )
        )

    calls = sum(len(judge.questions) for judge in judges)
    assert 20 <= calls <= 20 + 2 * 2 - 1
    assert sum(isinstance(each, Reply) for of in said for each in of) == calls
    assert {each for of in said for each in of if isinstance(each, Unscored)} == {
        Unscored("the judge's budget is spent", informative=False)
    }
