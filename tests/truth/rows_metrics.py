"""Kinds 2, 4 and 6: metrics that say nothing, ratios and quantiles, and metrics of which less is better."""

from itertools import count

from shadoweval import at_least, at_most, better, no_worse
from shadoweval.protocols import Metric
from shadoweval.records import Failure, Labels, Scored, ToolCall, Usage
from shadoweval.scoring import (
    PairScorer,
    cost,
    errors,
    exact_match,
    latency,
    overlap,
    recall,
    tokens,
    tool_calls_f1,
    tool_success,
    writes_f1,
)

from .conftest import CRASH, NO, RIGHT, YES, bad, good, unsound

ERRORS = no_worse("errors", by=0.02)
RUBBISH, EMPTY = {"answer": "asdf"}, {"answer": ""}
READ = ToolCall(name="find", effect="read", answered="replayed")


def mine(value, *, name="mine", **metric):
    """A user's scorer of one observation."""
    return PairScorer(
        metrics=(Metric(name=name, **metric),),
        version=f"{name}/1",
        score_one=lambda observation, pair: {name: Scored(float(value(observation, pair)))},
    )


def asked(world, arms, number=600, *, every=99, **query):
    """`number` queries; `arms` gives the candidate's and the incumbent's changes for each."""
    for place in range(number):
        candidate, served = arms(place)
        world.ask(place * every, candidate, served, **query)


@bad(2, says=("exact_match", "prove"))
def references_that_nobody_reaches(world):
    """Whole sentences as references: both arms score 0, and the candidate answers rubbish."""
    reference = Labels(reference="The opening hours are from nine to five.")
    asked(world, lambda n: (RUBBISH, {"answer": f"from 9 to 5, {n}"}), labels=reference)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@bad(2, says=("overlap", "prove"))
def nothing_is_retrieved_by_either(world):
    """Two empty lists are equal."""
    asked(world, lambda _: (RUBBISH, YES))
    world.judge(overlap(5), errors(), no_worse("overlap@5", by=0.05), ERRORS)


@bad(2, says=("tool_success",))
def no_tool_is_called(world):
    """No call, no failed call."""
    asked(world, lambda _: (RUBBISH, YES))
    world.judge(tool_success(), errors(), no_worse("tool_success", by=0.05), ERRORS)


@bad(2, says=("tool_calls_f1",))
def no_call_is_expected_and_none_is_made(world):
    """Expected none, made none: the metric is 1 whatever is answered."""
    asked(world, lambda _: (RUBBISH, YES), labels=Labels(expected_calls=()))
    world.judge(tool_calls_f1(), errors(), no_worse("tool_calls_f1", by=0.05), ERRORS)


@bad(2, says=("writes_f1",))
def no_write_is_expected_and_none_is_made(world):
    """The same of writes."""
    asked(world, lambda _: (RUBBISH, YES), labels=Labels(expected_calls=()))
    world.judge(writes_f1(), errors(), no_worse("writes_f1", by=0.05), ERRORS)


@bad(2, says=("mine",))
def a_scorer_that_always_says_yes(world):
    """1.0 whatever is answered; the candidate answers nothing."""
    asked(world, lambda _: (EMPTY, YES))
    world.judge(mine(lambda *_: 1.0), errors(), no_worse("mine", by=0.05), ERRORS)


@bad(2, says=("mine",))
def a_scorer_of_the_question(world):
    """It varies from pair to pair and says nothing of the answer."""
    asked(world, lambda _: (EMPTY, YES))
    by_question = mine(lambda _, pair: len(pair.query.text) % 3 / 2)
    world.judge(by_question, errors(), no_worse("mine", by=0.05), ERRORS)


@bad(2, says=("mine",))
def a_scorer_that_always_says_half(world):
    """A judge that never uses its scale."""
    asked(world, lambda _: (EMPTY, YES))
    world.judge(mine(lambda *_: 0.5), errors(), no_worse("mine", by=0.05), ERRORS)


@bad(2, says=("mine",))
def a_level_that_says_nothing(world):
    """A gate on the candidate's own level of a metric that can't be lower."""
    asked(world, lambda _: (EMPTY, YES))
    world.judge(mine(lambda *_: 1.0), errors(), at_least("mine", 0.8), ERRORS)


@bad(2, says=("mine",))
def a_lower_is_better_scorer_that_finds_nothing(world):
    """'No banned word' of a metric that looks at nothing: 0 in both arms, and 0 is its better end."""
    asked(world, lambda _: (EMPTY, YES))
    harmless = mine(lambda *_: 0.0, higher_is_better=False, failure_scores=1.0)
    world.judge(harmless, errors(), no_worse("mine", by=0.05), ERRORS)


@bad(2, says=("recall@5",))
def no_judged_document_is_ever_retrieved(world):
    """Labels and hits speak of the same documents, and no query ever has its own: recall is 0 in both arms."""
    for number in range(600):
        elsewhere = {"hits": [f"doc {(number + 7) % 600}"]}
        world.ask(number * 99, {"hits": ["doc 1"]}, elsewhere, labels=Labels(relevant={f"doc {number}": 1}))
    world.judge(recall(5), errors(), no_worse("recall@5", by=0.05), ERRORS)


@good(2, by=600)
def both_always_right(world):
    """At the better end in all pairs of both arms, by a metric that an empty answer fails."""
    asked(world, lambda _: (YES, YES), labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@good(2, by=600)
def no_run_fails(world):
    """A fact of a run could have come out worse."""
    asked(world, lambda _: (YES, YES))
    world.judge(errors(), ERRORS)


@good(2, by=600)
def all_tools_work(world):
    """Another fact of a run."""
    answered = {"calls": [READ]}
    asked(world, lambda _: (answered, answered))
    world.judge(tool_success(), errors(), no_worse("tool_success", by=0.05), ERRORS)


@good(2, by=600)
def all_documents_are_retrieved(world):
    """Recall is 1 in both arms; another query's hits would have none."""
    for number in range(600):
        hits = {"hits": [f"doc {number}"]}
        world.ask(number * 99, hits, hits, labels=Labels(relevant={f"doc {number}": 1}))
    world.judge(recall(5), errors(), no_worse("recall@5", by=0.05), ERRORS)


@good(2, by=600)
def a_scorer_of_the_answer(world):
    """A user's metric that reads the answer and can come out worse."""
    asked(world, lambda _: (YES, YES))
    says_yes = mine(lambda observation, _: observation.outcome.answer == "yes")
    world.judge(says_yes, errors(), no_worse("mine", by=0.05), ERRORS)


def spent(usd):
    return {"usage": Usage(cost_usd=usd)}


@bad(4, "hold", "rollback", says=("cap=",))
def giants_after_the_first_pairs(world):
    """Four queries in a thousand cost 2,000 times as much, and the first 200 have none."""
    asked(world, lambda n: (spent(20.0 if n % 250 == 200 else 0.009), spent(0.01)), 1500)
    world.judge(cost(), errors(), at_most("cost", ratio=1.1), ERRORS)


@bad(4, "hold", "rollback")
def a_cost_that_grows(world):
    """Cheaper at first, three times as dear in the end, dearer on average."""
    asked(world, lambda n: (spent(0.004 + 0.00003 * n), spent(0.01)), 1200)
    world.judge(cost(), errors(), at_most("cost", ratio=1.1), ERRORS)


@bad(4, "hold", "rollback")
def giants_among_tokens(world):
    """The same of a metric that counts: one query in 300 loops until its limit."""

    def used(n):
        return {"usage": Usage(input_tokens=10, output_tokens=n)}

    asked(world, lambda n: (used(200_000 if n % 300 == 299 else 90), used(100)), 1500)
    world.judge(tokens(), errors(), at_most("tokens", ratio=1.1), ERRORS)


@bad(4, "hold", "rollback", says=("at_most('cost', 0.05, cap=20)",))
def giants_under_a_level(world):
    """The candidate's own mean is 0.09, a limit of 0.05 is asked for, and one query in 250 makes all of it."""
    asked(world, lambda n: (spent(20.0 if n % 250 == 200 else 0.009), spent(0.01)), 1500)
    world.judge(cost(), errors(), at_most("cost", 0.05), ERRORS)


@bad(4, "hold", "rollback", says=("contradicts the proof", "larger than the cap of 0.1"))
def giants_beyond_a_declared_cap(world):
    """A cap that is too low: the gate's own ratio over all pairs is 7.7."""
    asked(world, lambda n: (spent(20.0 if n % 250 == 200 else 0.009), spent(0.01)), 1500)
    world.judge(cost(), errors(), at_most("cost", ratio=1.1, cap=0.1), ERRORS)


@bad(4, "rollback")
def dearer_by_many_giants(world):
    """Every twentieth query loops and costs 200 times as much: proven, although each counts as the cap."""
    asked(world, lambda n: (spent(2.0 if n % 20 == 19 else 0.009), spent(0.01)), 1800)
    world.judge(cost(), errors(), at_most("cost", ratio=1.1), ERRORS)


@unsound(4, says=("cap=30)",))
def giants_of_the_incumbent(world):
    """Half as dear again in each ordinary query, and far cheaper on average, for the incumbent loops now and then."""
    asked(world, lambda n: (spent(0.015), spent(30.0 if n % 100 == 99 else 0.01)), 1500)
    world.judge(cost(), errors(), at_most("cost", ratio=1.1), ERRORS)


@bad(4, "hold", "rollback")
def a_quantile_that_is_tied(world):
    """Whole seconds: the incumbent takes 1 in nineteen of twenty and the candidate 2 in a ninth more."""
    asked(
        world,
        lambda n: ({"duration": 2.0 if n % 100 < 8 else 1.0}, {"duration": 2.0 if n % 100 < 4 else 1.0}),
        1200,
    )
    world.judge(latency(), errors(), at_most("latency.p95", ratio=1.1), ERRORS)


@bad(4, "hold", "rollback")
def failing_early_is_not_faster(world):
    """The incumbent takes 40 s at times; the candidate fails at once there, and would count as 30 s."""
    asked(
        world,
        lambda n: (CRASH if n % 8 == 0 else {"duration": 1.0}, {"duration": 40.0 if n % 8 == 0 else 1.0}),
        800,
    )
    world.judge(latency(), errors(), at_most("latency.p95", ratio=1.0), no_worse("errors", by=0.3))


@bad(4, "hold", "rollback")
def failing_early_is_not_cheaper(world):
    """The candidate gives up on what is dear, and what it does answer costs a tenth less."""
    asked(world, lambda n: (CRASH if n % 5 == 0 else spent(0.0105), spent(0.05 if n % 5 == 0 else 0.01)), 800)
    world.judge(cost(), errors(), at_most("cost", ratio=1.1, cap=1.0), no_worse("errors", by=0.4))


@good(4, by=1500)
def cheaper_all_along(world):
    """Costs that vary by query, and a candidate that is a fifth cheaper."""

    def arms(_):
        usd = 0.01 * world.chance.lognormvariate(0, 0.5)
        return spent(0.8 * usd), spent(usd)

    asked(world, arms, 1500)
    world.judge(cost(), errors(), at_most("cost", ratio=1.1), ERRORS)


@good(4, by=900)
def cheaper_with_a_declared_cap(world):
    """The user says what one query can cost at most."""
    asked(world, lambda _: (spent(0.008), spent(0.01)), 900)
    world.judge(cost(), errors(), at_most("cost", ratio=1.1, cap=0.1), ERRORS)


@good(4, by=1500)
def tied_quantiles_of_equals(world):
    """Whole seconds, equal arms."""
    asked(world, lambda n: ({"duration": 1.0 + n % 3}, {"duration": 1.0 + n % 3}), 1500)
    world.judge(latency(), errors(), at_most("latency.p95", ratio=1.2), ERRORS)


@good(4, by=1500)
def equals_at_the_cap(world):
    """A tenth of the runs time out in both arms, at the cap; the quantile lies below."""
    asked(world, lambda n: ({"duration": 30.0 if n % 10 == 3 else 1.0 + n % 2},) * 2, 1500)
    world.judge(latency(), errors(), at_most("latency.p75", ratio=1.2), ERRORS)


@good(4, by=600)
def always_one_second(world):
    """Nothing varies."""
    asked(world, lambda n: ({"duration": 1.0},) * 2, 600)
    world.judge(latency(), errors(), at_most("latency.p95", ratio=1.1), ERRORS)


@bad(4, "rollback")
def always_a_second_longer(world):
    """Whole seconds, each one more."""
    asked(world, lambda n: ({"duration": 2.0 + n % 3}, {"duration": 1.0 + n % 3}), 900)
    world.judge(latency(), errors(), at_most("latency.p95", ratio=1.2), ERRORS)


@bad(4, "rollback", "hold")
def failures_faster_than_the_rest(world):
    """Answers take 40 seconds, and a failed run counts as 30: it is slower than any all the same."""
    asked(world, lambda n: (CRASH if n % 10 == 0 else {"duration": 38.0 + n % 5}, {"duration": 38.0 + n % 5}), 900)
    world.judge(latency(), errors(), at_most("latency.p95", ratio=1.2), no_worse("errors", by=0.2))


@bad(4, "rollback", "hold")
def failures_within_a_level(world):
    """At most 35 seconds, and every tenth run fails, which the cap of 30 would hide."""
    asked(world, lambda n: (CRASH if n % 10 == 0 else {"duration": 2.0}, {"duration": 2.0}), 900)
    world.judge(latency(), errors(), at_most("latency.p95", 35.0), no_worse("errors", by=0.2))


@bad(4)
def a_quantile_between_two_heaps(world):
    """One run of 22 takes ten seconds, the others one: the p95 is one second, and the candidate takes two."""
    asked(world, lambda n: ({"duration": 2.0}, {"duration": 10.0 if world.chance.random() < 1 / 22 else 1.0}), 1500)
    world.judge(latency(), errors(), at_most("latency.p95", ratio=1.2), ERRORS)


@bad(6, "hold", "rollback")
def crashes_are_not_less_toxic(world):
    """Less is better, nothing is said of failures, and the candidate crashes on most queries."""
    asked(world, lambda n: (CRASH if n % 10 < 7 else NO, NO), 600)
    toxic = mine(lambda observation, _: 0.5 * (observation.outcome.answer == "no"), higher_is_better=False)
    world.judge(toxic, errors(), better("mine", by=0.05), no_worse("errors", by=0.9))


@bad(6, "hold", "rollback")
def crashes_do_not_lower_a_level(world):
    """The same by the candidate's own level."""
    asked(world, lambda n: (CRASH if n % 10 < 7 else NO, NO), 600)
    toxic = mine(lambda observation, _: 0.5 * (observation.outcome.answer == "no"), higher_is_better=False)
    world.judge(toxic, errors(), at_most("mine", 0.3), no_worse("errors", by=0.9))


@bad(6, "hold", "rollback")
def crashes_are_no_gain_by_no_worse(world):
    """The same by no_worse, with a few toxic answers more among the rest."""
    asked(world, lambda n: (CRASH if n % 10 < 7 else YES, NO if n % 10 == 0 else YES), 600)
    toxic = mine(lambda observation, _: observation.outcome.answer == "no", higher_is_better=False)
    world.judge(toxic, errors(), no_worse("mine", by=0.02), no_worse("errors", by=0.9))


@bad(6, "rollback", says=("mine is no worse",))
def more_of_what_is_bad(world):
    """Less is better, and there is more of it."""
    asked(world, lambda _: (world.right(0.6), world.right(0.9)), 600)
    wrong = mine(lambda observation, _: observation.outcome.answer == "no", higher_is_better=False, failure_scores=1.0)
    world.judge(wrong, errors(), no_worse("mine", by=0.05), ERRORS)


@good(6, by=900)
def less_of_what_is_bad(world):
    """Less is better, and there is less of it."""
    asked(world, lambda _: (world.right(0.9), world.right(0.7)), 900)
    wrong = mine(lambda observation, _: observation.outcome.answer == "no", higher_is_better=False, failure_scores=1.0)
    world.judge(wrong, errors(), better("mine", by=0.05), ERRORS)


@good(4, by=1500)
def durations_of_equals(world):
    """Equal arms of which a few fail, each as often as the other."""
    numbers = count()

    def arms(_):
        seconds = {"duration": world.chance.lognormvariate(0, 0.3)}
        return (seconds, seconds) if next(numbers) % 200 else ({"failure": Failure(kind="timeout")},) * 2

    asked(world, arms, 1500)
    world.judge(latency(), errors(), at_most("latency.p50", ratio=1.3), ERRORS)
