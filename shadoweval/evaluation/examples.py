"""Which queries a report shows side by side: failures, the largest losses and gains, and some by chance."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval.codec import heft
from shadoweval.protocols import Metric
from shadoweval.records import Example, Observation, Pair, PairScore, Scored, ToolCall
from shadoweval.reporting.calls import as_json
from shadoweval.scoring.divergence import first_divergence
from shadoweval.scoring.steps import after_failure
from shadoweval.store.blobs import dump, dump_observation, load, with_plain_values

__all__ = ["Examples", "course_of", "example_of"]

_EACH: Final = 12
_LARGE: Final = 256 * 1024
"""Bytes of memory (`codec.heft`) from which a run is shown by the beginnings of its texts and values."""
_SHOWN, _SHOWN_OF_CALLS = 20_000, 1_000
"""Letters of an answer, and of an argument or a result, in such a run."""
_OBJECT: Final = 2
"""Parts of what stands for an object: its class and its state."""

_Ranked = tuple[float, str, Example | tuple[Pair, Sequence[PairScore]]]
"""Rank, query id, example; or the pair that becomes one if nothing better comes soon.

Each kind is a heap whose smallest rank is the first to make room."""


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
        difference = self.difference(scores)
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
        self.settle()
        return tuple(
            cast("Example", example)
            for ranked in self._kinds.values()
            for _, _, example in sorted(ranked, key=lambda item: item[:2], reverse=True)
        )

    def to_state(self) -> dict[str, Any]:
        """All of it as plain values; values that the arms returned keep their types."""
        self.settle()
        return {
            kind: [
                [rank, query_id, dump(_with_plain_values(cast("Example", example)))]
                for rank, query_id, example in ranked
            ]
            for kind, ranked in self._kinds.items()
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Take up what `to_state` gave."""
        self._kinds = {
            kind: [(rank, query_id, load(example, Example)) for rank, query_id, example in ranked]
            for kind, ranked in state.items()
        }

    def difference(self, scores: Iterable[PairScore]) -> float | None:
        """The metric's difference, larger is better; None: it is not scored in both arms."""
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
        push = heapq.heappush if len(ranked) < self._each else heapq.heappushpop
        push(ranked, (rank, pair.id, (pair, scores)))

    def settle(self) -> None:
        """Make examples of the pairs that were chosen since the last time, so that nothing else of them is held."""
        for why, ranked in self._kinds.items():
            ranked[:] = [
                (rank, query_id, example_of(*each, why=why) if isinstance(each, tuple) else each)
                for rank, query_id, each in ranked
            ]


def example_of(pair: Pair, scores: Sequence[PairScore], *, why: str, whole: bool = True) -> Example:
    """The pair as a report shows it side by side; not `whole`: only what its line in a table is made of."""
    return Example(
        query_id=pair.id,
        text=_cut(pair.query.text or _inputs_text(pair.query.inputs), _SHOWN),
        attributes=pair.query.attributes,
        incumbent=_to_show(pair.served) if whole else pair.served,
        candidate=_to_show(pair.candidate) if whole else pair.candidate,
        scores={score.metric: (score.incumbent, score.candidate) for score in scores},
        labels=pair.labels,
        why=why,
        course=course_of(pair) if whole else (),
    )


def course_of(pair: Pair) -> tuple[str, ...]:
    """Where the arms of a pair part, and what followed from tools that failed, in words."""
    parting = first_divergence(pair)
    lines = [f"First difference: {parting.text} ({parting.kind})"] if parting is not None else []
    followed = {"Incumbent": after_failure(pair.served), "Candidate": after_failure(pair.candidate)}
    return (*lines, *(f"{arm}: {text}" for arm, text in followed.items() if text))


def _to_show(run: Observation) -> Observation:
    """The run; of a large one what a report has room for, since dozens of examples are held at a time."""
    if heft(dump_observation(run)) < _LARGE:
        return run
    calls, outcome = tuple(map(_call_to_show, run.tool_calls)), run.outcome
    if outcome is None:
        return msgspec.structs.replace(run, calls=calls)
    answer = outcome.answer if outcome.answer is not None or outcome.value is None else as_json(outcome.value)
    outcome = msgspec.structs.replace(
        outcome,
        answer=None if answer is None else _cut(answer, _SHOWN),
        hits=tuple(msgspec.structs.replace(hit, text=None) for hit in outcome.hits),
        tool_calls=calls,
        value=None,
        truncated=True,
    )
    return msgspec.structs.replace(run, outcome=outcome)


def _call_to_show(call: ToolCall) -> ToolCall:
    arguments = {name: _value_to_show(value) for name, value in call.arguments.items()}
    return msgspec.structs.replace(call, arguments=arguments, result=_value_to_show(call.result))


def _value_to_show(value: Any) -> Any:
    text = value if isinstance(value, str) else as_json(value)
    return value if len(text) <= _SHOWN_OF_CALLS else _cut(text, _SHOWN_OF_CALLS)


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[:limit]} … ({len(text) - limit:,} more characters)"


def _inputs_text(inputs: bytes) -> str:
    """Arguments as a person would read them, for a query without a text: tables, numbers, bodies. Rebuilds nothing."""
    try:
        args, kwargs = msgspec.msgpack.decode(inputs, ext_hook=_data)
    except (msgspec.DecodeError, TypeError, ValueError):  # none, or of another form
        return ""
    named = (f"{name}={_shown(value)}" for name, value in kwargs.items())
    return ", ".join([*map(_shown, args), *named])


def _shown(value: Any) -> str:
    return as_json(value, default=lambda part: f"<{type(part).__name__}>")


def _data(_code: int, content: memoryview) -> Any:
    """What stands for an object or a tuple in frozen inputs: its state, without its class; its parts."""
    parts: Any = msgspec.msgpack.decode(content, ext_hook=_data)
    named = isinstance(parts, list) and len(cast("list[Any]", parts)) == _OBJECT and isinstance(parts[0], str)
    return parts[1] if named and ":" in parts[0] else parts


def _with_plain_values(example: Example) -> Example:
    return msgspec.structs.replace(
        example, incumbent=with_plain_values(example.incumbent), candidate=with_plain_values(example.candidate)
    )
