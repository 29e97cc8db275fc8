"""Do two runs' tool calls match? Over calls alone, without our pairs.

Four modes, as in agentevals' trajectory evaluators, which the truth table in `tests/scoring/test_trajectory.py` was
taken from. Unlike there, calls are assigned optimally, and a side effect made twice never matches one made once.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from shadoweval.capture.identity import call_key, chosen
from shadoweval.records import ToolCall
from shadoweval.scoring.assignment import best_assignment

__all__ = ["ArgumentMode", "TrajectoryMode", "matches"]

TrajectoryMode = Literal["strict", "unordered", "subset", "superset"]
"""`strict`: the same calls in the same order; `unordered`: the same calls; `subset`: no others; `superset`: all of
them, and perhaps more."""

ArgumentMode = Literal["equal", "subset", "superset", "ignored"]
"""Which arguments a call may have, against those of the call that it is compared with: the same; some of them; these
and more; any."""

_ORDERED: Final = 200
"""Of how many calls the order is looked at, each with each."""


def matches(
    expected: Sequence[ToolCall],
    made: Sequence[ToolCall],
    *,
    mode: TrajectoryMode,
    arguments: ArgumentMode = "equal",
    compare: Mapping[str, Sequence[str]] | None = None,
) -> bool:
    """Whether the calls that were made match the expected ones.

    Args:
        expected: In their order.
        made: In the order in which they ended.
        mode: What counts as a match.
        arguments: Which arguments may differ.
        compare: Tool -> names of the arguments that count; of other tools all count.
    """
    calls = _Calls(expected, made, arguments=arguments, compare=compare or {})
    if (mode in {"strict", "unordered"} and len(expected) != len(made)) or calls.names_rule_out(mode):
        return False
    if mode == "strict":
        ours, theirs = _neighbours(expected), _neighbours(made)
        pairs = calls.assigned(lambda mine, other: ours[mine] == theirs[other])
        return len(pairs) == len(made) and _same_order(expected, made, pairs)
    pairs = calls.assigned()
    if mode == "superset":
        return len(pairs) == len(expected) and not calls.side_effect_again(pairs)
    return len(pairs) == len(made)


def _anyhow(mine: int, other: int) -> bool:  # noqa: ARG001 - as `fits`
    return True


class _Calls:
    def __init__(
        self,
        expected: Sequence[ToolCall],
        made: Sequence[ToolCall],
        *,
        arguments: ArgumentMode,
        compare: Mapping[str, Sequence[str]],
    ) -> None:
        self.expected, self.made, self.arguments = expected, made, arguments
        self._ours, self._theirs = ([self._compared(call, compare) for call in arm] for arm in (expected, made))

    def _compared(self, call: ToolCall, compare: Mapping[str, Sequence[str]]) -> Any:
        """What a call is compared by: one text, or one for each argument."""
        counting = chosen(call.arguments, compare.get(call.name))
        if self.arguments == "equal":
            return call.name, call_key(counting)
        return call.name, frozenset((name, call_key({name: value})) for name, value in counting.items())

    def names_rule_out(self, mode: TrajectoryMode) -> bool:
        """Whether the tools' names alone say that they don't match."""
        ours, theirs = (sorted(call.name for call in arm) for arm in (self.expected, self.made))
        return mode in {"strict", "unordered"} and ours != theirs

    def fits(self, mine: int, other: int) -> bool:
        """Whether a call that was made may stand for an expected one."""
        (name, wanted), (made, got) = self._ours[mine], self._theirs[other]
        if name != made:
            return False
        if self.arguments in {"equal", "ignored"}:
            return self.arguments == "ignored" or wanted == got
        return got <= wanted if self.arguments == "subset" else got >= wanted

    def assigned(self, also: Callable[[int, int], bool] = _anyhow) -> list[tuple[int, int]]:
        """As many numbers of calls that fit each other as can be, each call once."""
        if self.arguments in {"equal", "ignored"} or not self.expected or not self.made:
            return self._greedily(also)  # what fits the same calls is the same, so that any choice is as good
        # Equal calls that succeeded go together at no loss: what fits the one of them fits whatever the other fits.
        pairs = [(mine, other) for mine, other in self._greedily(also) if self._done(other)]
        for ours, theirs in self._left(pairs):
            # As many as can be; of assignments with as many the one to more calls that succeeded.
            worth = [1 + self._done(other) / (1 + len(theirs)) for other in theirs]
            fit = [
                [
                    value * (self.fits(mine, other) and also(mine, other))
                    for value, other in zip(worth, theirs, strict=True)
                ]
                for mine in ours
            ]
            pairs += [(ours[row], theirs[column]) for row, column in best_assignment(fit)]
        return sorted(pairs)

    def _left(self, pairs: Sequence[tuple[int, int]]) -> list[tuple[list[int], list[int]]]:
        """What is not assigned yet, by tool: expected calls, and calls that were made."""
        left: dict[str, tuple[list[int], list[int]]] = {}
        for side, calls in enumerate((self._ours, self._theirs)):
            assigned = {pair[side] for pair in pairs}
            for number, (name, _) in enumerate(calls):
                if number not in assigned:
                    left.setdefault(name, ([], []))[side].append(number)
        return [sides for sides in left.values() if all(sides)]

    def _done(self, other: int) -> bool:
        """Whether a call has done something: it succeeded, or would have if the shadow had let it."""
        return self.made[other].succeeded or self.made[other].answered == "refused"

    def _greedily(self, also: Callable[[int, int], bool]) -> list[tuple[int, int]]:
        waiting: defaultdict[Any, deque[int]] = defaultdict(deque)
        for other in sorted(range(len(self.made)), key=lambda other: not self._done(other)):
            name, key = self._theirs[other]
            waiting[name if self.arguments == "ignored" else (name, key)].append(other)
        pairs: list[tuple[int, int]] = []
        for mine, (name, key) in enumerate(self._ours):
            free = waiting[name if self.arguments == "ignored" else (name, key)]
            fit = next((other for other in free if also(mine, other)), None)
            if fit is not None:
                free.remove(fit)
                pairs.append((mine, fit))
        return pairs

    def side_effect_again(self, pairs: Sequence[tuple[int, int]]) -> bool:
        """Whether a write was made more often than it was expected: one that fits an expected call, or is another's."""
        taken = {other for _, other in pairs}
        writes = [other for other, call in enumerate(self.made) if call.writes and self._done(other)]
        times = Counter(self._theirs[other] for other in writes)
        by_tool: defaultdict[str, list[int]] = defaultdict(list)
        for mine, (name, _) in enumerate(self._ours):
            by_tool[name].append(mine)
        # Of writes that are alike one answers for all.
        again = {self._theirs[other]: other for other in writes if other not in taken}
        return any(
            times[compared] > 1 or any(self.fits(mine, other) for mine in by_tool[compared[0]])
            for compared, other in again.items()
        )


def _relation(calls: Sequence[ToolCall], one: int, other: int) -> int:
    """-1: it came before the other; 1: after it; 0: either could have come first."""
    if calls[one].at_once(calls[other]):
        return 0
    return -1 if one < other else 1


def _neighbours(calls: Sequence[ToolCall]) -> list[tuple[int, int]]:
    """How many calls came before and after each."""
    if len(calls) > _ORDERED:
        return [(number, len(calls) - number - 1) for number in range(len(calls))]
    counted: list[tuple[int, int]] = []
    for number in range(len(calls)):
        relations = [_relation(calls, other, number) for other in range(len(calls)) if other != number]
        counted.append((relations.count(-1), relations.count(1)))
    return counted


def _same_order(expected: Sequence[ToolCall], made: Sequence[ToolCall], pairs: Sequence[tuple[int, int]]) -> bool:
    return all(
        _relation(expected, mine, mine_too) == _relation(made, other, other_too)
        for number, (mine, other) in enumerate(pairs[:_ORDERED])
        for mine_too, other_too in pairs[number + 1 : _ORDERED]
    )
