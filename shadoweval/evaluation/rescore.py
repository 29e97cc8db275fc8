"""Scores what is stored again, by the scorers as they are now, and says what changed. No candidate is run.

What still holds (same scorer version, same labels) is not made again, unless it is asked for by name. The next
evaluation takes up what this leaves.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

import msgspec

from shadoweval.checks import checked_instance, checked_keywords, checked_strings, checked_truth
from shadoweval.errors import UnknownMetricError
from shadoweval.evaluation.events import keeping
from shadoweval.evaluation.guarded import guarded
from shadoweval.evaluation.labelling import join_labels
from shadoweval.evaluation.progress import purpose_of
from shadoweval.evaluation.rescoring import went_wrong
from shadoweval.evaluation.resuming import resumed
from shadoweval.evaluation.windows import window_of
from shadoweval.experiment import Experiment
from shadoweval.protocols import Look, Store
from shadoweval.records import Arm, PairScore, Scored
from shadoweval.worker.opening import open_store

__all__ = ["rescore"]

_REASONS: Final = 1000
"""Reasons that are told apart."""


class Rescored(msgspec.Struct, kw_only=True):
    """What became of one metric's scores of one candidate's pairs."""

    candidate: Arm
    metric: str
    pairs: int = 0
    new: int = 0
    """Pairs that had no score of it before."""
    changed: int = 0
    """Pairs of which either arm scores otherwise than before."""
    moved: float = 0.0
    """Sum, over pairs scored before and now, of how much the candidate's score went up."""
    compared: int = 0
    versions: dict[str, int] = {}
    """Scorer's version before -> how many scores it had made that are replaced."""
    version: str = ""
    failures: dict[str, int] = {}
    """Why there is no score, where the scorer failed: error -> pairs."""

    @property
    def failed(self) -> int:
        """Pairs at which the scorer failed."""
        return sum(self.failures.values())

    def __str__(self) -> str:
        held = self.pairs - self.new - self.changed
        parts = [
            f"{self.candidate} / {self.metric}: {self.pairs:,} pairs, {held:,} as before, {self.changed:,} changed"
        ]
        parts[0] += f", {self.new:,} new"
        before = ", ".join(version for version in self.versions if version != self.version)
        if before:
            parts.append(f"by {self.version}, before by {before}")
        if self.changed and self.compared:
            parts.append(f"the candidate's mean moved by {self.moved / self.compared:+.4g}")
        if self.failures:
            why = max(self.failures, key=lambda each: self.failures[each])
            parts.append(f"the scorer failed at {self.failed:,}: {why}")
        return "; ".join(parts)


@checked_keywords()
def rescore(
    experiment: Experiment,
    *,
    metrics: Collection[str] = (),
    everything: bool = False,
    candidates: Sequence[Arm] | None = None,
    store: Store | None = None,
) -> list[Rescored]:
    """Score the stored pairs of the window by the scorers as they are now; for each candidate and metric what changed.

    Args:
        experiment: Whose scorers and pairs.
        metrics: Scored again also where the stored score would still hold: what the scorer calls has changed, which
            its version does not see.
        everything: The same of all metrics.
        candidates: Names; None: all.
        store: Where the pairs are; None: as the settings say.

    Raises:
        UnknownMetricError: `metrics` names one that no scorer makes.
        UnknownCandidateError: a name that the experiment does not have.
    """
    checked_instance("rescore(experiment)", experiment, Experiment, mend="Pass the object, not its name.")
    names = experiment.candidates if candidates is None else checked_strings("rescore(candidates)", candidates)
    for name in names:
        experiment.target(name)
    for metric in checked_strings("rescore(metrics)", metrics):
        if metric not in experiment.metrics:
            raise UnknownMetricError(metric, experiment=experiment.name, known=experiment.metrics)
    again = frozenset(experiment.metrics if checked_truth("rescore(everything)", everything) else metrics)
    place = contextlib.nullcontext(store) if store is not None else open_store(experiment)
    with place as opened:
        join_labels(experiment, opened)
        with guarded(experiment, opened) as held:
            return [each for name in names for each in _rescored(held, name, store=opened, again=again)]


def _rescored(experiment: Experiment, candidate: Arm, *, store: Store, again: frozenset[str]) -> list[Rescored]:
    changes = _Changes(candidate, experiment.metrics)
    window, purpose = window_of(store, experiment.name, candidate), purpose_of(experiment)
    since = None if window is None else window.since

    def look_at(*, anew: bool = True) -> Any:
        del anew  # nothing of an earlier look is taken up, whatever is asked
        look = store.look(experiment.name, candidate, since=since, purpose=purpose, anew=True)
        return _Watched(look, changes, again)

    with keeping(experiment, candidate, store=store) as keep:

        def see_and_keep(scores: Sequence[PairScore]) -> None:
            changes.see(scores)
            keep(scores)

        _, progress = resumed(experiment, look_at, keep=see_and_keep, purpose=purpose)
    for change in changes.by_metric.values():
        change.pairs = progress.trial.pairs
    return list(changes.by_metric.values())


class _Changes:
    """Scores before and after, compared portion by portion."""

    def __init__(self, candidate: Arm, metrics: Collection[str]) -> None:
        self.by_metric = {
            name: Rescored(candidate=candidate, metric=name, versions={}, failures={}) for name in metrics
        }
        self.before: dict[tuple[str, str], PairScore] = {}

    def see(self, scores: Sequence[PairScore]) -> None:
        """New scores, of pairs whose scores before were looked up last."""
        for score in scores:
            change, before = self.by_metric[score.metric], self.before.get((score.query_id, score.metric))
            change.version = score.scorer_version
            why = went_wrong(score)
            if why:
                _count(change.failures, why)
            if before is None:
                change.new += 1
                continue
            _count(change.versions, before.scorer_version)
            change.changed += (before.incumbent, before.candidate) != (score.incumbent, score.candidate)
            if isinstance(before.candidate, Scored) and isinstance(score.candidate, Scored):
                change.moved += score.candidate.value - before.candidate.value
                change.compared += 1


def _count(counts: dict[str, int], key: str) -> None:
    key = key if key in counts or len(counts) < _REASONS else "others"
    counts[key] = counts.get(key, 0) + 1


class _Watched:
    """A look that shows what was stored to `changes`, and hides what is to be made again."""

    def __init__(self, look: Look, changes: _Changes, again: frozenset[str]) -> None:
        self._look, self._changes, self._again = look, changes, again

    def __getattr__(self, name: str) -> Any:
        return getattr(self._look, name)

    def scores(self, query_ids: Sequence[str]) -> Mapping[str, Sequence[PairScore]]:
        stored = self._look.scores(query_ids)
        self._changes.before = {(each.query_id, each.metric): each for many in stored.values() for each in many}
        return {name: [each for each in many if each.metric not in self._again] for name, many in stored.items()}
