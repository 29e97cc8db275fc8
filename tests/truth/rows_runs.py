"""Kind 12: what is wrong with the runs, the clocks or the sampling holds in both directions."""

import datetime as dt

from shadoweval import Rules, at_most, better, no_worse
from shadoweval.records import Failure, ToolCall
from shadoweval.scoring import errors, exact_match, latency

from .conftest import CRASH, MINUTE, RIGHT, YES, bad, good, unsound

ERRORS = no_worse("errors", by=0.02)
QUALITY = no_worse("exact_match", by=0.05)
ENDED = {
    "failure": Failure(kind="refused", owner="shadow", cause="the tool 'send_mail' was refused", mend="Stubs(...)")
}


def call(answered, **changes):
    return ToolCall(name="find", effect="read", answered=answered, **changes)


@unsound(12, says=("re-run",))
def the_incumbent_crashes_when_run_again(world):
    """The worker lacks a secret: whatever runs there crashes, the incumbent as well as the candidate."""
    for number in range(600):
        fails = CRASH if number % 5 < 2 else YES
        world.ask(number * 99, fails, YES, rerun=fails)
    world.judge(errors(), ERRORS)


@unsound(12, says=("re-run",))
def the_incumbent_answers_worse_when_run_again(world):
    """The worker's index is stale."""
    for number in range(900):
        world.ask(number * 99, world.right(0.6), YES, rerun=world.right(0.6), labels=RIGHT)
    world.judge(exact_match(), errors(), QUALITY, ERRORS)


@bad(12, "rollback", says=("exact_match",))
def worse_than_the_rerun_as_well(world):
    """The worker's index is stale, and the candidate is far worse than the incumbent there."""
    for number in range(900):
        world.ask(number * 99, world.right(0.1), YES, rerun=world.right(0.7), labels=RIGHT)
    world.judge(exact_match(), errors(), QUALITY, ERRORS)


@unsound(12, says=("simulated",))
def a_world_made_up(world):
    """Calls are simulated, so the candidate's answers are wrong."""
    for number in range(600):
        made_up = {"answer": "no", "calls": [call("simulated")]}
        world.ask(number * 99, made_up, {"answer": "yes", "calls": [call("live")]}, labels=RIGHT)
    world.judge(exact_match(), errors(), QUALITY, ERRORS)


@unsound(12, says=("find refused",))
def refused_calls_of_runs_that_fail(world):
    """Calls are refused and the candidate raises: its failures are not its own."""
    for number in range(600):
        raised = {**CRASH, "calls": (call("refused"),)}
        world.ask(number * 99, raised if number % 2 else YES, YES)
    world.judge(errors(), ERRORS)


@unsound(12, says=("send_mail",))
def runs_that_the_shadow_ended(world):
    """A third of the runs were ended by a refusal."""
    for number in range(600):
        world.ask(number * 99, ENDED if number % 3 == 0 else YES)
    world.judge(errors(), ERRORS)


@bad(12, "rollback", says=("proven broken: errors",))
def crashes_beside_runs_that_the_shadow_ended(world):
    """A third was ended by the shadow, and of the others half crash by their own doing."""
    for number in range(900):
        world.ask(number * 99, ENDED if number % 3 == 0 else CRASH if number % 2 else YES)
    world.judge(errors(), ERRORS)


@unsound(12, says=("sample",))
def a_sample_that_is_none(world):
    """Half of the units should be mirrored, and a tenth was: whatever picks them may pick the hard ones."""
    for number in range(600):
        world.ask(number * 99, CRASH if number % 2 else YES)
    world.counters = {"eligible": 6000, "mirrored": 600, "not_sampled": 5400}
    world.judge(errors(), ERRORS, rules=Rules(min_hours=0, share=0.5))


@unsound(12, says=("clock",))
def clocks_that_disagree(world):
    """The worker's clock is an hour behind."""
    for number in range(600):
        began = {"started_at": dt.datetime(2025, 12, 31, tzinfo=dt.UTC)}
        world.ask(number * 99, {**(CRASH if number % 2 else YES), **began})
    world.judge(errors(), ERRORS)


@unsound(12, says=("twice",))
def calls_that_are_mirrored_twice(world):
    """Two layers mirror the same call."""
    for number in range(900):
        world.ask(number // 2 * 99 + number % 2 / 10, CRASH if number // 2 % 2 else YES, text=f"q {number // 2}")
    world.judge(errors(), ERRORS)


@unsound(12, says=("app:search", "app:chat", "Several pipelines"))
def two_pipelines_under_one_name(world):
    """Search and chat are mirrored by one experiment, whose candidate can only chat."""
    for number in range(600):
        entry = "app:search" if number % 2 else "app:chat"
        world.ask(number * 99, CRASH if number % 2 else YES, entry=entry)
    world.judge(errors(), ERRORS)


@bad(12, "rollback", says=("live write",))
def a_live_write(world):
    """A shadow may make none."""
    for number in range(300):
        world.ask(number * 99, {"answer": "yes", "live_writes": int(number == 20)})
    world.judge(errors(), ERRORS)


@bad(
    12,
    "hold",
    "rollback",
    says=("incumbent failed",),
)
def an_outage_of_the_incumbent(world):
    """An outage takes a fifth of what is served; the candidate runs later, and is worse by ten points otherwise."""
    for number in range(900):
        out = 300 <= number < 480
        world.ask(number * 99, world.right(0.8), CRASH if out else world.right(0.9), rerun=None, labels=RIGHT)
    world.judge(exact_match(), errors(), QUALITY, ERRORS)


@bad(12, "hold", "rollback")
def a_gain_that_is_the_incumbents_outage(world):
    """Equal, but for an outage of what was served."""
    for number in range(900):
        out = 300 <= number < 340
        world.ask(number * 99, YES, CRASH if out else YES, rerun=None, labels=RIGHT)
    world.judge(exact_match(), errors(), better("exact_match", by=0.01), ERRORS)


@bad(12, "hold", "rollback", says=("prove no gain",))
def a_gain_that_is_the_incumbents_failures(world):
    """Equal, but for failures of what was served now and then."""
    for number in range(1500):
        world.ask(number * 99, YES, CRASH if number % 25 == 3 else YES, rerun=None, labels=RIGHT)
    world.judge(exact_match(), errors(), better("exact_match", by=0.01), ERRORS)


@bad(12, "hold", "rollback", says=("outage",))
def failures_beside_an_outage_of_the_incumbents(world):
    """It fails at one query in twenty-five, all day; what was served failed as often, in one outage."""
    for number in range(1500):
        out = 700 <= number < 765
        world.ask(number * 99, CRASH if number % 25 == 3 else YES, CRASH if out else YES, rerun=None)
    world.judge(errors(), no_worse("errors", by=0.02))


@good(12, by=3000)
def an_outage_of_the_incumbents_long_ago(world):
    """An hour of outage, of some fifty; the candidate is better all the same, and the re-runs did not fail."""
    for number in range(3000):
        out = 100 <= number < 160
        served = world.right(0.65)
        world.ask(number * MINUTE, world.right(0.8), CRASH if out else served, rerun=served, labels=RIGHT)
    world.judge(errors(), exact_match(), better("exact_match", by=0.02), ERRORS)


@good(12, by=1500)
def queries_at_which_the_incumbent_always_fails(world):
    """What it fails at it fails at again when it is re-run, and the candidate does not."""
    for number in range(1500):
        world.ask(number * 99, YES, CRASH if number % 25 == 3 else YES, labels=RIGHT)
    world.judge(exact_match(), errors(), better("exact_match", by=0.01), ERRORS)


@bad(12, "rollback", says=("all 600 pairs", "proven broken: errors"))
def a_candidate_that_can_not_start(world):
    """It fails in all pairs, by its own doing: it is probably set up wrongly, which is said beside the rollback."""
    for number in range(600):
        world.ask(number * 99, CRASH)
    world.judge(errors(), ERRORS)


@good(12, by=900)
def an_incumbent_that_fails_at_times(world):
    """One call in a hundred fails, by either arm."""
    for number in range(900):
        world.ask(number * 99, CRASH if number % 100 == 7 else YES, CRASH if number % 100 == 9 else YES, rerun=YES)
    world.judge(errors(), no_worse("errors", by=0.05))


@good(12, by=900)
def reruns_that_vary(world):
    """The incumbent's answers vary from run to run, to no side."""
    for number in range(900):
        world.ask(number * 99, world.right(0.9), world.right(0.6), rerun=world.right(0.6), labels=RIGHT)
    world.judge(exact_match(), errors(), better("exact_match", by=0.05), ERRORS)


@good(12, by=900)
def a_slow_worker(world):
    """The worker is slow for everybody: the candidate is compared with the incumbent's re-run there."""
    for number in range(900):
        seconds = 3 * world.chance.lognormvariate(0, 0.3)
        slow = {"duration": seconds}
        world.ask(number * 99, {"duration": seconds / 2}, {"duration": seconds / 3}, rerun=slow)
    world.judge(latency(), errors(), at_most("latency.p50", ratio=1.1), ERRORS)


@bad(12, "rollback", says=("exact_match",))
def a_few_simulated_calls(world):
    """One call in fifty was simulated: too few to doubt that the answers are wrong."""
    for number in range(900):
        calls = [call("simulated" if number % 50 == 0 else "replayed")]
        world.ask(
            number * 99,
            {"answer": "no" if number % 3 else "yes", "calls": calls},
            {"answer": "yes", "calls": calls},
            labels=RIGHT,
        )
    world.judge(exact_match(), errors(), QUALITY, ERRORS)


@unsound(12, says=("re-run",))
def kayenta_on_a_failed_control(world):
    """Whatever runs in the worker crashes, and another rule is no way around that."""
    for number in range(600):
        fails = CRASH if number % 5 < 3 else YES
        world.ask(number * 99, fails, YES, rerun=fails)
    world.judge(errors(), ERRORS, rule="kayenta")


@unsound(12, says=("re-run",), looks=1)
def a_suite_on_a_failed_control(world):
    """A suite that is looked at once, on a machine that lacks a secret."""
    for number in range(300):
        fails = CRASH if number % 5 < 2 else YES
        world.ask(number, fails, YES, rerun=fails)
    world.evaluation = {"once": True}
    world.judge(errors(), ERRORS)
