"""Where two runs of one query part: the first step at which the candidate does otherwise than was served."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from shadoweval.capture.failed_results import shown
from shadoweval.capture.identity import call_key
from shadoweval.records import Divergence, Observation, Pair, ToolCall
from shadoweval.scoring.against import agent_calls

__all__ = ["first_divergence"]

_LONGEST: Final = 80
"""Letters of a value that is shown."""


def first_divergence(pair: Pair) -> Divergence | None:
    """The first step at which the candidate differs from what was served; None: it does not.

    Steps are what was retrieved and the agent's tool calls, in their order, and at last the answer. Calls that ran at
    the same time may have come in any order.
    """
    served, candidate = pair.served, pair.candidate
    if candidate.failed and candidate.unscored:
        return None
    retrieved = _retrieval(served, candidate)
    # What was searched before the first call comes before it.
    if retrieved is not None and not _searched_later(served):
        return retrieved
    calls = _Calls(agent_calls(served.tool_calls), agent_calls(candidate.tool_calls))
    return calls.parting() or retrieved or _ending(served, candidate, steps=len(calls.theirs))


def _searched_later(run: Observation) -> bool:
    searches = [step.started for step in run.steps if step.kind == "retrieval"]
    return bool(searches and run.tool_calls and min(call.started for call in run.tool_calls) < min(searches))


def _retrieval(served: Observation, candidate: Observation) -> Divergence | None:
    ours, theirs = ([hit.id for hit in run.hits] for run in (served, candidate))
    if ours == theirs or candidate.failed:
        return None
    common = len({*ours}.intersection(theirs))
    reordered = common and len(ours) == len(theirs) and sorted(ours) == sorted(theirs)
    how = "the same documents in another order" if reordered else f"{common} of them the same"
    return Divergence(kind="other documents", text=f"retrieved {len(theirs)} documents for {len(ours)}, {how}")


class _Calls:
    def __init__(self, ours: Sequence[ToolCall], theirs: Sequence[ToolCall]) -> None:
        self.ours, self.theirs = list(ours), list(theirs)

    def parting(self) -> Divergence | None:
        """The first call that differs."""
        for number, made in enumerate(self.theirs):
            if number >= len(self.ours):
                return self._at(number, "goes on", f"calls {made.name}, where the incumbent was done with its tools")
            if not _same(self.ours[number], made):
                twin = self._beside(number, made)
                if twin is None:
                    return self._other(number, made)
                self.ours[number], self.ours[twin] = self.ours[twin], self.ours[number]
            if parted := self._result(number, made):
                return parted
        if len(self.theirs) < len(self.ours):
            left = self.ours[len(self.theirs)]
            return self._at(len(self.theirs), "stops earlier", f"does not call {left.name} any more")
        return None

    def _beside(self, number: int, made: ToolCall) -> int | None:
        """The same call of the incumbent's among those that ran at the same time."""
        now = self.ours[number]
        later = range(number + 1, len(self.ours))
        return next((at for at in later if _same(self.ours[at], made) and self.ours[at].at_once(now)), None)

    def _other(self, number: int, made: ToolCall) -> Divergence:
        expected = self.ours[number]
        ours, theirs = self.ours[number:], self.theirs[number:]
        if any(_same(call, made) for call in ours) and any(_same(expected, call) for call in theirs):
            return self._at(number, "another order", f"calls {made.name} before {expected.name}")
        if made.name != expected.name:
            return self._at(number, "another tool", f"calls {made.name}, not {expected.name}")
        names = [
            name for name in {**expected.arguments, **made.arguments} if _sent(expected, name) != _sent(made, name)
        ]
        sent = ", ".join(f"{name} {_sent(made, name)}, not {_sent(expected, name)}" for name in names)
        return self._at(number, "another argument", f"calls {made.name} with {sent}")

    def _result(self, number: int, made: ToolCall) -> Divergence | None:
        expected = self.ours[number]
        if made.answered == "refused":
            return self._at(number, "a refused call", f"is refused {made.name} by the shadow")
        if made.succeeded != expected.succeeded:
            words = ("fails", "succeeded") if expected.succeeded else ("succeeds", "failed")
            why = f" ({_short(made.error or made.failed)})" if expected.succeeded else ""
            return self._at(number, "a call fails" if expected.succeeded else "a call succeeds",
                            f"{made.name} {words[0]}{why}, which {words[1]} for the incumbent")  # fmt: skip
        if made.result != expected.result and made.succeeded and shown(made.result) != shown(expected.result):
            return self._at(number, "another result", f"{made.name} gives something else ({made.answered})")
        return None

    def _at(self, number: int, kind: str, text: str) -> Divergence:
        return Divergence(kind=kind, step=number + 1, text=f"call {number + 1}: {text}")


def _same(one: ToolCall, other: ToolCall) -> bool:
    if one.name != other.name:
        return False
    return one.arguments == other.arguments or call_key(one.arguments) == call_key(other.arguments)


def _sent(call: ToolCall, name: str) -> str:
    return _short(call_key({name: call.arguments[name]})[len(name) + 4 : -1]) if name in call.arguments else "nothing"


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _ending(served: Observation, candidate: Observation, *, steps: int) -> Divergence | None:
    """How both ended, all before being the same."""
    before = "same calls" if steps else "same retrieval" if served.hits else "no step before"
    if candidate.failure is not None or served.failure is not None:
        if candidate.failure is not None and served.failure is not None:
            return None
        failure = candidate.failure or served.failure
        who, kind = ("the candidate", "the run fails") if candidate.failure else ("the incumbent", "the run succeeds")
        why = f"{failure.error_type or failure.kind} {failure.message}" if failure else ""
        return Divergence(kind=kind, step=steps + 1, text=f"{before}; {who} failed: {_short(why)}")
    ours, theirs = (run.outcome for run in (served, candidate))
    if ours is None or theirs is None or (ours.answer == theirs.answer and _value(ours) == _value(theirs)):
        return None
    return Divergence(kind=f"{before}, other answer", step=steps + 1, text=f"{before}, other answer")


def _value(outcome: Any) -> Any:
    return None if outcome.answer is not None else shown(outcome.value)
