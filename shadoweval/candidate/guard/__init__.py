"""What a candidate's process puts itself under before any candidate code runs. See docs/containment.md."""

from shadoweval.candidate.guard.entry import contain, prepare
from shadoweval.candidate.guard.policy import Endpoint, GuardPolicy, RefusedError, advice, resolved
from shadoweval.candidate.guard.supervisor import Supervisor

__all__ = ["Endpoint", "GuardPolicy", "RefusedError", "Supervisor", "advice", "contain", "prepare", "resolved"]
