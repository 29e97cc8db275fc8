"""Run the other arm where it can do no harm: process pool, stubs, world, guard."""

from typing import TYPE_CHECKING, Any

from shadoweval.candidate.conversations import Conversations
from shadoweval.candidate.effects import effect_of
from shadoweval.candidate.limits import Limits
from shadoweval.candidate.policies import Live, Refuse, World
from shadoweval.candidate.replay import Replay
from shadoweval.candidate.simulate import Simulate
from shadoweval.candidate.sqlite_world import SqliteWorld
from shadoweval.candidate.stubs import Stubs
from shadoweval.candidate.world import EntityWorld
from shadoweval.candidate.writes import WriteComparison, compare_writes

if TYPE_CHECKING:
    from shadoweval.candidate.pool import CandidatePool

__all__ = [
    "CandidatePool",
    "Conversations",
    "EntityWorld",
    "Limits",
    "Live",
    "Refuse",
    "Replay",
    "Simulate",
    "SqliteWorld",
    "Stubs",
    "World",
    "WriteComparison",
    "compare_writes",
    "effect_of",
]


def __getattr__(name: str) -> Any:
    """The pool comes in at first use: an Experiment needs limits and stubs, the request path no asyncio."""
    if name != "CandidatePool":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shadoweval.candidate import pool  # noqa: PLC0415 - see above

    return pool.CandidatePool
