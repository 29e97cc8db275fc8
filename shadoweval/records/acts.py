"""What a run does and how it may end: tool calls, writes, refusals; outcome or failure, and whose doing that is.

And what the stages of many runs saw.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from itertools import zip_longest
from typing import Any, Literal, get_args

import msgspec

__all__ = [
    "FIRST_PROCESS",
    "NOTHING_RAN",
    "NO_GUARD",
    "Answered",
    "Divergence",
    "Effect",
    "Failure",
    "FailureKind",
    "FailureOwner",
    "Hit",
    "Outcome",
    "Refusal",
    "StageChange",
    "StagesSeen",
    "Step",
    "TokenKind",
    "ToolCall",
    "Usage",
    "WriteEffect",
    "unpriced",
]

Effect = Literal["read", "write", "unknown"]
"""What a tool does to the world; `unknown` counts as `write`."""

Answered = Literal["live", "replayed", "stubbed", "world", "simulated", "refused", "altered"]
"""How a tool call was answered; `altered`: live, where the incumbent had written for the same query."""

_EFFECTS = get_args(Effect)
_ANSWERED = get_args(Answered)


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One call of a tool, in the order in which calls ended."""

    name: str
    arguments: dict[str, Any] = {}
    result: Any = None
    error: str | None = None
    effect: Effect = "unknown"
    answered: Answered = "live"
    occurrence: int = 1
    """1 for the first call of this tool with these arguments in this query, 2 for the next."""
    started: float = 0.0
    """Seconds since the query began."""
    duration: float = 0.0
    failed: str | None = None
    """Why its result is a failure, though nothing was raised; empty: it is none; None: nobody has judged it yet."""
    within: int | None = None
    """Position, among the run's calls, of the call of another tool that made this one; None: no tool made it."""
    handed: tuple[float, ...] = ()
    """When its work was handed to tasks and threads, the outermost first, in seconds since the query began.

    What was handed over before another call ended may run before or after it: nothing orders the two.
    """
    beside: dict[str, Any] = {}
    """What a call left beside its result or error, for its replay (see `capture.beside`); empty: nothing."""

    def __post_init__(self) -> None:
        if self.effect not in _EFFECTS or self.answered not in _ANSWERED:
            wrong = self.effect if self.effect not in _EFFECTS else self.answered
            raise ValueError(f"ToolCall.effect is one of {_EFFECTS}, .answered one of {_ANSWERED}; got {wrong!r}.")

    @property
    def writes(self) -> bool:
        """Whether the tool may change the world: everything that is not declared a read."""
        return self.effect != "read"

    @property
    def succeeded(self) -> bool:
        """Whether it did what it was called for: neither an error nor a result that says so. Only then it wrote."""
        return self.error is None and not self.failed

    def at_once(self, other: ToolCall) -> bool:
        """Whether either could have come first: neither had ended when the other's work was free to begin."""
        return self.started + self.duration > other._free_beside(
            self
        ) and other.started + other.duration > self._free_beside(other)

    def _free_beside(self, other: ToolCall) -> float:
        """Since when it may have come: from then on work that was handed over waited for nothing but a processor."""
        parted = (mine for mine, others in zip_longest(self.handed, other.handed) if mine != others)
        moment = next(parted, None)
        return self.started if moment is None else moment


class WriteEffect(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One write an arm made (incumbent) or would have made (candidate)."""

    tool: str
    arguments: dict[str, Any] = {}
    entity: str = ""


FailureKind = Literal["error", "timeout", "crash", "out_of_memory", "refused", "budget", "aborted", "killed"]
"""`aborted`: the caller went away (disconnect, cancellation); such a pair is not scored. `refused`: what the guard or
the stubs refused ended the run."""

FailureOwner = Literal["caller", "incumbent", "candidate", "shadow"]
"""Whose doing a failure was. The shadow's (a refusal that ended the run, a redactor that raised, a rate limit, a kill
from outside) says nothing about a pipeline: it is missing evidence."""

NO_GUARD = "no guard"
"""Stands in `Observation.unjudged` where the run was free to do anything."""

NOTHING_RAN = "nothing was run"
"""Stands in `Verdict.unjudged` of scores that were given: whoever made them knows what was written."""

FIRST_PROCESS = "it is the first one"
"""Why a process was new (`Observation.cold`) that had none before it."""


class Failure(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Why there is no outcome."""

    kind: FailureKind
    error_type: str = ""
    message: str = ""
    step: str = ""
    """Name of the first step that failed; empty where none did."""
    owner: FailureOwner | None = None
    """Whose doing it was, where `kind` and arm do not say so; ask `Observation.owner`."""
    cause: str = ""
    """What of the shadow ended the run, in words that runs with the same cause share."""
    mend: str = ""
    """The line that keeps it from happening again, such as `Sandbox(allow=["api.example:443"])`."""


class Refusal(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """Something a candidate tried and was not allowed to do."""

    kind: str
    """`tool`, or the guarded event such as `socket.connect`, `open.write`, `process`."""
    detail: str = ""
    layer: str = ""
    count: int = 1


TokenKind = Literal["input", "output", "cached_input", "cache_write", "reasoning", "audio_input", "audio_output"]
"""Tokens that providers bill apart: all of the input and of the output, and parts of either."""


class Step(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """A model call, a retrieval, a tool call or another named part of a run."""

    kind: Literal["model", "retrieval", "tool", "other"]
    name: str
    started: float = 0.0
    duration: float = 0.0
    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    first_chunk: float | None = None
    error: str | None = None
    index: int = 0
    parent: int | None = None
    """`index` of the step this one ran inside."""
    value: float | None = None
    """What it measured: of a look into a cache (`CACHE`) 1 where it hit and else 0; of an exact search
    (`EXACT_SEARCH`) the share of its documents that the search before it gave."""
    tokens: dict[str, int] = {}
    """Parts of `input_tokens` and `output_tokens` by kind (see `TokenKind`), as the provider tells."""
    provider: str = ""
    """Whose model it is, by OpenTelemetry's names (`openai`, `anthropic`, `aws.bedrock`); empty: nobody said."""


class Usage(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a run consumed; None where it was not measured."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    cost_usd: float | None = None
    cpu_seconds: float | None = None
    peak_memory: int | None = None
    tokens: dict[str, int] = {}
    """Sums of `Step.tokens`."""
    gpu_memory: int | None = None


class Hit(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One retrieved document."""

    id: str
    rank: int
    score: float | None = None
    text: str | None = None

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"Hit.rank must be from 1 up, got {self.rank!r}. Write enumerate(documents, start=1).")


class Outcome(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What a pipeline returned."""

    answer: str | None = None
    """The answer as text; None where the returned value has none."""
    hits: tuple[Hit, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    value: Any = None
    """The returned value itself where it could be copied within its cap."""
    chunks: int | None = None
    """How many chunks a stream had; None: not a stream."""
    truncated: bool = False
    """The captured text was cut at its cap (what the user got was not)."""


class Divergence(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The first step of a query at which the candidate did otherwise than was served."""

    kind: str
    """`other documents`, `another tool`, `another argument`, `another order`, `stops earlier`, `goes on`,
    `a call fails`, `another result`, `same calls, other answer` and their like; what is told apart in sums."""
    step: int = 0
    """Number of the agent's tool call, from 1; 0: what was retrieved before."""
    text: str = ""
    """In words."""


_BOTH_ARMS = 2


class StageChange(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One thing that is not as it was, or not as in the other arm."""

    kind: Literal["break", "addition", "drift", "skew"]
    """`break`: a field is missing, empty or of another type; `addition`: a field or tool is new; `drift`: another
    language, length or other documents; `skew`: the arms differ on the same queries."""
    arms: tuple[str, ...] = ()
    """Whose stage it is; empty: the query's own."""
    path: str
    """`inputs.question`, `hits[].text`, `tools.search.result[].price`, `answer language`."""
    before: str = ""
    """What was usual; of a skew how often the incumbent alone has it."""
    after: str = ""
    """What came instead, the most frequent first; of a skew how often the candidate alone has it."""
    since: datetime | None = None
    """When it seems to have begun; None: it was so all along."""
    first: str = ""
    """Id of the query with which it seems to have begun."""
    n: int = 0
    """How many of the values since then, or of the pairs, are so."""
    of: int = 0

    @property
    def words(self) -> str:
        """The change as people say it."""
        if self.kind == "skew":
            return f"{self.path}: for the incumbent alone {self.before}, for the candidate alone {self.after}"
        where = "both arms" if len(self.arms) == _BOTH_ARMS else f"{self.arms[0]!r}" if self.arms else "the queries"
        begun = "" if self.since is None else f" since query {self.first!r} ({self.since:%Y-%m-%d %H:%M:%S %Z})"
        return f"{self.path} of {where}: {self.before} before, {self.after} in {self.n} of {self.of}{begun}"


class StagesSeen(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What was looked at, and what was not as before."""

    pairs: int = 0
    """Pairs that were looked at: the first ones all, then a sample."""
    fields: int = 0
    """Fields, languages and lengths that are watched."""
    left_out: int = 0
    """Sightings of fields that are not watched since there are too many."""
    changes: tuple[StageChange, ...] = ()

    def of_kind(self, *kinds: str) -> tuple[StageChange, ...]:
        """The changes of these kinds."""
        return tuple(change for change in self.changes if change.kind in kinds)


def unpriced(steps: Iterable[Step]) -> str:
    """Name of a model whose call used tokens and has no price, so that their sum is too low; empty: none."""
    for step in steps:
        used = step.input_tokens is not None or step.output_tokens is not None
        if step.kind == "model" and used and step.cost_usd is None:
            return step.name
    return ""
