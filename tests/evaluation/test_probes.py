"""Pairs that are scored again with another answer in the candidate's place."""

import pytest

from shadoweval import Experiment, better, no_worse
from shadoweval.evaluation.probes import Probes
from shadoweval.evaluation.progress import Progress, score
from shadoweval.protocols import Metric
from shadoweval.records import Failure, Labels, PairScore, Scored, Unscored
from shadoweval.scoring import PairScorer, errors, exact_match, overlap, recall, tool_success
from shadoweval.settings import Settings
from shadoweval.testing import make_pair


@pytest.fixture
def experiment(tmp_path):
    """An experiment of one scorer and a no_worse gate on each of its metrics."""

    def make(scorer, *gates):
        gates = gates or [no_worse(metric.name, by=0.05) for metric in scorer.metrics]
        return Experiment(
            name="probes",
            candidates={"new": "a:b"},
            scorers=[scorer],
            gates=list(gates),
            settings=Settings(home=str(tmp_path)),
        )

    return make


def mine(value, **metric):
    return PairScorer(
        metrics=(Metric(name="mine", **metric),), version="1", score_one=lambda o, p: {"mine": value(o, p)}
    )


def pairs(n, *, start=0, answer="yes", **changes):
    for number in range(start, start + n):
        said = {"answer": answer.format(number), **changes}
        yield make_pair(number, served=said, shadow=said, rerun=said, labels=Labels(reference=answer.format(number)))


def counted(experiment, given):
    probes = Probes(experiment)
    for pair in given:
        probes.see(pair, score(experiment, pair))
    return next(iter(probes.counts.values()), None)


@pytest.mark.parametrize(
    ("scorer", "worse"),
    [
        (exact_match(), 30),
        (mine(lambda o, _: Scored(float(o.outcome.answer == "yes"))), 30),
        (mine(lambda *_: Scored(1.0)), 0),
        (mine(lambda _o, p: Scored(float(p.id[-1] in "13579"))), 0),
        (mine(lambda o, _: Scored(float(not o.outcome.answer)), higher_is_better=False), 30),
    ],
)
def test_an_empty_answer_scores_worse_by_a_metric_of_the_answer(experiment, scorer, worse):
    """And alike by a metric that does not look at it."""
    count = counted(experiment(scorer), pairs(30))
    assert (count.tried, count.scored, count.worse) == (30, 30, worse)


def test_another_query_s_hits_score_worse(experiment):
    """Where nothing retrieved could mean that nothing was recorded."""
    given = [
        make_pair(n, served={"hits": [f"d{n}"]}, rerun={"hits": [f"d{n}"]}, labels=Labels(relevant={f"d{n}": 1}))
        for n in range(20)
    ]
    assert counted(experiment(recall(5)), given).worse == 20
    assert counted(experiment(overlap(5)), given).worse == 20


def test_another_query_s_run_is_a_probe_as_a_whole(experiment):
    """A user's metric of seconds moves with it."""
    seconds = mine(lambda o, _: Scored(o.duration), higher_is_better=False, high=None, failure_scores=None)
    given = [make_pair(n, served={"duration": 1.0 + n % 2}) for n in range(20)]
    count = counted(experiment(seconds, no_worse("mine", by=0.1, cap=9.0)), given)
    assert count.worse > 5


def test_a_scorer_that_can_t_read_an_empty_answer_gets_a_senseless_one(experiment):
    """All answers are alike, and nothing is known of an empty one."""
    broken = mine(lambda o, _: Scored(float(o.outcome.answer[0] == "y")))
    assert counted(experiment(broken), pairs(20)).worse == 20


@pytest.mark.parametrize("scorer", [errors(), tool_success()])
def test_facts_of_a_run_need_no_probe(experiment, scorer):
    """They come out worse whenever the run does."""
    assert counted(experiment(scorer), pairs(5)) is None


def test_a_gain_needs_no_probe(experiment):
    """Nothing is better by standing still."""
    assert counted(experiment(exact_match(), better("exact_match", by=0.1)), pairs(5)) is None


@pytest.mark.parametrize(("costly", "most"), [(False, 500), (True, 150)])
def test_few_pairs_are_probed(experiment, costly, most):
    """All of the first, then ever fewer; a judge is asked least."""
    asked = []
    scorer = mine(lambda o, _: asked.append(o.outcome.answer) or Scored(0.5), costly=costly)
    count = counted(experiment(scorer), pairs(2000))
    assert count.eligible == 2000
    assert count.tried < most


def test_what_has_no_score_is_not_probed(experiment):
    """Failed runs of the incumbent, pairs without labels."""
    failed = [make_pair(n, served={"failure": Failure(kind="crash")}) for n in range(3)]
    assert counted(experiment(exact_match()), failed).tried == 0
    assert counted(experiment(exact_match()), [make_pair(n) for n in range(3)]).eligible == 0


def test_a_scorer_that_breaks_at_a_probe_has_no_score_for_it(experiment):
    """The reason is kept."""
    said = "an answer"
    broken = mine(lambda o, _: Scored(1.0) if o.outcome.answer == said else Unscored("nothing to judge"))
    count = counted(experiment(broken), [make_pair(1)])
    assert (count.tried, count.scored, count.reasons) == (1, 0, {"nothing to judge": 2})

    class Raising:
        metrics, version = (Metric(name="mine"),), "1"

        def score(self, pair):
            if pair.candidate.outcome.answer != "an answer":
                raise ValueError("no answer")
            yield PairScore(metric="mine", query_id=pair.id, incumbent=Scored(1.0), candidate=Scored(1.0),
                            scorer_version="1")  # fmt: skip

    assert counted(experiment(Raising()), [make_pair(1)]).reasons == {"ValueError: no answer": 2}


def test_a_later_look_takes_the_probes_up(experiment):
    """In two looks as in one."""
    definition = experiment(exact_match())
    given = list(pairs(300, answer="answer {}"))
    whole, halves = Progress(definition), Progress(definition)
    whole.add(given, keep=lambda _: None)
    halves.add(given[:150], keep=lambda _: None)
    halves = Progress.restored(definition, *halves.to_state())
    halves.add(given[150:], keep=lambda _: None)
    assert halves.probes.to_state() == whole.probes.to_state()
    assert halves.trial.probes == halves.probes.counts
