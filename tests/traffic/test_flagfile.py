"""Reading flag files."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shadoweval.buckets import within
from shadoweval.errors import FlagFileError
from shadoweval.traffic import flagfile
from shadoweval.traffic.flagfile import Ramp, parse_flags

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def plan(body: str, *, head: str = ""):
    return parse_flags(f"{head}\n[experiments.support]\nenabled = true\n{body}\n".encode()).plans["support"]


def loss(body: str, attributes, *, unit="u-1", head=""):
    return plan(body, head=head).loss(unit, attributes, NOW)


def test_the_example_in_the_documentation_is_a_flag_file():
    """What the module shows can be read, and does what it says."""
    text = "\n".join(line[4:] for line in flagfile.__doc__.splitlines() if line.startswith("    "))

    flags = parse_flags(text.encode())

    assert flags.version == 7
    assert flags.kills("checkout")
    assert not flags.kills("support")
    attributes = {"region": "eu-west-1", "headers": {"x-preview": "on"}, "plan": "pro", "path": "/v2/ask"}
    found = flags.plans["support"]
    assert found.loss("u-17", attributes, NOW) in {None, "not_sampled"}
    for missing in attributes:
        assert found.loss("u-17", {k: v for k, v in attributes.items() if k != missing}, NOW) == "not_targeted"
    assert found.loss("u-99", attributes, NOW) == "not_targeted"


@pytest.mark.parametrize(
    ("rule", "value", "holds"),
    [
        ('equals = "pro"', "pro", True),
        ('equals = "pro"', "Pro", False),
        ("equals = 1", 1, True),
        ("equals = 1", 1.0, True),
        ("equals = 1", True, False),
        ("equals = 1", "1", False),
        ("equals = true", True, True),
        ("equals = true", 1, False),
        ('in = ["pro", "team"]', "team", True),
        ('in = ["pro", "team"]', "free", False),
        ("in = []", "free", False),
        ("in = [1, 2]", 2, True),
        ('prefix = "/v2/"', "/v2/ask", True),
        ('prefix = "/v2/"', "/v1/ask", False),
        ('prefix = "1"', 12, False),
        ('equals = "pro"', ["pro"], False),
        ('equals = "pro"', None, False),
    ],
)
def test_rules(rule, value, holds):
    """Equality is by type too: true is not 1, and 1 is not "1"; other types meet nothing."""
    found = loss(f'share = 1\nwhere = [{{ attribute = "a", {rule} }}]', {"a": value})

    assert found == (None if holds else "not_targeted")


def test_a_missing_attribute_is_not_in_the_cohort():
    """No attribute, no headers, and headers that are no mapping meet no condition."""
    assert loss('share = 1\nregions = ["eu"]', {}) == "not_targeted"
    assert loss('share = 1\nheaders = { x = ["on"] }', {}) == "not_targeted"
    assert loss('share = 1\nheaders = { x = ["on"] }', {"headers": "x: on"}) == "not_targeted"
    assert loss('share = 1\nheaders = { X = ["on"] }', {"headers": {"x": "on"}}) is None


def test_a_missing_unit_is_in_no_share_and_no_cohort():
    """Without a unit only a share of 1 without cohorts lets a call in: an empty text is nobody's bucket."""
    assert loss("share = 0.99999", {}, unit="") == "not_targeted"
    assert loss("share = 1", {}, unit="") is None
    head = '[cohorts]\nstaff = ["u-1"]'
    assert loss('share = 1\ncohorts = ["staff"]', {}, unit="", head=head) == "not_targeted"
    assert loss('share = 1\ncohorts = ["staff"]', {}, unit="u-1", head=head) is None


def test_off_and_outside_the_schedule_is_off():
    """Not enabled, not begun, over, and a share of 0 are `flag_off`."""
    assert loss("share = 0", {}) == "flag_off"
    assert loss("share = 1\nstart = 2027-01-01T00:00:00Z", {}) == "flag_off"
    assert loss("share = 1\nstop = 2026-03-01T12:00:00Z", {}) == "flag_off"
    off = parse_flags(b"[experiments.support]\nenabled = false\nshare = 1\n").plans["support"]
    assert off.loss("u-1", {}, NOW) == "flag_off"


def test_the_salt_is_the_experiments_name_unless_given():
    """Two experiments deal units out independently; a common salt makes their shares nest."""
    assert plan("share = 0.5").salt == "support"
    assert plan('share = 0.5\nsalt = "layer"').salt == "layer"


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("version = 1\nshare = = 2\n", 2, "no TOML"),
        ("version = 1\nexperiment = 1\n", 2, "unknown field `experiment`"),
        ("[experiments.a]\nenabled = true\nshare = 0.1\n[experiments.b]\nenabled = true\nshar = 1\n", 6, "'b'.*`shar`"),
        ("[experiments.a]\nenabled = true\nshare = 0.1\n[experiments.b]\nenabled = true\nshare = 10\n", 6, "<= 1.0"),
        ("[experiments.b]\nenabled = true\nshare = nan\n", 3, ">= 0.0"),
        ("[experiments.b]\nenabled = true\nshare = true\n", 3, "bool"),
        ("[experiments.b]\nenabled = 'yes'\nshare = 1\n", 2, "bool"),
        ("[experiments.b]\nshare = 1\n", 1, "missing required field `enabled`"),
        ("[experiments.b]\nenabled = true\n", 1, "either `share` or `ramp`"),
        ("[experiments.b]\nenabled = true\nshare = 1\nstart = 2026-01-01T00:00:00\n", 4, "timezone"),
        ("[experiments.b]\nenabled = true\nramp = [[2026-01-02T00:00:00Z, 1], [2026-01-01T00:00:00Z, 1]]\n", 3, "back"),
        ("[experiments.b]\nenabled = true\nshare = 1\ncohorts = ['x']\n", 4, "no cohort 'x'"),
        ("[experiments.b]\nenabled = true\nshare = 1\nwhere = [{ attribute = 'a', equal = 1 }]\n", 4, "`equal`"),
        ("[experiments.b]\nenabled = true\nshare = 1\nwhere = [{ attribute = 'a' }]\n", 4, "exactly one"),
        ("[experiments]\nb = 3\n", None, "Expected `object`"),
        ("version = 'new'\n", 1, "Expected `int"),
    ],
)
def test_a_damaged_file_says_where(text, line, complaint):
    """Syntax, unknown keys, types and ranges are named with their line."""
    with pytest.raises(FlagFileError, match=complaint) as caught:
        parse_flags(text.encode())

    if line is not None:
        assert caught.value.line == line
        assert str(caught.value).startswith(f"line {line}: ")


@pytest.mark.parametrize("raw", [b"\xff\xfe", b"a = " + b"[" * 100_000])
def test_rubbish_is_damaged_not_a_crash(raw):
    """Bytes that are no text, and nesting deeper than the interpreter, are named as damaged."""
    with pytest.raises(FlagFileError, match="no TOML"):
        parse_flags(raw)


DAY = datetime(2026, 3, 1, tzinfo=UTC)


def hours(number: float) -> datetime:
    return DAY + timedelta(hours=number)


def test_a_ramp_climbs_at_its_times():
    """Nothing before the first step, each share from its own moment on, the last one for ever."""
    ramp = Ramp(steps=((hours(1), 0.01), (hours(2), 0.1), (hours(3), 0.5)))

    assert [ramp.at(hours(h)) for h in (0, 0.999, 1, 1.5, 2, 3, 1000)] == [0, 0, 0.01, 0.01, 0.1, 0.5, 0.5]


def test_start_and_stop_bound_it():
    """In from the start, out at the stop."""
    schedule = Ramp(share=0.3, start=hours(1), stop=hours(2))

    assert [schedule.at(hours(h)) for h in (0.99, 1, 1.99, 2)] == [0, 0.3, 0.3, 0]


def test_members_stay_while_a_ramp_climbs():
    """Of 20,000 units nobody who was in at an earlier step is out at a later one."""
    ramp = Ramp(steps=((hours(1), 0.01), (hours(2), 0.1), (hours(3), 0.3)))
    members = [
        {unit for unit in map(str, range(20_000)) if within(ramp.at(hours(hour)), "support", unit)}
        for hour in (0, 1, 2, 3)
    ]

    assert [round(len(group) / 20_000, 2) for group in members] == [0.0, 0.01, 0.1, 0.3]
    assert members[0] < members[1] < members[2] < members[3]


def test_the_judged_share_lies_inside_the_mirrored_one():
    """Under one salt the 1 % for the judge are among the mirrored 10 %, so that no judgement lacks its pair."""
    units = [f"session-{i}" for i in range(20_000)]
    judged = {unit for unit in units if within(0.01, "support", unit)}

    assert judged
    assert all(within(0.10, "support", unit) for unit in judged)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=6).map(sorted), st.floats(0, 8), st.floats(0, 8))
def test_a_share_never_shrinks(shares, one, other):
    """Whatever the steps are, later is never less."""
    ramp = Ramp(steps=tuple((hours(i), share) for i, share in enumerate(shares)))

    assert ramp.at(hours(min(one, other))) <= ramp.at(hours(max(one, other)))


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({}, "either"),
        ({"share": 0.1, "steps": ((DAY, 0.1),)}, "either"),
        ({"share": 0.1, "start": hours(1), "stop": hours(1)}, "not after"),
        ({"steps": ((hours(1), 0.1), (hours(1), 0.2))}, "back in time"),
        ({"steps": ((hours(1), 0.2), (hours(2), 0.1))}, "goes down"),
    ],
)
def test_what_is_no_schedule(given, complaint):
    """Neither or both of share and ramp, an empty span, and steps back or down are refused."""
    with pytest.raises(ValueError, match=complaint):
        Ramp(**given)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan"), 10])
def test_a_share_is_no_percentage(share):
    """Shares outside [0, 1] are refused where they are read."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"share": share}, Ramp)
