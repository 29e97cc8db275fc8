"""Which queries a report shows side by side: failures, the largest losses and gains, and some by chance."""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval.protocols import Metric
from shadoweval.records import Example, Pair, PairScore, Scored
from shadoweval.store.blobs import dump, load, with_plain_values

__all__ = ["Examples"]

_EACH: Final = 12
_OBJECT: Final = 2
"""Parts of what stands for an object: its class and its state."""

_Ranked = tuple[float, str, Example]
"""Rank, query id, example. Each kind is a heap whose smallest rank is the first to make room."""


class Examples:
    """Chooses examples from a stream of pairs, in memory that does not grow with it.

    Losses and gains are measured by `metric`; without one only failures and a sample are shown, `each` of a kind.
    """

    def __init__(self, metric: Metric | None, *, each: int = _EACH) -> None:
        self._metric, self._each = metric, each
        self._kinds: dict[str, list[_Ranked]] = {"failure": [], "largest loss": [], "largest gain": [], "sample": []}

    def see(self, pair: Pair, scores: Sequence[PairScore]) -> None:
        """Consider one pair."""
        chance = int.from_bytes(hashlib.sha256(pair.id.encode()).digest()[:6]) / 2**48
        difference = self._difference(scores)
        if pair.candidate.failed or pair.served.failed:
            self._keep("failure", chance, pair=pair, scores=scores)
        elif difference is not None and difference < 0:
            self._keep("largest loss", -difference, pair=pair, scores=scores)
        elif difference is not None and difference > 0:
            self._keep("largest gain", difference, pair=pair, scores=scores)
        else:
            self._keep("sample", chance, pair=pair, scores=scores)

    def chosen(self) -> tuple[Example, ...]:
        """The examples: failures, then losses, then gains, each worst or best first, then the sample."""
        return tuple(
            example
            for ranked in self._kinds.values()
            for _, _, example in sorted(ranked, key=lambda item: item[:2], reverse=True)
        )

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values; values that the arms returned keep their types."""
        return {
            kind: [[rank, query_id, dump(_with_plain_values(example))] for rank, query_id, example in ranked]
            for kind, ranked in self._kinds.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._kinds = {
            kind: [(rank, query_id, load(example, Example)) for rank, query_id, example in ranked]
            for kind, ranked in state.items()
        }

    def _difference(self, scores: Iterable[PairScore]) -> float | None:
        if self._metric is None:
            return None
        for score in scores:
            if score.metric == self._metric.name:
                if isinstance(score.incumbent, Scored) and isinstance(score.candidate, Scored):
                    sign = 1.0 if self._metric.higher_is_better else -1.0
                    return sign * (score.candidate.value - score.incumbent.value)
                return None
        return None

    def _keep(self, why: str, rank: float, *, pair: Pair, scores: Sequence[PairScore]) -> None:
        ranked = self._kinds[why]
        if len(ranked) == self._each and (rank, pair.id) <= ranked[0][:2]:
            return
        example = Example(
            query_id=pair.id,
            text=pair.query.text or _inputs_text(pair.query.inputs),
            attributes=pair.query.attributes,
            incumbent=pair.served,
            candidate=pair.candidate,
            scores={score.metric: (score.incumbent, score.candidate) for score in scores},
            labels=pair.labels,
            why=why,
        )
        push = heapq.heappush if len(ranked) < self._each else heapq.heappushpop
        push(ranked, (rank, pair.id, example))


def _inputs_text(inputs: bytes) -> str:
    """Arguments as a person would read them, for a query without a text: tables, numbers, bodies. Rebuilds nothing."""
    try:
        args, kwargs = msgspec.msgpack.decode(inputs, ext_hook=_data)
    except (msgspec.DecodeError, TypeError, ValueError):  # none, or of another form
        return ""
    named = (f"{name}={_shown(value)}" for name, value in kwargs.items())
    return ", ".join([*map(_shown, args), *named])


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=lambda part: f"<{type(part).__name__}>")


def _data(_code: int, content: memoryview) -> Any:
    """What stands for an object or a tuple in frozen inputs: its state, without its class; its parts."""
    parts: Any = msgspec.msgpack.decode(content, ext_hook=_data)
    named = isinstance(parts, list) and len(cast("list[Any]", parts)) == _OBJECT and isinstance(parts[0], str)
    return parts[1] if named and ":" in parts[0] else parts


def _with_plain_values(example: Example) -> Example:
    return msgspec.structs.replace(
        example, incumbent=with_plain_values(example.incumbent), candidate=with_plain_values(example.candidate)
    )
