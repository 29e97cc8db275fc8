"""What judges of the next evaluation would be asked, and what that costs: nobody is asked, and nothing is kept."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final, TypeVar

from shadoweval.evaluation.judging import judging
from shadoweval.evaluation.progress import judged_pair
from shadoweval.evaluation.rescoring import Rescoring
from shadoweval.evaluation.windows import window_of
from shadoweval.experiment import Experiment
from shadoweval.protocols import Store
from shadoweval.records import Arm
from shadoweval.scoring.judges.questions import Spent

__all__ = ["estimate"]

_AT_ONCE: Final = 200
_Each = TypeVar("_Each")


def estimate(experiment: Experiment, store: Store, *, candidates: Sequence[Arm] | None = None) -> Mapping[str, Spent]:
    """By judge, the calls that are new, over the pairs that are stored.

    Tokens of questions are estimated by their characters / 4, those of replies are what `Judge(max_tokens=)` allows. A
    budget that thins is not reckoned with, nor are a judge's questions about pools.
    """
    judged = copy.copy(experiment)
    judged.scorers = tuple(each for each in experiment.scorers if any(metric.judged for metric in each.metrics))
    with judging(experiment.name, store, dry=True) as here:
        for name in experiment.candidates if candidates is None else candidates:
            window = window_of(store, experiment.name, name)
            look = store.look(experiment.name, name, since=None if window is None else window.since)
            scored = Rescoring(judged, look.scores)
            pairs = (judged_pair(pair, experiment.sandbox.stubs.failed) for pair in look.pairs)
            for portion in _portions(pairs):
                scored.look_up(portion)
                scored.scores(portion)
        return dict(here.wanted)


def _portions(pairs: Iterator[_Each]) -> Iterator[list[_Each]]:
    while portion := list(islice(pairs, _AT_ONCE)):
        yield portion
