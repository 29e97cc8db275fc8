"""What a decorated tool or step writes down of one call: an entry from its arguments to its result.

`Tool` and `Step` are made once a function; `begin` gives an entry, or None outside a recording. Our own faults stay on
the recorder, where the mirror counts them.
"""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Final, Literal, Protocol

from shadoweval.capture.copying import argument_data
from shadoweval.capture.documents import quick_rows
from shadoweval.capture.recorder import Recorder, current
from shadoweval.capture.wire.rows import CALL
from shadoweval.records import Effect

__all__ = ["After", "Begin", "Entry", "PlainStep", "PlainTool", "Step", "StepKind", "Tool"]

StepKind = Literal["model", "retrieval", "other"]
After = Callable[[Recorder, Any], None]
_NOTHING: Final = b"\x80"  # an empty mapping


class Entry(Protocol):
    """One call under way."""

    @property
    def recorder(self) -> Recorder:
        """Where it is noted."""
        ...

    def ended(self, result: Any, /) -> None:
        """It returned."""
        ...

    def failed(self, error: BaseException, /) -> None:
        """It raised."""
        ...


Begin = Callable[[tuple[Any, ...], dict[str, Any]], Entry | None]


class PlainTool:
    """A tool.

    Args:
        name: As records have it.
        effect: What it does to the world.
        bind: Gives the call's arguments by name.
        names: Names of its parameters where each call that gives as many positional ones gives exactly these.
    """

    def __init__(  # noqa: PLR0917 - as compiled
        self,
        name: str,
        effect: Effect,
        bind: Callable[..., dict[str, Any]],
        names: tuple[str, ...] | None,  # noqa: ARG002 - what the compiled one goes by
    ) -> None:
        self.name = name
        self.effect: Effect = effect
        self.bind = bind

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry | None:
        """Copy the arguments; None outside a recording."""
        recorder = current.get()
        if recorder is None:
            return None
        try:
            arguments = argument_data(self.bind(*args, **kwargs))
        except TypeError:  # they don't fit the tool, which is about to say so itself
            arguments = _NOTHING
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not reach the caller
            arguments, recorder.fault = _NOTHING, fault
        return _ToolEntry(self, recorder, arguments)


class _ToolEntry:
    __slots__ = ("arguments", "recorder", "started", "tool")

    def __init__(self, tool: PlainTool, recorder: Recorder, arguments: bytes) -> None:
        self.tool, self.recorder, self.arguments = tool, recorder, arguments
        self.started = perf_counter()

    def ended(self, result: Any) -> None:
        ended = perf_counter()
        recorder, tool = self.recorder, self.tool
        try:
            raw = recorder.kept(result)
            if raw is not None:
                recorder.log.append((CALL, tool.name, tool.effect, self.arguments, raw, self.started, ended))
        except Exception as fault:  # noqa: BLE001 - see `PlainTool.begin`
            recorder.fault = fault

    def failed(self, error: BaseException) -> None:
        tool = self.tool
        try:
            self.recorder.add_failed_call(tool.name, tool.effect, self.arguments, self.started, error)
        except Exception as fault:  # noqa: BLE001 - see `PlainTool.begin`
            self.recorder.fault = fault


class PlainStep:
    """A part of a pipeline.

    Args:
        kind: As records have it.
        name: As records have it.
        after: Called with what it returned.
        hits: What it returned may be read by `quick_rows` instead.
        replace: Those hits replace the ones before.
    """

    def __init__(self, kind: StepKind, name: str, after: After | None, hits: bool, replace: bool) -> None:  # noqa: PLR0917 - as compiled
        self.kind: StepKind = kind
        self.name, self.after = name, after
        self.hits, self.replace = hits, replace

    def begin(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Entry | None:  # noqa: ARG002 - see `Begin`
        """None outside a recording."""
        recorder = current.get()
        return None if recorder is None else _StepEntry(self, recorder)


class _StepEntry:
    __slots__ = ("recorder", "started", "step")

    def __init__(self, step: PlainStep, recorder: Recorder) -> None:
        self.step, self.recorder = step, recorder
        self.started = perf_counter()

    def ended(self, result: Any) -> None:
        step, recorder = self.step, self.recorder
        row = (step.kind, step.name, self.started, perf_counter())
        try:
            if step.after is not None:
                rows = quick_rows(result) if step.hits else None
                if rows is None:
                    step.after(recorder, result)
                else:
                    recorder.add_hits(rows, replace=step.replace)
            recorder.add_step_row(row)
        except Exception as fault:  # noqa: BLE001 - see `PlainTool.begin`
            recorder.fault = fault

    def failed(self, error: BaseException) -> None:
        step = self.step
        try:
            self.recorder.add_failed_step(step.kind, step.name, self.started, error)
        except Exception as fault:  # noqa: BLE001 - see `PlainTool.begin`
            self.recorder.fault = fault


Tool = PlainTool
Step = PlainStep
