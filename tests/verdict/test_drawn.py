"""Scores of some pairs, drawn with known chances, and what a verdict makes of them."""

import random

import msgspec
import numpy as np
import pytest

from shadoweval import Experiment, Rules, better, no_worse
from shadoweval.errors import ExperimentError
from shadoweval.evaluation.evaluate import evaluate
from shadoweval.protocols import Metric
from shadoweval.records import NOT_DRAWN, Coverage, Envelope, Failure, PairScore, Scored, Unscored
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.store.blobs import dump, load
from shadoweval.store.scores import _compact, stored_scores
from shadoweval.testing import FixedClock, make_observation, make_query
from shadoweval.verdict.assessment import assess
from shadoweval.verdict.columns import ScoreColumns, columns_of
from shadoweval.verdict.drawn import Drawn
from shadoweval.verdict.facts import PairFacts
from shadoweval.verdict.gates import at_least, at_most
from shadoweval.verdict.ranges import sound
from shadoweval.verdict.rules import Rules as VerdictRules
from shadoweval.verdict.trial import Trial

LEAST = 0.1
QUALITY = Metric(name="quality", fact_of_run=True, least_chance=LEAST)
NOT_ASKED = Unscored(NOT_DRAWN, informative=False)


class Plan:
    """A judge of some pairs: what it would say, what a cheap scorer says, and with which chance it is asked."""

    metrics = (QUALITY,)
    version = "plan/1"

    def __init__(self, n, *, truth, cheap=None, chance=lambda number, n: 1.0, seed=1):
        rng = random.Random(seed)
        self.truth = {f"q-{number}": truth(number, n, rng) for number in range(1, n + 1)}
        self.cheap = {q: cheap(*both) for q, both in self.truth.items()} if cheap else {}
        self.chances = {f"q-{number}": chance(number, n) for number in range(1, n + 1)}
        self.drawn = {q: rng.random() < chance for q, chance in self.chances.items()}

    def of(self, query_id):
        both = [Scored(value) for value in self.truth[query_id]] if self.drawn[query_id] else [NOT_ASKED, NOT_ASKED]
        return PairScore(
            metric="quality",
            query_id=query_id,
            incumbent=both[0],
            candidate=both[1],
            chance=self.chances[query_id],
            proxies=self.cheap.get(query_id),
        )

    def score(self, pair):
        yield self.of(pair.id)

    def difference(self, *, drawn_only=False):
        chosen = [b - a for q, (a, b) in self.truth.items() if self.drawn[q] or not drawn_only]
        return sum(chosen) / len(chosen)


def worse_after_noon(number, n, rng):
    """Equal in the morning; the hard queries of the afternoon are where the candidate loses."""
    served = float(rng.random() < 0.8)
    return served, float(served and not (number > n / 2 and rng.random() < 0.5))


@pytest.fixture(name="judged")
def _judged(tmp_path):
    """From a plan to the verdict and the evaluation of an experiment whose pairs it scores."""
    clock = FixedClock()
    clock.tick(3600)
    store = SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock)

    def make(plan, *gates, failing=()):
        experiment = Experiment(
            name="drawn",
            candidates={"new": "app:new"},
            scorers=[plan],
            gates=list(gates),
            rules=Rules(min_hours=0),
            settings=Settings(home=str(tmp_path / "home")),
        )
        for number in range(1, len(plan.truth) + 1):
            query = make_query(number)
            store.add_envelopes(
                [Envelope(experiment="drawn", query=query, served=make_observation(query))], arms={query.id: ["new"]}
            )
            failure = Failure(kind="crash") if number in failing else None
            store.add_observation(make_observation(query, "new", failure=failure))
        store.add_counters("drawn", "spool", {"eligible": len(plan.truth), "mirrored": len(plan.truth)})
        return evaluate(experiment, store=store, clock=clock)

    yield make
    store.close()


def test_money_that_ends_at_noon_moves_the_difference_by_less_than_its_interval(judged):
    """Thinned to a quarter when the hard half comes: the weighted difference is the traffic's, the plain one is not."""
    plan = Plan(1_200, truth=worse_after_noon, chance=lambda number, n: 1.0 if number <= n / 2 else 0.25)
    evaluation = judged(plan, no_worse("quality", by=0.05))

    (verdict,) = evaluation.verdicts
    (gate,) = verdict.gates
    true = plan.difference()
    assert gate.lower < true < gate.upper
    assert abs(gate.difference - true) < (gate.upper - gate.lower) / 2
    assert abs(plan.difference(drawn_only=True) - true) > 2 * abs(gate.difference - true)
    assert gate.candidate - gate.incumbent == pytest.approx(gate.difference)
    assert verdict.rolls_back, verdict
    (notice,) = [notice for notice in verdict.notices if "drawn with chances" in notice]
    assert f"scored in {sum(plan.drawn.values())} of 1200 pairs, drawn with chances from 0.25 to 1" in notice
    assert "are not like the" not in str(verdict), "pairs that chance drew are said to be unlike the others"
    assert not gate.missing


def test_a_biased_cheap_score_is_corrected_by_the_drawn_ones(judged):
    """A cheap scorer that favours the candidate can't promote it: a tenth of the pairs says what is true."""
    plan = Plan(
        3_000,
        truth=lambda number, n, rng: (float(rng.random() < 0.8), float(rng.random() < 0.65)),
        cheap=lambda old, new: (old, 1.0),
        chance=lambda number, n: LEAST,
    )
    (verdict,) = judged(plan, better("quality", by=0.02)).verdicts
    (gate,) = verdict.gates

    assert np.mean([f[1] - f[0] for f in plan.cheap.values()]) > 0.15
    assert not verdict.promotes
    assert gate.lower < plan.difference() < gate.upper
    assert gate.difference < 0


def test_fewer_than_a_hundred_drawn_scores_prove_nothing(judged):
    """However clear they are, the gate stays open and says how many it has of how many."""
    plan = Plan(
        600,
        truth=lambda number, n, rng: (0.0, 1.0),
        cheap=lambda old, new: (old, new),
        chance=lambda number, n: 1.0 if number <= 30 else LEAST,
    )
    (verdict,) = judged(plan, better("quality", by=0.02)).verdicts
    (gate,) = verdict.gates
    assert sum(plan.drawn.values()) < 100 < gate.n
    assert gate.share_of_evidence == 1
    assert gate.state == "open"
    assert f"{sum(plan.drawn.values())} of at least 100 pairs that were drawn for a score have one" in gate.reason


def test_the_stored_score_keeps_its_chance_and_an_ordinary_one_does_not_grow(tmp_path):
    """Chance and proxies come back; where there are none no byte is written for them."""
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=FixedClock()) as store:
        query = make_query(1)
        store.add_envelopes(
            [Envelope(experiment="docs", query=query, served=make_observation(query))], arms={query.id: ["new"]}
        )
        drawn = PairScore(
            metric="a", query_id=query.id, incumbent=NOT_ASKED, candidate=NOT_ASKED, chance=0.5, proxies=(0.0, 1.0)
        )
        plain = PairScore(metric="b", query_id=query.id, incumbent=Scored(0.5), candidate=Scored(1.0))
        store.add_scores("docs", "new", [drawn, plain])
        assert stored_scores(store._engine, "new", [query.id])[query.id] == [drawn, plain]
    written = load(dump(_compact(plain)), list)
    assert len(written) == 7


def _pairs(plan):
    start = make_query(1).asked_at
    for number, key in enumerate(plan.truth):
        yield (
            PairFacts(query_id=key, key=key, text_key=key, unit="", asked_at=start.replace(microsecond=number)),
            [plan.of(key)],
        )


def _half(number, n):
    return 0.5


def _alike(number, n, rng):
    return float(rng.random() < 0.8), float(rng.random() < 0.7)


def _guess(old, new):
    return old * 0.9, new * 0.8


def test_batches_and_resumed_looks_say_the_same():
    """The weight is learned from the pairs before, however they are cut and whoever goes on."""
    plan = Plan(400, truth=_alike, cheap=_guess, chance=_half)
    pairs, gates = list(_pairs(plan)), [no_worse("quality", by=0.05), at_least("quality", 0.5)]
    whole, parts = Trial([QUALITY], gates), Trial([QUALITY], gates)
    whole.add_pairs(pairs)
    for start in range(0, 400, 70):
        parts.add_pairs(pairs[start : start + 70])
        resumed = Trial([QUALITY], gates)
        resumed.restore(parts.to_state())
        parts = resumed
    for one, other in zip(whole.claims, parts.claims, strict=True):
        assert one.holds.mean.log_e(one.holds.margin, "greater") == pytest.approx(
            other.holds.mean.log_e(other.holds.margin, "greater"), abs=1e-9
        )
    assert whole.counts["quality"].drawn == sum(plan.drawn.values())


def test_slices_say_the_traffics_difference_in_them():
    """A slice of a metric that is drawn has the weighted difference in the metric's own unit."""
    plan = Plan(2_000, truth=worse_after_noon, chance=_half)
    trial = Trial([QUALITY], [no_worse("quality", by=0.05)])
    pairs = [
        (
            PairFacts(
                query_id=f.query_id,
                key=f.key,
                text_key=f.key,
                unit="",
                asked_at=f.asked_at,
                attributes={"half": "morning" if row < 1_000 else "afternoon"},
            ),
            own,
        )
        for row, (f, own) in enumerate(_pairs(plan))
    ]
    trial.add_pairs(pairs)
    coverage = Coverage(eligible=2_000, mirrored=2_000, paired=2_000, distinct=2_000)
    found = assess(
        trial, experiment="x", candidate="new", coverage=coverage, now=pairs[-1][0].asked_at, rules=VerdictRules()
    )
    by_name = {each.slice: each for each in found.slices}
    assert by_name["half=afternoon"].difference == pytest.approx(-0.4, abs=0.1)
    assert by_name["half=morning"].difference == 0
    assert by_name["half=afternoon"].state == "worse"
    assert by_name["half=afternoon"].lower < -0.4 < by_name["half=afternoon"].upper


def test_a_drawn_pair_without_its_score_speaks_for_the_pairs_it_stands_for():
    """A judge that was busy is missing evidence, ten times as much where a tenth is drawn."""
    plan = Plan(1_000, truth=_alike, chance=lambda number, n: LEAST)
    pairs = []
    busy = Unscored("TimeoutError: busy", informative=False)
    for facts, (score,) in _pairs(plan):
        lost = score.candidate != NOT_ASKED and len(pairs) % 5 == 0
        arms = {"incumbent": busy, "candidate": busy} if lost else {}
        pairs.append((facts, [msgspec.structs.replace(score, **arms)]))
    lost = sum(score.candidate == busy for _, (score,) in pairs)
    trial = Trial([QUALITY], [no_worse("quality", by=0.05)])
    trial.add_pairs(pairs)
    counts = trial.counts["quality"]
    assert lost
    assert counts.informative == 10 * lost
    assert counts.missing(compared=True)["both arms"] == lost
    assert counts.both == 1_000 - lost


def test_a_chance_that_the_metric_did_not_declare_is_no_score():
    """Below the least chance, or without any declared, nothing bounds the weighted score: it is unscored, with why."""
    for metric in (Metric(name="quality", least_chance=0.6), Metric(name="quality")):
        plan = Plan(40, truth=_alike, chance=_half)
        columns = columns_of(_pairs(plan), [metric])
        scores = sound(columns.scores, [metric], 40)["quality"]
        assert not scores.both.any()
        assert "RangeError" in next(iter(scores.unscored))


def test_reruns_of_drawn_pairs_give_the_noise_of_all():
    """The mean of re-run minus served over drawn pairs by their chance; nothing where no re-run was made."""
    rng = np.random.default_rng(3)
    n, chance = 40_000, 0.25
    served, again = (rng.random(n) < 0.8).astype(float), (rng.random(n) < 0.7).astype(float)
    drawn, rerun = rng.random(n) < chance, rng.random(n) < 0.5
    scores = ScoreColumns(
        incumbent=np.where(drawn, served, 0.0),
        candidate=np.where(drawn, served, 0.0),
        incumbent_scored=drawn,
        candidate_scored=drawn,
        noise=np.where(drawn & rerun, again, 0.0),
        noise_scored=drawn & rerun,
        chance=np.full(n, chance),
        not_drawn=~drawn,
        rerun_not_drawn=~drawn & rerun,
    )
    weighed = Drawn([QUALITY]).weighed({"quality": scores})["quality"]
    assert weighed.noise_scored.sum() == rerun.sum()
    apart = (weighed.noise - weighed.incumbent)[weighed.noise_scored]
    assert apart.mean() == pytest.approx(-0.1, abs=0.03)
    assert np.abs(apart).max() <= 1 / chance


def test_what_drawn_scores_cannot_say_is_refused():
    """Quantiles, ratios and caps of a metric that not every pair has."""
    for gate in (at_most("quality", ratio=1.1), no_worse("quality.p95", by=0.1), at_least("quality", 0.5, cap=0.8)):
        with pytest.raises(ExperimentError):
            Trial([QUALITY], [gate])
    with pytest.raises(ValueError, match="least_chance"):
        Metric(name="cost", high=None, higher_is_better=False, failure_scores=1.0, least_chance=0.5)
    with pytest.raises(ValueError, match="least_chance"):
        Metric(name="quality", least_chance=0)


@pytest.mark.parametrize(("accuracy", "share"), [(0.75, 0.05), (0.95, 0.2)])
def test_looked_at_sixty_times_the_truth_is_missed_in_at_most_a_twentieth_of_streams(accuracy, share):
    """From labels with known chances to a gate's evidence, with a judge that favours the candidate."""
    rng = np.random.default_rng(11)
    metric = Metric(name="quality", fact_of_run=True, least_chance=share)
    streams, n, missed, uncorrected = 60, 3_000, 0, 0
    for _ in range(streams):
        truth = (rng.random((2, n)) < np.array([[0.80], [0.83]])).astype(float)
        cheap = np.where(rng.random((2, n)) < accuracy, truth, 1 - truth)
        cheap[1] = np.where((cheap[1] == 0) & (rng.random(n) < 0.3), 1.0, cheap[1])
        drawn = rng.random(n) < share
        scores = ScoreColumns(
            incumbent=np.where(drawn, truth[0], 0.0),
            candidate=np.where(drawn, truth[1], 0.0),
            incumbent_scored=drawn,
            candidate_scored=drawn,
            chance=np.full(n, share),
            proxies=cheap,
            not_drawn=~drawn,
        )
        weighed = Drawn([metric]).weighed({"quality": scores})["quality"]
        trial = Trial([metric], [no_worse("quality", by=0.05)])
        variable = trial.contrasts["quality"]
        out = False
        for start in range(0, n, 50):
            part = weighed.of(slice(start, start + 50))
            variable.add_independent(part)
            test = variable.mean
            out = out or max(test.log_e(0.03, "greater"), test.log_e(0.03, "less")) >= np.log(2 / 0.05)
        missed += out
        gap = cheap[1] - cheap[0]
        uncorrected += abs(gap.mean() - 0.03) > 1.96 * gap.std() / np.sqrt(n)
    assert missed <= 0.05 * streams
    assert uncorrected >= 0.9 * streams, "the judge alone is no negative control"


@pytest.mark.parametrize("rules", [VerdictRules(), VerdictRules(once=True)])
def test_sessions_and_single_looks_read_the_weighed_scores(rules):
    """Of users who ask five questions each the mean over their pairs counts, live and in a suite."""
    plan = Plan(3_000, truth=worse_after_noon, cheap=_guess, chance=_half)
    trial = Trial([QUALITY], [no_worse("quality", by=0.05), at_least("quality", 0.9)])
    pairs = [
        (msgspec.structs.replace(facts, unit=f"user {row % 600}"), own) for row, (facts, own) in enumerate(_pairs(plan))
    ]
    trial.add_pairs(pairs)
    trial.end_sessions()
    coverage = Coverage(eligible=3_000, mirrored=3_000, paired=3_000, distinct=3_000)
    verdict = assess(
        trial, experiment="x", candidate="new", coverage=coverage, now=pairs[-1][0].asked_at, rules=rules
    ).verdict
    difference, level = verdict.gates
    assert difference.n == 600
    assert difference.lower < plan.difference() < difference.upper
    assert level.lower < np.mean([new for _, new in plan.truth.values()]) < level.upper
    assert verdict.decision == "rollback", verdict
