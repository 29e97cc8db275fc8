"""Kinds 10 and 11: windows that begin anew, looks that repeat, and suites of cases."""

from datetime import timedelta
from itertools import product

from shadoweval import Rules, better, no_worse
from shadoweval.scoring import errors, exact_match, token_f1

from .conftest import CRASH, DAY, HOUR, NO, RIGHT, YES, bad, good, unsound

ERRORS = no_worse("errors", by=0.02)
QUALITY = no_worse("exact_match", by=0.05)


def version(name, **changes):
    return {**changes, "versions": {"code": name}}


@bad(10, "rollback", never="", says=("changed",))
def a_release_that_crashes(world):
    """Promoted once, then released anew: what the old one did says nothing for the new one."""
    for number in range(900):
        new = number >= 500
        world.ask(number * 99, version("2", **CRASH) if new else version("1", **YES))
    world.judge(errors(), ERRORS)


@bad(10, "hold", never="", says=("changed", "units"))
def a_release_that_nobody_has_seen_much_of(world):
    """Forty pairs of the new one are too few, whatever the old one proved."""
    for number in range(900):
        world.ask(number * 99, version("2" if number >= 860 else "1", **YES))
    world.judge(errors(), ERRORS)


@good(10, by=1400, never="", says=("changed",))
def a_release_that_mends(world):
    """Rolled back once, mended, and promoted by its own pairs."""
    for number in range(1400):
        new = number >= 600
        world.ask(number * 99, version("2", **YES) if new else version("1", **CRASH))
    world.judge(errors(), ERRORS)


@unsound(10, says=("'1', '2'",))
def two_releases_in_turn(world):
    """Workers of two deployments take turns: no window would ever be long enough."""
    for number in range(900):
        world.ask(number * 99, version(str(1 + number % 2), **YES))
    world.judge(errors(), ERRORS)


@unsound(10, says=("trend",))
def a_window_that_slides(world):
    """Each look begins a trial of its own; so none of them may act."""
    for number in range(900):
        world.ask(number * 99, YES)
    world.evaluation = {"since": timedelta(hours=20)}
    world.judge(errors(), ERRORS)


@unsound(10, says=("trend",))
def a_window_that_slides_over_crashes(world):
    """The same against the candidate: it is shown, and nothing acts on it."""
    for number in range(900):
        world.ask(number * 99, CRASH if number % 3 else YES)
    world.evaluation = {"since": timedelta(hours=20)}
    world.judge(errors(), ERRORS)


@unsound(10, says=("trend", "In this window alone: promote"))
def a_window_that_slides_under_kayentas_rule(world):
    """Nor by the other rule."""
    for number in range(900):
        world.ask(number * 99, YES)
    world.evaluation = {"since": timedelta(hours=20)}
    world.judge(errors(), ERRORS, rule="kayenta")


@unsound(10, says=("trend",))
def a_window_that_slides_over_a_suite(world):
    """Nor for who says that no more pairs will come."""
    for number in range(900):
        world.ask(number * 99, CRASH if number % 3 else YES)
    world.evaluation = {"since": timedelta(hours=20), "once": True}
    world.judge(errors(), ERRORS)


def equals(world, count, *, tried=()):
    for number in range(count):
        world.ask(number * 99, YES)
    world.judge(errors(), ERRORS)
    world.tried = [no_worse("errors", by=margin) for margin in tried]


@good(10, by=300, silent=("looked at before",))
def one_set_of_gates(world):
    """What is tried once has all of alpha."""
    equals(world, 300)


@bad(10, says=("looked at before: this is number 12",))
def margins_tried_until_one_holds(world):
    """The twelfth margin on the same pairs takes more evidence than the first."""
    equals(world, 300, tried=[number / 1000 for number in range(1, 12)])


@good(10, by=900, says=("looked at before: this is number 4",))
def the_fourth_set_of_gates(world):
    """It is promoted all the same."""
    equals(world, 900, tried=[0.01, 0.03, 0.015])


def suite(world, count, *, candidate, served):
    """Cases of a file, run within minutes and looked at once."""
    for number in range(count):
        world.ask(number, candidate(number), served(number), labels=RIGHT)
    world.evaluation = {"once": True}


@good(11, by=60, looks=1, silent=("traffic so far",))
def a_suite_of_sixty(world):
    """Sixty cases of which the candidate solves a third more."""
    suite(world, 60, candidate=lambda n: YES if n % 10 < 9 else NO, served=lambda n: YES if n % 10 < 5 else NO)
    world.judge(exact_match(), better("exact_match", by=0.05), rules=Rules())


@good(11, by=150, looks=1)
def a_suite_of_equals(world):
    """150 cases, all but a few alike."""
    suite(world, 150, candidate=lambda n: YES if n % 20 else NO, served=lambda n: YES if (n + 1) % 20 else NO)
    world.judge(exact_match(), no_worse("exact_match", by=0.1), rules=Rules())


@bad(11, "rollback", looks=1, says=("exact_match",), silent=("traffic so far",))
def a_suite_that_got_worse(world):
    """A hundred cases, a quarter of them wrong now."""
    suite(world, 100, candidate=lambda n: NO if n % 4 == 0 else YES, served=lambda n: YES if n % 20 else NO)
    world.judge(exact_match(), QUALITY, rules=Rules())


@bad(11, "hold", looks=1, silent=("traffic so far",))
def a_suite_of_twelve(world):
    """Twelve cases prove nothing of a few points."""
    suite(world, 12, candidate=lambda n: YES, served=lambda n: YES)
    world.judge(exact_match(), QUALITY, rules=Rules())


@bad(11, "hold", looks=1, silent=("traffic so far",))
def a_suite_that_can_not_tell(world):
    """Half a margin worse in eighty cases: undecided, and nobody is told to wait for traffic."""
    suite(world, 80, candidate=lambda n: NO if n % 27 == 0 else YES, served=lambda n: YES if n % 40 else NO)
    world.judge(exact_match(), no_worse("exact_match", by=0.03), rules=Rules())


@bad(11, "hold", says=("more pairs", "and then more likely rollback", "at the traffic so far"))
def an_outlook_towards_a_rollback(world):
    """Worse by more than the margin, not proven yet: what more pairs would bring is said."""
    for number in range(300):
        world.ask(number * HOUR / 10, world.right(0.78), world.right(0.87), labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@bad(11, "hold", looks=1, says=("more cases", "and then more likely rollback"), silent=("more pairs", "so far"))
def a_suite_towards_a_rollback(world):
    """Three of forty cases lost: likely worse by more than the margin, and forty can't tell."""
    suite(world, 40, candidate=lambda n: NO if n in {9, 18, 27} else YES, served=lambda n: NO if n == 3 else YES)
    world.judge(exact_match(), no_worse("exact_match", by=0.02), rules=Rules())


@bad(11, "hold", looks=1, says=("users, sessions or questions that have not come before",))
def an_outlook_in_users(world):
    """60 users who come daily: more of their pairs bring nothing, more users would."""
    for day, user in product(range(10), range(60)):
        world.ask(day * DAY + user * 1000, unit=f"u{user}", text=f"{day} {user}")
    world.judge(errors(), ERRORS)


@bad(11, "hold", looks=1)
def a_suite_of_one(world):
    """One case proves nothing, however good it is."""
    suite(world, 1, candidate=lambda n: YES, served=lambda n: NO)
    world.judge(exact_match(), better("exact_match", by=0.0), rules=Rules())


@bad(11, "hold", looks=1)
def a_suite_of_two(world):
    """Nor do two, with a margin that is half of the range."""
    suite(world, 2, candidate=lambda n: YES, served=lambda n: NO)
    world.judge(exact_match(), no_worse("exact_match", by=0.5), rules=Rules())


@bad(11, "hold", looks=1)
def a_suite_that_fails_in_both_arms(world):
    """Nothing to compare with."""
    suite(world, 80, candidate=lambda n: CRASH, served=lambda n: CRASH)
    world.judge(exact_match(), errors(), QUALITY, ERRORS, rules=Rules())


@bad(11, "hold", "rollback", looks=1)
def a_suite_with_a_rare_great_loss(world):
    """The answers of forty cases change a little, and some are lost: a t test would be sure of what is not so."""

    def near(n):
        return {"answer": f"yes {'no ' * (n % 3)}"}

    suite(world, 40, candidate=lambda n: CRASH if n in {11, 31} else near(n), served=lambda n: near(n + 1))
    world.judge(token_f1(), no_worse("token_f1", by=0.05), rules=Rules())


@good(11, by=90, looks=1)
def a_suite_of_sessions(world):
    """Thirty sessions of three turns each, of which the last ones are open: they count in gates and in controls."""
    for session, turn in product(range(30), range(3)):
        world.ask(
            3 * session + turn,
            YES,
            NO if session % 2 else YES,
            unit=f"s{session}",
            text=f"{session} {turn}",
            labels=RIGHT,
        )
    world.evaluation = {"once": True}
    world.judge(exact_match(), better("exact_match", by=0.05), rules=Rules())


@good(11, by=60, looks=1)
def a_suite_run_five_times(world):
    """Twelve cases, each asked five times: every answer counts, twelve cases decide."""
    for repeat, number in product(range(5), range(12)):
        served = YES if (number + repeat) % 3 == 0 else NO
        world.ask(12 * repeat + number, YES, served, text=f"case {number}", labels=RIGHT)
    world.evaluation = {"once": True}
    world.judge(exact_match(), better("exact_match", by=0.05), rules=Rules())


@bad(11, "rollback", looks=1, says=("among the 2nd time",))
def a_suite_run_five_times_that_fails_later(world):
    """Thirty cases asked five times: right the first time, then wrong."""
    for repeat, number in product(range(5), range(30)):
        world.ask(30 * repeat + number, NO if repeat else YES, YES, text=f"case {number}", labels=RIGHT)
    world.evaluation = {"once": True}
    world.judge(exact_match(), QUALITY, rules=Rules())


@good(11, by=100, looks=1)
def a_closed_window(world):
    """An experiment that ended after a hundred queries: what is proven is proven."""
    for number in range(100):
        world.ask(number * 99, YES, YES)
    world.evaluation = {"closed": True}
    world.judge(errors(), no_worse("errors", by=0.1), rules=Rules())
