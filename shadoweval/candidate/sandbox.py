"""`Sandbox`: how the candidates of an experiment run; `Limits`: what one run may use."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast

from shadoweval.candidate.tools.stubs import Stubs
from shadoweval.checks import (
    checked_choice,
    checked_fields,
    checked_instance,
    checked_keywords,
    checked_mapping,
    checked_number,
    checked_strings,
    checked_target,
    checked_truth,
)
from shadoweval.errors import ArgumentError
from shadoweval.records import TokenKind

if TYPE_CHECKING:
    from shadoweval.candidate.environment import Target

__all__ = ["LONGEST", "Layer", "Limits", "Sandbox", "checked_arm"]

LONGEST: Final = 3
"""Deadlines after which a run is over, whoever used the time up."""


Layer = Literal["descriptors", "limits", "netns", "landlock", "seccomp", "notify", "audit"]
"""What the guard is made of, from the outside in; docs/containment.md says what each stops."""
Price: TypeAlias = tuple[float, float] | Mapping[str, float]
_WHOLE: Final[tuple[str, ...]] = ("input", "output")
_PART_OF: Final = {
    "cached_input": "input",
    "cache_write": "input",
    "audio_input": "input",
    "reasoning": "output",
    "audio_output": "output",
}
_MILLION: Final = 1e6
_MOST_REST: Final = 0.5
_MOST_REPEATS: Final = 31
_DATE: Final = re.compile(r"[-@](\d{4}-\d\d(-\d\d)?|\d{8}|\d{4})$")
"""End of the name of a dated version: `-2024-11-20`, `-20241022`, `@20241022`, `-0613`."""
_LOADING: Final = 10.0
_LOADING_LEAST: Final = 20.0
_LOADED: Final = 4.0
_ENDPOINT: Final = re.compile(r"(?P<host>\[[^\]]+\]|[^:\s/]+):(?P<port>\d{1,5})")


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps of one run. What exceeds them is stopped and reported, and costs no other run anything."""

    seconds: float = 30.0
    """Deadline of what a run does itself: what its stubs take and what it waits for a processor is taken off, but after
    three times as long it is over. One that does not stop by itself is killed `grace` later. The first run of a process
    has `first_seconds`, since it may load a model that the next ones have."""
    grace: float = 0.25
    """Seconds in which an overdue run may still say which step it hung in, before it is killed."""
    memory_bytes: int = 2 << 30
    """What a child may use on top of what it was forked with."""
    tokens: int | None = None
    """Input and output tokens of all model calls of a run together."""
    usd: float | None = None
    """Dollars of all model calls of a run together; of those that say what they cost, or that `prices` knows."""
    prices: Mapping[str, Price] = field(default_factory=dict[str, Price])
    """Model -> dollars for a million input tokens and for a million output tokens, or by kind, where parts are billed
    apart: `{"input": 2.5, "cached_input": 1.25, "output": 10.0}`. The name as steps have it; it prices
    that model's dated versions too (`gpt-4o` also `gpt-4o-2024-11-20`), and no other model whose name begins alike."""
    concurrency: int = 1
    """Envelopes that one child of an async candidate runs at a time; sync candidates always run one."""
    start_seconds: float = 300.0
    """How long importing a target and its `warm` hook may take, and at most the first run of a process."""
    max_bytes: int = 1 << 20
    """Cap of a run's recorded answer and value, and of its tools' arguments and results, as that of `mirror`."""

    def __post_init__(self) -> None:
        checked_fields(self, "seconds", "start_seconds", above=0)
        checked_fields(self, "grace", low=0)
        checked_fields(self, "memory_bytes", "concurrency", "max_bytes", low=1, whole=True)
        checked_fields(self, "tokens", "usd", low=0, optional=True)
        checked_fields(self, "prices", check=checked_mapping)
        for model, price in self.prices.items():
            self.prices[model] = _checked_price(f"Limits.prices[{model!r}]", price)  # pyright: ignore[reportIndexIssue] - our own dict

    @property
    def first_seconds(self) -> float:
        """Deadline of a process's first run while nobody knows how long loading takes.

        Ten times `seconds`, no less than 20 and no more than `start_seconds`. A run that has called a model, a tool or
        a retriever has loaded, and is overdue after four times `seconds`.
        """
        return max(self.seconds, min(self.start_seconds, max(_LOADING * self.seconds, _LOADING_LEAST)))

    def deadline(self, seconds: float, *, loading: bool) -> float:
        """Deadline of a run that was given `seconds`."""
        return seconds if loading else min(seconds, _LOADED * self.seconds)

    def overdue(self, seconds: float) -> str:
        """What a timeout says of a run that was given `seconds`."""
        words = f"no answer within {self.seconds:g} s"
        return words if seconds <= self.seconds else f"{words}, nor in the longer time of a process's first run"

    def cost(
        self, model: str, tokens_in: int | None, tokens_out: int | None, *, kinds: Mapping[str, int] | None = None
    ) -> float | None:
        """Dollars of one model call; None where its price or its tokens are not known.

        `kinds`: parts of either that may have a price of their own.
        """
        price = self.prices.get(model) or self.prices.get(_DATE.sub("", model))
        if price is None or (tokens_in is None and tokens_out is None):
            return None
        by_kind: Mapping[str, float] = price if isinstance(price, Mapping) else dict(zip(_WHOLE, price, strict=True))
        left: dict[str, int] = {"input": tokens_in or 0, "output": tokens_out or 0}
        dollars = 0.0
        for kind, whole in _PART_OF.items():
            if kind in by_kind:
                count = min((kinds or {}).get(kind, 0), left[whole])
                left[whole] -= count
                dollars += count * by_kind[kind]
        return (dollars + sum(left[whole] * by_kind[whole] for whole in _WHOLE)) / _MILLION


@checked_keywords()
@dataclass(frozen=True, slots=True, kw_only=True)
class Sandbox:
    """How candidates run, each in processes of its own.

    Raises:
        ArgumentError, TargetError: something can't be used.
    """

    stubs: Stubs = field(default_factory=Stubs)
    """How tools are answered in a shadow; the default replays, simulates and refuses, and runs nothing."""
    limits: Limits = field(default_factory=Limits)
    """Deadline, memory, tokens and dollars of one run."""
    allow: Sequence[str] = ()
    """`"host:port"` that candidates may connect to (model endpoint, vector store); the guard refuses others."""
    unix_sockets: Sequence[str] = ()
    """Paths of Unix sockets that candidates may connect to (a local database's)."""
    writable: Sequence[str] = ()
    """Files, folders and devices that candidates may write to beside their scratch folder (a GPU's `/dev/nvidia0`).
    They have to be there. What lands there is not undone, and not counted as a write."""
    layers: Sequence[str] | None = None
    """Layers of the guard to try; None: all but `netns` (docs/containment.md)."""
    guard: bool = True
    """Whether candidates run under the guard. Off only where it can't work; the report says so."""
    mcp: Mapping[str, str] = field(default_factory=dict[str, str])
    """Name -> command of an MCP server over stdio, as the pipeline starts it: `{"shop": "python -m shop.server"}`. A
    candidate that starts it gets one that the pool starts, under a guard of its own; only its reads run
    (docs/adapters.md)."""
    warm: str | None = None
    """`"module:attribute"` called once in each candidate process before it serves (load an index, a model)."""
    rate: Mapping[str, float] = field(default_factory=dict[str, float])
    """`"host:port"` of `allow` -> how many runs a second may begin, of all arms and over all workers that share the
    store. Nobody knows before where a run will connect, so each counts at all of them, and one that asks three times
    as one: give a third. What waits for its turn has not begun and costs no latency. Imports and `warm` don't count."""
    repeats: int = 0
    """How many more times both arms run the queries on which the incumbent is run again (`Experiment(rerun=)`), for
    what is said of several runs (`scoring.consistency`)."""
    rest: float = 0.1
    """Share of the minutes, drawn at random, in which a worker begins no run: it compares the incumbent's durations
    then with those at work, and runs less where candidates slow the incumbent down (docs/traffic.md). 0: it never
    rests, and can't know."""

    def __post_init__(self) -> None:
        checked_instance("Sandbox.stubs", self.stubs, Stubs, mend="Write Stubs(...).")
        checked_instance("Sandbox.limits", self.limits, Limits, mend="Write Limits(...).")
        allow = checked_strings("Sandbox.allow", self.allow)
        object.__setattr__(self, "allow", tuple(_checked_endpoint("Sandbox.allow", name) for name in allow))
        for name in ("unix_sockets", "writable"):
            object.__setattr__(self, name, checked_strings(f"Sandbox.{name}", getattr(self, name)))
        if self.layers is not None:
            layers = checked_strings("Sandbox.layers", self.layers)
            object.__setattr__(
                self, "layers", tuple(checked_choice("each of Sandbox.layers", x, Layer) for x in layers)
            )
        checked_mapping("Sandbox.mcp", self.mcp)
        for name, command in self.mcp.items():
            if not checked_instance(f"Sandbox.mcp[{name!r}]", command, str).strip():
                raise ArgumentError(f"Sandbox.mcp[{name!r}]", command, expected="a command", mend="'python -m server'.")
        checked_truth("Sandbox.guard", self.guard)
        checked_fields(self, "rest", low=0, high=_MOST_REST)
        checked_fields(self, "repeats", low=0, high=_MOST_REPEATS, whole=True)
        checked_fields(self, "rate", check=checked_mapping)
        for endpoint, most in self.rate.items():
            name = f"Sandbox.rate[{endpoint!r}]"
            if _checked_endpoint("each of Sandbox.rate", endpoint) not in self.allow and self.guard:
                raise ArgumentError(name, endpoint, expected="an endpoint of allow", mend="Name it in allow=[...] too.")
            self.rate[endpoint] = checked_number(name, most, above=0)  # pyright: ignore[reportIndexIssue] - our own dict
        if self.warm is not None:
            checked_target(self.warm, what="Sandbox.warm")


def checked_arm(target: str | Target, what: str) -> str | Target:
    """What an arm runs: `"module:attribute"`, or a `Target`; raises ArgumentError, TargetError."""
    if isinstance(target, str) or callable(target):
        named: Any = target
        return checked_target(named, what=what)
    from shadoweval.candidate.environment import Target  # noqa: PLC0415 - most candidates are of this environment

    mend = "Write 'app.rag:answer', or Target('app.rag:answer', python=..., git=...)."
    return checked_instance(what, target, (str, Target), mend=mend)


def _checked_price(what: str, price: Any) -> Price:
    """Two numbers, or numbers by kind of token, of which input and output are there."""
    if isinstance(price, Mapping):
        kinds = checked_mapping(what, price)
        for kind, dollars in kinds.items():
            checked_choice(f"each kind of {what}", kind, TokenKind)
            kinds[kind] = checked_number(f"{what}[{kind!r}]", dollars, low=0)
        if not set(_WHOLE) <= kinds.keys():
            raise ArgumentError(what, price, expected="with 'input' and 'output'", mend="The others are parts of them.")
        return kinds
    if not isinstance(price, tuple | list) or len(cast("list[Any]", price)) != len(_WHOLE):
        expected = "two numbers, dollars for a million tokens in and out, or a dict by kind"
        raise ArgumentError(what, price, expected=expected, mend="Write (0.25, 2.0).")
    dollars_in, dollars_out = (checked_number(what, amount, low=0) for amount in cast("list[Any]", price))
    return dollars_in, dollars_out


def _checked_endpoint(what: str, value: str) -> str:
    """`"host:port"`."""
    match = _ENDPOINT.fullmatch(value)
    if not match or not 0 < int(match["port"]) < 1 << 16:
        mend = "Write host and port, without scheme or path: 'api.openai.com:443'."
        raise ArgumentError(what, value, expected="'host:port'", mend=mend)
    return value
