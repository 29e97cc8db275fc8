"""The query, what each arm did with it, what people said about it, and how a report shows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from shadoweval.records.acts import (
    Answered,
    Failure,
    FailureOwner,
    Hit,
    Outcome,
    Refusal,
    Step,
    ToolCall,
    Usage,
    WriteEffect,
)
from shadoweval.records.keys import query_key, short_hash
from shadoweval.records.scores import Annotation, Score

__all__ = [
    "BRUTE_FORCE",
    "CACHE",
    "EXACT_SEARCH",
    "INCUMBENT",
    "Arm",
    "Envelope",
    "Example",
    "Labels",
    "LossCluster",
    "Observation",
    "Place",
    "Query",
]

Place = Literal["served", "shadow"]
"""Where an observation was made: in the request path, or in a worker."""

Arm = str
"""`"incumbent"` or a candidate's name."""

INCUMBENT: Arm = "incumbent"

CACHE = "cache"
"""Begins the name of a step that is a look into a cache: `cache`, `cache embeddings`."""
EXACT_SEARCH = "exact search"
"""Begins the name of a step that is a search made again, exactly, in a shadow; after a colon, why it has no value."""
BRUTE_FORCE = "every search is exact (brute force)"
"""Why an exact search was not made."""


class Query(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What was asked, with its attributes."""

    id: str
    text: str
    """The question as a person would read it, for display, slices and labels; not what the query is known by."""
    inputs: bytes = b""
    """`codec.freeze((args, kwargs))` as they were before the incumbent ran."""
    entry: str = ""
    """`"module:qualname"` of the incumbent that was asked. Of a runnable it ends in the method that it was called by
    (`"module:graph.stream"`, and `":stream"` where nobody knows the module)."""
    unit: str = ""
    """User or session that sampling and clustering go by; empty: the query stands alone."""
    attributes: dict[str, Any] = {}
    asked_at: datetime
    bucket: float = 0.0
    """Where the unit fell in [0, 1) under `salt`; mirrored because it lay below the share."""
    salt: str = ""
    identity: str = ""
    """Hash of the arguments by name, in canonical form, or of what `mirror(key=)` gave."""

    @property
    def key(self) -> str:
        """Equal for the same query asked again: what was passed is the same. Without inputs, the text's `query_key`."""
        return self.identity or (short_hash(self.inputs) if self.inputs else self.text_key)

    @property
    def text_key(self) -> str:
        """`query_key` of the text, under which labels are looked for too."""
        return query_key(self.text)

    @property
    def cluster(self) -> str:
        """Unit of inference: the session or user where there is one, else the distinct query."""
        return self.unit or self.key


class Observation(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What happened when one arm ran one query: an outcome or a failure."""

    query_id: str
    arm: Arm
    place: Place
    outcome: Outcome | None = None
    failure: Failure | None = None
    steps: tuple[Step, ...] = ()
    started_at: datetime
    duration: float
    """Seconds until the last chunk or the failure."""
    first_chunk: float | None = None
    """Seconds until the first chunk of a stream."""
    usage: Usage = Usage()
    versions: dict[str, str] = {}
    """What decides the answer, by name: prompt, model, index, tools, code."""
    refusals: tuple[Refusal, ...] = ()
    live_writes: int = 0
    """Writes that really reached the world from a shadow; anything but 0 is an incident."""
    containment: tuple[str, ...] = ()
    """Layers of the guard in force, outermost first."""
    writes: tuple[WriteEffect, ...] = ()
    diverged_at: int | None = None
    """Turn at which a conversation left the incumbent's history; later turns are not compared."""
    waited: tuple[float, float] = (0.0, 0.0)
    """Seconds of `duration`, and of `first_chunk`, in which a shadow was ready and other work had the processor."""
    calls: tuple[ToolCall, ...] = ()
    """Tool calls of a run that failed; those of one that answered are in its outcome."""
    unjudged: tuple[str, ...] = ()
    """Where it could write with nobody judging what: endpoints that the sandbox allows, or `NO_GUARD`."""
    cold: str = ""
    """Why the process was new, in which this was the first run; its seconds count nowhere. Empty: it was not new.

    `FIRST_PROCESS`: there was none before it, which says nothing of the pipeline; any other reason may be its doing.
    """
    untimed: str = ""
    """Why its seconds, which it measured itself, are not believed and count nowhere; empty: they are."""
    changed: dict[str, Any] | None = None
    """What it has changed in its worlds, by table, entity or part, as plain data; None: no world tells."""
    unwatched: str = ""
    """Why no world tells, where one should."""
    again: tuple[Observation, ...] = ()
    """The same arm's further runs of this query (`Sandbox.repeats`); their live writes are counted here too."""

    def __post_init__(self) -> None:
        if (self.outcome is None) == (self.failure is None):
            raise ValueError(f"Observation of {self.query_id!r} needs either an outcome or a failure.")

    @property
    def latency(self) -> float:
        """Seconds that the arm itself took: a shadow lets all other work go first, which is not its doing."""
        return self.duration - self.waited[0]

    @property
    def first_chunk_latency(self) -> float | None:
        """The same of the first chunk."""
        return None if self.first_chunk is None else self.first_chunk - self.waited[1]

    @property
    def failed(self) -> bool:
        """Whether it ended in a failure."""
        return self.failure is not None

    @property
    def owner(self) -> FailureOwner | None:
        """Whose doing the failure was; None: it answered.

        As the record says; else the caller's where the caller went away from what was served, the shadow's where a
        shadow was stopped from outside or refused, and else the arm's own.
        """
        if self.failure is None or self.failure.owner is not None:
            return self.failure and self.failure.owner
        if self.failure.kind in {"aborted", "killed", "refused"}:
            return "caller" if self.failure.kind == "aborted" and self.place == "served" else "shadow"
        return "incumbent" if self.arm == INCUMBENT else "candidate"

    @property
    def unscored(self) -> str:
        """Why it says nothing about its arm, so that no metric scores it; empty: it does."""
        if self.owner == "caller":
            return "aborted: the caller went away"
        if self.owner == "shadow" and self.failure is not None:
            return f"ended by the shadow: {self.failure.cause or self.failure.kind}"
        return ""

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """Tool calls, of a run that failed too."""
        return self.outcome.tool_calls if self.outcome else self.calls

    @property
    def hits(self) -> tuple[Hit, ...]:
        """Hits of the outcome; none where it failed."""
        return self.outcome.hits if self.outcome else ()

    @property
    def fidelity(self) -> Mapping[Answered, int]:
        """How many tool calls were answered in which way."""
        return Counter([call.answered for call in self.tool_calls])


class Envelope(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A mirrored call on its way from the mirror to the worker."""

    experiment: str
    query: Query
    served: Observation
    definition: str = ""
    """`Experiment.definition` of whoever mirrored it; empty: of an earlier version, or by no experiment."""

    @property
    def id(self) -> str:
        """The query's id; the same call sent twice has the same id."""
        return self.query.id


class Labels(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What people said about a query; may come days later."""

    relevant: dict[str, int] = {}
    """Document id -> grade (0: judged and not relevant); empty: not judged."""
    reference: str | None = None
    """A right answer, the first of `references`."""
    expected_calls: tuple[ToolCall, ...] | None = None
    references: tuple[str, ...] = ()
    """All right answers, each as good as the others; `reference` is among them."""
    annotations: tuple[Annotation, ...] = ()
    """What people said about the arms' answers to this query, in order of time."""
    goal: dict[str, Any] | None = None
    """What a right run has changed in the world, as `Observation.changed` has it."""

    def __post_init__(self) -> None:
        if not isinstance(self.relevant, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - users'
            raise ValueError(f"Labels.relevant must be a dict of grades, got {self.relevant!r}. Write {{'doc-7': 1}}.")  # noqa: TRY004 - what a record's decoder takes for a wrong record
        if isinstance(self.references, str):  # pyright: ignore[reportUnnecessaryIsInstance] - users'
            raise ValueError(f"Labels.references must be several texts, got {self.references!r}. Write reference=.")  # noqa: TRY004 - as above
        named = () if self.reference is None else (self.reference,)
        references = tuple(dict.fromkeys((*named, *self.references)))
        msgspec.structs.force_setattr(self, "references", references)
        msgspec.structs.force_setattr(self, "reference", references[0] if references else None)

    def merged(self, later: Labels) -> Labels:
        """These labels with what `later` adds or replaces; later references take the place of all before."""
        return Labels(
            relevant={**self.relevant, **later.relevant},
            expected_calls=self.expected_calls if later.expected_calls is None else later.expected_calls,
            references=later.references or self.references,
            annotations=self._all_said(later),
            goal=self.goal if later.goal is None else later.goal,
        )

    def _all_said(self, later: Labels) -> tuple[Annotation, ...]:
        said = dict.fromkeys((*self.annotations, *later.annotations))
        return tuple(sorted(said, key=lambda each: each.at or datetime.max.replace(tzinfo=UTC)))


class Example(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One query side by side, chosen for the report."""

    query_id: str
    text: str
    attributes: dict[str, Any] = {}
    incumbent: Observation
    candidate: Observation
    scores: dict[str, tuple[Score, Score]] = {}
    labels: Labels = Labels()
    why: str = ""
    """Why it was chosen: largest loss, largest gain, failure, sample."""
    course: tuple[str, ...] = ()
    """Where the arms part, and what followed from tools that failed, in words."""


class LossCluster(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A part of the traffic that one half of the pairs proposed and the other one bears out; numbers of that half."""

    features: dict[str, tuple[str, ...]]
    """What its queries have, all of these: by name any of the values; no value: the report is without users' words."""
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
    def shown(self) -> dict[str, str]:
        """By name what is read behind it."""
        return {name: ", ".join(values) or "(not in this report)" for name, values in self.features.items()}

    @property
    def text(self) -> str:
        """`one of the words: refund, parcel; attribute plan: pro`."""
        return "; ".join(f"{name}: {shown}" for name, shown in self.shown.items())
