"""Judges of an evaluation remember and spend in its store."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from shadoweval import Experiment, Rules, at_least, better, evaluate, no_worse
from shadoweval.evaluation.judging import judging
from shadoweval.evaluation.rescore import rescore
from shadoweval.evaluation.suite import SuiteOptions, play
from shadoweval.records import NOT_DRAWN, Envelope, Unscored
from shadoweval.scoring import JudgeBudget, Message, Question, Reply, pairwise_judge, rubric_judge
from shadoweval.settings import Settings
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


def test_processes_share_a_budget(store, url):
    """Together they spend no more than it, and what was under way when it ended."""
    stores = [store, SqlStore(url)]
    budget = JudgeBudget(calls=20, least_chance=1.0)
    judges = [ScriptedJudge({"score": 1}, budget=budget, concurrency=2) for _ in range(2)]

    with ThreadPoolExecutor(2) as threads:
        said = list(
            threads.map(
                lambda place: ask(stores[place], judges[place], [question(n, f"{place} {n}") for n in range(60)]),
                range(2),
            )
        )

    stores[1].close()
    calls = sum(len(judge.questions) for judge in judges)
    assert 20 <= calls <= 20 + 2 * 2 - 1
    assert sum(isinstance(each, Reply) for of in said for each in of) == calls
    assert {each for of in said for each in of if isinstance(each, Unscored)} == {
        Unscored("the judge's budget is spent", informative=False)
    }


class Arms:
    """An experiment over pairs in a store, whose judge is given."""

    def __init__(self, tmp_path, store):
        self.store, self._home = store, str(tmp_path / "home")
        self.clock = FixedClock()
        self.clock.tick(3600)

    def fill(self, pairs):
        for number in range(pairs):
            query = make_query(number)
            served = make_observation(query, answer=f"the old answer {number}")
            self.store.add_envelopes([Envelope(experiment="e", query=query, served=served)], arms={query.id: ["new"]})
            self.store.add_observation(make_observation(query, "new", answer=f"the new answer, longer, {number}"))
        self.store.add_counters("e", "spool", {"eligible": pairs, "mirrored": pairs})

    def evaluate(self, *scorers, gates):
        experiment = Experiment(
            name="e",
            candidates={"new": "app:new"},
            scorers=scorers,
            gates=gates,
            rules=Rules(min_hours=0, min_units=40),
            settings=Settings(home=self._home),
        )
        return evaluate(experiment, store=self.store, clock=self.clock)


@pytest.fixture(name="arms")
def _arms(tmp_path):
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=FixedClock()) as store:
        yield Arms(tmp_path, store)


def prefer_new(question):
    """A judge that prefers the candidate's answer, and any to one that is of another query."""
    asked, first, second = question.messages[-1].content.splitlines()[1:4]
    number = re.search(r"\d+", asked.partition(": ")[2])[0]

    def worth(text):
        return 1 + ("new" in text) if re.search(rf" {int(number)}\b", text) else 0

    ahead = worth(first) - worth(second)
    return {"reason": "r", "better": "first" if ahead > 0 else "second" if ahead < 0 else "tie"}


@pytest.mark.parametrize("gate", [no_worse("pairwise_judge", by=0.1), better("pairwise_judge", by=0.1)])
def test_a_judge_that_always_says_first_promotes_nobody(arms, gate):
    """All is a tie, the position is named, and that ties are no worse proves nothing."""
    arms.fill(80)

    (verdict,) = arms.evaluate(
        pairwise_judge(judge=ScriptedJudge({"reason": "r", "better": "first"})), gates=[gate]
    ).verdicts

    assert verdict.decision == "hold", str(verdict)
    assert "pairwise_judge goes by the place of an answer: in 100% of 80 pairs" in str(verdict)


def test_a_judge_that_prefers_the_candidate_in_both_orders_promotes(arms):
    """What it costs a second look is nothing; and that it may be length is said."""
    arms.fill(80)
    judge = ScriptedJudge(prefer_new)

    (verdict,) = arms.evaluate(pairwise_judge(judge=judge), gates=[better("pairwise_judge", by=0.1)]).verdicts
    asked = len(judge.questions)
    arms.evaluate(pairwise_judge(judge=judge), gates=[better("pairwise_judge", by=0.2)])
    rescored = ScriptedJudge(prefer_new)
    arms.evaluate(pairwise_judge("which is kinder.", judge=rescored), gates=[better("pairwise_judge", by=0.2)])

    assert verdict.decision == "promote", str(verdict)
    assert "preferred the longer answer in 100% of 80 decided pairs" in str(verdict)
    assert asked > 160, "all pairs in both orders, and probes of the judge"
    assert len(judge.questions) - asked < 120, "nothing again but the probes that hold another query's answer"
    assert len(rescored.questions) == asked, "another criterion is another question"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("garbage", "the judge's reply is not JSON"),
        ({"reason": "r", "level": 7}, "the judge's reply is out of range in 'level'"),
        ({"reason": "r"}, "the judge's reply does not fit (required)"),
    ],
)
def test_a_judge_that_keeps_to_no_schema_holds_the_verdict(arms, reply, reason):
    """Its reasons stand in the verdict, and may lie in the answers."""
    arms.fill(40)
    judged = rubric_judge("Is it short?", judge=ScriptedJudge(reply), levels=["no", "yes"])

    (verdict,) = arms.evaluate(judged, gates=[no_worse("rubric_judge", by=0.1)]).verdicts

    assert verdict.decision == "hold"
    assert reason in str(verdict)


class Refused(Exception):
    status_code = 401


def test_a_judge_that_is_not_allowed_is_asked_again_at_the_next_look(arms):
    """A wrong key holds the verdict; with the right one the same pairs are judged."""
    arms.fill(40)
    allowed = []

    def grade(question):
        if not allowed:
            raise Refused("invalid key")
        return {"reason": "r", "level": 1}

    judged = rubric_judge("Is it short?", judge=ScriptedJudge(grade), levels=["no", "yes"])
    (before,) = arms.evaluate(judged, gates=[at_least("rubric_judge", 0.5)]).verdicts
    allowed.append(True)
    again = rubric_judge("Is it short?", judge=ScriptedJudge(grade), levels=["no", "yes"])
    changed = rescore(
        Experiment(name="e", candidates={"new": "app:new"}, scorers=[again], settings=Settings(home=arms._home)),
        store=arms.store,
    )

    assert before.decision == "hold"
    assert "invalid key" in str(before)
    assert changed[0].metric == "rubric_judge"
    assert all(not isinstance(each.candidate, Unscored) for each in arms.store.scores("e", "new"))


def test_a_budget_that_runs_short_is_missing_evidence_of_neither_arm(arms):
    """Pairs that are not drawn are unscored in both arms alike, for a reason that lies in no answer."""
    arms.fill(120)
    judge = ScriptedJudge({"reason": "r", "level": 1}, budget=JudgeBudget(calls=60), clock=arms.clock)
    judged = rubric_judge("Is it short?", judge=judge, levels=["no", "yes"])

    evaluation = arms.evaluate(judged, gates=[])
    scores = list(arms.store.scores("e", "new"))

    missing = [(each.incumbent, each.candidate) for each in scores if isinstance(each.candidate, Unscored)]
    assert 60 <= len(judge.questions) <= 60 + 2 * 8
    assert missing
    assert {each.chance for each in scores} == {1.0, 0.5, 0.25, 0.125, 0.1} & {each.chance for each in scores} > {1.0}
    assert all(each.chance < 1 for each in scores if each.not_drawn)
    assert all(both[0] == both[1] and not both[0].informative for both in missing)
    assert {both[0].reason for both in missing} <= {
        NOT_DRAWN, "the judge's budget is spent",
    }  # fmt: skip
    assert evaluation.provenance["rubric_judge"]["prompt"].startswith("sha256:")


def test_a_suite_is_judged_too(tmp_path, monkeypatch):
    """A case file under pytest or `--cases`: both arms are run, and the judge is asked about them."""
    (tmp_path / "judged_suite.py").write_text("def echo(question):\n    return question\n", encoding="utf-8")
    (tmp_path / "cases.jsonl").write_text('{"query": "one?"}\n{"query": "two?"}\n', encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    judge = ScriptedJudge({"reason": "r", "level": 1})
    experiment = Experiment(
        name="suite",
        candidates={"new": "judged_suite:echo"},
        incumbent="judged_suite:echo",
        labels=tmp_path / "cases.jsonl",
        scorers=[rubric_judge("Is it short?", judge=judge, levels=["no", "yes"])],
        settings=Settings(home=str(tmp_path / "home")),
    )

    evaluation = play(experiment, cases=tmp_path / "cases.jsonl", options=SuiteOptions()).evaluation

    (summary,) = evaluation.summaries["new"]
    assert (summary.metric, summary.scored, summary.candidate) == ("rubric_judge", 2, 1.0)
    assert 2 <= len(judge.questions) <= 6
