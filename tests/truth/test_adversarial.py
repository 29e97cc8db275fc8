"""A search for traffic on which a candidate is promoted although it is worse, by more than the margin, in these pairs.

Hypothesis builds the traffic: who asks and how often, which questions repeat, what happens to those who come again,
to the heavy ones and after some moment, which scores are missing, which costs are giants. Each world goes through the
store and `evaluate`, and is judged at several looks.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings, target
from hypothesis import strategies as st

from shadoweval import Rules, at_most, no_worse
from shadoweval.protocols import Metric
from shadoweval.records import Scored, Unscored
from shadoweval.scoring import PairScorer, cost, errors

from .conftest import CRASH, DAY, Stored, World
from .rows_metrics import spent

MARGIN, RATIO = 0.1, 1.2
RULES = Rules(min_hours=0, min_units=100)
EXAMPLES = settings(
    max_examples=25,
    phases=[Phase.explicit, Phase.generate, Phase.target],
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """A world in a few numbers; `harm` is the chance of a wrong answer by the candidate where the adversary says."""

    pairs: int
    units: str
    days: int
    where: str
    harm: float
    share: float
    lost: float
    less_is_better: bool


@st.composite
def traffics(draw):
    return Traffic(
        pairs=draw(st.sampled_from([150, 300, 450])),
        units=draw(st.sampled_from(["none", "users", "heavy users", "sessions", "repeated texts", "a popular text"])),
        days=draw(st.sampled_from([1, 3, 9])),
        where=draw(st.sampled_from(["everywhere", "those who come again", "later", "the heavy ones", "at random"])),
        harm=draw(st.sampled_from([0.1, 0.3, 0.6, 1.0])),
        share=draw(st.floats(0.1, 0.9)),
        lost=draw(st.sampled_from([0.0, 0.0, 0.5, 1.0])),
        less_is_better=draw(st.booleans()),
    )


def names(traffic, number, chance):
    """Unit and text of a query."""
    heavy = chance.random() < traffic.share
    return {
        "none": {"text": f"q {number}"},
        "users": {"unit": f"u{number % (traffic.pairs // 3)}", "text": f"q {number}"},
        "heavy users": {"unit": f"heavy {number % 4}" if heavy else f"u{number}", "text": f"q {number}"},
        "sessions": {"unit": f"s{number // 8}", "text": f"q {number}" if number % 8 == 0 else "yes"},
        "repeated texts": {"text": f"q {number % (traffic.pairs // 3)}"},
        "a popular text": {"text": "popular" if heavy else f"q {number}"},
    }[traffic.units]


def harmed(traffic, number, *, again, heavy, chance):
    """Whether the adversary may harm this pair."""
    return {
        "everywhere": True,
        "those who come again": again,
        "later": number > (1 - traffic.share) * traffic.pairs,
        "the heavy ones": heavy,
        "at random": chance.random() < traffic.share,
    }[traffic.where]


def asked(world, traffic):
    """Adds the traffic's queries; yields when, names and whether the candidate does harm there."""
    seen = set()
    for number in range(traffic.pairs):
        named = names(traffic, number, world.chance)
        who = named.get("unit") or named["text"]
        heavy = "heavy" in who or who == "popular" or number % 8 > 4
        mayhem = harmed(traffic, number, again=who in seen, heavy=heavy, chance=world.chance)
        seen.add(who)
        yield number * traffic.days * DAY / traffic.pairs, named, mayhem and world.chance.random() < traffic.harm


def quality(*, less_is_better):
    """1 for 'yes', 0 for 'no', the other way round where less is better; nothing where an answer begins with '?'."""

    def score_one(observation, _):
        text = observation.outcome.answer
        return {"q": Unscored("no number") if text[0] == "?" else Scored(float(("no" in text) == less_is_better))}

    worst = 1.0 if less_is_better else 0.0
    metric = Metric(name="q", higher_is_better=not less_is_better, failure_scores=worst)
    return PairScorer(metrics=(metric,), version="q/1", score_one=score_one)


def verdicts(world):
    """At three looks, with the number of pairs that each has seen."""
    with tempfile.TemporaryDirectory() as folder:
        stored = Stored(world, Path(folder))
        try:
            n = len(stored.asked)
            yield from stored.looks([n // 2, n * 3 // 4, n])
        finally:
            stored.store.close()


def answered(traffic):
    """The world of a traffic, and of each pair by how much the candidate's answer is worse."""
    world, losses = World(), []
    for at, named, harm in asked(world, traffic):
        lost = "? " if harm and world.chance.random() < traffic.lost else ""
        served = "no" if world.chance.random() < 0.1 else "yes"
        world.ask(at, {"answer": f"{lost}{'no' if harm else 'yes'}"}, {"answer": served}, rerun=None, **named)
        losses.append(float(harm) - float(served == "no"))
    world.judge(quality(less_is_better=traffic.less_is_better), errors(), no_worse("q", by=MARGIN), rules=RULES)
    return world, losses


@EXAMPLES
@given(traffics())
def test_no_promoted_candidate_answers_worse_in_the_pairs_shown(traffic):
    """Over all pairs, those without a score too, the loss of whoever is promoted stays within the margin."""
    world, losses = answered(traffic)
    for pairs, verdict in verdicts(world):
        loss = sum(losses[:pairs]) / pairs
        if verdict.promotes:
            target(loss, label=f"loss of a promoted candidate after {pairs} pairs")
            assert loss <= MARGIN, f"{traffic}\nworse by {loss:.3f} in {pairs} pairs\n{verdict}"


def crashed(traffic):
    """The same world, in which the candidate crashes where it would have been wrong."""
    world, losses = World(), []
    for at, named, harm in asked(world, traffic):
        world.ask(at, CRASH if harm else {"answer": "yes"}, rerun=None, **named)
        losses.append(float(harm))
    world.judge(errors(), no_worse("errors", by=MARGIN), rules=RULES)
    return world, losses


@EXAMPLES
@given(traffics())
@example(Traffic(pairs=450, units="users", days=9, where="those who come again", harm=1.0, share=0.5, lost=0.0,
                 less_is_better=False))  # fmt: skip
def test_no_promoted_candidate_crashes_more_in_the_pairs_shown(traffic):
    """A fact of a run, over all pairs."""
    world, losses = crashed(traffic)
    for pairs, verdict in verdicts(world):
        loss = sum(losses[:pairs]) / pairs
        if verdict.promotes:
            target(loss, label=f"failures of a promoted candidate after {pairs} pairs")
            assert loss <= MARGIN, f"{traffic}\nfails by {loss:.3f} more in {pairs} pairs\n{verdict}"


def paid(traffic, tail):
    """The same world, in which the candidate pays more where it would have been wrong."""
    world, costs = World(), []
    for at, named, harm in asked(world, traffic):
        usual = 0.01 * world.chance.lognormvariate(0, 0.3)
        candidate = tail * usual if harm else 0.9 * usual
        world.ask(at, spent(candidate), spent(usual), **named)
        costs.append((candidate, usual))
    world.judge(cost(), errors(), at_most("cost", ratio=RATIO), no_worse("errors", by=MARGIN), rules=RULES)
    return world, costs


@EXAMPLES
@given(traffics(), st.sampled_from([2.0, 10.0, 1000.0]))
def test_no_promoted_candidate_costs_more_in_the_pairs_shown(traffic, tail):
    """The ratio of what both arms cost over all pairs stays within the gate's."""
    world, costs = paid(traffic, tail)
    for pairs, verdict in verdicts(world):
        ratio = sum(candidate for candidate, _ in costs[:pairs]) / sum(served for _, served in costs[:pairs])
        if verdict.promotes:
            target(ratio, label=f"ratio of a promoted candidate after {pairs} pairs")
            assert ratio <= RATIO, f"{traffic}\n{ratio:.3f} times as dear in {pairs} pairs\n{verdict}"


@pytest.mark.parametrize("units", ["none", "users", "sessions", "repeated texts", "a popular text"])
def test_the_same_worlds_without_harm_are_promoted(units):
    """The search is for something that could be: where nothing is harmed, both gates are proven."""
    traffic = Traffic(
        pairs=450, units=units, days=3, where="everywhere", harm=0.0, share=0.3, lost=0.0, less_is_better=False
    )
    for world, _ in (answered(traffic), crashed(traffic)):
        assert [verdict for _, verdict in verdicts(world)][-1].promotes or units == "sessions"
