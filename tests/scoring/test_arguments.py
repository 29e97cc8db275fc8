"""Did an agent call its tools with the right arguments?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shadoweval.errors import ArgumentError
from shadoweval.records import Labels, Scored, ToolCall, Unscored
from shadoweval.scoring import argument_validity, arguments
from shadoweval.scoring.arguments import _assigned, _counterparts
from shadoweval.testing import make_pair


def call(name, **arguments):
    return ToolCall(name=name, arguments=arguments)


PAY = call("pay", to="ann", cents=10)

AGREEMENT = [
    ([PAY], [PAY], 1.0),
    ([PAY], [call("pay", to="ann", cents=10.0)], 1.0),
    ([PAY], [call("pay", to="ann", cents="10")], 0.5),
    ([PAY], [call("pay", to="bob", cents=11)], 0.0),
    ([PAY], [call("pay", to="ann", cents=10, note="x")], 2 / 3),
    ([PAY], [call("pay", to="ann")], 0.5),
    ([call("list")], [call("list")], 1.0),
    ([PAY, call("look", id=1)], [PAY, call("look", id=2)], 2 / 3),
    # Each is assigned to the one that it agrees with most, whatever the order.
    ([PAY, call("pay", to="bob", cents=5)], [call("pay", to="bob", cents=5), PAY], 1.0),
    ([PAY], [call("pay", to="bob", cents=5), PAY], 1.0),
]


@pytest.mark.parametrize(("expected", "made", "share"), AGREEMENT)
def test_share_of_the_arguments_that_are_right(expected, made, share):
    """Against what was served, and against the right calls."""
    (served,) = arguments().score(make_pair(served={"calls": expected}, shadow={"calls": made}))
    labels = Labels(expected_calls=tuple(expected))
    (reference,) = arguments(against="reference").score(make_pair(shadow={"calls": made}, labels=labels))

    assert (served.incumbent, served.candidate, reference.candidate) == (Scored(1.0), Scored(share), Scored(share))


def test_only_the_arguments_that_count_are_compared():
    """The rest may be worded otherwise."""
    pair = make_pair(
        served={"calls": [call("mail", to="a", body="x")]}, shadow={"calls": [call("mail", to="a", body="y")]}
    )
    (score,) = arguments(compare={"mail": ["to"]}).score(pair)

    assert score.candidate == Scored(1.0)


def test_where_no_tool_is_shared_there_is_nothing_to_compare():
    """Which may lie in the candidate."""
    (score,) = arguments().score(make_pair(served={"calls": [PAY]}, shadow={"calls": [call("look")]}))

    assert isinstance(score.candidate, Unscored)
    assert score.candidate.informative


MISFITS = [
    "TypeError: pay() got an unexpected keyword argument 'too'",
    "TypeError: pay() missing 1 required positional argument: 'cents'",
    "ValidationError: 1 validation error for pay\ncents\n  Input should be a valid integer",
    "Error invoking tool 'pay' with kwargs {'cents': 'x'} with error:\n cents: Input should be a valid integer",
    "Error: pya is not a valid tool, try one of [pay].",
    "UnknownTool: 'pya' was not offered to the model",
    'InvalidToolCall: its arguments can\'t be read: {"cents":',
    "InvalidArguments: 'cents' is a required property",
]


@pytest.mark.parametrize("error", MISFITS)
def test_calls_that_no_tool_could_take_are_not_valid(error):
    """In the words of Python, pydantic, LangGraph and ours."""
    calls = [PAY, ToolCall(name="pay", error=error)]

    assert next(iter(argument_validity().score(make_pair(shadow={"calls": calls})))).candidate == Scored(0.5)


@pytest.mark.parametrize("error", ["KeyError: 'K-1'", "TypeError: unsupported operand", "ConnectionError: refused"])
def test_a_tool_that_fails_by_itself_had_valid_arguments(error):
    """Its failure is no matter of arguments."""
    pair = make_pair(shadow={"calls": [ToolCall(name="pay", error=error)]})

    assert next(iter(argument_validity().score(pair))).candidate == Scored(1.0)


def test_a_schema_judges_tools_that_refuse_nothing():
    """Of the user's, by tool."""
    schema = {"type": "object", "properties": {"cents": {"type": "integer", "minimum": 1}}, "required": ["cents"]}
    calls = [call("pay", cents=10), call("pay", cents=0), call("pay"), call("look")]
    (score,) = argument_validity(schemas={"pay": schema}).score(make_pair(shadow={"calls": calls}))

    assert score.candidate == Scored(0.5)
    assert argument_validity(schemas={"pay": schema}).version != argument_validity().version


def test_a_run_without_a_call_is_unscored():
    """It says nothing of arguments."""
    (score,) = argument_validity().score(make_pair())

    assert isinstance(score.candidate, Unscored)


def test_what_can_not_be_meant_is_refused():
    """Where it is written."""
    for write in (lambda: arguments(against="served"), lambda: argument_validity(schemas={"pay": 3})):
        with pytest.raises(ArgumentError):
            write()


def test_a_schema_is_looked_at_where_it_is_written_and_fetches_nothing():
    """A misspelt type is named; a schema that lies elsewhere is the reason of a score, and no request."""
    with pytest.raises(ArgumentError, match="Did you mean 'integer'"):
        argument_validity(schemas={"pay": {"properties": {"cents": {"type": "integr"}}}})
    away = argument_validity(schemas={"pay": {"$ref": "http://127.0.0.1:9/pay.json"}})

    (score,) = away.score(make_pair(shadow={"calls": [call("pay", cents=5)]}))

    assert "Unresolvable" in score.candidate.reason
    assert away.version != argument_validity(schemas={"pay": {"type": "object"}}).version


@settings(max_examples=100, deadline=None)
@given(*[st.lists(st.dictionaries(st.sampled_from("ab"), st.integers(0, 1)), max_size=4)] * 2)
def test_setting_aside_what_is_the_same_changes_nothing(expected, made):
    """Calls that are the same go together without being assigned; as many arguments are right."""
    sides = [[{name: str(value) for name, value in call.items()} for call in calls] for calls in (expected, made)]

    def counted(pairs):
        pairs = list(pairs)
        return len(pairs), sum(len(a.items() & b.items()) for a, b in pairs)

    assert counted(_counterparts(*sides)) == counted(_assigned(*sides))
