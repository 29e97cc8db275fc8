"""The rollout ladder: off, dark, canary, progressive, full, and back from anywhere.

    off ──operator──► dark ──promote──► canary ──promote──► progressive ... ──promote──► full
     ▲                 │ ▲                 │                     │                         │
     └──── rollback ───┘ └─────────────────┴────── rollback ─────┴─────────────────────────┘

Dark: users get the incumbent, the candidate shadows. From the canary on a share of the units gets the candidate's
answers, and for those the incumbent shadows, also after full (a reverse shadow: what was promoted stays proven).

Who gets what is a function of the unit's bucket and the share alone. A unit stays with its arm on the way up, goes
back first in, last out on the way down, and comes to the candidate in the same order again after a rollback.

This module is pure; `ladder_file` keeps the position.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Annotated, Final, Literal

import msgspec

from shadoweval.buckets import within
from shadoweval.checks import checked_choice, checked_fields, checked_instance, checked_keywords, checked_share
from shadoweval.errors import ArgumentError, LadderError
from shadoweval.records import INCUMBENT, Arm, Verdict
from shadoweval.traffic.flagfile import Moment, Share

__all__ = ["RUNGS", "Position", "Rung", "Stage", "by_operator", "by_verdict", "checked", "roles", "start"]

Stage = Literal["off", "dark", "canary", "progressive", "full"]
_ORDER: Final[tuple[Stage, ...]] = ("off", "dark", "canary", "progressive", "full")


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of a ladder."""

    stage: Stage
    share: Share
    """Share of the units that get the candidate's answers."""
    stay: timedelta = timedelta(hours=24)
    """A verdict counts when it was made at least so long after the rung was reached."""

    def __post_init__(self) -> None:
        checked_fields(self, "stage", check=checked_choice, literal=Stage)
        checked_fields(self, "share", check=checked_share)
        checked_instance("Rung.stay", self.stay, timedelta, mend="Write timedelta(hours=24).")
        if self.stay < timedelta(0):
            raise ArgumentError("Rung.stay", self.stay, expected="a span from 0 up", mend="Write timedelta(hours=24).")


RUNGS: Final = (
    Rung(stage="off", share=0.0),
    Rung(stage="dark", share=0.0),
    Rung(stage="canary", share=0.01),
    Rung(stage="progressive", share=0.10),
    Rung(stage="progressive", share=0.50),
    Rung(stage="full", share=1.0),
)


class Position(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a candidate stands."""

    experiment: str
    candidate: str
    stage: Stage
    share: Share
    salt: str
    """Never changes: with another salt everyone would be dealt out anew."""
    since: Moment
    number: Annotated[int, msgspec.Meta(ge=0)] = 0
    """Goes up by one with each move."""


def checked(rungs: tuple[Rung, ...]) -> tuple[Rung, ...]:
    """A ladder that begins off and dark, ends full, and only goes up.

    Raises:
        ArgumentError: it does not.
    """
    if [(rung.stage, rung.share) for rung in (*rungs[:2], *rungs[-1:])] != [("off", 0.0), ("dark", 0.0), ("full", 1.0)]:
        expected = "a ladder that begins with off and dark at share 0 and ends with full at share 1"
        raise ArgumentError("rungs", rungs, expected=expected, mend="Take RUNGS as the pattern.")
    for low, high in pairwise(rungs[1:]):
        if _ORDER.index(high.stage) < _ORDER.index(low.stage) or not 0.0 <= low.share < high.share <= 1.0:
            expected = f"a ladder that goes up: {high.stage} at {high.share} can't follow {low.stage} at {low.share}"
            raise ArgumentError("rungs", rungs, expected=expected, mend="Order them by stage and share.")
    return rungs


def start(experiment: str, candidate: str, *, when: datetime, salt: str = "") -> Position:
    """At the foot. Salt: by default the experiment's name, so that served and mirrored shares lie in each other."""
    return Position(
        experiment=experiment, candidate=candidate, stage="off", share=0.0, salt=salt or experiment, since=when
    )


def by_verdict(position: Position, verdict: Verdict, *, when: datetime, rungs: tuple[Rung, ...] = RUNGS) -> Position:
    """One rung up for promote, back to dark for rollback (from dark: off); the same position for hold and at the top.

    `when` is when the verdict was made.

    Raises:
        LadderError: about another candidate; a promote that is too early, or for a candidate that is off.
    """
    if (verdict.experiment, verdict.candidate) != (position.experiment, position.candidate):
        raise _refused(position, f"the verdict is about {verdict.candidate!r} of {verdict.experiment!r}")
    if verdict.rolls_back:
        to: Stage = "off" if position.stage in {"off", "dark"} else "dark"
        return _moved(position, Rung(stage=to, share=0.0), when)
    at = _index(position, rungs)
    if not verdict.promotes or at + 1 == len(rungs):
        return position
    if position.stage == "off":
        raise _refused(position, "it is off; an operator has to start it")
    ready = position.since + rungs[at].stay
    if when < ready:
        raise _refused(position, f"a verdict counts from {ready.isoformat()} on, this one is of {when.isoformat()}")
    return _moved(position, rungs[at + 1], when)


def by_operator(
    position: Position, to: Stage, *, reason: str, when: datetime, rungs: tuple[Rung, ...] = RUNGS
) -> Position:
    """To a stage by hand: up to the next rung only, down to anywhere.

    A stage with several rungs is the next of them on the way up, the lowest of them on the way down.

    Raises:
        LadderError: no reason, or a stage that is not the next one.
    """
    if not reason.strip():
        raise _refused(position, "a step by hand needs a reason")
    at = _index(position, rungs)
    if at + 1 < len(rungs) and rungs[at + 1].stage == to:
        return _moved(position, rungs[at + 1], when)
    for rung in rungs[:at]:
        if rung.stage == to:
            return _moved(position, rung, when)
    raise _refused(position, f"from {position.stage} at {position.share:g} nobody gets to {to} in one step")


def roles(position: Position, unit: str) -> tuple[Arm, Arm | None]:
    """Which arm answers the unit, and which one shadows it; without a unit the incumbent answers until full."""
    if position.stage == "off":
        return INCUMBENT, None
    if (unit or position.share >= 1.0) and within(position.share, position.salt, unit):
        return position.candidate, INCUMBENT
    return INCUMBENT, position.candidate


def _refused(position: Position, why: str) -> LadderError:
    return LadderError(position.experiment, position.candidate, f"{why}.")


def _index(position: Position, rungs: tuple[Rung, ...]) -> int:
    for index, rung in enumerate(rungs):
        if (rung.stage, rung.share) == (position.stage, position.share):
            return index
    raise _refused(position, f"it stands at {position.stage} at {position.share:g}, which this ladder does not have")


def _moved(position: Position, rung: Rung, when: datetime) -> Position:
    return msgspec.structs.replace(position, stage=rung.stage, share=rung.share, since=when, number=position.number + 1)
