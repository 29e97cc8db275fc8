"""Why a run has no outcome, and whose doing that was; what a candidate tried and was not allowed to do."""

from __future__ import annotations

from typing import Literal

import msgspec

__all__ = ["NO_GUARD", "Failure", "FailureKind", "FailureOwner", "Refusal"]

FailureKind = Literal["error", "timeout", "crash", "out_of_memory", "refused", "budget", "aborted", "killed"]
"""`aborted`: the caller went away (disconnect, cancellation); such a pair is not scored. `refused`: what the guard or
the stubs refused ended the run."""

FailureOwner = Literal["caller", "incumbent", "candidate", "shadow"]
"""Whose doing a failure was. The shadow's (a refusal that ended the run, a redactor that raised, a rate limit, a kill
from outside) says nothing about a pipeline: it is missing evidence."""

NO_GUARD = "no guard"
"""Stands in `Observation.unjudged` where the run was free to do anything."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Why there is no outcome."""

    kind: FailureKind
    error_type: str = ""
    message: str = ""
    step: str = ""
    """Name of the first step that failed; empty where none did."""
    owner: FailureOwner | None = None
    """Whose doing it was, where `kind` and arm do not say so; ask `Observation.owner`."""
    cause: str = ""
    """What of the shadow ended the run, in words that runs with the same cause share."""
    mend: str = ""
    """The line that keeps it from happening again, such as `Sandbox(allow=["api.example:443"])`."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Something a candidate tried and was not allowed to do."""

    kind: str
    """`tool`, or the guarded event such as `socket.connect`, `open.write`, `process`."""
    detail: str = ""
    layer: str = ""
    count: int = 1
