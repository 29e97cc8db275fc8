"""A pair is scored once: stored scores are taken as long as they rest on the same."""

from __future__ import annotations

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


def made_pair(labels=None, *, rerun=False, diverged_at=None):
    query = make_query(1)
    return Pair(
        query=query,
        served=make_observation(query),
        candidate=make_observation(query, "new", place="shadow", diverged_at=diverged_at),
        rerun=make_observation(query, place="shadow") if rerun else None,
        labels=labels or Labels(),
    )


def asked_again(first, then, *, judge, stored=None, version="1"):
    """How often the judge was asked about the second pair, with what it said about the first in the store."""
    experiment = Experiment(name="e", candidates={"new": "a:b"}, scorers=[judge], gates=[no_worse("good", by=0.1)])
    _, new = Rescoring(experiment, None).scores(first)
    kept = new if stored is None else stored(new)
    rescoring = Rescoring(experiment, lambda ids: dict.fromkeys(ids, kept))
    rescoring.look_up([then])
    judge.asked, judge.version = 0, version
    scores, made = rescoring.scores(then)
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
