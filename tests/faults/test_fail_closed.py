"""Every hole through which a wrong promotion could slip: the verdict holds, and says what to mend.

The base world is promoted, so each hole alone is what stops it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec
import pytest

from shadoweval.protocols import Metric
from shadoweval.records import Coverage, PairScore, Scored, Unscored, Verdict
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.facts import PairFacts
from shadoweval.verdict.gates import at_least, at_most, no_worse
from shadoweval.verdict.rules import Rules
from shadoweval.verdict.trial import Trial

START = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 1, 9, tzinfo=UTC)
METRICS = (
    Metric(name="recall@5"),
    Metric(name="errors", higher_is_better=False, failure_scores=1.0),
    Metric(name="latency", higher_is_better=False, high=None, like_with_like=True, failure_scores=30.0),
    Metric(name="cost", higher_is_better=False, high=None, failure_scores=None),
)
GATES = (no_worse("recall@5", by=0.05), no_worse("errors", by=0.05), at_most("latency.p95", ratio=1.5))
COUNT = 800


class World(NamedTuple):
    """All that a verdict is made of."""

    pairs: list[tuple[PairFacts, list[PairScore]]]
    coverage: Coverage
    rules: Rules
    gates: tuple


def made_world() -> World:
    pairs = []
    for number in range(COUNT):
        query = f"q{number:05}"
        seconds = 1.0 + (number * 7919 % 97) / 97
        asked = START + timedelta(seconds=60 * number)
        facts = PairFacts(
            query_id=query,
            key=query,
            asked_at=asked,
            ran_at=asked + timedelta(seconds=5),
            fidelity={"replayed": 9, "refused": 1},
            versions={"incumbent": {"prompt": "7"}, "rerun": {"prompt": "7"}, "rerank": {"prompt": "8"}},
            salt="s",
            bucket=0.05,
        )
        right, slow = Scored(float(number % 5 > 0)), Scored(seconds)
        pairs.append(
            (
                facts,
                [score(query, "recall@5", right), score(query, "errors", Scored(0.0)), score(query, "latency", slow)],
            )
        )
    funnel = Coverage(
        eligible=10 * COUNT, not_mirrored={"not_sampled": 9 * COUNT}, mirrored=COUNT, paired=COUNT, distinct=COUNT
    )
    return World(pairs, funnel, Rules(share=0.1, min_units=200), GATES)


def score(query: str, metric: str, value, candidate=None, noise=None) -> PairScore:
    return PairScore(
        metric=metric,
        query_id=query,
        incumbent=value,
        candidate=candidate or value,
        noise=noise or value,
        scorer_version="1",
    )


def verdict_of(world: World) -> Verdict:
    trial = Trial(METRICS, world.gates)
    trial.add_pairs(world.pairs)
    return assess(
        trial, experiment="support", candidate="rerank", coverage=world.coverage, now=NOW, rules=world.rules
    ).verdict


def with_facts(change: Callable[[int, PairFacts], dict]) -> Callable[[World], World]:
    def hole(world: World) -> World:
        pairs = [
            (msgspec.structs.replace(facts, **change(place, facts)), scores)
            for place, (facts, scores) in enumerate(world.pairs)
        ]
        return world._replace(pairs=pairs)

    return hole


def with_scores(metric: str, change: Callable[[int, PairScore], dict]) -> Callable[[World], World]:
    def hole(world: World) -> World:
        pairs = [
            (facts, [msgspec.structs.replace(s, **change(n, s)) if s.metric == metric else s for s in scores])
            for n, (facts, scores) in enumerate(world.pairs)
        ]
        return world._replace(pairs=pairs)

    return hole


def with_coverage(**change) -> Callable[[World], World]:
    return lambda world: world._replace(coverage=msgspec.structs.replace(world.coverage, **change))


def without_metric(world: World) -> World:
    return world._replace(pairs=[(f, [s for s in scores if s.metric != "recall@5"]) for f, scores in world.pairs])


def doubled(world: World) -> World:
    twins = []
    for facts, scores in world.pairs:
        twin = msgspec.structs.replace(
            facts, query_id=facts.query_id + "b", asked_at=facts.asked_at + timedelta(seconds=0.01)
        )
        twins += [(facts, scores), (twin, scores)]
    return world._replace(pairs=twins)


HOLES = {
    "no gate": (lambda w: w._replace(gates=()), "No gate decides"),
    "only dry runs": (lambda w: w._replace(gates=(no_worse("recall@5", by=0.05, dry_run=True),)), "No gate decides"),
    "zero traffic": (
        lambda w: w._replace(pairs=[], coverage=Coverage(eligible=0, mirrored=0, paired=0)),
        "no query came at all",
    ),
    "eligible but none mirrored": (
        lambda w: w._replace(
            pairs=[], coverage=Coverage(eligible=500, not_mirrored={"off": 500}, mirrored=0, paired=0)
        ),
        "none of 500 eligible queries",
    ),
    "a metric nobody made": (
        without_metric,
        "recall@5 has no pair with a score for both arms: incumbent: the scorer said",
    ),
    "a scorer that always raises": (
        with_scores(
            "recall@5", lambda n, s: {"incumbent": Unscored("KeyError: 'x'"), "candidate": Unscored("KeyError: 'x'")}
        ),
        "recall@5 has no pair.*KeyError: 'x'",
    ),
    "a scorer that raises at times": (
        with_scores(
            "recall@5",
            lambda n, s: (
                {"incumbent": Unscored("ValueError: y"), "candidate": Unscored("ValueError: y")} if n % 9 == 0 else {}
            ),
        ),
        "The scorer of recall@5 raised 178 times",
    ),
    "only the candidate's scores go missing": (
        with_scores("recall@5", lambda n, s: {"candidate": Unscored("no answer")} if n % 20 == 0 else {}),
        "lacks only the candidate's score in 40 pairs.*the arms are not judged on the same queries",
    ),
    "low coverage": (
        with_coverage(not_mirrored={"not_sampled": 9 * COUNT - 100, "too_large": 100}),
        "Only 88.9% of the sampled queries became pairs.*'too_large'",
    ),
    "lost in the worker": (
        with_coverage(eligible=10 * COUNT + 90, mirrored=COUNT + 90, failed={"corrupt": 90}),
        "most common loss is 'corrupt'",
    ),
    "a funnel with a leak": (with_coverage(eligible=10 * COUNT + 300), "300 queries are unaccounted for"),
    "sample-ratio mismatch": (
        with_coverage(eligible=8 * COUNT, not_mirrored={"not_sampled": 7 * COUNT}),
        "does not fit the planned share 0.1",
    ),
    "a flag that flips": (with_facts(lambda n, f: {"bucket": 0.3 if n % 50 == 0 else 0.05}), "changed to and fro"),
    "a salt that changes": (with_facts(lambda n, f: {"salt": "t" if n > 700 else "s"}), "under 2 salts"),
    "low fidelity": (
        with_facts(lambda n, f: {"fidelity": {"replayed": 4, "simulated": 1}}),
        "simulated, refused or altered",
    ),
    "the candidate's prompt changes": (
        with_facts(lambda n, f: {"versions": {**f.versions, "rerank": {"prompt": "8" if n < 700 else "9"}}}),
        "'prompt' of 'rerank' changed in mid-run: '8', '9'",
    ),
    "the incumbent's index changes": (
        with_facts(lambda n, f: {"versions": {**f.versions, "incumbent": {"index": str(n // 400)}}}),
        "'index' of the 'incumbent' changed in mid-run",
    ),
    "the re-run is another pipeline": (
        with_facts(lambda n, f: {"versions": {**f.versions, "rerun": {"prompt": "6"}}}),
        "not the same pipeline",
    ),
    "the scorer changes": (
        with_scores("recall@5", lambda n, s: {"scorer_version": "2" if n > 400 else "1"}),
        r"scored by 2 versions of its scorer \(1, 2\)",
    ),
    "a clock in the future": (
        with_facts(
            lambda n, f: {"asked_at": f.asked_at + timedelta(days=30), "ran_at": f.asked_at + timedelta(days=30)}
        ),
        "s in the future: a host's clock is wrong",
    ),
    "a clock set back": (
        with_facts(lambda n, f: {"asked_at": f.asked_at - timedelta(hours=9) if n > 600 else f.asked_at}),
        "came before an older one",
    ),
    "clocks that disagree": (
        with_facts(lambda n, f: {"ran_at": f.asked_at - timedelta(hours=1)}),
        "3600 s before its query was asked",
    ),
    "every call mirrored twice": (doubled, "probably mirrored twice"),
    "the incumbent fails": (
        with_facts(lambda n, f: {"incumbent_failed": n % 3 > 0}),
        "its failures are no merit of the candidate",
    ),
    "the candidate always fails": (with_facts(lambda n, f: {"candidate_failed": True}), "failed in all 800 pairs"),
    "failures that nobody judges": (
        lambda w: with_facts(lambda n, f: {"candidate_failed": n % 7 == 0})(
            w._replace(
                gates=(at_most("cost", 1.0),), pairs=[(f, [score(f.query_id, "cost", Scored(0.1))]) for f, _ in w.pairs]
            )
        ),
        "no gate's metric counts failures",
    ),
    "scores outside their range": (
        lambda w: w._replace(
            pairs=[
                (f, [score(f.query_id, "recall@5", Scored(42.0)) if s.metric == "recall@5" else s for s in scores])
                for f, scores in w.pairs
            ]
        ),
        "RangeError: outside the range that the scorer declares",
    ),
    "a judge biased against itself": (
        with_scores("recall@5", lambda n, s: {"noise": Scored(0.0) if n % 10 == 1 else s.incumbent}),
        "differs between the incumbent and its own re-run",
    ),
}


def test_the_base_world_is_promoted() -> None:
    """Without a hole the candidate, equal to the incumbent, is promoted: the holes below are what stops it."""
    verdict = verdict_of(made_world())
    assert verdict.promotes, verdict


@pytest.mark.parametrize("name", HOLES)
def test_a_hole_holds_the_verdict_and_says_why(name: str) -> None:
    """Whatever is wrong with the evidence: hold (error), with a sentence that names it; never promote."""
    hole, sentence = HOLES[name]
    verdict = verdict_of(hole(made_world()))
    assert (verdict.decision, verdict.why) == ("hold", "error"), verdict
    assert re.search(sentence, "\n".join(verdict.reasons)), verdict


@pytest.mark.parametrize(
    ("hole", "reason"),
    [
        (lambda w: w._replace(pairs=w.pairs[:150]), "150 of at least 200 units"),
        (lambda w: w._replace(rules=Rules(min_hours=24)), "13.3 of at least 24 hours"),
        (lambda w: w._replace(gates=(*GATES, at_least("recall@5", 0.9))), "recall@5 is at least 0.9"),
    ],
)
def test_too_little_evidence_holds_without_an_error(hole, reason) -> None:
    """Too few units, less than a cycle of traffic or an unproven gate: hold (inconclusive)."""
    world = hole(made_world())
    verdict = verdict_of(world._replace(gates=world.gates[-1:] if len(world.gates) > 3 else world.gates))
    assert not verdict.promotes, verdict
    assert reason in str(verdict)


def test_what_stops_all_queries_alike_is_no_loss() -> None:
    """A breaker that was open, a spent budget or a switched-off flag leaves no query out for what it was."""
    stopped = {"not_sampled": 9 * COUNT, "breaker_open": 5_000, "budget_spent": 500, "off": 70, "aborted": 30}
    world = with_coverage(eligible=10 * COUNT + 5_600, not_mirrored=stopped)(made_world())
    assert verdict_of(world).promotes, verdict_of(world)


def test_a_live_write_rolls_back_whatever_the_gates_say() -> None:
    """A shadow may write nothing: the candidate is stopped, and the verdict says why."""
    verdict = verdict_of(with_facts(lambda n, f: {"live_writes": int(n == 7)})(made_world()))
    assert verdict.rolls_back, verdict
    assert "1 live writes" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("hole", "decision", "said"),
    [
        # Who was picked decides what is seen: no evidence in either direction. Versions: each pair is what it says.
        (({}, {"salt": "t"}), "hold", "2 salts"),
        (tuple({"versions": {"incumbent": {"index": index}}} for index in "12"), "rollback", "changed in mid-run"),
    ],
)
def test_a_proven_loss_stands_beside_a_hole_that_can_not_make_it(hole, decision, said) -> None:
    """What is wrong with the evidence holds both ways, unless it can't have made the candidate look worse."""
    worse = with_scores("recall@5", lambda n, s: {"candidate": Scored(0.0)} if n % 2 else {})(made_world())
    verdict = verdict_of(with_facts(lambda n, f: hole[n > 700])(worse))
    assert verdict.decision == decision, verdict
    assert said in "\n".join([*verdict.reasons, *verdict.notices])


def test_failures_of_the_candidate_are_scored_not_dropped() -> None:
    """A candidate that fails in one query of eight is rolled back by its scores, however good its answers are."""
    fails = with_scores(
        "recall@5", lambda n, s: {"candidate": Scored(0.0)} if n % 8 == 0 else {"candidate": Scored(1.0)}
    )
    errs = with_scores("errors", lambda n, s: {"candidate": Scored(1.0)} if n % 8 == 0 else {})
    verdict = verdict_of(errs(fails(made_world())))
    assert verdict.rolls_back, verdict
    assert "errors is no worse by 0.05" in verdict.reasons[0]


def test_aborted_calls_are_not_scored() -> None:
    """Calls that the caller left count neither for nor against anyone."""
    world = with_facts(lambda n, f: {"aborted": n % 4 == 0})(
        with_scores("recall@5", lambda n, s: {"candidate": Scored(0.0)} if n % 4 == 0 else {})(made_world())
    )
    verdict = verdict_of(world)
    assert verdict.pairs == COUNT * 3 // 4
    assert verdict.promotes, verdict
