"""The inside of a guarded process that scores one observation whose values are objects again (`PairScorer.rebuild`).

What a candidate returned may name any class of any module, whose code runs when it is made: never in the process that
evaluates, where nothing holds it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any, Final

import msgspec

from shadoweval.codec import data, decode_envelope, thaw
from shadoweval.records import Observation, Pair, Scored

__all__ = ["TARGET"]


def score(*, function: str, observation: bytes, pair: bytes, stored: bytes) -> dict[str, float | str]:
    """Metric -> value, or the reason why there is none.

    Args:
        function: `"module:qualname"` of the scorer's own.
        observation: What is scored, as data.
        pair: Its pair, as data.
        stored: The observation, or the envelope of what was served, as it was stored; empty: it never was.

    Raises:
        Exception: what the classes of the values raise, or the scorer.
    """
    module, _, name = function.partition(":")
    score_one: Callable[[Observation, Pair], Any] = getattr(importlib.import_module(module), name)
    seen, whole = msgspec.convert(data(observation), Observation), msgspec.convert(data(pair), Pair)
    scores = score_one(_rebuilt(seen, stored) if stored else seen, whole)
    return {metric: each.value if isinstance(each, Scored) else each.reason for metric, each in scores.items()}


def _rebuilt(seen: Observation, stored: bytes) -> Observation:
    """What is scored, with the objects that were stored of it."""
    if stored.startswith(b"SE"):
        stored = msgspec.msgpack.encode(decode_envelope(stored, encoded=True).served)
    objects = msgspec.convert(thaw(stored), Observation)
    if seen.outcome is None or objects.outcome is None:
        return seen
    calls = tuple(
        msgspec.structs.replace(call, result=exact.result)
        for call, exact in zip(seen.tool_calls, objects.tool_calls, strict=True)
    )
    outcome = msgspec.structs.replace(seen.outcome, value=objects.outcome.value, tool_calls=calls)
    return msgspec.structs.replace(seen, outcome=outcome)


TARGET: Final = f"{score.__module__}:{score.__qualname__}"
"""Where the process finds what scores in it."""
