"""The report's section of failures."""

import sys
from pathlib import Path

import msgspec

from shadoweval.reporting.failures import failures_view
from shadoweval.reporting.html import render

sys.path.insert(0, str(Path(__file__).parent))
from sample import evaluation


def test_failures_stand_by_whose_doing_they_were():
    """The candidate's first; each with its share, its bounds, and a link to the first query where that is listed."""
    whole = evaluation()
    owners = failures_view(whole, "hybrid")
    first, unlisted, *others = owners

    assert [each["owner"] for each in (first, unlisted)] == ["the candidate’s"] * 2
    assert [each["owner"] for each in others] == ["the incumbent’s", "the shadow’s", "the infrastructure’s"]
    assert first["words"] == "12 of 251 runs (4.8 %, between 2.1 and 9.0 %)"
    assert (first["link"], unlisted["link"]) == ("#q=q-9", "")
    assert '<a href="#q=q-9">' in render(whole)


def test_no_failure_and_none_counted_are_told_apart():
    """An evaluation of before says nothing about them; one without failures says that."""
    clean = msgspec.structs.replace(evaluation(), failures={"hybrid": ()})
    before = msgspec.structs.replace(evaluation(), failures={})

    assert "No run of either arm failed" in render(clean)
    assert "Failures, by whose doing" not in render(before)
