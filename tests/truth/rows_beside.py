"""Kinds 7, 8 and 9: harm beside the gates, a turn to the worse lately, and hours that nobody saw."""

from shadoweval import Rules, at_least, at_most, better, no_worse
from shadoweval.records import Failure, ToolCall
from shadoweval.scoring import cost, errors, exact_match, latency, overlap, tool_success

from .conftest import CRASH, DAY, HOUR, MINUTE, NO, RIGHT, YES, bad, good
from .rows_metrics import mine, spent

ERRORS = no_worse("errors", by=0.02)
GAIN = better("exact_match", by=0.02)


@bad(7, "hold", says=("lang=es",))
def one_language_fails(world):
    """Better on nine tenths, always wrong in Spanish."""
    for number in range(2000):
        es = number % 10 == 0
        world.ask(
            number * 99,
            NO if es else world.right(0.75),
            world.right(0.6),
            attributes={"lang": "es" if es else "en"},
            labels=RIGHT,
        )
    world.judge(exact_match(), errors(), GAIN, ERRORS)


@bad(7, "hold", says=("length",))
def long_questions_fail(world):
    """The same by the questions' length, which nobody declared."""
    for number in range(2000):
        long = number % 10 == 0
        world.ask(
            number * 99,
            NO if long else world.right(0.75),
            world.right(0.6),
            text=f"{'why is it so ' * 60 if long else 'why '}{number}",
            labels=RIGHT,
        )
    world.judge(exact_match(), errors(), GAIN, ERRORS)


@bad(7, "hold", says=("script",))
def another_script_fails(world):
    """The same by the script of the questions."""
    for number in range(2000):
        other = number % 10 == 0
        world.ask(
            number * 99,
            NO if other else world.right(0.75),
            world.right(0.6),
            text=f"{'почему так' if other else 'why is it so'} {number}",
            labels=RIGHT,
        )
    world.judge(exact_match(), errors(), GAIN, ERRORS)


@bad(7, "hold", "rollback", says=("plan=pro",))
def one_plan_crashes(world):
    """Crashes of one customer in twenty stay within the gate's margin, and are all that customer gets."""
    for number in range(2000):
        pro = number % 40 == 0
        world.ask(number * 99, CRASH if pro else YES, attributes={"plan": "pro" if pro else "free"})
    world.judge(errors(), no_worse("errors", by=0.05))


@bad(7, "hold", says=("exact_match",))
def a_metric_without_a_gate_falls(world):
    """Scored and never gated: answers are worse by thirty points."""
    for number in range(900):
        world.ask(number * 99, world.right(0.6), world.right(0.9), labels=RIGHT)
    world.judge(exact_match(), errors(), ERRORS)


@bad(7, "hold", says=("mine",))
def a_lower_is_better_metric_without_a_gate_rises(world):
    """The same of a metric of which less is better."""
    for number in range(900):
        world.ask(number * 99, world.right(0.6), world.right(0.9))
    wrong = mine(lambda observation, _: observation.outcome.answer == "no", higher_is_better=False, failure_scores=1.0)
    world.judge(wrong, errors(), ERRORS)


@bad(7, "hold", says=("timeout",))
def other_failures_than_before(world):
    """As many failures, and of another kind: what crashed at once now hangs until it is stopped."""
    for number in range(1500):
        fails = number % 25 < 2
        candidate = {"failure": Failure(kind="timeout")} if fails else YES
        world.ask(number * 99, candidate, CRASH if number % 25 in {2, 3} else YES)
    world.judge(errors(), no_worse("errors", by=0.05), rules=Rules(min_hours=0, max_incumbent_failures=0.2))


@bad(7, "hold", says=("lang=es & plan=pro",))
def two_values_together_fail(world):
    """Spanish questions of one plan: a twenty-fifth of the traffic, a fifth of the Spanish one and of the plan's."""
    for number in range(2000):
        es, pro = number % 5 == 0, number // 5 % 5 == 0
        wrong = es and pro
        world.ask(
            number * 99,
            NO if wrong else world.right(0.8),
            world.right(0.65),
            attributes={"lang": "es" if es else "en", "plan": "pro" if pro else "free"},
            labels=RIGHT,
        )
    world.judge(exact_match(), errors(), GAIN, ERRORS)


@bad(7, "hold", "rollback", says=("plan=pro",))
def one_plan_of_few_users_who_return(world):
    """Six of two hundred users, who come every day, get nothing but crashes: three pairs in a hundred."""
    for day in range(10):
        for user in range(200):
            pro = user % 33 == 0 and user > 0
            world.ask(
                day * DAY + user * 200,
                CRASH if pro else YES,
                unit=f"u{user}",
                text=f"{day} {user}",
                attributes={"plan": "pro" if pro else "free"},
            )
    world.judge(errors(), no_worse("errors", by=0.06))


@bad(7, "hold", "rollback", says=("mine in lang=es",))
def a_part_by_a_metric_of_which_less_is_better(world):
    """The same of a metric of which less is better."""
    for number in range(1500):
        es = number % 12 == 0
        world.ask(number * 99, NO if es else YES, world.right(0.8), attributes={"lang": "es" if es else "en"})
    wrong = mine(lambda observation, _: observation.outcome.answer == "no", higher_is_better=False, failure_scores=1.0)
    world.judge(wrong, errors(), no_worse("mine", by=0.02), ERRORS)


@bad(7, "hold", "rollback", says=("latency in plan=pro",))
def one_plan_is_slow(world):
    """Three pairs in a hundred take ten times as long: neither the median nor the 95th percentile moves."""
    for number in range(2000):
        pro, seconds = number % 33 == 0, 1.0 + number % 7 / 10
        attributes = {"plan": "pro" if pro else "free"}
        world.ask(
            number * 99, {"duration": seconds * (10 if pro else 0.9)}, {"duration": seconds}, attributes=attributes
        )
    world.judge(latency(), errors(), at_most("latency.p50", ratio=1.2), ERRORS)


@bad(7, "hold", "rollback", says=("exact_match in lang=es",))
def a_part_under_a_gate_on_the_level(world):
    """Above the level that is asked for, and always wrong in one language."""
    for number in range(1500):
        es = number % 12 == 0
        attributes = {"lang": "es" if es else "en"}
        world.ask(number * 99, NO if es else YES, world.right(0.8), attributes=attributes, labels=RIGHT)
    world.judge(exact_match(), errors(), at_least("exact_match", 0.7), ERRORS)


@bad(7, "hold", says=("latency",))
def slower_and_no_gate_asks(world):
    """Three times as slow, in seconds that nobody gated."""
    for number in range(900):
        seconds = 1.0 + number % 7 / 10
        world.ask(number * 99, {"duration": 3 * seconds}, {"duration": seconds})
    world.judge(latency(), errors(), ERRORS)


@bad(7, "hold", says=("cost",))
def dearer_and_no_gate_asks(world):
    """Twice as dear, in dollars that nobody gated."""
    for number in range(900):
        dollars = 0.01 * world.chance.lognormvariate(0, 0.5)
        world.ask(number * 99, spent(2 * dollars), spent(dollars))
    world.judge(cost(), errors(), ERRORS)


@bad(7, "hold", "rollback", says=("tool_success",))
def tools_that_fail_for_those_who_return(world):
    """Tools that nobody gated fail from the second day on."""
    works, fails = (ToolCall(name="find", effect="read", answered="replayed", error=e) for e in (None, "Timeout"))
    for day in range(5):
        for user in range(150):
            calls = [fails if day and user % 3 == 0 else works]
            at = day * DAY + user * 200
            world.ask(at, {"calls": calls}, {"calls": [works]}, unit=f"u{user}", text=f"{day} {user}")
    world.judge(tool_success(), errors(), no_worse("errors", by=0.04))


@bad(7, "hold", says=("ValueError",))
def timeouts_become_errors(world):
    """As many failures, and of another kind."""
    late = {"failure": Failure(kind="timeout")}
    for number in range(1500):
        world.ask(number * 99, CRASH if number % 25 < 2 else YES, late if number % 25 in {2, 3} else YES)
    world.judge(errors(), no_worse("errors", by=0.05), rules=Rules(min_hours=0, max_incumbent_failures=0.2))


@bad(7, "hold", says=("KeyError",))
def another_exception_than_before(world):
    """As many errors, and of another class."""
    before, after = ({"failure": Failure(kind="error", error_type=name)} for name in ("TimeoutError", "KeyError"))
    for number in range(1500):
        world.ask(number * 99, after if number % 25 < 2 else YES, before if number % 25 in {2, 3} else YES)
    world.judge(errors(), no_worse("errors", by=0.05), rules=Rules(min_hours=0, max_incumbent_failures=0.2))


@good(7, by=2000)
def a_part_that_is_waived(world):
    """Always wrong in Spanish, which is known and accepted by name."""
    for number in range(2000):
        es = number % 10 == 0
        arms = NO if es else world.right(0.8), world.right(0.6)
        world.ask(number * 99, *arms, attributes={"lang": "es" if es else "en"}, labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, ERRORS, rules=Rules(min_hours=0, waive=["lang=es"]))


@good(7, by=2000)
def a_part_that_is_worse_within_the_margin(world):
    """Ten points better, and one language three points worse, where five are tolerated."""
    for number in range(2000):
        es = number % 2 == 0
        arms = [YES if number % 100 // 2 < right else NO for right in ((47, 48.5) if es else (50, 40))]
        world.ask(number * 99, *arms, attributes={"lang": "es" if es else "en"}, labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@good(7, by=900)
def other_documents_without_a_gate(world):
    """It retrieves other documents than what was served, which is no harm."""
    for number in range(900):
        new, old = ({"answer": "yes", "hits": [f"{arm}{rank}" for rank in range(3)]} for arm in "ab")
        world.ask(number * 99, new, old, rerun=old, labels=RIGHT)
    world.judge(overlap(3), exact_match(), errors(), no_worse("exact_match", by=0.05), ERRORS)


@good(7, by=900)
def somewhat_slower_without_a_gate(world):
    """A tenth slower, in seconds that nobody gated."""
    for number in range(900):
        seconds = 1.0 + number % 7 / 10
        world.ask(number * 99, {"duration": 1.1 * seconds}, {"duration": seconds})
    world.judge(latency(), errors(), ERRORS)


@good(7, by=1500)
def failures_that_the_gate_accepts(world):
    """Six in a hundred fail, ten are accepted; answers without a gate are as good as before where there are any."""
    for number in range(1500):
        world.ask(number * 99, CRASH if number % 50 < 3 else YES, YES, labels=RIGHT)
    world.judge(exact_match(), errors(), no_worse("errors", by=0.1))


@good(7, by=1500)
def many_slices_of_equals(world):
    """Nothing is worse anywhere, whatever the number of slices."""
    for number in range(1500):
        attributes = {f"a{k}": str(world.chance.randrange(4)) for k in range(8)}
        world.ask(number * 99, world.right(0.8), world.right(0.65), attributes=attributes, labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, ERRORS)


@good(7, by=900)
def a_metric_without_a_gate_varies(world):
    """Equal by a metric that nobody gated."""
    for number in range(900):
        world.ask(number * 99, world.right(0.8), world.right(0.8), labels=RIGHT)
    world.judge(exact_match(), errors(), ERRORS)


def turned(number, *, count=1500, days=30):
    """Whether query `number` of `count` comes after the turn, nine tenths along."""
    return number >= 0.9 * count, number * days * DAY / count


@bad(8, "hold", "rollback", never="", says=("lately",))
def a_level_that_fell_lately(world):
    """95 % right for weeks, 30 % in the last days, on average above the gate."""
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, world.right(0.3 if late else 0.95), world.right(0.9), labels=RIGHT)
    world.judge(exact_match(), errors(), at_least("exact_match", 0.7), ERRORS)


@bad(8, "hold", "rollback", never="", says=("lately",))
def a_gain_that_was(world):
    """Better for weeks, worse lately, better on average."""
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, world.right(0.2 if late else 0.9), world.right(0.6), labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, ERRORS)


@bad(8, "hold", "rollback", never="", says=("lately",))
def failures_of_late_by_a_level(world):
    """No failure for weeks, a third lately, few on average."""
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, CRASH if late and number % 3 == 0 else YES)
    world.judge(errors(), at_most("errors", 0.08), at_most("errors", 0.2))


@bad(8, "hold", "rollback", never="", says=("lately",))
def failures_of_late(world):
    """The same by a gate that compares."""
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, CRASH if late and number % 3 == 0 else YES)
    world.judge(errors(), no_worse("errors", by=0.08))


@bad(8, "hold", "rollback", never="", says=("lately",))
def dearer_lately(world):
    """Cheaper for weeks, twice as dear lately, cheaper on average."""
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, spent(0.02 if late else 0.007), spent(0.01))
    world.judge(cost(), errors(), at_most("cost", ratio=1.1, cap=0.1), ERRORS)


@bad(8, "hold", "rollback", never="", says=("lately",))
def slower_lately(world):
    """Quicker for weeks, ten times as slow lately, in a tenth of the pairs: p50 does not move."""
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, {"duration": 10.0 if late else 0.5 + number % 7 / 20}, {"duration": 1.0 + number % 7 / 10})
    world.judge(latency(), errors(), at_most("latency.p50", ratio=1.3), ERRORS)


@bad(8, "hold", "rollback", never="", says=("lately",))
def tools_that_fail_lately(world):
    """All worked for weeks; half fail lately, within the margin on average."""
    works = ToolCall(name="find", effect="read", answered="replayed")
    fails = ToolCall(name="find", effect="read", answered="replayed", error="Timeout")
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, {"calls": [fails if late and number % 2 else works]}, {"calls": [works]})
    world.judge(tool_success(), errors(), no_worse("tool_success", by=0.1), ERRORS)


@bad(8, "hold", "rollback", never="", says=("errors has turned worse lately",))
def failures_of_late_that_no_gate_asks_for(world):
    """The same where failures are counted and nobody gates them."""
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, CRASH if late and number % 4 == 0 else world.right(0.95), world.right(0.6), labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN)


@good(8, by=1500)
def costs_that_vary(world):
    """As dear as before on average, and some queries cost fifty times what others do."""
    for number in range(1500):
        _, at = turned(number)
        world.ask(at, *(spent(0.01 * world.chance.lognormvariate(0, 1)) for _ in range(2)))
    world.judge(cost(), errors(), at_most("cost", ratio=1.6, cap=0.5), ERRORS)


@good(8, by=1500)
def hard_nights(world):
    """Questions of the night are harder for both arms, every day."""
    for number in range(1500):
        night = number % 50 < 20
        world.ask(
            number * DAY / 50, world.right(0.6 if night else 0.95), world.right(0.4 if night else 0.8), labels=RIGHT
        )
    world.judge(exact_match(), errors(), GAIN, ERRORS)


@good(8, by=1500)
def a_gain_that_grows(world):
    """Equal at first, better later."""
    for number in range(1500):
        late, at = turned(number)
        world.ask(at, world.right(0.95 if late else 0.8), world.right(0.6), labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, at_least("exact_match", 0.6), ERRORS)


@bad(9, "hold", says=("hours of the day", "UTC"))
def one_hour_and_a_straggler(world):
    """900 queries within an hour, and one a day later."""
    for number in range(900):
        world.ask(number * 4, world.right(0.75), world.right(0.5), labels=RIGHT)
    world.ask(DAY + HOUR, labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, ERRORS, rules=Rules())


@bad(9, "hold", says=("hours of the day", "from 20:00 to 24:00"))
def office_hours_only(world):
    """Three days of eight hours: what the evening is like nobody saw."""
    for number in range(900):
        at = number // 300 * DAY + number % 300 * 8 * HOUR / 300
        world.ask(at, world.right(0.75), world.right(0.5), labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, ERRORS, rules=Rules())


@bad(9, "hold", says=("hours",))
def half_a_day(world):
    """Twelve hours are no day."""
    for number in range(900):
        world.ask(number * 48, world.right(0.75), world.right(0.5), labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, ERRORS, rules=Rules())


@good(9, by=1000)
def a_day_and_an_hour(world):
    """Every hour of the day has its traffic."""
    for number in range(1000):
        world.ask(number * 95, world.right(0.8), world.right(0.5), labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, ERRORS, rules=Rules())


@good(9, by=1200)
def quiet_nights(world):
    """A twentieth of the traffic comes at night, and all hours have some."""
    for number in range(1200):
        day, place = divmod(number, 400)
        at = place * 1.8 * MINUTE if place < 320 else 320 * 1.8 * MINUTE + (place - 320) * 10.7 * MINUTE
        world.ask(day * DAY + at, world.right(0.8), world.right(0.5), labels=RIGHT)
    world.judge(exact_match(), errors(), GAIN, ERRORS, rules=Rules())
