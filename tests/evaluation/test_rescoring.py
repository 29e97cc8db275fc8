"""A pair is scored once: stored scores are taken as long as they rest on the same."""

from __future__ import annotations

import dataclasses
import random

import msgspec
import pytest

from shadoweval import Experiment, no_worse
from shadoweval.evaluation.rescoring import Rescoring, score
from shadoweval.protocols import Metric
from shadoweval.records import Failure, Hit, Labels, Outcome, Pair, PairScore, Scored, ToolCall, Unscored
from shadoweval.scoring import (
    answer_quality,
    bpref,
    exact_match,
    latency,
    ndcg,
    overlap,
    recall,
    rouge_l,
    token_f1,
    tool_success,
)
from shadoweval.scoring.pair_scorer import PairScorer
from shadoweval.testing import make_observation, make_query

METRICS = ("good", "kind")


class Judge:
    """Says what it is told to say, and counts how often it was asked."""

    metrics = tuple(Metric(name=name) for name in METRICS)

    def __init__(self, says=None, version="1"):
        self.says, self.version, self.asked = says or Scored(1.0), version, 0

    def score(self, pair):
        self.asked += 1
        return [
            PairScore(metric=name, query_id=pair.id, incumbent=Scored(0.5), candidate=self.says) for name in METRICS
        ]


class Batch(Judge):
    """Is asked about many pairs at once; about those with an answer of None it raises."""

    def __init__(self):
        super().__init__()
        self.at_once = []

    def score(self, pair):
        if pair.candidate.outcome.answer is None:
            raise ValueError("no answer")
        return super().score(pair)

    def score_many(self, pairs):
        self.at_once.append(len(pairs))
        return [score for pair in reversed(pairs) for score in self.score(pair)]


def made_pair(labels=None, *, number=1, answer="an answer", rerun=False, diverged_at=None):
    query = make_query(number)
    return Pair(
        query=query,
        served=make_observation(query),
        candidate=make_observation(query, "new", place="shadow", answer=answer, diverged_at=diverged_at),
        rerun=make_observation(query, place="shadow") if rerun else None,
        labels=labels or Labels(),
    )


def asked_again(first, then, *, judge, stored=None, version="1"):
    """How often the judge was asked about the second pair, with what it said about the first in the store."""
    experiment = Experiment(name="e", candidates={"new": "a:b"}, scorers=[judge], gates=[no_worse("good", by=0.1)])
    _, new = Rescoring(experiment, None).scores([first])
    kept = new if stored is None else stored(new)
    rescoring = Rescoring(experiment, lambda ids: dict.fromkeys(ids, kept))
    rescoring.look_up([then])
    judge.asked, judge.version = 0, version
    (scores,), made = rescoring.scores([then])
    said = [(each.metric, each.candidate) for each in scores]
    assert said[:2] == [("good", judge.says), ("kind", judge.says)]
    assert len(said) == len(set(said)) == 3  # and what was written
    assert (
        {"good", "kind"} <= {each.metric for each in made}
        if judge.asked
        else {"good"}.isdisjoint(each.metric for each in made)
    )
    return judge.asked


@pytest.mark.parametrize("says", [Scored(0.25), Unscored("no label", informative=False), Unscored("no text")])
def test_what_was_said_is_not_asked_again(says) -> None:
    """A value, or a reason why there is none, with whether it may lie in the answer."""
    assert asked_again(made_pair(), made_pair(), judge=Judge(says)) == 0


@pytest.mark.parametrize(
    "then",
    [made_pair(Labels(reference="yes")), made_pair(rerun=True), made_pair(diverged_at=2)],
    ids=["a label", "a re-run", "another history"],
)
def test_what_rests_on_something_else_is_asked_again(then) -> None:
    """Labels, the re-run that came, an earlier turn that is another now."""
    assert asked_again(made_pair(), then, judge=Judge()) == 1


def test_another_version_or_half_of_the_metrics_or_an_error_is_asked_again() -> None:
    """Only what this scorer has said whole, and without trouble, stands."""
    assert asked_again(made_pair(), made_pair(), judge=Judge(), version="2") == 1
    assert asked_again(made_pair(), made_pair(), judge=Judge(), stored=lambda new: new[:1]) == 1
    assert asked_again(made_pair(), made_pair(), judge=Judge(Unscored("RateLimitError: busy", informative=False))) == 1
    nothing = [
        PairScore(metric=name, query_id="q", incumbent=Scored(0), candidate=Scored(0)) for name in ("good", "kind")
    ]
    assert asked_again(made_pair(), made_pair(), judge=Judge(), stored=lambda _: nothing) == 1


def rescoring_by(judge, known=None):
    return Rescoring(Experiment(name="e", candidates={"new": "a:b"}, scorers=[judge]), known)


def test_a_batch_scorer_is_asked_once_about_those_pairs_that_it_has_said_nothing_of() -> None:
    """Its scores go to their pairs, in whatever order they come; what it said before is not asked again."""
    pairs, batch = [made_pair(number=number) for number in range(1, 6)], Batch()
    scores, new = rescoring_by(batch).scores(pairs[:3])
    assert [[each.query_id for each in of] for of in scores] == [[pair.id] * 3 for pair in pairs[:3]]
    again = rescoring_by(batch, lambda ids: {id_: [each for each in new if each.query_id == id_] for id_ in ids})
    again.look_up(pairs)
    scores, more = again.scores(pairs)
    assert [each.metric for each in scores[1]] == ["good", "kind", "writes"] == [each.metric for each in scores[4]]
    assert {each.query_id for each in more} == {pair.id for pair in pairs[3:]}
    assert batch.at_once == [3, 2]


def test_one_pair_that_breaks_a_batch_costs_no_other_its_scores() -> None:
    """Each is then scored by itself, and the one has its reason."""
    pairs = [made_pair(number=1), made_pair(number=2, answer=None), made_pair(number=3)]
    scores, _ = rescoring_by(Batch()).scores(pairs)
    assert [of[0].candidate for of in scores] == [Scored(1.0), Unscored("ValueError: no answer"), Scored(1.0)]


@pytest.mark.parametrize("changes", [{"failure_scores": None}, {"like_with_like": True}])
def test_another_score_of_failures_is_another_score(changes) -> None:
    """What a metric says of failed runs, and which run it compares, decides scores whatever the version says."""
    judge = Judge()
    other = Judge()
    other.metrics = tuple(dataclasses.replace(metric, **changes) for metric in judge.metrics)
    _, new = rescoring_by(judge).scores([made_pair()])
    later = rescoring_by(other, known=lambda _: {made_pair().id: new})
    later.look_up([made_pair()])
    later.scores([made_pair()])

    assert other.asked == 1


ANSWERS = (None, "", "  ", "the a an", "Red, the blue!", "red\0blue", "сорок два", "Röntgen the apple", "half \ud83d")
REFERENCES = ((), ("the",), ("red blue",), ("сорок", "red blue"), ("Röntgen", "the", "red\x7fblue"))
IDS = ("a", "b", "c", "a#1", "a#2", "sha256:d", "unreadable:Thing")
TEXT = "a text that is long enough to be told from every other one, {}"


def odd_run(chance, query, **place):
    """Failures of each owner; rankings with ties, repetitions, unknown ids or none; calls that fail or are refused."""
    run = make_observation(query, duration=chance.random(), **place)
    if chance.random() < 0.2:
        kind = chance.choice(["error", "timeout", "aborted", "killed", "refused"])
        return msgspec.structs.replace(run, outcome=None, failure=Failure(kind=kind))
    hits = tuple(
        Hit(id=chance.choice(IDS), rank=chance.randint(1, 4), text=chance.choice([None, TEXT.format(number % 3)]))
        for number in range(chance.randint(0, 4))
    )
    answered = chance.choice(["live", "refused"])
    calls = tuple(
        ToolCall(name="t", arguments={"n": number}, error=chance.choice([None, "no"]), answered=answered)
        for number in range(chance.randint(0, 2))
    )
    return msgspec.structs.replace(run, outcome=Outcome(answer=chance.choice(ANSWERS), hits=hits, tool_calls=calls))


def odd_pair(number):
    chance, query = random.Random(number), make_query(number)
    grades = {name: chance.choice([-1, 0, 1, 2]) for name in chance.sample([*IDS, "a#*"], chance.randint(0, 4))}
    return Pair(
        query=query,
        served=odd_run(chance, query),
        candidate=odd_run(chance, query, arm="new", place="shadow"),
        rerun=odd_run(chance, query, place="shadow") if chance.random() < 0.5 else None,
        labels=Labels(relevant=grades, references=chance.choice(REFERENCES)),
    )


def moody(observation, pair):
    """One of a user's, that gives no score, half of them, a number, or raises."""
    mood = len(observation.hits) + len(pair.labels.relevant)
    given = ({"own": Scored(0.5), "other": Scored(0.25)}, {"own": Scored(0.5)}, {}, {"own": 0.5})
    return given[mood] if mood < len(given) else 1 / 0


def test_many_pairs_at_once_have_the_scores_of_each() -> None:
    """To the bit, with the same reasons: failures, ties, repetitions, no labels, users' scorers beside ours."""
    own = PairScorer(metrics=(Metric(name="own"), Metric(name="other")), version="1", score_one=moody)
    ours = [recall(k=3), ndcg(k=3), bpref(), overlap(k=3), token_f1(), exact_match(), rouge_l(), answer_quality()]
    experiment = Experiment(
        name="e", candidates={"new": "a:b"}, scorers=[*ours, Judge(), own, tool_success(), latency()]
    )
    pairs = [odd_pair(number) for number in range(300)]

    rows, new = Rescoring(experiment, None).scores(pairs)

    plain = [[msgspec.structs.replace(each, basis="") for each in row] for row in rows]
    assert plain == [score(experiment, pair) for pair in pairs]
    assert sorted(each.query_id for each in new) == sorted(each.query_id for row in rows for each in row)
    scored = {each.metric for row in rows for each in row if isinstance(each.candidate, Scored)}
    assert scored >= {"recall@3", "ndcg@3", "bpref", "token_f1", "own", "tool_success", "latency", "good"}


def test_scores_rest_on_what_they_are_based_on_and_not_on_their_neighbours() -> None:
    """A pair has the same basis alone and among others, and each scorer its own."""
    experiment = Experiment(name="e", candidates={"new": "a:b"}, scorers=[token_f1(), latency(), Judge()])
    pairs = [odd_pair(number) for number in range(20)]
    rows, _ = Rescoring(experiment, None).scores(pairs)
    alone = [Rescoring(experiment, None).scores([pair])[0][0] for pair in pairs]
    assert rows == alone
    assert all(len({each.basis for each in row}) == 4 for row in rows)
