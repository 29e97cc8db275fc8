"""The queries that a report lists: all pairs, or of very many those that matter and a sample of the rest.

Read from the store when a report is made, in memory that does not grow with the pairs: first the scores of all, which
say what is chosen, then the runs of what was chosen. So a state or a stored evaluation carries no texts for it, and
what was erased is in no later report.
"""

from __future__ import annotations

import contextlib
import hashlib
import heapq
from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from itertools import groupby
from typing import Final

import msgspec

from shadoweval.checks import checked_instance, checked_keywords
from shadoweval.evaluation.examples import example_of
from shadoweval.evaluation.progress import judged_pair
from shadoweval.experiment import Experiment
from shadoweval.protocols import Metric, Store
from shadoweval.records import Arm, Evaluation, Example, PairScore, QueryRow, QueryTable, Scored
from shadoweval.reporting.rows import row_of
from shadoweval.scoring.divergence import first_divergence
from shadoweval.worker.opening import open_store

__all__ = ["with_queries"]

_LISTED: Final = 10_000
"""Pairs of a candidate in a report's table, at most."""
_WHOLE: Final = 60
"""Pairs of each kind that are shown whole: losses, gains, losses on critical gates, sample."""

_Scores = Sequence[PairScore]
_Ranked = tuple[float, str, _Scores]


@checked_keywords()
def with_queries(
    evaluation: Evaluation, experiment: Experiment, *, store: Store | None = None, limit: int = _LISTED
) -> Evaluation:
    """The evaluation with the pairs that its report lists.

    Args:
        evaluation: What `evaluate` returned, or the store has.
        experiment: Whose evaluation it is.
        store: Where the pairs are; None: as the settings say.
        limit: So many pairs of a candidate at most. Of more come all that lose on a critical gate, as far as there is
            room, and a sample by hash.

    Raises:
        StoreError: the store can't be used.
    """
    checked_instance("with_queries(evaluation)", evaluation, Evaluation, mend="Pass what evaluate() returned.")
    checked_instance("with_queries(experiment)", experiment, Experiment, mend="Pass the object, not its name.")
    place = contextlib.nullcontext(store) if store is not None else open_store(experiment)
    with place as opened:
        tables = {
            verdict.candidate: _table(evaluation, experiment, opened, candidate=verdict.candidate, limit=limit)
            for verdict in evaluation.verdicts
            if verdict.candidate in experiment.candidates
        }
    return msgspec.structs.replace(evaluation, queries=tables)


def _table(evaluation: Evaluation, experiment: Experiment, store: Store, *, candidate: Arm, limit: int) -> QueryTable:
    until = None if evaluation.until is None else evaluation.until + timedelta(microseconds=1)
    choice = _Choice(experiment, limit=limit)
    every = store.scores(experiment.name, candidate, since=evaluation.since, until=until)
    for query_id, scores in groupby(every, key=lambda score: score.query_id):
        choice.see(query_id, list(scores))
    listed, whole = choice.listed(), choice.whole()
    rows: dict[str, QueryRow] = {}
    details: dict[str, Example] = {}
    judges = experiment.sandbox.stubs.failed
    for read in store.pairs_of(experiment.name, candidate, list(listed)):
        pair, scores = judged_pair(read, judges), listed[read.id]
        example, parting = example_of(pair, scores, why=whole.get(pair.id, "")), first_divergence(pair)
        rows[pair.id] = row_of(example, parts=parting.kind if parting else "", critical=choice.loses(scores))
        if pair.id in whole:
            details[pair.id] = example
    return QueryTable(
        rows=tuple(rows[query_id] for query_id in listed if query_id in rows),
        details=tuple(details[query_id] for query_id in whole if query_id in details),
        pairs=choice.pairs,
        critical=choice.critical,
    )


class _Largest:
    """The `room` entries of the highest rank, in a heap whose smallest one is the first to make room."""

    def __init__(self, room: int) -> None:
        self._room, self._heap = room, list[_Ranked]()

    def see(self, rank: float, query_id: str, scores: _Scores) -> None:
        """Consider one."""
        if len(self._heap) < self._room:
            heapq.heappush(self._heap, (rank, query_id, scores))
        elif self._heap and (rank, query_id) > self._heap[0][:2]:
            heapq.heapreplace(self._heap, (rank, query_id, scores))

    def __iter__(self) -> Iterator[_Ranked]:
        """The highest rank first."""
        return iter(sorted(self._heap, key=lambda item: item[:2], reverse=True))


class _Choice:
    """Chooses from the scores of all pairs."""

    def __init__(self, experiment: Experiment, *, limit: int) -> None:
        metrics, gates = experiment.metrics, experiment.gates
        self._leading = metrics[gates[0].base] if gates else None
        self._critical = [metrics[name] for name in dict.fromkeys(gate.base for gate in gates if gate.critical)]
        self._limit = limit
        self._losses = {each.name: _Largest(limit // len(self._critical)) for each in self._critical}
        self._sample = _Largest(limit)
        self._worst, self._best = _Largest(_WHOLE), _Largest(_WHOLE)
        self.pairs = self.critical = 0

    def see(self, query_id: str, scores: _Scores) -> None:
        """Consider one pair."""
        self.pairs += 1
        chance = int.from_bytes(hashlib.sha256(query_id.encode()).digest()[:6]) / 2**48
        self._sample.see(chance, query_id, scores)
        difference = None if self._leading is None else _difference(self._leading, scores)
        if difference:
            (self._best if difference > 0 else self._worst).see(abs(difference), query_id, scores)
        lost = False
        for metric in self._critical:
            change = _difference(metric, scores)
            if change is not None and change < 0:
                self._losses[metric.name].see(-change, query_id, scores)
                lost = True
        self.critical += lost

    def loses(self, scores: _Scores) -> bool:
        """Whether the candidate is worse on the metric of a critical gate."""
        return any((_difference(metric, scores) or 0.0) < 0 for metric in self._critical)

    def listed(self) -> dict[str, _Scores]:
        """By query id, the scores of the pairs that are listed: those that matter first, then the sample by hash."""
        matter = [self._worst, self._best, *self._losses.values()]
        chosen: dict[str, _Scores] = {}
        for kind in (*matter, self._sample):
            for _, query_id, scores in kind:
                if len(chosen) < self._limit:
                    chosen[query_id] = scores
        return chosen

    def whole(self) -> dict[str, str]:
        """Why each pair that is shown whole is, by query id; losses first."""
        critical = [("loss on a critical gate", each) for each in self._losses.values()]
        kinds = [("largest loss", self._worst), *critical, ("largest gain", self._best), ("sample", self._sample)]
        chosen: dict[str, str] = {}
        for why, kind in kinds:
            room = len(chosen) + (_WHOLE if why != "sample" else max(_WHOLE, 4 * _WHOLE - len(chosen)))
            for _, query_id, _ in kind:
                if len(chosen) < room:
                    chosen.setdefault(query_id, why)
        return chosen


def _difference(metric: Metric, scores: Iterable[PairScore]) -> float | None:
    """The metric's difference, larger is better; None: it is not scored in both arms."""
    for score in scores:
        if score.metric == metric.name:
            if isinstance(score.incumbent, Scored) and isinstance(score.candidate, Scored):
                change = score.candidate.value - score.incumbent.value
                return change if metric.higher_is_better else -change
            return None
    return None
