"""The queries that a report lists, and what those have in common in which the candidate loses or wins."""

from __future__ import annotations

from typing import Literal

import msgspec

from shadoweval.records.scores import Score
from shadoweval.records.traffic import Example

__all__ = ["ClusterFeature", "LossCluster", "QueryRow", "QueryTable"]


class ClusterFeature(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What all queries of a cluster have: one of several words, an attribute's value, or what happened in them."""

    kind: Literal["words", "attribute", "run"]
    """`run`: what happened in either arm, as the kind of step at which they part."""
    name: str
    """`one of the words`, the attribute's name, `first difference`, `tool`, `failure`."""
    values: tuple[str, ...] = ()
    """Any of them; empty: the report is without users' words."""

    @property
    def shown(self) -> str:
        """Its values, or that they are not shown."""
        return ", ".join(self.values) or "(not in this report)"

    @property
    def text(self) -> str:
        """`plan: pro`, `one of the words: refund, parcel`."""
        return f"{self.name}: {self.shown}"


class LossCluster(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A part of the traffic that one half of the pairs proposed and the other one bears out; numbers of that half."""

    features: tuple[ClusterFeature, ...]
    """A query has all of them."""
    metric: str
    difference: float
    """Mean of candidate - incumbent in it; larger is better."""
    lower: float
    upper: float
    """Bounds that hold together with those of all others of the same look, at 95 %."""
    elsewhere: float
    """The difference of all other queries."""
    units: int
    """Different units that it was tested on."""
    share: float
    """Of the sampled pairs, of both halves."""
    examples: tuple[str, ...] = ()
    """Ids of the queries that show it most."""

    @property
    def text(self) -> str:
        """What its queries have in common."""
        return "; ".join(feature.text for feature in self.features)


class QueryRow(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One pair in a line of the report's table: its scores, and beginnings of its texts."""

    id: str
    """The query's."""
    text: str = ""
    answers: tuple[str, str] = ("", "")
    """Beginnings, the incumbent's first."""
    failures: tuple[str, str] = ("", "")
    """How each arm failed and whose doing it was, `timeout (candidate's)`; empty: it answered."""
    scores: dict[str, tuple[Score, Score]] = {}
    attributes: dict[str, str] = {}
    parts: str = ""
    """The kind of step at which the arms part; empty: they do not."""
    critical: bool = False
    """Whether the candidate loses on the metric of a critical gate."""
    clusters: tuple[int, ...] = ()
    """Places of those of `QueryTable.clusters` that it belongs to."""


class QueryTable(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The pairs of one candidate that a report lists: all, or of very many those that matter and a sample by hash."""

    rows: tuple[QueryRow, ...] = ()
    details: tuple[Example, ...] = ()
    """Those of them that are shown whole, side by side."""
    pairs: int = 0
    """Of how many pairs `rows` are."""
    critical: int = 0
    """How many of all pairs lose on a critical gate."""
    clusters: tuple[LossCluster, ...] = ()
    """Parts of the traffic in which the candidate is worse, or better, and that nobody named; the worst first."""
