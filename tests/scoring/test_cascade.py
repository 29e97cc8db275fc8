"""A judge where a cheap scorer leaves doubt, and of the rest a random share."""

import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from shadoweval import Experiment, Rules, evaluate, no_worse
from shadoweval.errors import ArgumentError
from shadoweval.evidence.histbet import HistBet
from shadoweval.evidence.ppi import PredictionPowered
from shadoweval.protocols import BatchScorer, Metric
from shadoweval.records import NOT_DRAWN, Envelope, Failure, Labels, PairScore, Scored, Unscored
from shadoweval.scoring import (
    JudgeBudget,
    PairScorer,
    answer_quality,
    cascade,
    correctness_judge,
    latency,
    pairwise,
    pairwise_judge,
    per_arm,
    tokens,
)
from shadoweval.scoring.cascade import of_all
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, ScriptedJudge, make_observation, make_pair, make_query

SHARED = Path(__file__).parents[3] / "shared/data"
MANY = 400


@per_arm
def cheap(answer: str) -> float | None:
    """The number that the answer begins with."""
    return None if answer.startswith("?") else float(answer.split(maxsplit=1)[0])


class Strict:
    """A judge of whole batches, which writes down what it was handed."""

    metrics = (Metric(name="strict", judged=True, costly=True),)
    version = "strict/1"

    def __init__(self):
        self.asked, self.made_by = [], {"model": "strict"}

    def score(self, pair):
        return self.score_many([pair])

    def score_many(self, pairs):
        self.asked.append([pair.id for pair in pairs])
        for pair in pairs:
            again = None if pair.rerun is None else Scored(0.25)
            yield PairScore(metric="strict", query_id=pair.id, incumbent=Scored(1), candidate=Scored(0), noise=again)


def pairs_of(served, shadow, n=MANY, **arms):
    return [make_pair(i, served={"answer": served}, shadow={"answer": shadow}, **arms) for i in range(n)]


def said(scorer, pair):
    (score,) = scorer.score(pair)
    return score


def drawn_of(scores):
    return [score for score in scores if not score.not_drawn]


def test_doubtful_pairs_are_all_judged_at_once():
    """The judge's batch holds them and no other: its concurrency is used."""
    judge = Strict()
    pairs = [*pairs_of("0.5 a", "0.9 b", 30)]

    scores = list(cascade(cheap, judge, share=0.1).score_many(pairs))

    assert judge.asked == [[pair.id for pair in pairs]]
    assert {(score.incumbent, score.candidate, score.chance) for score in scores} == {(Scored(1), Scored(0), 1.0)}
    assert {score.proxies for score in scores} == {(0.5, 0.9)}


def test_of_sure_pairs_the_share_is_judged():
    """A tenth by default, by the query's id; the others say with which chance, and what the cheap scorer said."""
    judge = Strict()
    scorer = cascade(cheap, judge, share=0.1)

    scores = list(scorer.score_many(pairs_of("0.0 a", "1.0 b")))

    judged = drawn_of(scores)
    assert [score.query_id for score in judged] == judge.asked[0]
    assert abs(len(judged) - MANY / 10) < 4 * math.sqrt(MANY * 0.1 * 0.9)
    assert {(score.chance, score.proxies) for score in scores} == {(0.1, (0.0, 1.0))}
    undrawn = next(score for score in scores if score.not_drawn)
    assert undrawn.incumbent == undrawn.candidate == Unscored(NOT_DRAWN, informative=False)
    assert undrawn.noise is None
    assert scorer.metrics[0].least_chance == 0.1


def test_a_pair_is_drawn_whatever_else_is_asked_with_it():
    """One by one or together: the same; and what is judged at a share is judged at a larger one."""
    pairs = pairs_of("0.0 a", "1.0 b", 100)
    scorer = cascade(cheap, Strict(), share=0.1)

    assert [said(scorer, pair) for pair in pairs] == list(scorer.score_many(pairs))
    few, more = (
        {score.query_id for score in drawn_of(cascade(cheap, Strict(), share=share).score_many(pairs))}
        for share in (0.1, 0.4)
    )
    assert few < more


@pytest.mark.parametrize(
    ("served", "shadow", "chance"),
    [
        ("0.5 a", "0.5 a", 0.1),
        ("0.5 a", "0.5 b", 1.0),
        ("0.2 a", "0.8 b", 0.1),
        ("0.0 a", "0.79 b", 1.0),
        ("? a", "1.0 b", 1.0),
        ("1.0 a", "? b", 1.0),
    ],
    ids=["equal answers", "other words", "the ends are sure", "one arm in the middle", "no score", "no other score"],
)
def test_what_leaves_doubt(served, shadow, chance):
    """A cheap score in the middle, unless both arms said the same, and one that is missing."""
    score = said(cascade(cheap, Strict(), share=0.1), make_pair(served={"answer": served}, shadow={"answer": shadow}))

    assert score.chance == chance
    assert (score.proxies is None) == ("?" in served + shadow)


@pytest.mark.parametrize("arm", ["served", "shadow"])
def test_a_pair_in_which_a_run_failed_is_judged(arm):
    """A failure is a fact that no draw shall leave out; it scores what it costs the user."""
    judge = per_arm(lambda answer: 1.0, name="kind", version="1")
    arms = {"served": {"answer": "1.0 a"}, "shadow": {"answer": "1.0 b"}, arm: {"failure": Failure(kind="crash")}}

    score = said(cascade(cheap, judge, share=0.1), make_pair(**arms))

    assert score.chance == 1.0
    assert score.incumbent == Scored(0.0 if arm == "served" else 1.0)
    assert score.candidate == Scored(0.0 if arm == "shadow" else 1.0)


def test_a_judge_without_a_word_leaves_a_drawn_pair_unscored():
    """Whether it says why or raises: the pair counts by its chance, as one that is missing."""

    def broken(answer):
        raise RuntimeError("no judge today")

    class Raising(Strict):
        def score_many(self, pairs):
            raise RuntimeError("no judge today")

    pairs = pairs_of("0.0 a", "1.0 b")
    for judge in (Raising(), per_arm(broken)):
        scores = list(cascade(cheap, judge, share=0.1).score_many(pairs))
        judged = drawn_of(scores)
        assert 0 < len(judged) < MANY / 4
        assert {score.chance for score in judged} == {0.1}
        assert {score.candidate.reason for score in judged} == {"RuntimeError: no judge today"}


def test_a_judge_that_leaves_a_pair_out_has_no_score_for_it():
    """Its batch lacks one, which is drawn all the same."""

    class Forgetful(Strict):
        def score_many(self, pairs):
            return list(super().score_many(pairs))[1:]

    first, second = cascade(cheap, Forgetful(), share=0.1).score_many(pairs_of("0.5 a", "0.6 b", 2))

    assert first.candidate == Unscored("the judge gave no score")
    assert second.candidate == Scored(0)


def test_reruns_are_drawn_with_their_pair():
    """The noise is the judge's where it saw the pair, and not drawn where not."""
    pairs = pairs_of("0.0 a", "1.0 b", rerun={"answer": "0.0 a"})

    scores = list(cascade(cheap, Strict(), share=0.1).score_many(pairs))

    assert {score.noise for score in drawn_of(scores)} == {Scored(0.25)}
    assert {score.noise for score in scores if score.not_drawn} == {Unscored(NOT_DRAWN, informative=False)}


def test_cheap_scores_are_turned_to_the_judges_range_and_direction():
    """Of a judge of mistakes from 0 to 10, by a share that is better when higher."""
    mistakes = per_arm(lambda answer: 3.0, name="mistakes", high=10.0, higher_is_better=False, version="1")
    pair = make_pair(served={"answer": "0.9 a"}, shadow={"answer": "0.5 b"})

    score = said(cascade(cheap, mistakes, share=0.1), pair)

    assert score.proxies == pytest.approx((1.0, 5.0))
    assert score.chance == 1.0
    assert said(cascade(cheap, mistakes, unsure=(0.6, 0.8), share=0.1), pair).chance == 0.1


def test_a_judges_own_draw_multiplies():
    """A judge with a budget draws as well: the least chance is that of both."""
    judge = ScriptedJudge({"reason": "r", "verdict": "correct"}, budget=JudgeBudget(calls=1000, least_chance=0.5))
    scorer = cascade(cheap, correctness_judge(judge=judge), share=0.2)

    assert scorer.metrics[0].least_chance == pytest.approx(0.1)
    assert scorer.metrics[0].judged


def test_version_and_provenance_name_both_scorers_and_the_rule():
    """Scores of another rule, or of another scorer, are made anew."""
    scorers = [
        cascade(cheap, Strict()),
        cascade(cheap, Strict(), share=0.2),
        cascade(cheap, Strict(), unsure=(0.1, 0.8)),
        cascade(answer_quality(), Strict()),
    ]

    assert isinstance(scorers[0], BatchScorer)
    assert len({scorer.version for scorer in scorers}) == len(scorers)
    assert all("strict/1" in scorer.version for scorer in scorers)
    assert scorers[0].made_by["model"] == "strict"
    assert scorers[0].made_by["cheap"].startswith("cheap (")
    assert scorers[1].made_by["judged"] == "where that lies between 0.2 and 0.8, and else 0.2 of the pairs"
    assert said(cascade(cheap, Strict(), name="mine"), make_pair()).metric == "mine"


def test_probes_of_a_judge_ask_the_judge():
    """An answer that nobody gave is not left out of its probe by the draw."""
    judge = Strict()
    renamed = of_all(cascade(cheap, judge, name="mine"))

    assert of_all(cascade(cheap, judge)) is judge
    assert of_all(judge) is judge
    scores = list(renamed.score_many(pairs_of("0.0 a", "1.0 b", 50)))
    assert len(drawn_of(scores)) == 50
    assert {score.metric for score in scores} == {"mine"}


def rebuilt(observation, pair):
    return {}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ({"cheap": tokens()}, r"cascade\(cheap\)"),
        ({"cheap": latency()}, "of each run by itself"),
        ({"judge": pairwise_judge(judge=ScriptedJudge({}))}, "a single metric"),
        ({"judge": pairwise(lambda incumbent, candidate: 0.5, name="p", version="1")}, "of each run by itself"),
        ({"judge": PairScorer(metrics=(Metric(name="r"),), version="1", score_one=rebuilt, rebuild=True)}, "rebuild"),
        ({"judge": per_arm(lambda answer: 1.0, name="u", high=None, version="1")}, "with a range"),
        ({"judge": correctness_judge}, "Call it"),
        ({"share": 0}, "share"),
        ({"share": 1.5}, "share"),
        ({"unsure": 0.5}, "two numbers"),
        ({"unsure": (0.8, 0.2)}, "lower number first"),
    ],
)
def test_what_can_not_be_meant_is_refused(arguments, complaint):
    """Before anything is mirrored, with the mend."""
    given = {"cheap": cheap, "judge": Strict(), **arguments}
    with pytest.raises(ArgumentError, match=complaint):
        cascade(given.pop("cheap"), given.pop("judge"), **given)


def graded(question):
    """A judge that reads: right where the answer holds the whole reference."""
    lines = [line.strip(" ,\r") for line in question.messages[-1].content.splitlines()]
    reference, answer = (
        next(line.partition(": ")[2].strip('[]"') for line in lines if line.startswith(f'"{of}"'))
        for of in ("right answers", "answer")
    )
    return {"reason": "r", "verdict": "correct" if reference in answer else "incorrect"}


def about_a_pair(question):
    """Whether it is about an answer that somebody gave, and not a probe of the judge."""
    asked = question.messages[-1].content
    number = re.search(r'"question": "question number (\d+)"', asked)[1]
    return (
        re.search(rf'"answer": "(Paris, street {number}|It is Paris, street {number}|It is Rome)\."', asked) is not None
    )


@pytest.fixture(name="verdict")
def _verdict(tmp_path):
    """The verdict on a candidate that is wrong in one of so many queries, and the judge's calls about its pairs."""

    def verdict(make, *, every, pairs=400):
        judge, clock = ScriptedJudge(graded), FixedClock()
        with SqlStore(f"sqlite:///{tmp_path / f'{make.__name__}.db'}", clock=clock) as store:
            for number in range(pairs):
                query = make_query(number)
                served = make_observation(query, answer=f"Paris, street {number}.")
                envelope = Envelope(experiment="e", query=query, served=served)
                store.add_envelopes([envelope], arms={query.id: ["new"]})
                store.add_labels({query.id: Labels(reference=f"Paris, street {number}.")})
                city = "Rome" if number % every == 1 else f"Paris, street {number}"
                store.add_observation(make_observation(query, "new", answer=f"It is {city}."))
            store.add_counters("e", "spool", {"eligible": pairs, "mirrored": pairs})
            clock.tick(3600)
            experiment = Experiment(
                name="e",
                candidates={"new": "app:new"},
                scorers=[make(judge)],
                gates=[no_worse("correctness_judge", by=0.1)],
                rules=Rules(min_hours=0),
                settings=Settings(home=str(tmp_path / "home")),
            )
            evaluation = evaluate(experiment, store=store, clock=clock)
        return evaluation.verdicts[0], sum(map(about_a_pair, judge.questions))

    return verdict


def full(judge):
    return correctness_judge(judge=judge)


def thrifty(judge):
    return cascade(answer_quality(), correctness_judge(judge=judge), share=0.3)


def broken_judge(judge):
    def broken(answer):
        raise RuntimeError("no judge today")

    return cascade(answer_quality(), per_arm(broken, name="correctness_judge", version="1"))


def test_a_cascade_whose_judge_never_answers_holds_with_the_reason(verdict):
    """Not one drawn pair has a score: nothing is proven, and why is said."""
    by_nobody, _ = verdict(broken_judge, every=3, pairs=80)

    assert by_nobody.decision == "hold"
    assert "The scorer of correctness_judge raised" in str(by_nobody)
    assert "RuntimeError: no judge today" in str(by_nobody)


@pytest.mark.slow
@pytest.mark.parametrize(("every", "decision"), [(3, "rollback"), (10_000, "promote")])
def test_a_cascade_decides_as_its_judge_at_a_part_of_the_calls(verdict, every, decision):
    """A candidate that is wrong in a third of the queries, and one that is not: the verdict is the full judge's."""
    (by_judge, calls), (by_cascade, fewer) = (verdict(make, every=every) for make in (full, thrifty))

    assert by_judge.decision == decision, str(by_judge)
    assert by_cascade.decision == decision, str(by_cascade)
    assert fewer < calls / 2
    assert "each score counts by its chance" in str(by_cascade)


class Systems:
    """What people said of systems' answers, and what a cascade makes of them before anybody is asked."""

    def __init__(self):
        path = SHARED / "evouna_nq_first_800/answers_nq.jsonl"
        if not path.exists():
            pytest.skip(f"{path.name} is not there: it is shared by those who develop this")
        self.of = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if not row["improper"]:
                self.of.setdefault(row["query_id"], {})[row["system"]] = row

    def arms(self, old, new, *, share):
        """Of each query people's marks and cheap scores of both arms, shape (n, 2), and the chances."""
        both = [(each[old], each[new]) for each in self.of.values() if {old, new} <= set(each)]
        people = per_arm(lambda answer: 1.0, name="people", version="1")
        pairs = [
            make_pair(
                number,
                served={"answer": a["answer"]},
                shadow={"answer": b["answer"]},
                labels=Labels(references=tuple(a["gold"])),
            )
            for number, (a, b) in enumerate(both)
        ]
        scores = list(cascade(answer_quality(), people, share=share).score_many(pairs))
        marks = np.array([[a["correct"], b["correct"]] for a, b in both], dtype=float)
        return marks, np.array([s.proxies for s in scores]), np.array([s.chance for s in scores])


def decision_of(evidence, margin):
    """1: proven above the margin; -1: below; 0: open."""
    proven = [evidence.log_e(margin, side) >= math.log(20) for side in ("greater", "less")]
    return proven[0] - proven[1]


def in_100_orders(systems, old, new, *, share, margin):
    """How often a cascade decides as the judge of all pairs does, how often against it, and its share of the calls."""
    marks, cheap_scores, chance = systems.arms(old, new, share=share)
    same = against = calls = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(marks))
        noisy = np.where(rng.random(marks.shape) < 0.1, 1 - marks, marks)[order]  # one mark in ten is flipped
        difference, proxy, p = noisy[:, 1] - noisy[:, 0], np.diff(cheap_scores[order])[:, 0], chance[order]
        drawn = rng.random(p.size) < p
        judge, mixed = HistBet(-1, 1), PredictionPowered(share)
        judge.extend(difference)
        mixed.extend(proxy, np.where(drawn, difference, 0.0), labelled=drawn, chance=p)
        decisions = decision_of(judge, margin), decision_of(mixed, margin)
        same += decisions[0] == decisions[1]
        against += decisions[0] * decisions[1] < 0
        calls += drawn.mean() / 100
    return same, against, calls


def test_on_real_answers_a_larger_share_decides_as_people_do():
    """Answers of four systems, people as the judge, one mark in ten flipped: the figures of docs/scorers/cascade.md."""
    systems = Systems()
    for old, new in (("fid", "gpt4"), ("gpt35", "newbing")):
        same, against, calls = in_100_orders(systems, old, new, share=0.3, margin=-0.1)
        assert same >= 95
        assert against == 0
        assert calls <= 0.5


def test_on_real_answers_a_small_share_waits_and_is_never_against_the_judge():
    """A tenth takes a quarter of the calls; what it can't prove by these queries it leaves open."""
    systems = Systems()
    for old, new, margin in (("fid", "gpt4", 0.0), ("gpt4", "gpt35", 0.0), ("gpt35", "newbing", -0.1)):
        same, against, calls = in_100_orders(systems, old, new, share=0.1, margin=margin)
        assert against == 0
        assert same < 95, "the page says that it waits"
        assert calls <= 0.35
