"""Takes up what an earlier look left, and leaves states for the next one: of all pairs, and of all but the last ones.

A call may begin before a look and end after it, so its pair comes late, at an earlier place in query order. The next
look then takes up the newest state that ends before that place, and pays for the pairs since.
"""

from __future__ import annotations

from itertools import islice
from typing import Final, Protocol

from shadoweval.errors import CorruptFrameError
from shadoweval.evaluation.progress import KeepScores, Progress
from shadoweval.experiment import Experiment
from shadoweval.logs import logger
from shadoweval.protocols import Look
from shadoweval.verdict.rules import Rules

__all__ = ["resumed"]

log: Final = logger(__name__)

_BEFORE_THE_END: Final = (64_000, 8_000, 1_000, 250)
"""How many pairs are still to come where a state is left on the way."""
_WORTH: Final = 500
"""A state on the way costs about as much as adding one pair for each so many that it knows."""


class LookAt(Protocol):
    """Begins a look; with `anew` nothing of an earlier one is taken up."""

    def __call__(self, *, anew: bool = False) -> Look: ...


def resumed(
    experiment: Experiment, look_at: LookAt, *, keep: KeepScores, purpose: str, rules: Rules | None = None
) -> tuple[Look, Progress]:
    """A look, and all that it gathered from its pairs and those of the looks before.

    Args:
        experiment: Whose pairs they are.
        look_at: Begins the look.
        keep: Is handed the scores in portions.
        purpose: What states are left for; empty: none is left.
        rules: Under which a first look is made, to note how its evidence grows; None: it is not noted.
    """
    look = look_at()
    try:
        saved = look.saved
        progress = Progress(experiment) if saved is None else Progress.restored(experiment, saved, look.segments)
    except CorruptFrameError:
        look, progress = look_at(anew=True), Progress(experiment)
    if rules is not None:
        progress.watch_growth(rules)
    pairs, left = iter(look.pairs), look.expected
    for halt in _BEFORE_THE_END if purpose else ():
        if left >= 2 * halt and left * _WORTH >= progress.trial.pairs:
            progress.add(islice(pairs, left - halt), keep=keep, known=look.scores)
            left = halt
            _leave(look, progress, purpose)
    progress.add(pairs, keep=keep, known=look.scores)
    if purpose:
        _leave(look, progress, purpose)
    return look, progress


def _leave(look: Look, progress: Progress, purpose: str) -> None:
    """Leave a state; one that holds what can't be written costs the next look its time, and no look its verdict."""
    try:
        state, segments = progress.to_state()
    except (OverflowError, TypeError, ValueError) as error:
        log.warning("no state is left for the next look", extra={"why": f"{type(error).__name__}: {error}"})
    else:
        look.save(state, purpose=purpose, segments=segments)
