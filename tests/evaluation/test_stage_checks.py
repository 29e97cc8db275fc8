"""What the stages of both arms saw: a change is said, once, with where and since when; quiet traffic is not."""

import datetime as dt
import json
import random

import msgspec
import pytest

from shadoweval import Experiment, Rules, evaluate, no_worse
from shadoweval.capture.prompts import SYSTEM_PROMPTS
from shadoweval.codec import freeze
from shadoweval.evaluation.stage_checks import StageChecks, stage_notices
from shadoweval.records import Envelope, Failure, Hit, ToolCall
from shadoweval.reporting.document import document
from shadoweval.reporting.html import render
from shadoweval.reporting.markdown import markdown
from shadoweval.scoring import errors
from shadoweval.settings import Settings
from shadoweval.store import SqlStore
from shadoweval.testing import NOON, FixedClock, make_observation, make_pair, make_query

CHANGE = 160
ENGLISH = "When does the shop number {} in the main street open on a Sunday morning?"
GERMAN = "Wann öffnet das Geschäft mit der Nummer {} in der Hauptstraße am Sonntagmorgen?"


def usual(number, **changes):
    """What an arm does with query `number`."""
    hits = [Hit(id=f"d{(number * 7 + rank) % 50}", rank=rank, score=0.5, text="words " * 20) for rank in (1, 2, 3)]
    calls = [search({"rows": [{"price": 3.0, "name": "tea"}]})]
    return {"answer": f"It opens at {number % 24} o'clock on that day.", "hits": hits, "calls": calls, **changes}


def search(result, **arguments):
    return ToolCall(name="search", arguments=arguments or {"q": "x"}, result=result, effect="read")


def pair(number, *, served=None, shadow=None, **query):
    arms = {"served": usual(number, **(served or {})), "shadow": usual(number, **(shadow or {}))}
    return make_pair(number, query={"text": ENGLISH.format(number), **query}, **arms)


def seen_of(pairs, *, checks=None, ordered=True):
    checks = checks or StageChecks()
    for each in pairs:
        checks.see(each)
    return checks.seen(ordered=ordered)


def changed(count=CHANGE + 50, *, at=CHANGE, **after):
    """A stream whose pairs are otherwise from `at` on; what is a function gets the number."""
    for number in range(1, count + 1):
        later = {name: value(number) if callable(value) else value for name, value in after.items()}
        yield pair(number, **(later if number >= at else {}))


def words_of(seen):
    return [(change.kind, change.arms, change.words) for change in seen.changes]


def valued(made, served, candidate):
    """The pair whose arms returned these values."""
    runs = {"served": (made.served, served), "candidate": (made.candidate, candidate)}
    return msgspec.structs.replace(
        made,
        **{
            name: msgspec.structs.replace(run, outcome=msgspec.structs.replace(run.outcome, value=value))
            for name, (run, value) in runs.items()
        },
    )


def without_texts(number):
    return {"hits": [Hit(id=f"d{number % 50}", rank=1, score=0.5)]}


BREAKS = {
    "renamed": (
        {"shadow": {"calls": [search({"rows": [{"cost": 3.0, "name": "tea"}]})]}},
        "tools.search.result.rows[].price of 'new': a number before, missing (now tools.search.result.rows[].cost?) in",
    ),
    "emptied": ({"shadow": without_texts}, "hits[].text of 'new': text before, none in"),
    "retyped": (
        {"shadow": {"calls": [search({"rows": [{"price": "3.00", "name": "tea"}]})]}},
        "tools.search.result.rows[].price of 'new': a number before, text in",
    ),
    "no hits": ({"shadow": {"hits": []}}, "hits of 'new': a list before, an empty list in"),
    "no answer": ({"shadow": {"answer": " "}}, "answer of 'new': text before, empty text in"),
    "the incumbent": ({"served": without_texts}, "hits[].text of 'incumbent': text before, none in"),
    "both": ({"served": without_texts, "shadow": without_texts}, "hits[].text of both arms: text before, none in"),
    "argument": (
        {"shadow": {"calls": [search({"rows": [{"price": 3.0, "name": "tea"}]}, query="x")]}},
        "tools.search.arguments.q of 'new': text before, missing (now tools.search.arguments.query?) in",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
@pytest.mark.parametrize("at", [CHANGE, 700])
def test_a_lost_field_is_found_within_50_queries(name, at):
    """While all pairs are looked at, and later, when one in 32 is; it is said once, with where and since when."""
    after, words = BREAKS[name]
    (change,) = [each for each in seen_of(changed(at + 49, at=at, **after)).changes if each.kind != "drift"]
    assert change.kind == "break"
    assert change.words.startswith(words)
    assert at <= int(change.first.removeprefix("q-")) < at + 32


DRIFTS = {
    "language": ({"text": lambda n: GERMAN.format(n)}, "inputs language of the queries: en before, de in"),
    "length": ({"text": lambda n: f"{n} " + "why on earth? " * 200}, "inputs length of the queries: 64 to 90 before"),
    "documents": (
        {"served": lambda n: {"hits": [Hit(id=f"new{n}", rank=1, score=0.5, text="words " * 60)]}},
        "hits ids of 'incumbent': known before, never seen before in",
    ),
    "a new tool": (
        {"shadow": {"calls": [search({"rows": [{"price": 3.0, "name": "x"}]}), ToolCall(name="mail")]}},
        "tools.mail of 'new': missing before, called in",
    ),
    "a query's field": (
        {"attributes": {"plan": "free"}},
        "attributes.plan of the queries: missing before, text in",
    ),
}


@pytest.mark.parametrize("name", DRIFTS)
def test_other_traffic_is_a_notice(name):
    """It holds nothing: language, length, documents, tools and fields that came anew."""
    after, words = DRIFTS[name]
    seen = seen_of(changed(440, at=300, **after))
    assert not seen.of_kind("break")
    assert [each.words for each in seen.changes if each.words.startswith(words)]
    (notice, *_) = stage_notices(seen, Rules())
    assert notice.startswith("What the stages see has changed in mid-run: ")


def test_inputs_that_lose_a_field_are_a_notice():
    """Both arms meet the same."""

    def inputs(**fields):
        return freeze(((), fields))

    pairs = [pair(n, inputs=inputs(question=f"{n}") if n < CHANGE else inputs(q=f"{n}")) for n in range(1, CHANGE + 50)]
    (notice,) = stage_notices(seen_of(pairs), Rules())
    assert "inputs.question of the queries: text before, missing (now inputs.q?)" in notice


def test_arms_that_see_differently_are_said():
    """Contexts of the candidate that are empty from the first pair on, and shorter ones."""
    (notice,) = stage_notices(seen_of(changed(60, at=1, shadow={"hits": []})), Rules())
    assert "hits there and not empty: for the incumbent alone in 60 of 60 pairs, for the candidate alone in 0" in notice
    short = seen_of(changed(60, at=1, shadow={"hits": [Hit(id="d1", rank=1, score=0.5, text="words")]}))
    assert "texts of the hits longer by 1.3 times" in stage_notices(short, Rules())[0]


def test_day_and_night_are_quiet():
    """Longer questions and two languages by night, returning users, an optional field: nothing is said."""
    rng = random.Random(5)
    pairs = []
    for number in range(1, 4_001):
        night = (number // 100) % 2
        german = rng.random() < (0.35 if night else 0.1)
        text = (GERMAN if german else ENGLISH).format(number) + " Please be quick." * rng.randint(0, 2 + night)
        optional = {"coupon": "x"} if rng.random() < (0.06 if night else 0.02) else {}
        pairs.append(pair(number, text=text, attributes={"plan": "free", **optional}, unit=f"u{rng.randint(1, 300)}"))
    assert words_of(seen_of(pairs)) == []


def test_an_index_that_is_still_being_met_is_quiet():
    """Of 3,000 documents nearly all are new at first, and hardly any later."""
    rng = random.Random(9)

    def hits():
        return {"hits": [Hit(id=f"d{rng.randrange(3_000)}", rank=1, score=0.5, text="words " * 20)]}

    assert words_of(seen_of(pair(n, served=hits(), shadow=hits()) for n in range(1, 8_000))) == []


def test_one_user_who_asks_again_and_again_is_no_change():
    """A session of 200 turns in another language, without an attribute; and one query 200 times."""
    users = [pair(n, unit=f"u{n}", attributes={"plan": "free"}) for n in range(1, 400)]
    session = [pair(n, unit="one", text=GERMAN.format(n)) for n in range(400, 560)]
    assert words_of(seen_of([*users[:200], *session[:80], *users[200:], *session[80:]])) == []


def test_a_declared_version_is_not_said_twice():
    """The release begins a window of its own; prompts are no version of anybody's."""
    later = {"shadow": lambda n: {**without_texts(n), "versions": {"index": "2"}}}
    first = [pair(n, shadow={"versions": {"index": "1"}}) for n in range(1, CHANGE)]
    assert {each.kind for each in seen_of([*first, *list(changed(**later))[CHANGE:]]).changes} == {"skew"}
    prompts = {"shadow": lambda n: {**without_texts(n), "versions": {SYSTEM_PROMPTS: f"{n}"}}}
    assert seen_of(changed(**prompts)).of_kind("break")


def test_a_suite_has_no_order():
    """Cases are listed by topic: only the arms are compared."""
    pairs = list(changed(**BREAKS["emptied"][0]))
    assert {each.kind for each in seen_of(pairs, ordered=False).changes} <= {"skew"}
    assert seen_of(pairs).of_kind("break")


@pytest.mark.parametrize("cut", [30, 150, 165, 205])
def test_it_resumes_in_the_middle(cut):
    """Across looks it says what one look says, and its state stays below 200 kB."""
    pairs, first, second = list(changed(**BREAKS["renamed"][0])), StageChecks(), StageChecks()
    seen_of(pairs[:cut], checks=first)
    state = msgspec.msgpack.encode(first.to_state())
    second.restore(msgspec.msgpack.decode(state))
    assert seen_of(pairs[cut:], checks=second) == seen_of(pairs)
    assert len(state) < 50_000


def test_the_state_is_bounded_however_many_fields_there_are():
    """Objects whose fields are others each time: 200 habits, and the rest is counted."""
    rng = random.Random(7)
    letters = "abcdefghijklmnopqrstuvwxyz"

    def value():
        return {"".join(rng.choices(letters, k=8)): {"".join(rng.choices(letters, k=8)): 1} for _ in range(20)}

    checks = StageChecks()
    pairs = [valued(pair(n, attributes=value()), value(), value()) for n in range(1, 400)]
    seen = seen_of(pairs, checks=checks)
    assert (seen.fields, seen.left_out > 0, words_of(seen)) == (200, True, [])
    assert len(msgspec.msgpack.encode(checks.to_state())) < 200_000


@pytest.mark.slow
def test_quiet_streams_do_not_alarm():
    """40 streams of 20,000 pairs as a day brings them: at most 5 % may, and none is expected."""
    alarms = 0
    for seed in range(40):
        rng, checks = random.Random(seed), StageChecks()
        pool = [pair(n, text=(GERMAN if n % 4 == 0 else ENGLISH).format(n)) for n in range(200)]
        for number in range(20_000):
            each = pool[rng.randrange(200)]
            query = msgspec.structs.replace(each.query, id=f"q-{number}", unit=f"u{rng.randrange(5_000)}")
            checks.see(msgspec.structs.replace(each, query=query))
        alarms += bool(checks.seen(ordered=True).changes)
    assert alarms <= 2


# The whole way: store, evaluate, verdict, report.


def experiment_of(folder, **rules):
    return Experiment(
        name="shop",
        candidates={"new": "app:new"},
        scorers=[errors()],
        gates=[no_worse("errors", by=0.1)],
        rules=Rules(min_hours=0, min_units=20, **rules),
        settings=Settings(home=str(folder / "home")),
    )


def fill(store, pairs):
    for each in pairs:
        store.add_envelopes(
            [Envelope(experiment="shop", query=each.query, served=each.served)], arms={each.id: ["new"]}
        )
        store.add_observation(each.candidate)


def test_a_renamed_field_holds_and_the_report_shows_it(url, tmp_path):
    """In either store; looks on the way say no more and no less than one at the end."""
    experiment = experiment_of(tmp_path)
    clock = FixedClock(NOON + dt.timedelta(hours=2))
    pairs = list(changed(CHANGE + 50, **BREAKS["renamed"][0]))
    with SqlStore(url, clock=clock) as store:
        fill(store, pairs[:100])
        assert evaluate(experiment, store=store, clock=clock).verdicts[0].promotes
        fill(store, pairs[100:])
        evaluation = evaluate(experiment, store=store, clock=clock)
        again = evaluate(experiment, since=NOON - dt.timedelta(hours=1), store=store, clock=clock)
    (verdict,) = evaluation.verdicts
    assert (verdict.decision, verdict.why) == ("hold", "error")
    (reason,) = verdict.reasons
    assert reason.startswith("What a stage sees changed in mid-run while no version did: tools.search.result.rows[]")
    assert again.verdicts[0].reasons == verdict.reasons
    assert again.stages == evaluation.stages
    shown = "tools.search.result.rows[].price of 'new': a number before"
    assert "What the stages saw" in render(evaluation)
    assert "rows[].price of" in render(evaluation)
    assert "What the stages saw" in markdown(evaluation)
    (in_json,) = json.loads(document(evaluation))["verdicts"]
    assert in_json["stages"]["changes"][0]["kind"] == "break"
    assert shown in reason


@pytest.mark.parametrize(("checks", "decision"), [("notice", "promote"), ("off", "promote"), ("hold", "hold")])
def test_the_rules_say_what_becomes_of_it(tmp_path, checks, decision):
    """Held, said beside the verdict, or not looked at."""
    experiment = experiment_of(tmp_path, checks=checks)
    clock = FixedClock(NOON + dt.timedelta(hours=2))
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock) as store:
        fill(store, changed(CHANGE + 50, **BREAKS["emptied"][0]))
        evaluation = evaluate(experiment, store=store, clock=clock)
    (verdict,) = evaluation.verdicts
    assert verdict.decision == decision
    assert [each for each in verdict.notices if "hits[].text of 'new'" in each] == (
        [each for each in verdict.notices if "has changed in mid-run" in each] if checks == "notice" else []
    )
    assert (evaluation.stages == {}) == (checks == "off")


def test_a_broken_candidate_is_rolled_back_all_the_same(tmp_path):
    """Both arms of each pair are still those that the pair says."""
    experiment = experiment_of(tmp_path)
    clock = FixedClock(NOON + dt.timedelta(hours=2))
    with SqlStore(f"sqlite:///{tmp_path / 's.db'}", clock=clock) as store:
        for number, each in enumerate(changed(420, at=260, **BREAKS["emptied"][0]), 1):
            crash = make_observation(make_query(number), "new", failure=Failure(kind="crash"))
            fill(store, [msgspec.structs.replace(each, candidate=crash) if number % 2 else each])
        (verdict,) = evaluate(experiment, store=store, clock=clock).verdicts
    assert verdict.rolls_back
    assert "What a stage sees changed" in str(verdict.notices)
