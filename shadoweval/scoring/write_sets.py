"""Two arms' writes of one query: the same, with another argument, left out, extra, doubled, in another order."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from shadoweval.capture.failed_results import failure_in
from shadoweval.capture.identity import call_key, chosen, touched
from shadoweval.capture.misfits import UNFIT
from shadoweval.records import Effect, ToolCall, WriteComparison, WriteEffect

__all__ = ["compare_writes"]

_ORDERED: Final = 200
"""Of how many writes of a query the order is looked at."""
_RAN: Final = frozenset({"live", "world"})
"""How a call is answered whose own code ran, and with it whatever that calls."""
_OUTSIDE: Final = "{tool} was called outside what the run's record holds (a thread of its own, or over a cap)"
_INSIDE: Final = (
    "{tool} may have been called by {outer}, whose own code does not run in a shadow; if so, declare it: "
    "Stubs(effects={{{tool!r}: 'read'}})"
)
_NOTHING: Final = WriteComparison()


def compare_writes(
    incumbent: Iterable[ToolCall],
    candidate: Iterable[ToolCall],
    *,
    effects: Mapping[str, Effect] | None = None,
    compare: Mapping[str, Sequence[str]] | None = None,
    unrecorded: Sequence[WriteEffect] = (),
    ended: bool = True,
) -> WriteComparison:
    """Compare the writes among two arms' calls of one query.

    Args:
        incumbent: All of its calls, in the order in which they ended.
        candidate: All of its calls.
        effects: Tool -> effect; wins over what the calls say.
        compare: Tool -> names of the arguments that count; of other tools all count.
        unrecorded: All writes of the candidate, as its process saw them; those that `candidate` lacks count too.
        ended: Whether its run came to its end; else nothing is missing that might still have come.
    """
    calls = tuple(incumbent), tuple(candidate)
    written = [_written(arm, effects or {}) for arm in calls]
    if not any(written) and not unrecorded:
        return _NOTHING
    ours, theirs = (_Arm(each, compare or {}) for each in written)
    beyond = theirs.lacks(unrecorded)
    recorded = _compared(ours, theirs, ended=ended)
    if not beyond:
        return _with_doubts(recorded, ours, theirs, calls=calls)
    comparison = _compared(ours, _Arm([*theirs.calls, *beyond], compare or {}), ended=ended)
    unclear = _OUTSIDE.format(tool=beyond[0].name) if recorded.equal and ended else ""
    return msgspec.structs.replace(comparison, unclear=unclear)


def _written(calls: Iterable[ToolCall], effects: Mapping[str, Effect]) -> list[ToolCall]:
    """The calls that wrote, or would have."""
    return [
        call
        for call in calls
        if effects.get(call.name, call.effect) != "read"
        and (call.succeeded or call.answered == "refused" or _ran_all_the_same(call))
    ]


def _ran_all_the_same(call: ToolCall) -> bool:
    """Whether its arguments don't fit the schema that the model was given, and a tool took them all the same."""
    return (call.error or "").startswith(UNFIT) and call.result is not None and not failure_in(call.result)


class _Arm:
    """One arm's writes and what each is compared by."""

    def __init__(self, calls: Sequence[ToolCall], compare: Mapping[str, Sequence[str]]) -> None:
        self.calls, self.compare = calls, compare
        self.keys = [self._key(call.name, call.arguments) for call in calls]

    def _key(self, tool: str, arguments: Mapping[str, object]) -> tuple[str, str]:
        return tool, call_key(chosen(arguments, self.compare.get(tool)))

    def lacks(self, writes: Sequence[WriteEffect]) -> list[ToolCall]:
        """Writes of which the calls have fewer."""
        surplus = Counter(write.tool for write in writes) - Counter(call.name for call in self.calls)
        known, lacking = Counter(self.keys), list[ToolCall]()
        for write in writes if surplus else ():
            key = self._key(write.tool, write.arguments)
            if known[key]:
                known[key] -= 1
            elif surplus[write.tool]:
                surplus[write.tool] -= 1
                lacking.append(ToolCall(name=write.tool, arguments=write.arguments, effect="write"))
        return lacking

    def other_arguments(self, number: int, than: ToolCall) -> list[str]:
        """Names of the compared arguments in which a call differs from another of the same tool."""
        tool, mine = self.calls[number].name, self.calls[number].arguments
        mine, other = (chosen(each, self.compare.get(tool)) for each in (mine, than.arguments))
        return [name for name in {**other, **mine} if call_key(_only(mine, name)) != call_key(_only(other, name))]


def _only(arguments: Mapping[str, object], name: str) -> dict[str, object]:
    return {name: arguments[name]} if name in arguments else {}


def _compared(ours: _Arm, theirs: _Arm, *, ended: bool) -> WriteComparison:
    both, missing, surplus = _matched(ours.keys, theirs.keys)
    seen = set(ours.keys)
    extra, again = list[int](), list[int]()
    for number in surplus:
        (again if theirs.keys[number] in seen else extra).append(number)
        seen.add(theirs.keys[number])
    changed = _changed(ours, theirs, missing=missing, extra=extra)
    turned = _reordered(ours, theirs, both)
    missing = missing if ended else []
    differences = [
        *(f"{ours.calls[mine].name} with another {', '.join(names)}" for mine, _, names in changed),
        *(f"{ours.calls[mine].name} left out" for mine in missing),
        *(f"{theirs.calls[number].name} although the incumbent made no such call" for number in extra),
        *(f"{theirs.calls[number].name} more often" for number in again),
        *(f"{later} before {earlier}" for earlier, later in turned),
    ]
    return WriteComparison(
        same=len(both),
        changed=len(changed),
        missing=len(missing),
        extra=len(extra),
        duplicated=len(again),
        reordered=len(turned),
        differences=tuple(dict.fromkeys(differences)),
        tools={call.name: call.effect for call in (*ours.calls, *theirs.calls)},
    )


def _matched(
    ours: Sequence[tuple[str, str]], theirs: Sequence[tuple[str, str]]
) -> tuple[list[tuple[int, int]], list[int], list[int]]:
    """Numbers of equal writes in both, of those in `ours` alone, and of those in `theirs` alone."""
    waiting: defaultdict[tuple[str, str], deque[int]] = defaultdict(deque)
    for number, key in enumerate(ours):
        waiting[key].append(number)
    both, surplus = list[tuple[int, int]](), list[int]()
    for number, key in enumerate(theirs):
        if waiting[key]:
            both.append((waiting[key].popleft(), number))
        else:
            surplus.append(number)
    return both, sorted(number for left in waiting.values() for number in left), surplus


def _changed(ours: _Arm, theirs: _Arm, *, missing: list[int], extra: list[int]) -> list[tuple[int, int, list[str]]]:
    """Takes out of both lists what is one write of a tool with other arguments, the least different ones first."""
    candidates = sorted(
        (len(names), mine, other, names)
        for mine in missing[:_ORDERED]
        for other in extra[:_ORDERED]
        if ours.calls[mine].name == theirs.calls[other].name
        for names in [theirs.other_arguments(other, ours.calls[mine])]
    )
    changed: list[tuple[int, int, list[str]]] = []
    for _, mine, other, names in candidates:
        if mine in missing and other in extra:
            missing.remove(mine)
            extra.remove(other)
            changed.append((mine, other, names))
    return changed


def _reordered(ours: _Arm, theirs: _Arm, both: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    """Names of dependent writes, the incumbent's earlier one first, that came in the other order.

    Calls that overlapped in time have no order, nor have those of work that was in several
    tasks' or threads' hands. Two calls of one tool depend on each other where they share an identifier; of two tools
    nobody knows, so they count as dependent.
    """
    turned: list[tuple[str, str]] = []
    for number, (mine, other) in enumerate(both[:_ORDERED]):
        for mine_too, other_too in both[number + 1 : _ORDERED]:
            if (mine < mine_too) == (other < other_too):
                continue
            earlier, later = sorted((mine, mine_too))
            first, second = ours.calls[earlier], ours.calls[later]
            theirs_first, theirs_second = sorted((other, other_too))
            at_once = first.at_once(second) or theirs.calls[theirs_first].at_once(theirs.calls[theirs_second])
            if not at_once and _dependent(first, second):
                turned.append((first.name, second.name))
    return turned


def _dependent(first: ToolCall, second: ToolCall) -> bool:
    if first.name != second.name:
        return True
    return bool(touched(first.arguments, first.result) & touched(second.arguments, second.result))


def _with_doubts(
    comparison: WriteComparison, ours: _Arm, theirs: _Arm, *, calls: tuple[Sequence[ToolCall], Sequence[ToolCall]]
) -> WriteComparison:
    """Says so where all that is missing may be what the code of tools calls, which is not run in a shadow."""
    if not comparison.missing or comparison.missing != comparison.differing:
        return comparison
    answered = {call.name for call in calls[1] if call.answered not in _RAN}
    _, missing, _ = _matched(ours.keys, theirs.keys)
    outer = ""
    for call in (ours.calls[number] for number in missing):
        outer = next((around.name for around in calls[0] if around.name in answered and _inside(call, around)), "")
        if not outer:
            return comparison
    unclear = _INSIDE.format(tool=ours.calls[missing[0]].name, outer=outer)
    return msgspec.structs.replace(comparison, unclear=unclear)


def _inside(call: ToolCall, around: ToolCall) -> bool:
    ended, around_ended = call.started + call.duration, around.started + around.duration
    return call.name != around.name and around.started < call.started and ended < around_ended
