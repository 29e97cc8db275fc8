"""Scores a share of the pairs again with a probe in the candidate's place: can a metric come out worse at all?

A probe is the incumbent's run with an empty answer, another query's run, or, where both tell nothing, the own
answer read backwards with hits that nobody knows. Which pairs are probed is decided by their ids,
so that any order of looks
probes the same ones: all of the first, then ever fewer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from shadoweval.evaluation.rescoring import said_of
from shadoweval.experiment import Experiment
from shadoweval.protocols import Metric, Scorer
from shadoweval.records import Hit, Observation, Outcome, Pair, PairScore, Scored, Unscored
from shadoweval.scoring.cascade import of_all
from shadoweval.store.blobs import dump, load, with_plain_values
from shadoweval.verdict.provable import needs_probes
from shadoweval.verdict.summary import ProbeCount

__all__ = ["Probes"]

_AT_FIRST: Final = 100
_COSTLY_AT_FIRST: Final = 20
"""Pairs that are all probed; of the n-th later one this over n is."""
_MOST_REASONS: Final = 5


class Probes:
    """Probes of the metrics that gates rest on, and what came of them."""

    def __init__(self, experiment: Experiment) -> None:
        self._probed: list[tuple[Scorer, list[Metric]]] = []
        for scorer in experiment.scorers:
            metrics = [metric for metric in scorer.metrics if needs_probes(metric, tuple(experiment.gates))]
            if metrics:
                self._probed.append((of_all(scorer), metrics))
        self.counts = {metric.name: ProbeCount() for _, metrics in self._probed for metric in metrics}
        self._other: tuple[str, Observation, bytes] | None = None
        """The key of an earlier query, and what was served, also as it was stored."""

    def see(self, pair: Pair, scores: Sequence[PairScore], *, key: str = "") -> None:
        """Probe a pair, if it is its turn; `scores` are its own, and `key` is its query's, where that is at hand."""
        if not self._probed or pair.served.outcome is None:
            return
        key = key or pair.query.key
        own = {score.metric: score.incumbent.value for score in scores if type(score.incumbent) is Scored}
        chance = int.from_bytes(hashlib.sha256(b"probe " + pair.id.encode()).digest()[:8]) / 2**64
        for scorer, metrics in self._probed:
            due = [metric for metric in metrics if metric.name in own and self._due(metric, chance)]
            if due:
                self._probe(scorer, due, pair=pair, own=own)
        if self._other is None or self._other[0] != key:
            self._other = key, pair.served, pair.stored[0] if pair.stored else b""

    def _due(self, metric: Metric, chance: float) -> bool:
        count = self.counts[metric.name]
        count.eligible += 1
        return chance * count.eligible < (_COSTLY_AT_FIRST if metric.costly else _AT_FIRST)

    def _probe(self, scorer: Scorer, due: Sequence[Metric], *, pair: Pair, own: Mapping[str, float]) -> None:
        open_metrics, scored = {metric.name: metric for metric in due}, set[str]()
        for metric in due:
            self.counts[metric.name].tried += 1
        for probe, stored in self._probes_of(pair):
            runs = (*pair.stored[:1], stored)
            for score in said_of(scorer, msgspec.structs.replace(pair, candidate=probe, stored=runs)):
                metric = open_metrics.get(score.metric)
                if metric is None:
                    continue
                if isinstance(score.candidate, Unscored):
                    _count(self.counts[metric.name].reasons, score.candidate.reason)
                    continue
                scored.add(metric.name)
                sign = 1 if metric.higher_is_better else -1
                if sign * score.candidate.value < sign * own[metric.name]:
                    self.counts[metric.name].worse += 1
                    del open_metrics[metric.name]
            if not open_metrics:
                break
        for name in scored:
            self.counts[name].scored += 1

    def _probes_of(self, pair: Pair) -> list[tuple[Observation, bytes]]:
        """What stands in for the candidate's run, and what was stored of it.

        None of it can be as good as the incumbent's, but by chance.
        """
        served, arm = pair.served, {"arm": pair.candidate.arm, "place": "shadow"}
        outcome = served.outcome or Outcome()
        empty, senseless = (
            msgspec.structs.replace(
                served,
                outcome=Outcome(answer=text, value=text if isinstance(outcome.value, str) else None, hits=hits),
                **arm,
            )
            for text, hits in (("", ()), (_senseless(outcome.answer or ""), _unknown(outcome.hits)))
        )
        if self._other is None or self._other[0] == pair.query.key:
            return [(empty, b""), (senseless, b"")]
        other = msgspec.structs.replace(self._other[1], query_id=pair.id, **arm)
        return [(empty, b""), (other, self._other[2]), (senseless, b"")]

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        other = None
        if self._other is not None:
            other = [self._other[0], dump(with_plain_values(self._other[1])), self._other[2]]
        return {"counts": {name: count.to_state() for name, count in self.counts.items()}, "other": other}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        for name, count in state["counts"].items():
            self.counts[name] = ProbeCount.restored(count)
        other = state["other"]
        self._other = None if other is None else (other[0], load(other[1], Observation), other[2])


def _senseless(answer: str) -> str:
    """As long as the answer, and of its letters: for scorers that can't read an empty one."""
    return f"zq {answer[::-1]}"


def _unknown(hits: Sequence[Hit]) -> tuple[Hit, ...]:
    return tuple(msgspec.structs.replace(hit, id=f"no document {hit.rank}", text=None) for hit in hits)


def _count(reasons: dict[str, int], reason: str) -> None:
    if reason in reasons or len(reasons) < _MOST_REASONS:
        reasons[reason] = reasons.get(reason, 0) + 1
