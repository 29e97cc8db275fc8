"""The queries that a report lists: all pairs, or of very many those that matter and a sample of the rest.

Read from the store when a report is made, in memory that does not grow with the pairs: first the scores of all, which
say what is chosen, then the runs of what was chosen. In what those of the sample have in common the candidate may lose
or win: that is sought here too. So a state or a stored evaluation carries no texts for it, and what was erased is in no
later report.
"""

from __future__ import annotations

import contextlib
import heapq
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from typing import Final

import msgspec

from shadoweval.checks import checked_instance, checked_keywords
from shadoweval.evaluation.collecting import rarely_collecting
from shadoweval.evaluation.examples import example_of
from shadoweval.evaluation.loss_clusters import LossClusters
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

_SPREAD: Final = 2_654_435_761
"""A multiplier that spreads the checksums of ids that differ in their last digits (Knuth's, odd: a permutation)."""


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
    with place as opened, rarely_collecting():
        tables = {
            verdict.candidate: _table(evaluation, experiment, opened, candidate=verdict.candidate, limit=limit)
            for verdict in evaluation.verdicts
            if verdict.candidate in experiment.candidates
        }
    return msgspec.structs.replace(evaluation, queries=tables)


def _table(evaluation: Evaluation, experiment: Experiment, store: Store, *, candidate: Arm, limit: int) -> QueryTable:
    until = None if evaluation.until is None else evaluation.until + timedelta(microseconds=1)
    choice = _Choice(experiment, limit=limit)
    for query_id, values in store.values(experiment.name, candidate, since=evaluation.since, until=until):
        choice.see(query_id, values)
    sample, listed, whole = choice.sample(), dict.fromkeys(choice.listed()), choice.whole()
    read_ids = list(listed | dict.fromkeys(sample))
    clusters = LossClusters(experiment, sample=sample)
    rows: dict[str, QueryRow] = {}
    details: dict[str, Example] = {}
    judges = experiment.sandbox.stubs.failed
    scored = store.scores_of(candidate, read_ids)
    for read in store.pairs_of(experiment.name, candidate, read_ids):
        pair, scores = judged_pair(read, judges), scored.get(read.id, ())
        parting = first_divergence(pair)
        parts = parting.kind if parting else ""
        clusters.see(pair, scores, parts=parts)
        if pair.id not in listed:
            continue
        example = example_of(pair, scores, why=whole.get(pair.id, ""), whole=pair.id in whole)
        rows[pair.id] = row_of(example, parts=parts, critical=choice.loses(scores))
        if pair.id in whole:
            details[pair.id] = example
    named, places = clusters.named(listed=rows)
    for query_id in places.keys() & rows.keys():
        rows[query_id] = msgspec.structs.replace(rows[query_id], clusters=places[query_id])
    return QueryTable(
        rows=tuple(rows[query_id] for query_id in listed if query_id in rows),
        details=tuple(details[query_id] for query_id in whole if query_id in details),
        clusters=named,
        pairs=choice.pairs,
        critical=choice.critical,
    )


class _Largest:
    """The `room` ids of the highest rank, in a heap whose smallest one is the first to make room."""

    def __init__(self, room: int) -> None:
        self._room, self._heap = room, list[tuple[float, str]]()

    def see(self, rank: float, query_id: str) -> None:
        """Consider one."""
        if len(self._heap) < self._room:
            heapq.heappush(self._heap, (rank, query_id))
        elif self._heap and rank >= self._heap[0][0]:
            heapq.heappushpop(self._heap, (rank, query_id))

    def __iter__(self) -> Iterator[str]:
        """The highest rank first."""
        return (query_id for _, query_id in sorted(self._heap, reverse=True))


class _Choice:
    """Chooses from the scores of all pairs."""

    def __init__(self, experiment: Experiment, *, limit: int) -> None:
        metrics, gates = experiment.metrics, experiment.gates
        leading = metrics[gates[0].base] if gates else None
        critical = [metrics[name] for name in dict.fromkeys(gate.base for gate in gates if gate.critical)]
        self._leading = None if leading is None else _signed(leading)
        self._limit = limit
        self._losses = [(*_signed(each), _Largest(limit // len(critical))) for each in critical]
        self._sample = _Largest(limit)
        self._worst, self._best = _Largest(_WHOLE), _Largest(_WHOLE)
        self.pairs = self.critical = 0

    def see(self, query_id: str, values: Mapping[str, tuple[float, float]]) -> None:
        """Consider one pair: of each metric that is scored in both arms, the two values."""
        self.pairs += 1
        self._sample.see(zlib.crc32(query_id.encode()) * _SPREAD % 2**32, query_id)
        if self._leading is not None and (both := values.get(self._leading[0])) is not None:
            change = (both[1] - both[0]) * self._leading[1]
            if change:
                (self._best if change > 0 else self._worst).see(abs(change), query_id)
        lost = False
        for metric, sign, losses in self._losses:
            if (both := values.get(metric)) is not None and (change := (both[1] - both[0]) * sign) < 0:
                losses.see(-change, query_id)
                lost = True
        self.critical += lost

    def loses(self, scores: Iterable[PairScore]) -> bool:
        """Whether the candidate is worse on the metric of a critical gate."""
        signs = {metric: sign for metric, sign, _ in self._losses}
        return any(
            (each.candidate.value - each.incumbent.value) * signs[each.metric] < 0
            for each in scores
            if each.metric in signs and isinstance(each.incumbent, Scored) and isinstance(each.candidate, Scored)
        )

    def listed(self) -> list[str]:
        """The pairs that are listed: those that matter first, then the sample by hash."""
        kinds = (self._worst, self._best, *(losses for *_, losses in self._losses), self._sample)
        chosen = dict.fromkeys(query_id for kind in kinds for query_id in kind)
        return list(chosen)[: self._limit]

    def sample(self) -> list[str]:
        """The pairs that a hash alone has chosen, as many as may be listed."""
        return list(self._sample)

    def whole(self) -> dict[str, str]:
        """Why each pair that is shown whole is, by query id; losses first."""
        critical = [("loss on a critical gate", losses) for *_, losses in self._losses]
        kinds = [("largest loss", self._worst), *critical, ("largest gain", self._best), ("sample", self._sample)]
        chosen: dict[str, str] = {}
        for why, kind in kinds:
            room = len(chosen) + (_WHOLE if why != "sample" else max(_WHOLE, 4 * _WHOLE - len(chosen)))
            for query_id in kind:
                if len(chosen) < room:
                    chosen.setdefault(query_id, why)
        return chosen


def _signed(metric: Metric) -> tuple[str, float]:
    """Its name, and by what a difference is multiplied so that larger is better."""
    return metric.name, 1.0 if metric.higher_is_better else -1.0
