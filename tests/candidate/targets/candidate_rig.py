"""What the tests of the candidate's room share: envelopes, and a pool over one of the modules beside this one."""

import asyncio
from contextlib import asynccontextmanager
from pathlib import Path

from shadoweval import Limits, codec
from shadoweval.candidate.pool import CandidatePool
from shadoweval.records import Envelope, ToolCall
from shadoweval.testing import make_observation, make_query

FOLDER = Path(__file__).parent


def envelope(text="How are you?", *, calls=(), args=None, kwargs=None, number=1, entry=""):
    """A mirrored call in which the incumbent made `calls`."""
    given = {} if args is None and kwargs is None else {"inputs": codec.freeze((args or (), kwargs or {}))}
    query = make_query(number, text=text, entry=entry, **given)
    served = make_observation(query, calls=calls)
    return Envelope(experiment="test", query=query, served=served)


def call(name, arguments=None, result=None, *, occurrence=1, effect="read", error=None):
    """One of the incumbent's tool calls."""
    return ToolCall(
        name=name, arguments=arguments or {}, result=result, occurrence=occurrence, effect=effect, error=error
    )


@asynccontextmanager
async def pool_of(attribute, *, module="plain_candidates", seconds=5.0, limits=None, **settings):
    """A pool with one arm, `new`."""
    targets = {"new": f"{module}:{attribute}"}
    async with CandidatePool(targets, limits=limits or Limits(seconds=seconds), **settings) as pool:
        yield pool


def run_one(attribute, given=None, **settings):
    """One run of one envelope in a pool of its own."""

    async def run():
        async with pool_of(attribute, **settings) as pool:
            return await pool.run(given or envelope(), arm="new")

    return asyncio.run(run())
