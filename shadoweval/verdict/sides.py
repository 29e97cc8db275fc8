"""Smaller trials over parts of the same pairs, for what stands beside a fault of the evidence.

`clean`: the pairs in which the shadow had no part, from the first on in which it had. `rerun`: the clean pairs on
which the incumbent was run again, with its re-run in its place. Nothing but whether a gate is broken is read from
them, so they keep the gates' own variables and nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias

from shadoweval.evidence.variables import Variable
from shadoweval.protocols import Metric
from shadoweval.verdict.claims import Claim, claim_of, contrast_of
from shadoweval.verdict.columns import Columns, against_rerun
from shadoweval.verdict.gates import Gate
from shadoweval.verdict.unit_evidence import UnitEvidence

__all__ = ["SIDES", "Side", "SideName", "Sides", "claims_of", "count_ratios"]

SideName: TypeAlias = Literal["clean", "rerun"]
SIDES: Final[tuple[SideName, ...]] = ("clean", "rerun")


def claims_of(
    gates: Sequence[Gate], metrics: Sequence[Metric], *, contrasts: Mapping[str, Variable], visits: bool
) -> tuple[Claim, ...]:
    """The claims that gates make, whose variables look at returning units; arguments as of `claim_of` and `Trial`."""
    claims = tuple(claim_of(gate, metrics, contrasts=contrasts) for gate in gates)
    for claim in claims:
        for variable in claim.variables:
            variable.watch_returning(every_pair=claim.metric.fact_of_run)
            variable.visits = visits
    return claims


class Side:
    """The evidence on the gates of a trial, from some of its pairs."""

    def __init__(self, metrics: Sequence[Metric], gates: Sequence[Gate], *, visits: bool) -> None:
        contrasts = {metric.name: contrast_of(metric) for metric in metrics}
        self.claims = claims_of(gates, metrics, contrasts=contrasts, visits=visits)
        self._evidence = UnitEvidence({v: c.metric.name for c in self.claims for v in c.variables}, sliced={})

    @property
    def pairs(self) -> int:
        """How many pairs."""
        return self._evidence.pairs

    def add(self, columns: Columns) -> None:
        """Take in a batch, with sound scores."""
        count_ratios(self.claims, columns)
        self._evidence.add(columns, columns.scores)

    def begin(self, evidence: UnitEvidence, claims: Sequence[Claim]) -> None:
        """Begin with the evidence on the same gates that a trial has gathered."""
        twins: dict[Variable, Variable] = {}
        for own, other in zip(self.claims, claims, strict=True):
            twins |= zip(own.variables, other.variables, strict=True)
            if own.ratio is not None and other.ratio is not None:
                own.ratio.restore(other.ratio.to_state())
        self._evidence.begin(evidence, twins)

    def end_sessions(self) -> None:
        """Count what is still open as it stands."""
        self._evidence.end_sessions()

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        ratios = [None if claim.ratio is None else claim.ratio.to_state() for claim in self.claims]
        return {"evidence": self._evidence.to_state(), "ratios": ratios}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._evidence.restore(state["evidence"])
        for claim, ratio in zip(self.claims, state["ratios"], strict=True):
            if claim.ratio is not None:
                claim.ratio.restore(ratio)


class Sides:
    """The smaller trials of one trial; each begins when there is a pair for it."""

    def __init__(self, metrics: Sequence[Metric], gates: Sequence[Gate], *, visits: bool) -> None:
        self._metrics, self._gates, self._visits = metrics, gates, visits
        self._gated = {gate.base for gate in gates}
        self.trials: dict[SideName, Side] = {}

    def add(self, columns: Columns, evidence: UnitEvidence, claims: Sequence[Claim]) -> None:
        """Take in a batch with sound scores, before the trial whose evidence and claims these are does."""
        faulty = columns.faulty
        clean = dataclasses.replace(columns, attributes={}, faulty=None)
        if faulty is not None and faulty.any():
            if "clean" not in self.trials:
                self._side("clean").begin(evidence, claims)
            clean = clean.part(~faulty)
        if "clean" in self.trials:
            self.trials["clean"].add(clean)
        again = against_rerun(clean, self._metrics, wanted=self._gated)
        if again is not None:
            self._side("rerun").add(again)

    def _side(self, name: SideName) -> Side:
        return self.trials.setdefault(name, Side(self._metrics, self._gates, visits=self._visits))

    def end_sessions(self) -> None:
        """Count what is still open as it stands."""
        for side in self.trials.values():
            side.end_sessions()

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {name: side.to_state() for name, side in self.trials.items()}

    def restore(self, state: Mapping[SideName, Any]) -> None:
        """Take up what `to_state` gave."""
        for name, gathered in state.items():
            self._side(name).restore(gathered)


def count_ratios(claims: Sequence[Claim], columns: Columns) -> None:
    """Count a batch for the claims that show the ratio of the arms' means."""
    for claim in claims:
        if claim.ratio is not None:
            own = columns.scores[claim.metric.name]
            claim.ratio.extend(own.incumbent[own.both], own.candidate[own.both])
