"""Reading flag files."""

from datetime import UTC, datetime

import pytest

from shadoweval.errors import FlagFileError
from shadoweval.traffic import flagfile
from shadoweval.traffic.flagfile import parse_flags

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
