"""Kind 5: scores that are not there, for reasons that may lie in the answer or do not."""

from shadoweval import Labels, Rules, at_least, at_most, better, no_worse
from shadoweval.buckets import within
from shadoweval.protocols import Metric
from shadoweval.records import FIRST_PROCESS, NOT_DRAWN, Failure, PairScore, Scored, Unscored
from shadoweval.scoring import PairScorer, cost, errors, exact_match, latency

from .conftest import CRASH, NO, RIGHT, YES, bad, good, unsound
from .rows_metrics import spent

ERRORS = no_worse("errors", by=0.02)
NO_TEXT = {"answer": None}


def judge(*, name="quality"):
    """A user's judge that gives no score where the answer begins with '?', else whether it ends in 'yes'."""

    def score_one(observation, pair):
        answer = observation.outcome.answer
        return {name: Unscored("the judge gave no number") if answer[0] == "?" else Scored(float(answer[-3:] == "yes"))}

    return PairScorer(metrics=(Metric(name=name, failure_scores=0.0),), version=f"{name}/1", score_one=score_one)


def answer(*, right, unscored):
    return {"answer": ("? " if unscored else "") + ("yes" if right else "no")}


@bad(5, "hold", says=("quality",))
def most_pairs_are_unscored_in_both_arms(world):
    """Nine of ten answers have no score, and nobody knows what they are like."""
    for number in range(2400):
        unscored = number % 10 > 0
        candidate = answer(right=not unscored, unscored=unscored)
        world.ask(number * 99, candidate, answer(right=True, unscored=unscored))
    world.judge(judge(), errors(), no_worse("quality", by=0.05), ERRORS)


@bad(5, "hold", "rollback", says=("quality",))
def missing_scores_that_favour_the_candidate(world):
    """As many in each arm: the candidate's wrong answers and the incumbent's right ones; it is ten points worse."""
    for number in range(1500):
        wrong, right = world.chance.random() < 0.4, world.chance.random() < 0.7
        lost, missed = world.chance.random() < 0.5, world.chance.random() < 0.286
        world.ask(
            number * 99,
            answer(right=not wrong, unscored=wrong and lost),
            answer(right=right, unscored=right and missed),
            rerun=None,
        )
    world.judge(judge(), errors(), no_worse("quality", by=0.05), ERRORS)


@bad(5, "hold", "rollback", says=("quality",))
def missing_scores_in_the_same_pairs(world):
    """A fifth of the pairs lacks both scores, just those in which the candidate is wrong."""
    for number in range(1200):
        lost = number % 5 == 0
        world.ask(number * 99, answer(right=not lost, unscored=lost), answer(right=True, unscored=lost))
    world.judge(judge(), errors(), no_worse("quality", by=0.05), ERRORS)


@bad(5, "hold", "rollback", says=("exact_match",))
def answers_without_text(world):
    """The candidate returns no text in a fifth of the pairs, which can't be scored."""
    for number in range(600):
        world.ask(number * 99, NO_TEXT if number % 5 == 0 else YES, labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@bad(5, "hold", "rollback", says=("exact_match",))
def answers_without_text_in_both_arms(world):
    """Neither arm's text is there in half of the pairs: nothing is known of these."""
    for number in range(1200):
        world.ask(number * 99, *(NO_TEXT, NO_TEXT) if number % 2 else (YES, YES), labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@good(5, by=900)
def first_runs_of_each_process(world):
    """Workers come and go, and the first run of a process counts nowhere, in neither arm."""
    for number in range(900):
        first = {"duration": 9.0, "cold": FIRST_PROCESS} if number % 30 == 0 else {"duration": 1.0}
        world.ask(number * 99, first, {"duration": 1.0}, rerun=first)
    world.judge(latency(), errors(), at_most("latency.p95", 2.0), ERRORS)


@bad(5, "hold", "rollback", says=("latency",))
def a_mean_of_what_was_timed(world):
    """The candidate's process dies after every tenth run, and the run after it is slow."""
    for number in range(900):
        slow = {"duration": 25.0, "cold": "the one before was given up: it died"}
        world.ask(number * 99, slow if number % 10 == 0 else {"duration": 1.0}, {"duration": 1.0})
    world.judge(latency(), errors(), at_most("latency", ratio=1.2), ERRORS)


@good(5, by=900)
def one_query_too_large_of_many(world):
    """Queries that were too large to mirror, one of a hundred: too few to tip what is proven."""
    for number in range(900):
        world.ask(number * 99)
    world.counters = {"eligible": 909, "mirrored": 900, "too_large": 9}
    world.judge(errors(), ERRORS)


@bad(5, "hold", "rollback", says=("aborted",))
def callers_who_go_away(world):
    """Most callers went away before the answer came: what is left are the quick ones."""
    gone = {"failure": Failure(kind="aborted")}
    for number in range(1500):
        world.ask(number * 99, YES, gone if number % 10 < 7 else YES)
    world.judge(errors(), ERRORS)


@bad(5, "hold", "rollback", says=("killed",))
def runs_that_are_killed(world):
    """Most of the candidate's runs were killed from outside, the slow ones maybe."""
    killed = {"failure": Failure(kind="killed")}
    for number in range(1500):
        world.ask(number * 99, killed if number % 10 < 6 else YES)
    world.judge(errors(), ERRORS)


@bad(5, "hold", "promote", never="", says=("labelled",))
def labels_for_the_easy_half(world):
    """Only short questions of free users have labels; the long ones take the candidate ten times as long."""
    for number in range(800):
        easy = number % 2
        world.ask(
            number * 99,
            {"answer": "yes", "duration": 0.1 if easy else 1.0},
            text=f"short {number}" if easy else f"{'a long question ' * 20}{number}",
            attributes={"plan": "free" if easy else "pro"},
            labels=RIGHT if easy else None,
        )
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@bad(5, "hold", "promote", never="", silent=("(error)",), looks=1)
def a_large_query_among_seventeen(world):
    """One that was too large does not hold for ever."""
    for number in range(16):
        world.ask(number * 99, YES)
    world.counters = {"eligible": 17, "mirrored": 16, "too_large": 1}
    world.judge(errors(), no_worse("errors", by=0.2))


@unsound(5, says=("Only",))
def half_of_the_queries_are_lost(world):
    """A full spool lost half of them, and the candidate crashes on none of the rest."""
    for number in range(600):
        world.ask(number * 99, YES)
    world.counters = {"eligible": 1200, "mirrored": 600, "full": 600}
    world.judge(errors(), ERRORS)


@good(5, by=1500)
def some_have_no_label(world):
    """Labels come for a random half."""
    for number in range(1500):
        world.ask(number * 99, world.right(0.9), world.right(0.7), labels=RIGHT if number % 2 else None)
    world.judge(exact_match(), errors(), better("exact_match", by=0.02), ERRORS)


@good(5, by=900)
def a_few_scores_are_missing(world):
    """One score of a hundred is missing in both arms."""
    for number in range(900):
        lost = number % 100 == 99
        world.ask(
            number * 99,
            answer(right=world.chance.random() < 0.9, unscored=lost),
            answer(right=world.chance.random() < 0.6, unscored=lost),
        )
    world.judge(judge(), errors(), better("quality", by=0.02), ERRORS)


@good(5, by=900)
def a_few_callers_go_away(world):
    """Two of a hundred."""
    for number in range(900):
        world.ask(number * 99, YES, {"failure": Failure(kind="aborted")} if number % 50 == 49 else YES)
    world.judge(errors(), no_worse("errors", by=0.05))


@good(5, by=900)
def a_few_queries_are_lost(world):
    """A spool that was full for some minutes."""
    for number in range(900):
        world.ask(number * 99, YES)
    world.counters = {"eligible": 910, "mirrored": 900, "full": 10}
    world.judge(errors(), no_worse("errors", by=0.05))


@good(5, by=900)
def other_references_later(world):
    """Labels of a tenth of the queries name no reference at all."""
    for number in range(900):
        labels = Labels(relevant={"doc": 1}) if number % 10 == 0 else RIGHT
        world.ask(number * 99, world.right(0.9), world.right(0.6), labels=labels)
    world.judge(
        exact_match(), errors(), better("exact_match", by=0.02), ERRORS, rules=Rules(min_hours=0, min_units=150)
    )


@bad(5, "rollback", says=("quality",), never="promote")
def missing_scores_hide_no_harm(world):
    """A few scores are missing and the rest says enough."""
    for number in range(900):
        lost = number % 50 == 49
        world.ask(
            number * 99, answer(right=world.right(0.3) is not NO, unscored=lost), answer(right=True, unscored=lost)
        )
    world.judge(judge(), errors(), no_worse("quality", by=0.05), ERRORS)


@bad(5, "hold", "rollback", says=("quality",))
def a_level_of_what_has_a_score(world):
    """A gate on the candidate's own level, and half of its answers, the wrong ones, have no score."""
    for number in range(900):
        wrong = number % 2 == 0
        world.ask(number * 99, answer(right=not wrong, unscored=wrong), answer(right=True, unscored=False))
    world.judge(judge(), errors(), at_least("quality", 0.8), ERRORS)


@bad(5, "hold", "rollback", says=("cost",))
def a_level_of_what_did_not_fail(world):
    """The candidate gives up on what is dear, and its own mean cost is that of the rest."""
    for number in range(900):
        dear = number % 4 == 0
        world.ask(number * 99, CRASH if dear else spent(0.01), spent(0.2 if dear else 0.01))
    world.judge(cost(), errors(), at_most("cost", 0.02, cap=1.0), no_worse("errors", by=0.4))


@bad(5, "hold", "rollback", says=("latency",))
def a_quantile_of_what_was_timed(world):
    """Every fifth run is the first of its process, so that its seconds count nowhere, and these are the slow ones."""
    for number in range(900):
        cold = number % 5 == 0
        slow = {"duration": 20.0, "cold": "the process before it was stopped"} if cold else {"duration": 1.0}
        world.ask(number * 99, slow, {"duration": 1.0})
    world.judge(latency(), errors(), at_most("latency.p95", 2.0), ERRORS)


@bad(5, "hold", "rollback", says=("aborted",))
def runs_that_were_given_up(world):
    """Most of the candidate's runs ended as if a caller had gone away, which no shadow has."""
    for number in range(1500):
        world.ask(number * 99, {"failure": Failure(kind="aborted")} if number % 10 < 6 else YES)
    world.judge(errors(), ERRORS)


@bad(5, "hold", "rollback", says=("quality",))
def missing_scores_by_pairs_of_one_kind(world):
    """All questions of one customer have no score in either arm; the gate holds for the others."""
    for number in range(1200):
        lost = number % 4 == 0
        attributes = {"plan": "pro" if lost else "free"}
        arms = answer(right=not lost, unscored=lost), answer(right=True, unscored=lost)
        world.ask(number * 99, *arms, attributes=attributes)
    world.judge(judge(), errors(), no_worse("quality", by=0.05), ERRORS)


@good(5, by=900)
def failures_with_no_score_as_often_in_both(world):
    """One run of a hundred fails in each arm, and what it would have cost nobody knows."""
    for number in range(900):
        candidate, served = (CRASH if number % 100 == place else spent(0.01) for place in (7, 57))
        world.ask(number * 99, candidate, served)
    world.judge(cost(), errors(), at_most("cost", ratio=1.2, cap=0.1), no_worse("errors", by=0.05))


class Drawing:
    """A judge whose calls get scarce: each pair is drawn with a chance, and the others have no score by design."""

    version = "drawing/1"

    def __init__(self, chance):
        self.metrics = (Metric(name="quality", failure_scores=0.0, fact_of_run=True, least_chance=0.2),)
        self._chance = chance

    def score(self, pair):
        chance = self._chance(pair)
        drawn = within(chance, "drawing", pair.id)
        arms = {
            arm: Scored(float(run.outcome.answer == "yes")) if drawn else Unscored(NOT_DRAWN, informative=False)
            for arm, run in (("incumbent", pair.served), ("candidate", pair.candidate))
        }
        yield PairScore(metric="quality", query_id=pair.id, chance=chance, **arms)


@bad(5, "hold", "rollback", says=("quality",))
def a_judge_that_is_asked_less_about_hard_queries(world):
    """Every other query is hard, the candidate ten points worse at it, and a fifth of them is judged."""
    for number in range(3000):
        hard = number % 2 > 0
        world.ask(
            number * 99, NO if hard and number % 20 == 1 else YES, YES, rerun=None, attributes={"hard": str(hard)}
        )
    drawing = Drawing(lambda pair: 0.2 if pair.query.attributes["hard"] == "True" else 1.0)
    world.judge(drawing, errors(), no_worse("quality", by=0.04), ERRORS)
