"""Do two runs take the same way? The truth table of trajectory matching, and what lies beside it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.errors import ArgumentError
from shadoweval.records import Failure, Labels, Scored, ToolCall, Unscored
from shadoweval.scoring import trajectory
from shadoweval.scoring.trajectory_match import matches
from shadoweval.testing import make_pair

MODES = ("strict", "unordered", "subset", "superset")


def call(name, effect="read", **arguments):
    return ToolCall(name=name, arguments=arguments, effect=effect)


def at(made, started, duration=1.0):
    return ToolCall(name=made.name, arguments=made.arguments, effect=made.effect, started=started, duration=duration)


SEARCH, PAY = call("search", q="shoes"), call("pay", "write", amount=10)
BOTH = [SEARCH, PAY]

# As agentevals 0.0.9 decides, but for `pay twice` under superset, which is its mistake.
TRUTHS = {
    "same": (BOTH, BOTH, "TTTT"),
    "swapped": (BOTH, [PAY, SEARCH], "FTTT"),
    "pay twice": (BOTH, [SEARCH, PAY, PAY], "FFFF"),
    "missing pay": (BOTH, [SEARCH], "FFTF"),
    "extra argument": (BOTH, [SEARCH, call("pay", "write", amount=10, to="evil")], "FFFF"),
    "10 and '10'": (BOTH, [SEARCH, call("pay", "write", amount="10")], "FFFF"),
    "10 and 10.0": (BOTH, [SEARCH, call("pay", "write", amount=10.0)], "TTTT"),
    "parallel calls": ([at(SEARCH, 0), at(PAY, 2)], [at(SEARCH, 0), at(PAY, 0)], "FTTT"),
    "none expected, none made": ([], [], "TTTT"),
    "two expected duplicates, both made": ([PAY, PAY], [PAY, PAY], "TTTT"),
    "search twice": (BOTH, [SEARCH, SEARCH, PAY], "FFFT"),
    "a call more": (BOTH, [SEARCH, call("look", id=1), PAY], "FFFT"),
    "another tool": (BOTH, [SEARCH, call("refund", "write", amount=10)], "FFFF"),
    "parallel in both, ended otherwise": ([at(SEARCH, 0), at(PAY, 0)], [at(PAY, 0), at(SEARCH, 0)], "TTTT"),
}


@pytest.mark.parametrize("case", TRUTHS)
def test_the_truth_table_holds_against_both(case):
    """Against what was served, and against the right calls of a case file, which have no times."""
    expected, made, truths = TRUTHS[case]
    for mode, truth in zip(MODES, truths, strict=True):
        pair = make_pair(served={"calls": expected}, shadow={"calls": made})
        (score,) = trajectory(mode).score(pair)
        assert (score.incumbent, score.candidate) == (Scored(1.0), Scored(float(truth == "T"))), mode
        if "parallel" not in case:
            pair = make_pair(shadow={"calls": made}, labels=Labels(expected_calls=tuple(expected)))
            (score,) = trajectory(mode, against="reference").score(pair)
            assert score.candidate == Scored(float(truth == "T")), mode


ARGUMENTS = [
    ("superset", [call("x"), call("x", a=1)], [call("x", a=1), call("x", b=2)], True),  # greedy matching says no
    ("subset", [call("x", a=1, b=2)], [call("x", a=1)], True),
    ("subset", [call("x", a=1)], [call("x", a=1, b=2)], False),
    ("superset", [call("x", a=1)], [call("x", a=1, b=2)], True),
    ("superset", [call("x", a=1)], [call("x", a=2, b=2)], False),
    ("ignored", [call("x", a=1)], [call("x", b=2)], True),
    ("equal", [call("x", a=1)], [call("x", a=1, b=2)], False),
]


@pytest.mark.parametrize(("how", "expected", "made", "truth"), ARGUMENTS)
@pytest.mark.parametrize("mode", ["unordered", "superset"])
def test_arguments_may_differ_as_far_as_was_said(how, expected, made, truth, mode):
    """Calls are assigned so that as many as can be fit."""
    assert matches(expected, made, mode=mode, arguments=how) is truth


@pytest.mark.parametrize("how", ["equal", "subset", "superset", "ignored"])
def test_a_side_effect_made_twice_never_matches_one(how):
    """However its arguments are compared; a failed try wrote nothing, and a read may come again."""
    again = [SEARCH, PAY, call("pay", "write", amount=10)]
    failed = ToolCall(name="pay", arguments={"amount": 10}, effect="write", error="TimeoutError: ")

    assert not matches(BOTH, again, mode="superset", arguments=how)
    assert not matches(BOTH, [SEARCH, call("note", "unknown"), PAY, call("note", "unknown")], mode="superset")
    assert matches(BOTH, [SEARCH, failed, PAY], mode="superset", arguments=how)
    assert matches(BOTH, [SEARCH, SEARCH, PAY], mode="superset", arguments=how)


def test_only_the_arguments_that_count_are_compared():
    """A mail may be worded otherwise."""
    expected, made = [call("mail", "write", to="a@b", body="x")], [call("mail", "write", to="a@b", body="y")]

    assert not matches(expected, made, mode="strict")
    assert matches(expected, made, mode="strict", compare={"mail": ["to"]})


def test_calls_of_a_tools_own_code_are_part_of_the_tool():
    """A shadow may answer the tool without running that code; and what waits for a person has not happened."""
    inner = ToolCall(name="charge", effect="write", within=0)
    waiting = ToolCall(name="approve", error="interrupted: it waits for an answer")
    (score,) = trajectory("strict").score(make_pair(served={"calls": [PAY, inner, waiting]}, shadow={"calls": [PAY]}))

    assert score.candidate == Scored(1.0)


def test_without_anything_to_compare_with_it_is_unscored():
    """The incumbent failed, or nobody said which calls are right; a candidate that fails took no way."""
    broken = {"failure": Failure(kind="error")}
    (against_failed,) = trajectory().score(make_pair(served=broken))
    (unlabelled,) = trajectory(against="reference").score(make_pair())
    (failed,) = trajectory().score(make_pair(shadow=broken))

    assert isinstance(against_failed.candidate, Unscored)
    assert unlabelled.candidate == Unscored("no expected tool calls", informative=False)
    assert failed.candidate == Scored(0.0)


def test_an_incumbent_that_varies_is_compared_with_its_re_run():
    """Like with like: what stands beside the candidate is how far the incumbent agrees with itself."""
    pair = make_pair(served={"calls": [SEARCH]}, shadow={"calls": [PAY]}, rerun={"calls": BOTH})
    (score,) = trajectory(like_with_like=True).score(pair)

    assert (score.incumbent, score.candidate, score.noise) == (Scored(0.0), Scored(0.0), Scored(0.0))


@pytest.mark.parametrize(
    "options",
    [{"mode": "exact"}, {"against": "served"}, {"arguments": "same"}, {"compare": ["to"]}, {"compare": {"mail": "to"}}],
    ids=str,
)
def test_what_can_not_be_meant_is_refused(options):
    """Where it is written."""
    with pytest.raises(ArgumentError):
        trajectory(**options)


CALLS = st.lists(
    st.builds(
        lambda name, effect, value: call(name, effect, **value),
        st.sampled_from("ab"),
        st.sampled_from(["read", "write"]),
        st.dictionaries(st.sampled_from("xy"), st.integers(0, 1), max_size=2),
    ),
    max_size=5,
)


@given(CALLS, CALLS, st.sampled_from(["equal", "subset", "superset", "ignored"]))
def test_the_modes_imply_each_other(expected, made, how):
    """Strict is unordered, which is both subset and superset; whatever is compared matches itself."""
    truth = {mode: matches(expected, made, mode=mode, arguments=how) for mode in MODES}

    assert truth["unordered"] or not truth["strict"]
    assert truth["unordered"] is (truth["subset"] and len(expected) == len(made))
    assert truth["superset"] or not truth["unordered"]
    assert all(matches(made, made, mode=mode, arguments=how) for mode in MODES)


@given(CALLS, CALLS)
def test_subsets_are_assigned_as_well_as_can_be(expected, made):
    """Checked by trying every assignment."""

    def fits(wanted, got):
        return wanted.name == got.name and got.arguments.items() <= wanted.arguments.items()

    def assigned(rest, free):
        if not rest:
            return True
        return any(fits(free[i], rest[0]) and assigned(rest[1:], free[:i] + free[i + 1 :]) for i in range(len(free)))

    assert matches(expected, made, mode="subset", arguments="subset") is assigned(made, expected)


@settings(max_examples=40)
@given(CALLS, CALLS)
def test_supersets_are_assigned_as_well_as_can_be(expected, made):
    """Checked by trying every assignment, where no write can have been made twice."""
    made = [call(each.name, **each.arguments) for each in made]

    def assigned(rest, free):
        if not rest:
            return True
        wanted = rest[0]
        fits = (got.name == wanted.name and got.arguments.items() >= wanted.arguments.items() for got in free)
        return any(fit and assigned(rest[1:], free[:i] + free[i + 1 :]) for i, fit in enumerate(fits))

    assert matches(expected, made, mode="superset", arguments="superset") is assigned(expected, made)


def test_a_try_that_failed_stands_back_for_the_one_that_succeeded():
    """The first payment failed, the second one, with a note, was made: once, as expected."""
    failed = ToolCall(name="pay", arguments={"amount": 10}, effect="write", error="declined")
    paid = call("pay", "write", amount=10, note="again")
    assert matches([PAY], [failed, paid], mode="superset", arguments="superset")
    assert not matches([PAY], [PAY, paid], mode="superset", arguments="superset")


@pytest.mark.parametrize("how", ["equal", "subset", "superset"])
def test_long_runs_are_compared_in_their_length(grows, how):
    """Eight times as many calls take about eight times as long, and not 64, with half of the writes unexpected."""

    def compared(count):
        made = [call("pay", "write", amount=number, to="x") for number in range(count)]
        for mode in MODES:
            assert matches(made[::2], made, mode=mode, arguments=how) is (mode == "superset")
            assert matches(made, made, mode=mode, arguments=how)

    assert grows(compared, 100, 800) < 24
