"""What a fork server and its children are put under before any candidate code is imported. See docs/containment.md."""

from shadoweval.candidate.guard.entry import Guard, contain
from shadoweval.candidate.guard.policy import Endpoint, GuardPolicy, RefusedError, advice, resolved
from shadoweval.candidate.guard.seen import ChildSeen
from shadoweval.candidate.guard.supervisor import Supervisor

__all__ = [
    "ChildSeen",
    "Endpoint",
    "Guard",
    "GuardPolicy",
    "RefusedError",
    "Supervisor",
    "advice",
    "contain",
    "resolved",
]
