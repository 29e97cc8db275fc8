"""A model's server on the loopback, and clients of it."""

import sys
from pathlib import Path

import pytest

from tests.mirror.conftest import counted, kept, mirror, mirror_with  # noqa: F401 - fixtures of this folder too

sys.path.insert(0, str(Path(__file__).parents[1] / "candidate" / "targets"))


@pytest.fixture
def client(server):
    """A client as users make it."""
    import openai

    with openai.OpenAI(api_key="k", base_url=server.url, max_retries=0) as made:
        yield made


@pytest.fixture
def aclient(server):
    """Makes async clients; close them in the loop that used them."""
    import openai

    return lambda: openai.AsyncOpenAI(api_key="k", base_url=server.url, max_retries=0)
