"""A pair is scored once: what a scorer has said about it is taken from the store as long as it rests on the same.

A look that begins anew, since a call came late, a label changed or a gate is another, reads its pairs again. What a
judge costs is not paid again, unless the scorer has another version, the pair has other labels, or the scorer failed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import msgspec

from shadoweval import __version__
from shadoweval.experiment import Experiment
from shadoweval.protocols import Scorer
from shadoweval.records import Pair, PairScore, Scored, Unscored
from shadoweval.scoring.pair_scorer import raised

__all__ = ["KnownScores", "Rescoring", "score"]

KnownScores: TypeAlias = Callable[[Sequence[str]], Mapping[str, Sequence[PairScore]]]
"""From ids of queries to the scores that are stored for them, the newest of each metric."""


def score(experiment: Experiment, pair: Pair, *, scorers: Sequence[Scorer] | None = None) -> list[PairScore]:
    """Every metric of one pair; a scorer that raises, against its promise, has no score and the error as reason.

    Without `scorers` by all of the experiment's.
    """
    scores: list[PairScore] = []
    for scorer in experiment.scorers if scorers is None else scorers:
        try:
            scores += list(scorer.score(pair))
        except Exception as error:  # noqa: BLE001 - one pair that breaks a scorer must not end all looks
            why = raised(error)
            scores += [
                PairScore(
                    metric=metric.name, query_id=pair.id, incumbent=why, candidate=why, scorer_version=scorer.version
                )
                for metric in scorer.metrics
            ]
    return [_without_unscored(each, pair) for each in scores]


def _without_unscored(score: PairScore, pair: Pair) -> PairScore:
    """The score without the arms that say nothing about their pipeline, whatever the scorer makes of them."""
    runs = {"incumbent": pair.served, "candidate": pair.candidate, "noise": pair.rerun}
    reasons = {arm: run.unscored for arm, run in runs.items() if run is not None and run.failed and run.unscored}
    changes: dict[str, Any] = {
        arm: Unscored(reason, informative=False)
        for arm, reason in reasons.items()
        # Like with like, the incumbent's score is its re-run's, whatever became of what was served.
        if isinstance(getattr(score, arm), Scored) and not (arm == "incumbent" and score.incumbent == score.noise)
    }
    return msgspec.structs.replace(score, **changes) if changes else score


class Rescoring:
    """Scores pairs of an experiment by those scorers that have not said what still holds.

    Args:
        experiment: Whose scorers.
        known: Looks scores up; None: all are made.
    """

    def __init__(self, experiment: Experiment, known: KnownScores | None) -> None:
        self._experiment, self._known = experiment, known
        self._stored: Mapping[str, Sequence[PairScore]] = {}
        stubs = experiment.sandbox.stubs
        judges = sorted((tool, getattr(judge, "__qualname__", "")) for tool, judge in stubs.failed.items())
        self._common = msgspec.msgpack.encode([__version__, sorted(stubs.effects.items()), judges])

    def look_up(self, pairs: Iterable[Pair]) -> None:
        """Get ready for these pairs."""
        if self._known is not None:
            self._stored = self._known([pair.id for pair in pairs])

    def scores(self, pair: Pair) -> tuple[list[PairScore], list[PairScore]]:
        """All scores of a pair, as it is judged, and those of them that are new."""
        stored = {each.metric: each for each in self._stored.get(pair.id, ())}
        rests_on = [msgspec.msgpack.encode(pair.labels), pair.rerun is not None, pair.candidate.diverged_at]
        scores: list[PairScore] = []
        new: list[PairScore] = []
        for scorer in self._experiment.scorers:
            # Beside both runs, which never change.
            basis = hashlib.sha256(self._common + msgspec.msgpack.encode([*rests_on, scorer.version])).hexdigest()[:16]
            own = [stored[metric.name] for metric in scorer.metrics if metric.name in stored]
            if len(own) == len(scorer.metrics) and all(each.basis == basis and _fine(each) for each in own):
                scores += own
                continue
            made = score(self._experiment, pair, scorers=[scorer])
            new += [msgspec.structs.replace(each, basis=basis) for each in made]
            scores += new[-len(made) :] if made else []
        return scores, new


def _fine(score: PairScore) -> bool:
    """Whether nothing went wrong when it was made."""
    reasons = (side.reason for side in (score.incumbent, score.candidate, score.noise) if isinstance(side, Unscored))
    return not any("Error" in reason or "Exception" in reason for reason in reasons)
