"""The third example as a suite: `OPENAI_API_KEY=... pytest evals/test_orders.py`."""

import os
from collections.abc import Callable

import pytest

from evals.orders import CASES, orders
from shadoweval.records import Verdict

pytestmark = pytest.mark.skipif(
    not (os.environ.get("OPENAI_API_KEY") or os.environ.get("OPENAI_BASE_URL")),
    reason="set OPENAI_API_KEY, or OPENAI_BASE_URL to an OpenAI-compatible server",
)


def test_the_candidate_does_no_harm(shadow: Callable[..., Verdict]) -> None:
    """Too few cases to promote; enough to see that something breaks, which fails by itself."""
    shadow(orders, cases=CASES, candidate="no-writes")
