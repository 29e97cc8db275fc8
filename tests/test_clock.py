"""Spans of time as people write them."""

import pytest

from shadoweval.clock import parse_span
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
