"""A pair is scored once: stored scores are taken as long as they rest on the same."""

from __future__ import annotations

import dataclasses

import pytest

from shadoweval import Experiment, no_worse
from shadoweval.evaluation.rescoring import Rescoring
from shadoweval.protocols import Metric
from shadoweval.records import Labels, Pair, PairScore, Scored, Unscored
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
