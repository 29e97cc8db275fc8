"""Times and spans of time as people write them."""

from datetime import UTC, datetime, timedelta

import pytest

from shadoweval.clock import parse_since, parse_span
from shadoweval.errors import SettingsError


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("1.5h", 5400), ("7d", 604800)])
def test_spans(text, seconds):
    """Spans are read as people write them."""
    assert parse_span(text).total_seconds() == seconds


@pytest.mark.parametrize("text", ["", "24", "h", "-1h", "0s", "1w", "1h30m"])
def test_bad_spans_are_named(text):
    """What is no span is an error that shows how to write one."""
    with pytest.raises(SettingsError, match="30m or 24h"):
        parse_span(text, name="--since")


@pytest.mark.parametrize(
    ("text", "since"),
    [
        ("24h", timedelta(hours=24)),
        ("2026-01-31T12:00Z", datetime(2026, 1, 31, 12, tzinfo=UTC)),
        ("2026-01-31 13:00:30+01:00", datetime(2026, 1, 31, 12, 0, 30, tzinfo=UTC)),
    ],
)
def test_a_window_begins_at_a_time_or_slides(text, since):
    """A time with its zone is a fixed beginning, a span slides."""
    assert parse_since(text) == since


@pytest.mark.parametrize(("text", "mend"), [("2026-01-31T12:00", "2026-01-31T12:00Z is UTC"), ("noon", "30m or 24h")])
def test_a_time_that_is_none_is_named(text, mend):
    """A time without its zone is another one on each host, so it is refused."""
    with pytest.raises(SettingsError, match=mend):
        parse_since(text, name="--since")
