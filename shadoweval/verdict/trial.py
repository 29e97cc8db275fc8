"""Pairs in, evidence out: everything a verdict rests on, gathered batch by batch in query order."""

from __future__ import annotations

import copy
import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final

import numpy as np

from shadoweval.errors import ExperimentError
from shadoweval.evidence.capped import CappedRatio
from shadoweval.evidence.decay import Newest
from shadoweval.evidence.inputs import IdArray
from shadoweval.evidence.variables import Noise, Variable
from shadoweval.protocols import Metric
from shadoweval.verdict.claims import Claim, contrast_of, scale_of
from shadoweval.verdict.columns import Columns, ScoredPair, columns_of
from shadoweval.verdict.drawn import Drawn
from shadoweval.verdict.facts import Facts
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.harm_margins import OF_AMOUNT, OF_RANGE
from shadoweval.verdict.hours import Hours
from shadoweval.verdict.outages import Outages
from shadoweval.verdict.ranges import sound
from shadoweval.verdict.representative import Representative
from shadoweval.verdict.sides import Side, SideName, Sides, claims_of, count_ratios
from shadoweval.verdict.summary import JudgeProbe, MetricCounts, ProbeCount, count_scores
from shadoweval.verdict.unit_evidence import UnitEvidence
from shadoweval.verdict.writes import WRITES

__all__ = ["STATE_VERSION", "Trial"]

STATE_VERSION: Final = 28
"""Of what `Trial.to_state` writes."""

_PORTION: Final = 2_000
"""Pairs taken in at once, so that a million pairs need little memory."""

_DOUBLE_WITHIN: Final = 1.0
"""Seconds within which the same text from the same unit is taken for one call mirrored twice."""


class Trial:
    """The evidence about one candidate. Feeding pairs one by one, in batches or all at once gives the same.

    Args:
        metrics: What is scored.
        gates: What must hold.
        visits: Whether all clusters of a unit count for the gates (`Rules.population`), and not its first alone.

    Raises:
        ExperimentError: a gate can't be decided with these metrics.
    """

    def __init__(self, metrics: Sequence[Metric], gates: Sequence[Gate], *, visits: bool = False) -> None:
        if len({metric.name for metric in metrics}) < len(metrics):
            twice = sorted(name for name, times in Counter(metric.name for metric in metrics).items() if times > 1)
            raise ExperimentError(
                f"Two scorers make {', '.join(map(repr, twice))}. A metric is known by its name: keep one."
            )
        self.metrics, self.gates = tuple(metrics), tuple(gates)
        self.contrasts = {metric.name: contrast_of(metric) for metric in metrics}
        self.noises = {metric.name: Noise(scale_of(metric)) for metric in metrics if not metric.like_with_like}
        self.claims = claims_of(gates, metrics, contrasts=self.contrasts, visits=visits)
        self.ungated = {metric.name for metric in metrics} - {gate.base for gate in gates}
        unasked = {metric: self.contrasts[metric.name] for metric in metrics if metric.name in self.ungated}
        for metric, contrast in unasked.items():
            contrast.watch_returning(every_pair=metric.fact_of_run)
        facts = {metric.name: each for metric, each in unasked.items() if metric.fact_of_run and metric.name != WRITES}
        self.watched = watch_for_decay(self.claims, facts)
        owned = [(claim.metric.name, variable) for claim in self.claims for variable in claim.variables]
        named = [*self.contrasts.items(), *self.noises.items(), *owned]
        self._evidence = UnitEvidence({variable: metric for metric, variable in named}, sliced=self.contrasts)
        self.slices = self._evidence.slices
        self.counts = {metric.name: MetricCounts() for metric in metrics}
        self.facts = Facts()
        self.hours = Hours()
        self.outages = Outages()
        self.drawn = Drawn(metrics)
        self.representative = Representative(sorted({gate.base for gate in gates}))
        self.probes: Mapping[str, ProbeCount] = {}
        """What probes of a metric came to; whoever scores the pairs owns and keeps them."""
        self.judge_probes: Mapping[str, Mapping[str, JudgeProbe]] = {}
        """Metric -> probe -> what came of it; see `judges`."""
        self.like_probes: tuple[str, ...] = ()
        """How the candidate's answers, and not the incumbent's, look like those probes."""
        self.broken_fields = ""
        """What of the fields that a stage saw changed in mid-run, in words; whoever reads the pairs knows."""
        self.grouped = self.disordered = self.doubled = 0
        self.first_asked = self.last_asked = 0.0
        self._last_row: tuple[int, int] = (0, 0)
        self._sides = Sides(self.metrics, self.gates, visits=visits)

    @property
    def pairs(self) -> int:
        """How many pairs."""
        return self._evidence.pairs

    @property
    def distinct(self) -> int:
        """How many different queries."""
        return self._evidence.distinct

    def add_pairs(self, pairs: Iterable[ScoredPair]) -> None:
        """Take in pairs in query order, in batches of their own."""
        source = iter(pairs)
        while portion := list(islice(source, _PORTION)):
            self.add(columns_of(portion, self.metrics))

    def add(self, columns: Columns) -> None:
        """Take in a batch, later than all before."""
        self.facts.merge(columns.facts)
        if not columns.n:
            return
        columns = dataclasses.replace(columns, scores=sound(columns.scores, self.metrics, columns.n))
        columns = self.outages.without_credit(columns, self.metrics)
        columns = dataclasses.replace(columns, scores=self.drawn.weighed(columns.scores))
        self._sides.add(columns, self._evidence, self.claims)
        self._look_at_order(columns)
        count_scores(self.counts, columns.scores)
        self.representative.count(columns.scores, columns.attributes)
        count_ratios(self.claims, columns)
        self.grouped += int((~columns.alone).sum())
        self._evidence.add(columns, columns.scores)

    def _look_at_order(self, columns: Columns) -> None:
        asked, key, cluster = columns.asked_at, columns.key, columns.cluster
        self.hours.add(asked)
        if not self.pairs:
            self.first_asked = float(asked[0])
        before = float(asked[0]) if not self.pairs else self.last_asked
        steps = np.diff(asked, prepend=before)
        self.disordered += int((steps < 0).sum())
        same = (key == _shifted(key, self._last_row[0])) & (cluster == _shifted(cluster, self._last_row[1]))
        soon = steps < _DOUBLE_WITHIN
        if not self.pairs:
            same[0] = False
        self.doubled += int((same & soon).sum())
        self.last_asked = max(before, float(asked.max()))
        self._last_row = int(key[-1]), int(cluster[-1])

    @property
    def largest_share(self) -> float:
        """Share of the pairs in complete clusters that one unit brought."""
        return self._evidence.most_pairs / self.pairs if self.pairs else 0.0

    def end_sessions(self) -> None:
        """Count the clusters that are still open as they stand: no more pairs will come."""
        self._evidence.end_sessions()
        self._sides.end_sessions()

    def side(self, name: SideName) -> Side | None:
        """The evidence of the pairs free of the shadow's faults, or against the re-run; None: there is none."""
        return self._sides.trials.get(name)

    def closed(self) -> Trial:
        """This trial if no more pairs came; a copy where sessions are still open."""
        if not self._evidence.unfinished:
            return self
        ended = copy.deepcopy(self)
        ended.end_sessions()
        return ended

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values (msgpack): some 4 kB a gate and view, 8 bytes a query or unit."""
        return {
            "v": STATE_VERSION,
            "gates": [gate.sentence for gate in self.gates],
            "evidence": self._evidence.to_state(),
            "ratios": [None if claim.ratio is None else claim.ratio.to_state() for claim in self.claims],
            "metrics": {name: counts.to_state() for name, counts in self.counts.items()},
            "facts": self.facts.to_state(),
            "hours": self.hours.to_state(),
            "outages": self.outages.to_state(),
            "drawn": self.drawn.to_state(),
            "representative": self.representative.to_state(),
            "counts": [self.grouped, self.disordered, self.doubled],
            "asked": [self.first_asked, self.last_asked],
            "last_row": list(self._last_row),
            "sides": self._sides.to_state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up, before any pair, what `to_state` of a trial with the same metrics and gates gave.

        Raises:
            ExperimentError: it had other gates; evidence gathered for one question does not answer another.
        """
        gates = [gate.sentence for gate in self.gates]
        if state.get("v") != STATE_VERSION or state.get("gates") != gates or set(state["metrics"]) != set(self.counts):
            raise ExperimentError(f"This evidence was gathered for {state.get('gates')}, not for {gates}. Start anew.")
        self._evidence.restore(state["evidence"])
        for claim, ratio in zip(self.claims, state["ratios"], strict=True):
            if claim.ratio is not None:
                claim.ratio.restore(ratio)
        for name, counts in self.counts.items():
            counts.restore(state["metrics"][name])
        self.facts.restore(state["facts"])
        self.hours.restore(state["hours"])
        self.outages.restore(state["outages"])
        self.drawn.restore(state["drawn"])
        self.representative.restore(state["representative"])
        self.grouped, self.disordered, self.doubled = state["counts"]
        self.first_asked, self.last_asked = state["asked"]
        self._last_row = state["last_row"][0], state["last_row"][1]
        self._sides.restore(state["sides"])


def _shifted(ids: IdArray, before: int) -> IdArray:
    return np.concatenate([np.array([before], dtype=np.uint64), ids[:-1]])


_ALPHA: Final = 0.05


def watch_for_decay(claims: Sequence[Claim], ungated: Mapping[str, Variable] | None = None) -> list[tuple[str, Newest]]:
    """Let the newest units of every gate that decides be watched; who watches, and over which metric.

    The null is that the gate is not broken of late: no loss beyond the margin, no loss at all of what must be better, a
    level inside its limit. Of facts of runs that no gate asks for it is that they are no worse than is tolerated. They
    share one chance of a false alarm.

    Args:
        claims: Of the gates.
        ungated: By metric, what compares the arms by facts of runs that no gate asks for.
    """
    deciding, unasked = [claim for claim in claims if not claim.gate.dry_run], dict(ungated or {})
    alpha = _ALPHA / max(1, len(deciding) + len(unasked))
    watchers: list[tuple[str, Newest]] = []
    for claim in deciding:
        breaks = claim.breaks
        variable, row = claim.broken_row
        best = variable.hi if breaks.side == "less" else variable.lo
        newest = Newest(breaks.margin, best, alpha=alpha, tight=isinstance(variable, CappedRatio))
        variable.newest.append((row, newest))
        watchers.append((claim.gate.metric, newest))
    for metric, variable in unasked.items():
        newest = Newest(-(OF_RANGE if variable.scale.bounded else OF_AMOUNT), variable.hi, alpha=alpha)
        variable.newest.append((0, newest))
        watchers.append((metric, newest))
    return watchers
