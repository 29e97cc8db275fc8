"""Priority: a candidate's threads run behind production's, and stay there, whatever privileges they have."""

from __future__ import annotations

import os

from shadoweval.candidate.guard.rules import STEPPING_BACK

__all__ = ["steps_back"]

_REAL_TIME = 1  # IOPRIO_CLASS_RT


def steps_back(name: str, arguments: tuple[int, ...], thread: int) -> bool:
    """Whether a call leaves the priority of `thread` where it is, or lowers it."""
    if name == "setpriority":
        low = arguments[2] & 0xFFFFFFFF
        return (low - (1 << 32) if low >> 31 else low) >= os.getpriority(os.PRIO_PROCESS, thread)
    if name == "ioprio_set":
        return arguments[2] >> 13 & 7 != _REAL_TIME
    if name == "sched_setscheduler":
        policy = arguments[1] & 0xFF
        return policy in STEPPING_BACK or (not policy and os.sched_getscheduler(thread) == policy)
    return name != "sched_setattr"
