"""pytest: the `shadow` fixture. Inert unless used; imports nothing but pytest when a test run starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from shadoweval.evaluation.suite import Shadow

__all__ = ["pytest_addoption", "shadow"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--shadow-report DIR`."""
    group = parser.getgroup("shadoweval")
    group.addoption("--shadow-report", metavar="DIR", help="write an HTML report for each use of the shadow fixture")


@pytest.fixture
def shadow(request: pytest.FixtureRequest) -> Shadow:
    """Run both arms of an experiment over a case file and judge them.

    Use it as `verdict = shadow(support, cases="evals/support.jsonl")`, then `assert not verdict.rolls_back, verdict`.
    """
    from shadoweval.evaluation.suite import Shadow  # noqa: PLC0415 - a run that does not use the fixture loads nothing

    return Shadow(report_folder=request.config.getoption("--shadow-report"), test=request.node.nodeid)
