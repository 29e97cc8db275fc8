"""Run the other arm where it can do no harm: process pool, stubs, world, guard."""

from typing import TYPE_CHECKING, Any

from shadoweval.candidate.conversations import Conversations
from shadoweval.candidate.limits import Limits
from shadoweval.candidate.tools.entity_world import EntityWorld
from shadoweval.candidate.tools.replay import Replay
from shadoweval.candidate.tools.session import compare_writes
from shadoweval.candidate.tools.simulated import Simulate
from shadoweval.candidate.tools.sqlite_world import SqliteWorld
from shadoweval.candidate.tools.stubs import Live, Refuse, Stubs, World

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
    "compare_writes",
]


def __getattr__(name: str) -> Any:
    """The pool comes in at first use: an Experiment needs limits and stubs, the request path no asyncio."""
    if name != "CandidatePool":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shadoweval.candidate import pool  # noqa: PLC0415 - see above

    return pool.CandidatePool
