"""What is known of the models whose word decides: what they were asked and cost, what speaks for and against them."""

from __future__ import annotations

import msgspec

__all__ = ["JudgeSeen", "ProbeSeen", "ShareSeen"]


class ShareSeen(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """In how many of the pairs something was so."""

    n: int
    of: int
    lower: float
    upper: float
    """Where the share lies, both together wrong with a chance of at most the verdict's alpha, at any look."""


class ProbeSeen(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """What became of one probe: a run in the candidate's place that must not win."""

    name: str
    passed: int
    """Probed pairs in which the judge rewarded it."""
    of: int
    """Pairs that tell something; of `tried`, the others had no score or nothing that could be worse."""
    tried: int
    failed: bool = False
    """Whether it passed so often that the judge decides nothing."""
    reason: str = ""
    """Why a probe got no score."""


class JudgeSeen(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """The judge behind one metric. What it was asked and cost is over all metrics and candidates that have it."""

    metric: str
    model: str
    endpoint: str = ""
    """Host; empty: a function, or a client of the user's own."""
    repeats: int = 1
    gated: bool = False
    """Whether a gate that counts rests on the metric."""
    alone: bool = False
    """Whether hardly any person has said what such a gate goes by."""
    calls: int = 0
    """As long as the store remembers; so are tokens and USD."""
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float | None = None
    """None: it has no price."""
    budget: str = ""
    """`5 USD a day`; empty: there is none."""
    left: float | None = None
    """Share of the budget that is left in its present period."""
    asked: int = 0
    """Questions of this look."""
    cached: int = 0
    """Of those, answered by what was said before."""
    judged: int = 0
    """Pairs in which it scored both arms, of `pairs`."""
    pairs: int = 0
    lowest_chance: float = 1.0
    """With which a pair was drawn to be judged."""
    agreement: float | None = None
    """Share of its repeats that say the same; None: it is asked once."""
    by_place: ShareSeen | None = None
    """Of a judge of pairs: it preferred the same place in both orders, which counts as a tie."""
    longer: ShareSeen | None = None
    """Of a judge of pairs: where it preferred either, the longer one."""
    probes: tuple[ProbeSeen, ...] = ()
