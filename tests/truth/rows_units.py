"""Kinds 1 and 3: units that return, questions that repeat, and few who make most of the traffic."""

from itertools import product

from shadoweval import Rules, at_most, better, no_worse
from shadoweval.scoring import cost, errors, exact_match

from .conftest import CRASH, DAY, HOUR, MINUTE, NO, RIGHT, YES, bad, good
from .rows_metrics import spent

ERRORS = no_worse("errors", by=0.02)
OF_ERRORS = ("errors is no worse by 0.02",)


@bad(1, "rollback", says=OF_ERRORS)
def users_who_return_meet_crashes(world):
    """Fine on the first day, broken on the three after it."""
    for day, user in product(range(4), range(300)):
        world.ask(day * DAY + user * 200, CRASH if day else YES, unit=f"u{user}", text=f"{day} {user}")
    world.judge(errors(), ERRORS)


@bad(1, "rollback", says=OF_ERRORS)
def follow_up_turns_crash(world):
    """The first turn of each session works; 'yes' and 'yes' do not."""
    for session, turn in product(range(400), range(3)):
        text = f"q {session}" if turn == 0 else "yes"
        world.ask(session * 99 + turn, CRASH if turn else YES, unit=f"s{session}", text=text)
    world.judge(errors(), ERRORS)


@bad(1, "rollback", says=OF_ERRORS)
def follow_up_turns_without_a_unit_crash(world):
    """The same where nothing names the session: 'yes' is one text among many."""
    for session, turn in product(range(400), range(3)):
        world.ask(session * 99 + turn * 20, CRASH if turn else YES, text=f"q {session}" if turn == 0 else "yes")
    world.judge(errors(), ERRORS)


@bad(1, "rollback", says=OF_ERRORS)
def a_popular_question_always_crashes(world):
    """Half of the traffic is one question."""
    for number in range(1000):
        popular = number % 2
        world.ask(number * 99, CRASH if popular else YES, text="popular" if popular else f"q {number}")
    world.judge(errors(), ERRORS)


@bad(3, "hold", "rollback", says=("exact_match is no worse",))
def a_popular_question_is_answered_wrongly(world):
    """Half of the traffic is one question, and its answer is wrong now: no fact of a run, but what users meet."""
    for number in range(1000):
        popular = number % 2
        world.ask(number * 99, NO if popular else YES, text="popular" if popular else f"q {number}", labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@bad(1, "rollback", says=OF_ERRORS, looks=9)
def daily_users_meet_crashes_later(world):
    """150 users who come daily; from day 15 on three of four calls fail. Rolled back by day 17."""
    for day, user in product(range(18), range(150)):
        crashes = day >= 15 and world.chance.random() < 0.75
        world.ask(day * DAY + user * 500, CRASH if crashes else YES, unit=f"u{user}", text=f"{day} {user}")
    world.judge(errors(), no_worse("errors", by=0.04), ERRORS)


@bad(1, "rollback", says=OF_ERRORS)
def a_question_that_comes_daily_fails_later(world):
    """The same 200 questions every day, without a unit, and from the second day on they crash."""
    for day, number in product(range(4), range(200)):
        world.ask(day * DAY + number * 300, CRASH if day else YES, text=f"q {number}")
    world.judge(errors(), ERRORS)


@bad(1, "rollback", says=OF_ERRORS)
def long_sessions_crash_beyond_their_beginning(world):
    """Sessions of 40 turns; from the 21st on all crash."""
    for session, turn in product(range(30), range(40)):
        crashes = turn >= 20
        world.ask(session * HOUR + turn * 20, CRASH if crashes else YES, unit=f"s{session}", text=f"{session} {turn}")
    world.judge(errors(), ERRORS)


@bad(3, "hold", "rollback")
def long_sessions_go_wrong_beyond_their_beginning(world):
    """The same by what is answered."""
    for session, turn in product(range(220), range(6)):
        at = session * HOUR + (turn if turn < 2 else turn + 200) * MINUTE / 2
        world.ask(at, NO if turn >= 2 else YES, unit=f"s{session}", text=f"{session} {turn}", labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@bad(1, "hold", "rollback")
def few_tenants_with_much_traffic(world):
    """Five tenants are five units, whatever number of pairs: nothing is proven of tenants."""
    for number in range(900):
        world.ask(number * 300, YES, unit=f"tenant {number % 5}")
    world.judge(errors(), ERRORS)


@bad(3, "hold", "rollback", says=("exact_match is no worse",))
def heavy_users_get_wrong_answers(world):
    """300 users ask once; five ask a hundred times a day, and get wrong answers from the second day on."""
    for user in range(300):
        world.ask(user * 500, unit=f"u{user}", labels=RIGHT)
    for day, number, user in product(range(2), range(60), range(5)):
        world.ask(day * DAY + number * 900 + user, NO if day else YES, unit=f"heavy {user}", labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@bad(3, "hold", "rollback")
def better_for_most_units_and_worse_for_most_pairs(world):
    """A gain on questions that come once, a loss on the one that makes most of the traffic."""
    for number in range(1200):
        popular = number % 3 > 0
        served = YES if popular else world.right(0.5)
        world.ask(
            number * 99,
            NO if popular else world.right(0.9),
            served,
            text="popular" if popular else f"q {number}",
            labels=RIGHT,
        )
    world.judge(exact_match(), errors(), better("exact_match", by=0.02), ERRORS)


@good(1, by=1200)
def users_who_return_and_fare_well(world):
    """Equal arms, 300 users on four days."""
    for day, user in product(range(4), range(300)):
        world.ask(day * DAY + user * 200, unit=f"u{user}", text=f"{day} {user}")
    world.judge(errors(), ERRORS)


@good(1, by=1500)
def follow_up_turns_that_work(world):
    """Equal arms, sessions of three turns."""
    for session, turn in product(range(500), range(3)):
        text = f"q {session}" if turn == 0 else "yes"
        world.ask(session * 200 + turn, unit=f"s{session}", text=text)
    world.judge(errors(), ERRORS)


@good(1, by=900)
def a_popular_question_that_works(world):
    """A third of the traffic is one question, and both arms answer it."""
    for number in range(1200):
        world.ask(number * 99, text=f"q {number}" if number % 3 else "popular")
    world.judge(errors(), ERRORS)


@good(1, by=1200, says=("users seen",))
def these_users_fare_well(world):
    """40 users who come daily prove nothing of others; of themselves they do."""
    for day, user in product(range(30), range(40)):
        world.ask(day * DAY + user * 1000, unit=f"u{user}", text=f"{day} {user}")
    world.judge(errors(), ERRORS, rules=Rules(min_hours=0, population="these users"))


THESE = Rules(min_hours=0, population="these users")


@bad(1, "rollback", never="", says=("users seen",))
def these_users_are_harmed_later(world):
    """40 users who come daily, and from the 15th day on three of four of their visits fail."""
    for day, user in product(range(30), range(40)):
        failing = day >= 14 and (day + user) % 4
        world.ask(day * DAY + user * 1000, CRASH if failing else YES, unit=f"u{user}", text=f"{day} {user}")
    world.judge(errors(), ERRORS, rules=THESE)


@bad(1, "hold", "rollback", says=("users seen",))
def two_of_these_users_never_get_an_answer(world):
    """Two of forty: more than the margin of their visits."""
    for day, user in product(range(30), range(40)):
        world.ask(day * DAY + user * 1000, YES if user > 1 else CRASH, unit=f"u{user}", text=f"{day} {user}")
    world.judge(errors(), ERRORS, rules=THESE)


@bad(1, "hold", "rollback", says=("users seen",))
def one_of_these_users_asks_much(world):
    """One user makes a third of the queries, all of which fail; the visits of the others do not."""
    for day, user in product(range(30), range(40)):
        world.ask(day * DAY + user * 1000, YES if user else CRASH, unit=f"u{user}", text=f"{day} {user}")
    for day, number in product(range(30), range(20)):
        world.ask(day * DAY + 5 + number, CRASH, unit="u0", text=f"{day} more {number}")
    world.judge(errors(), ERRORS, rules=THESE)


@good(3, by=1200)
def heavy_users_get_better_answers(world):
    """A gain for those who ask once and for those who ask much."""
    for user in range(600):
        world.ask(user * 500, world.right(0.9), world.right(0.5), unit=f"u{user}", labels=RIGHT)
    for number, user in product(range(60), range(10)):
        world.ask(number * 4000 + user, world.right(0.9), world.right(0.5), unit=f"heavy {user}", labels=RIGHT)
    world.judge(exact_match(), errors(), better("exact_match", by=0.02), ERRORS)


@bad(3)
def kayenta_passes_what_is_ten_times_as_dear(world):
    """Every twentieth query costs 200 times as much: medians say nothing of it, and the printed interval all."""
    for number in range(1000):
        world.ask(number * 99, spent(2.0 if number % 20 == 19 else 0.009), spent(0.01))
    world.judge(cost(), errors(), at_most("cost", ratio=1.1), ERRORS, rule="kayenta")


@bad(3, says=("its own numbers speak against it",))
def kayenta_passes_what_half_of_the_traffic_lost(world):
    """Half of the traffic is one question that is answered wrongly now."""
    for number in range(600):
        popular = number % 2
        text = "popular" if popular else f"q {number}"
        world.ask(number * 99, NO if popular else YES, text=text, labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS, rule="kayenta")


@bad(3, "hold", "rollback", looks=1)
def a_suite_in_which_one_question_comes_often(world):
    """Looked at once: a question that makes half of the cases fails always."""
    for number in range(600):
        popular = number % 2
        world.ask(number, CRASH if popular else YES, text="popular" if popular else f"q {number}")
    world.evaluation = {"once": True}
    world.judge(errors(), ERRORS)
