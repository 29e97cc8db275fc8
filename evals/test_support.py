"""The second example as a suite, which needs no model: `pytest evals/test_support.py --shadow-slice region=DE`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from evals.support import support
from pipelines.shop import create_shop
from shadoweval.records import Verdict


@pytest.fixture(autouse=True)
def _shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A shop of its own, since the incumbent writes there."""
    monkeypatch.setenv("SHOP_DATABASE", str(create_shop(tmp_path / "shop.sqlite")))


def test_the_candidate_does_no_harm(shadow: Callable[..., Verdict]) -> None:
    """Red where the candidate is proven worse, or where nothing could be judged."""
    shadow(support)
