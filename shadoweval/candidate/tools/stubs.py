"""How a candidate's tool calls are answered: policies in order, the first that has an answer gives it.

The order is: the incumbent's record, your function for the tool, worlds, a simulated result (writes), the tool itself
(reads that you allow), refusal. A world that holds what the candidate itself wrote comes before the record.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from shadoweval.checks import (
    checked_choice,
    checked_function,
    checked_instance,
    checked_keywords,
    checked_list,
    checked_mapping,
    checked_strings,
    checked_target,
    checked_truth,
)
from shadoweval.errors import ArgumentError, ExperimentError
from shadoweval.protocols import StubAnswer, StubPolicy, ToolRequest, World
from shadoweval.records import Effect

if TYPE_CHECKING:
    from shadoweval.candidate.tools.replay import Record
    from shadoweval.capture.failed_results import Judge
    from shadoweval.capture.failure_rules import Saying

__all__ = ["Function", "Live", "Policy", "Refuse", "Stubs", "effect_of"]

_LARGEST: Final = 32 << 20
"""Bytes of all stubs together; a message to the fork server holds twice as many."""


class Function(msgspec.Struct, frozen=True):
    """Your stand-in for a tool: called with the tool's arguments; what it raises, the candidate sees as a failure."""

    function: Callable[..., Any]

    def __post_init__(self) -> None:
        checked_function("Function", self.function, awaited=True)

    def answer(self, request: ToolRequest) -> StubAnswer:
        """What the function returns."""
        try:
            return StubAnswer(answered="stubbed", result=self.function(**request.arguments))
        except Exception as error:  # noqa: BLE001 - a stand-in may fail in every way in which the tool may
            return StubAnswer(answered="stubbed", error=f"{type(error).__name__}: {error}")


@checked_keywords()
@dataclass(frozen=True, slots=True)
class Live:
    """The tool itself, for declared reads only. A write is never run, whatever this says.

    It reads the world of now, the incumbent's writes for this very query among it. A read about what the incumbent
    wrote and the candidate did not, or whose result tells of it, is marked as `altered`, which lowers fidelity.
    """

    tools: tuple[str, ...] | None = None
    """Names of the tools that may run; None: every declared read."""
    altered: Literal["marked", "refused"] = "marked"
    """What becomes of a read that shows the incumbent's writes; an async tool is refused by its arguments alone."""

    def __post_init__(self) -> None:
        checked_choice("Live(altered)", self.altered, Literal["marked", "refused"])
        if self.tools is not None:
            object.__setattr__(self, "tools", checked_strings("Live", self.tools))

    def answer(self, request: ToolRequest) -> StubAnswer | None:
        """The real result; None: not a read, or not allowed."""
        if request.effect != "read" or request.live is None:
            return None
        if self.tools is not None and request.name not in self.tools:
            return None
        record: Record | None = getattr(request, "record", None)
        if record is None or not record.wrote_anything:
            return StubAnswer(answered="live", result=request.live())
        return self._beside_writes(request, request.live, record=record)

    def _beside_writes(self, request: ToolRequest, live: Callable[[], Any], *, record: Record) -> StubAnswer | None:
        """The real result after the incumbent has written something, perhaps what this is about."""
        if self.altered == "refused" and record.altered(request):
            return None
        result = live()
        if inspect.isawaitable(result):
            return StubAnswer(answered="live", result=_marked(result, request, record=record))
        if record.altered(request, result):
            if self.altered == "refused":
                return None
            record.mark(request)
        return StubAnswer(answered="live", result=result)


async def _marked(awaited: Awaitable[Any], request: ToolRequest, *, record: Record) -> Any:
    result = await awaited
    if record.altered(request, result):
        record.mark(request)
    return result


class Refuse(msgspec.Struct, frozen=True):
    """Nothing answers: the candidate sees a refused tool."""

    def answer(self, request: ToolRequest) -> StubAnswer:
        """A refusal."""
        return StubAnswer(answered="refused", error=f"{request.name!r} is refused in a shadow")


def _checked_judges(failed: Mapping[str, Saying]) -> dict[str, Judge]:
    from shadoweval.capture.failure_rules import checked_judge  # noqa: PLC0415 - for the few that declare failures

    said = checked_mapping("Stubs.failed", failed)
    return {tool: checked_judge(f"Stubs.failed[{tool!r}]", each) for tool, each in said.items()}


def _checked_policy(what: str, policy: Policy) -> Policy:
    uncalled = isinstance(policy, type) and hasattr(policy, "answer")
    if uncalled or not (callable(policy) or hasattr(policy, "answer")):
        mend = "Write a function that stands in for the tool, or Replay(), Simulate(), Live() or Refuse()."
        raise ArgumentError(what, policy, expected="a function or a policy", mend=mend)
    return policy


Policy = StubPolicy | Callable[..., Any]
"""What may stand in a tool's order."""


@checked_keywords()
class Stubs:
    """What answers the tools of an experiment's candidates.

    Args:
        tools: By tool: a function that stands in for it (after the record), or a sequence of policies that is the
            whole order for that tool. Refusal always ends it.
        default: Whole order for every tool that `tools` gives no sequence; None: the order described above.
        effects: Tool -> `read`, `write` or `unknown`; wins over what the tool declares.
        live: Reads that may run for real: True, False, or their names.
        worlds: Throw-away copies of parts of the world, see `world`.
        schemas: Tool -> JSON schema of its output, from which a result is simulated where no recorded one is.
        functions: Tool -> `"module:qualname"` of a plain function that is to be answered as a tool, though it is not
            declared one: those of an OpenAI function-calling loop, for instance. `effects` says what it does.
        failed: Tool -> when a call failed although it raised nothing, said as in `@tool(failed=...)`: a function of the
            result, a path into it, values at paths, or a pattern of its text. It wins over what the tool declares and
            over the rule of common forms. A function gets plain data of what was served.
        simulate: Whether writes that nothing else answers get a simulated result; else they are refused.
        compare: Tool -> names of the arguments by which two of its calls are the same, in the record and where writes
            are compared: `{"send_mail": ["to"]}` where the body may be worded otherwise. Of other tools all count.

    It travels to the candidate's process as bytes, so functions must be importable: no lambdas, no closures.
    """

    def __init__(
        self,
        tools: Mapping[str, Policy | Sequence[Policy]] | None = None,
        *,
        default: Sequence[Policy] | None = None,
        effects: Mapping[str, Effect] | None = None,
        live: bool | Collection[str] = False,
        worlds: Sequence[World] = (),
        schemas: Mapping[str, Mapping[str, Any]] | None = None,
        functions: Mapping[str, str] | None = None,
        failed: Mapping[str, Saying] | None = None,
        simulate: bool = True,
        compare: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self.tools: dict[str, Policy | Sequence[Policy]] = checked_mapping("Stubs.tools", tools or {})
        for tool, own in self.tools.items():
            for policy in own if isinstance(own, Sequence) else (own,):
                _checked_policy(f"Stubs.tools[{tool!r}]", policy)
        self.default = None
        if default is not None:
            policies = checked_list("Stubs.default", default)
            self.default = tuple(_checked_policy("each of Stubs.default", policy) for policy in policies)
        self.effects: dict[str, Effect] = {
            tool: checked_choice(f"Stubs.effects[{tool!r}]", effect, Effect)
            for tool, effect in checked_mapping("Stubs.effects", effects or {}).items()
        }
        self.live = live if isinstance(live, bool) else checked_strings("Stubs.live", live)
        self.worlds = checked_list("Stubs.worlds", worlds)
        for world in self.worlds:
            checked_instance(
                "each of Stubs.worlds",
                world,
                World,
                mend="Write InstanceWorld(...) or another world.",
            )
        self.schemas = {
            tool: checked_mapping(f"Stubs.schemas[{tool!r}]", schema)
            for tool, schema in checked_mapping("Stubs.schemas", schemas or {}).items()
        }
        self.functions: dict[str, str] = checked_mapping("Stubs.functions", functions or {})
        for tool, target in self.functions.items():
            checked_target(target, what=f"Stubs.functions[{tool!r}]")
        self.failed = _checked_judges(failed) if failed else {}
        self.simulate = checked_truth("Stubs.simulate", simulate)
        self.compare = {
            tool: checked_strings(f"Stubs.compare[{tool!r}]", names)
            for tool, names in checked_mapping("Stubs.compare", compare or {}).items()
        }

    @property
    def exclusive(self) -> bool:
        """Whether a process can serve only one query at a time under these stubs."""
        return any(world.exclusive for world in self.worlds)

    def packed(self, *functions: Callable[[Any], Any] | str | None) -> bytes:
        """These stubs, and functions beside them, as bytes for a process of ours.

        Raises:
            ExperimentError: a function that the other process can't import.
        """
        from shadoweval import codec  # noqa: PLC0415 - the worker's

        try:
            return codec.freeze((self, functions), max_bytes=_LARGEST)
        except codec.UncopyableError as error:
            raise ExperimentError(
                f"The stubs can't be sent to the candidate's process: {error} Use functions of a module, no lambdas "
                "or functions inside functions."
            ) from error

    def order(self, tool: str) -> tuple[Policy, ...]:
        """The policies for a tool, without worlds and the final refusal."""
        from shadoweval.candidate.tools.replay import Replay  # noqa: PLC0415 - who only mirrors answers no tool
        from shadoweval.candidate.tools.simulated import Simulate  # noqa: PLC0415

        own = self.tools.get(tool)
        if isinstance(own, Sequence):
            return tuple(own)
        between = () if own is None else (own,)
        if self.default is not None:
            return (*between, *self.default)
        live = () if self.live is False else (Live(None if self.live is True else self.live),)
        return (Replay(), *between, *((Simulate(),) if self.simulate else ()), *live)


def effect_of(tool: Any, *, declared: Mapping[str, Effect] | None = None) -> Effect:
    """The effect of a LangChain or MCP tool, or of any object with `name`, `metadata`, `tags` or `annotations`.

    `declared` (tool name -> effect) wins. Else what the tool says, see `said_effect`.
    """
    name = getattr(tool, "name", "")
    if declared and name in declared:
        return declared[name]
    from shadoweval.capture.said_effects import said_effect  # noqa: PLC0415 - in shadows only

    return said_effect(
        getattr(tool, "metadata", None),
        tags=getattr(tool, "tags", None),
        annotations=getattr(tool, "annotations", None),
    )
