"""`Sandbox`: how the candidates of an experiment run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from shadoweval.candidate.limits import Limits
from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.checks import (
    checked_endpoint,
    checked_instance,
    checked_keywords,
    checked_strings,
    checked_target,
    checked_truth,
)

__all__ = ["Sandbox"]


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """How candidates run, each in processes of its own.

    Raises:
        ArgumentError, TargetError: something can't be used.
    """

    stubs: Stubs = field(default_factory=Stubs)
    """How tools are answered in a shadow; the default replays, simulates and refuses, and runs nothing."""
    limits: Limits = field(default_factory=Limits)
    """Deadline, memory, tokens and dollars of one run."""
    allow: Sequence[str] = ()
    """`"host:port"` that candidates may connect to (model endpoint, vector store); the guard refuses others."""
    guard: bool = True
    """Whether candidates run under the guard. Off only where it can't work; the report says so."""
    warm: str | None = None
    """`"module:attribute"` called once in each candidate process before it serves (load an index, a model)."""

    def __post_init__(self) -> None:
        checked_instance("Sandbox.stubs", self.stubs, Stubs, mend="Write Stubs(...).")
        checked_instance("Sandbox.limits", self.limits, Limits, mend="Write Limits(...).")
        allow = checked_strings("Sandbox.allow", self.allow)
        object.__setattr__(self, "allow", tuple(checked_endpoint("Sandbox.allow", name) for name in allow))
        checked_truth("Sandbox.guard", self.guard)
        if self.warm is not None:
            checked_target(self.warm, what="Sandbox.warm")
