"""What a page says of a judge comes from what it did in an evaluation."""

import pytest

from shadoweval import Experiment, Rules, better, evaluate
from shadoweval.records import Envelope
from shadoweval.reporting.document import document
from shadoweval.reporting.html import render
from shadoweval.reporting.judges import judge_lines
from shadoweval.scoring import JudgeBudget, cascade, pairwise_judge, rubric_judge, token_f1
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, ScriptedJudge, make_observation, make_query

PAIRS = 60


@pytest.fixture(name="evaluated")
def _evaluated(tmp_path):
    clock = FixedClock()
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock) as store:
        for number in range(PAIRS):
            query = make_query(number)
            served = make_observation(query, answer=f"no, number {number}")
            store.add_envelopes([Envelope(experiment="e", query=query, served=served)], arms={query.id: ["new"]})
            store.add_observation(make_observation(query, "new", answer=f"yes indeed, number {number}"))
        store.add_counters("e", "spool", {"eligible": PAIRS, "mirrored": PAIRS})
        clock.tick(3600)

        def evaluated(*scorers, gated=True):
            experiment = Experiment(
                name="e",
                candidates={"new": "app:new"},
                scorers=scorers,
                gates=[better(scorers[0].metrics[0].name, by=0.1)] if gated else [],
                rules=Rules(min_hours=0, min_units=40),
                settings=Settings(home=str(tmp_path / "home")),
            )
            return evaluate(experiment, store=store, clock=clock)

        yield evaluated


def grade(question):
    """Likes yes, and nothing else."""
    return {"reason": "r", "level": int("yes" in question.messages[-1].content)}


def rubric(**options):
    judge = ScriptedJudge(grade, clock=FixedClock(), price=(1.0, 2.0), **options)
    return judge, rubric_judge("Is it a yes?", judge=judge, levels=["no", "yes"])


def test_calls_tokens_money_and_probes_of_a_judge(evaluated):
    """As the judge was asked; a second look counts what it took before, and what was answered by it."""
    judge, scorer = rubric(budget=JudgeBudget(calls=1000))
    (seen,) = evaluated(scorer).judges["new"]
    first = len(judge.questions)
    whole = evaluated(scorer)
    (later,) = whole.judges["new"]

    assert (seen.metric, seen.model, seen.endpoint) == ("rubric_judge", "scripted grade", "")
    assert seen.calls == seen.asked - seen.cached == first, "probes ask about the served answers again, for nothing"
    assert seen.left == pytest.approx(1 - first / 1000)
    assert (seen.judged, seen.pairs, seen.lowest_chance) == (PAIRS, PAIRS, 1.0)
    assert seen.usd == pytest.approx(seen.input_tokens / 1e6 + 2 * seen.output_tokens / 1e6, abs=1e-4)
    assert {probe.name for probe in seen.probes} >= {"an empty answer", "an answer that praises itself"}
    assert later.calls == first, "nothing was new"
    assert whole.costs["judge"] == pytest.approx(later.usd)


def test_orders_length_and_repeats_of_a_judge_of_pairs(evaluated):
    """A judge that always says first: all pairs by place, none by length; with bounds that hold it."""
    judge = ScriptedJudge({"reason": "r", "better": "first"}, repeats=2)

    whole = evaluated(pairwise_judge(judge=judge))

    (seen,) = whole.judges["new"]
    assert (seen.by_place.n, seen.by_place.of) == (PAIRS, PAIRS)
    assert 0.85 < seen.by_place.lower < seen.by_place.upper == 1
    assert seen.longer is None
    assert (seen.repeats, seen.agreement) == (2, 1.0)
    assert seen.alone
    assert seen.gated
    (line,) = judge_lines(whole, "new")
    assert line.state == "bad"
    assert "it rewards an empty answer" in line.words
    assert "it goes by the place of an answer in 60 of 60 pairs" in render(whole)
    assert '"by_place"' in document(whole)


def test_a_cascade_shows_its_judge_and_what_it_saw(evaluated):
    """By the metric that people read."""
    _, scorer = rubric()

    (seen,) = evaluated(cascade(token_f1(), scorer, name="polite"), gated=False).judges["new"]

    assert (seen.metric, seen.gated, seen.alone) == ("polite", False, False)


def test_without_a_judge_nothing_is_shown(evaluated):
    """Not even an empty line."""
    whole = evaluated(token_f1(), gated=False)

    assert whole.judges == {}
    assert "Judge of" not in render(whole)
