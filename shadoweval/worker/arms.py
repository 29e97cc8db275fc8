"""The candidate pool that an experiment asks for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from shadoweval.errors import SettingsError
from shadoweval.experiment import Experiment
from shadoweval.records import Arm

if TYPE_CHECKING:
    from shadoweval.candidate import CandidatePool
    from shadoweval.candidate.guard import Endpoint, GuardPolicy

__all__ = ["candidate_pool"]


def candidate_pool(experiment: Experiment, *, arms: Sequence[Arm], processes: int = 1) -> CandidatePool:
    """A pool of the named arms, to be entered. Arms without a target are run by their query's `entry`.

    Raises:
        UnknownCandidateError: an arm that the experiment does not have.
        SettingsError: an `allow` that is no `host:port`.
    """
    from shadoweval.candidate import CandidatePool  # noqa: PLC0415 - the request path imports running's neighbours only

    return CandidatePool(
        {arm: experiment.target(arm) for arm in arms},
        limits=experiment.sandbox.limits,
        stubs=experiment.sandbox.stubs,
        guard=_guard(experiment.sandbox.allow) if experiment.sandbox.guard else None,
        warm=experiment.sandbox.warm,
        processes=processes,
        extract=experiment.outcome,
    )


def _guard(allow: Iterable[str]) -> GuardPolicy:
    from shadoweval.candidate.guard import GuardPolicy, resolved  # noqa: PLC0415 - see above

    return resolved(GuardPolicy(scratch="", allow=tuple(_endpoint(place) for place in allow)))


def _endpoint(place: str) -> Endpoint:
    from shadoweval.candidate.guard import Endpoint  # noqa: PLC0415 - see above

    host, _, port = place.rpartition(":")
    if not host or not port.isdigit():
        raise SettingsError("allow", place, why="write host:port, for instance api.openai.com:443")
    return Endpoint(host.strip("[]"), int(port))
