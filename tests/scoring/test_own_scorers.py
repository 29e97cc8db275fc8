"""A scorer of one's own: a function whose arguments are matched by name."""

import asyncio
import functools
import sys
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from shadoweval import Experiment, Rules, evaluate, no_worse
from shadoweval.errors import ArgumentError, UnknownArgumentError
from shadoweval.protocols import BatchScorer, Metric
from shadoweval.records import Envelope, Failure, Labels, Scored, ToolCall, Unscored, Usage
from shadoweval.scoring import latency, pairwise, per_arm
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import FixedClock, make_observation, make_pair, make_query

CRASH = Failure(kind="crash", message="exit 9")
REFUSED = Failure(kind="refused", cause="a socket")


def sides(scorer, pair):
    (score,) = scorer.score(pair)
    return score.incumbent, score.candidate


def only(scorer, **arms):
    return sides(scorer, make_pair(**arms))[1]


@per_arm
def words(answer: str) -> int:
    """Counts."""
    return len(answer.split()) > 1


class TestPerArm:
    def test_five_lines_are_a_scorer(self):
        """Both arms and the re-run go through the function; it is a function as before."""
        pair = make_pair(served={"answer": "yes"}, shadow={"answer": "oh yes"}, rerun={"answer": "oh well"})

        (score,) = words.score(pair)

        assert isinstance(words, BatchScorer)
        assert (score.metric, score.scorer_version) == ("words", words.version)
        assert (score.incumbent, score.candidate, score.noise) == (Scored(0.0), Scored(1.0), Scored(1.0))
        assert (words("a b"), words.__doc__, words.__name__) == (True, "Counts.", "words")

    def test_arguments_are_matched_by_name_in_any_order(self):
        """Everything that a run and its pair have can be asked for, and nothing else is computed."""
        seen = {}

        @per_arm
        def mine(pair, usage, relevant, tool_calls, query, hits, labels, attributes, value, steps, observation):
            seen.update(locals())
            return 1

        labels = Labels(relevant={"d": 1})
        shadow = {"hits": ["a"], "calls": [ToolCall(name="t")], "usage": Usage(input_tokens=1)}
        assert only(mine, shadow=shadow, labels=labels, query={"attributes": {"plan": "pro"}}) == Scored(1.0)
        assert (seen["query"], seen["attributes"]) == ("question number 1", {"plan": "pro"})
        assert (seen["hits"][0].id, seen["tool_calls"][0].name, seen["usage"].input_tokens) == ("a", "t", 1)
        assert (seen["relevant"], seen["labels"], seen["observation"].arm) == ({"d": 1}, labels, "new")

    @pytest.mark.parametrize(
        ("function", "unknown", "meant"),
        [
            (lambda answr: 1, "answr", "'answer'"),
            (lambda answer, referense: 1, "referense", "'reference'"),
            (lambda answer, tool_call="": 1, "tool_call", "'tool_calls'"),
            (lambda *answer: 1, "answer", ""),
            (lambda **rest: 1, "rest", ""),
            (lambda incumbent: 1, "incumbent", ""),
        ],
    )
    def test_an_unknown_name_is_an_error_where_it_is_written(self, function, unknown, meant):
        """With what was meant, also where it has a default; `*args` have no name to go by."""
        with pytest.raises(ArgumentError, match=f"{unknown}.*{meant}"):
            per_arm(function)

    def test_wrong_options_are_errors_where_they_are_written(self):
        """Of the decorator and of its metric."""
        with pytest.raises(UnknownArgumentError, match="higher_is_better"):
            per_arm(higher_is_beter=False)
        with pytest.raises(ArgumentError, match="failure_scores"):
            per_arm(high=None, higher_is_better=False)(lambda answer: 1)
        with pytest.raises(ArgumentError, match="function"):
            per_arm("words")
        with pytest.raises(ArgumentError, match="no scorer yet"):
            per_arm(words)
        with pytest.raises(ArgumentError, match="alone"):
            per_arm(metrics=[Metric(name="a")], low=0.5)(lambda answer: {})

    @pytest.mark.parametrize(
        ("given", "score"),
        [
            (True, 1.0),
            (np.bool_(True), 1.0),
            (1, 1.0),
            (Decimal("0.25"), 0.25),
            (Fraction(1, 4), 0.25),
            (np.float32(0.5), 0.5),
            (np.int64(1), 1.0),
            (np.array(0.5), 0.5),
            (np.array([0.5]), 0.5),
            (Scored(0.5), 0.5),
        ],
        ids=repr,
    )
    def test_any_kind_of_number(self, given, score):
        """It is stored as one kind."""
        assert only(per_arm(name="m")(lambda answer: given)) == Scored(score)

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            (None, "no value"),
            ("0.5", "a text"),
            (float("nan"), "nan"),
            (np.float64("inf"), "inf"),
            (1j, "TypeError"),
            ([1], "TypeError"),
            (np.array([1.0, 2.0]), "ValueError"),
            (10**400, "OverflowError"),
            (Unscored("not today"), "not today"),
        ],
        ids=str,
    )
    def test_what_is_no_number_is_a_reason(self, given, why):
        """Never 0."""
        score = only(per_arm(name="m")(lambda answer: given))
        assert isinstance(score, Unscored)
        assert why in score.reason

    def test_several_references_the_best_counts(self):
        """In the metric's own direction; an argument with a default may be missing."""

        @per_arm
        def same(answer, reference):
            return answer == reference

        @per_arm(higher_is_better=False)
        def differs(answer, reference):
            return answer != reference

        @per_arm
        def bare(answer, reference="none"):
            return reference == "none"

        labels = Labels(references=("a", "b"))
        assert only(same, shadow={"answer": "b"}, labels=labels) == Scored(1.0)
        assert only(differs, shadow={"answer": "b"}, labels=labels) == Scored(0.0)
        assert only(same) == Unscored("no reference", informative=False)
        assert only(bare) == Scored(1.0)
        assert only(bare, labels=labels) == Scored(0.0)

    @pytest.mark.parametrize("error", [ValueError("boom"), SystemExit(3), asyncio.CancelledError()], ids=repr)
    @pytest.mark.parametrize("is_async", [False, True])
    def test_what_it_raises_is_the_reason_of_that_run_alone(self, error, is_async):
        """Also what is no Exception: a scorer that exits ends no evaluation."""

        def of(answer):
            if answer == "bad":
                raise error
            return 1

        async def aof(answer):
            await asyncio.sleep(0)
            return of(answer)

        scorer = per_arm(aof if is_async else of)
        incumbent, candidate = sides(scorer, make_pair(shadow={"answer": "bad"}))
        assert incumbent == Scored(1.0)
        assert type(error).__name__ in candidate.reason

    def test_failed_runs_are_not_shown_to_it(self):
        """They score what the metric says, and what the shadow ended scores nothing."""
        asked = []

        @per_arm(failure_scores=0.25)
        def mine(answer):
            asked.append(answer)
            return 1.0

        assert only(mine, shadow={"failure": CRASH}) == Scored(0.25)
        assert isinstance(only(mine, shadow={"failure": REFUSED}), Unscored)
        assert asked == ["an answer", "an answer"]

    def test_an_async_function_is_asked_for_many_runs_at_once_in_one_loop(self):
        """So that a client that is bound to its loop serves all of them; the caller may run a loop of its own."""
        under_way, most, loops = 0, 0, set()

        @per_arm
        async def slow(answer):
            nonlocal under_way, most
            loops.add(asyncio.get_running_loop())
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0.01)
            under_way -= 1
            return 1

        async def within():
            return list(slow.score_many([make_pair(n) for n in range(20)]))

        assert len(asyncio.run(within())) == 20
        assert only(slow) == Scored(1.0)
        assert (len(loops), most) == (1, 16)

    def test_a_batch_function_gets_lists(self):
        """At most so many; one that breaks a batch costs the others nothing, and neither does a wrong count."""
        sizes = []

        @per_arm(batch=4)
        def mine(answer, query):
            sizes.append(len(answer))
            assert len(query) == len(answer)
            return [1 / len(each) for each in answer]

        pairs = [make_pair(n, shadow={"answer": "" if n == 3 else "ab"}) for n in range(5)]
        scores = list(mine.score_many(pairs))
        assert [each.query_id for each in scores] == [pair.id for pair in pairs]
        assert sizes[0] == 4
        assert [isinstance(each.candidate, Scored) for each in scores] == [True, True, True, False, True]
        assert "ZeroDivisionError" in scores[3].candidate.reason
        short = per_arm(batch=True, name="m")(lambda answer: answer[:0])
        assert "got 1 and returned 0" in only(short).reason

    def test_many_at_once_say_the_same_as_one_by_one(self):
        """As the protocol asks."""
        pairs = [make_pair(n, shadow={"answer": "a " * n}, rerun={} if n % 2 else None) for n in range(6)]
        assert list(words.score_many(pairs)) == [each for pair in pairs for each in words.score(pair)]

    def test_several_metrics_by_a_dict(self):
        """One that is left out is unscored; one number for two metrics is a mistake that is said."""
        both = per_arm(metrics=[Metric(name="a"), Metric(name="b")])

        found = list(both(lambda answer: {"a": 1}).score(make_pair()))
        assert [each.candidate for each in found] == [Scored(1.0), Unscored("the scorer gave no value")]
        assert "not a dict of a, b" in next(iter(both(lambda answer: 1).score(make_pair()))).candidate.reason

    def test_partials_and_callable_objects(self):
        """Whatever can be called and says what it is called with."""

        def more(answer, least):
            return len(answer) > least

        class Judge:
            def __call__(self, answer, /):
                return answer == "an answer"

        short, long = (per_arm(name="m")(functools.partial(more, least=n)) for n in (3, 30))
        assert (only(short), only(long)) == (Scored(1.0), Scored(0.0))
        assert short.version != long.version
        assert only(per_arm(Judge())) == Scored(1.0)
        assert per_arm(Judge()).metrics[0].name == "Judge"

    def test_the_version_changes_with_the_source_and_the_metric(self):
        """Unless it is said."""

        def made(text, **options):
            space = {}
            exec(text, space)
            return per_arm(**options)(space["mine"]).version

        first = made("def mine(answer):\n    return 1")
        assert first == made("def mine(answer):\n    return 1")
        assert first.startswith("mine/")
        assert first != made("def mine(answer):\n    return 2")
        assert first != made("def mine(answer):\n    return 1", failure_scores=0.5)
        assert made("def mine(answer):\n    return 1", version="mine/7") == "mine/7"


class TestPairwise:
    def test_one_number_is_how_far_the_candidate_is_preferred(self):
        """The incumbent gets the rest."""

        @pairwise
        def shorter(incumbent_answer, candidate_answer):
            return len(candidate_answer) < len(incumbent_answer)

        pair = make_pair(served={"answer": "long"}, shadow={"answer": "no"})
        assert sides(shorter, pair) == (Scored(0.0), Scored(1.0))

    def test_two_numbers_are_the_arms(self):
        """Of any range."""

        @pairwise(high=None)
        def both(incumbent, candidate, query):
            return len(incumbent.outcome.answer), Decimal(len(candidate.outcome.answer))

        assert sides(both, make_pair(shadow={"answer": "no"})) == (Scored(9.0), Scored(2.0))

    def test_who_failed_loses(self):
        """The function is not asked; who was ended by the shadow neither wins nor loses."""
        asked = []
        scorer = pairwise(name="m")(lambda pair: asked.append(pair))

        assert sides(scorer, make_pair(shadow={"failure": CRASH})) == (Scored(1.0), Scored(0.0))
        assert sides(scorer, make_pair(served={"failure": CRASH})) == (Scored(0.0), Scored(1.0))
        assert sides(scorer, make_pair(served={"failure": CRASH}, shadow={"failure": CRASH})) == (Scored(0.0),) * 2
        for side in sides(scorer, make_pair(shadow={"failure": REFUSED})):
            assert isinstance(side, Unscored)
        assert asked == []

    def test_names_are_told_by_arm(self):
        """`answer` says nothing of whose."""
        with pytest.raises(ArgumentError, match="candidate_answer"):
            pairwise(lambda answer: 1)


def test_the_whole_way_with_a_scorer_that_exits(tmp_path):
    """Stored pairs are judged by one's own scorer, while another one ends the process if it can."""

    @per_arm
    def polite(answer):
        return "please" in answer

    @per_arm
    def rude(answer):
        sys.exit("enough")

    clock = FixedClock()
    experiment = Experiment(
        name="own",
        candidates={"new": "app:new"},
        scorers=[polite, rude, latency()],
        gates=[no_worse("polite", by=0.1)],
        rules=Rules(min_hours=0),
        settings=Settings(home=str(tmp_path / "home")),
    )
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock) as store:
        for number in range(300):
            query = make_query(number)
            served = make_observation(query, answer="yes, please" if number % 2 else "yes")
            store.add_envelopes([Envelope(experiment="own", query=query, served=served)], arms={query.id: ["new"]})
            store.add_observation(make_observation(query, "new", answer="no"))
        store.add_counters("own", "spool", {"eligible": 300, "mirrored": 300})
        clock.tick(3600)
        evaluation = evaluate(experiment, store=store, clock=clock)

    assert evaluation.verdicts[0].rolls_back, evaluation.verdicts[0]
    means = {each.metric: each for each in evaluation.summaries["new"]}
    assert means["polite"].candidate == 0.0
    assert any("SystemExit: enough" in reason for reason in means["rude"].unscored), means["rude"]
