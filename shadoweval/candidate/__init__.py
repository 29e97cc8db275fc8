"""Run the other arm where it can do no harm: process pool, stubs, world, guard."""

from shadoweval.candidate.effects import effect_of
from shadoweval.candidate.limits import Limits
from shadoweval.candidate.pool import CandidatePool
from shadoweval.candidate.replay import Replay
from shadoweval.candidate.simulate import Simulate
from shadoweval.candidate.stubs import Live, Refuse, Stubs, World

__all__ = ["CandidatePool", "Limits", "Live", "Refuse", "Replay", "Simulate", "Stubs", "World", "effect_of"]
