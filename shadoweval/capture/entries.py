"""What is written down of one call of a decorated tool or step: before it runs, and when it has ended.

`Tool` and `Step` are made once a function. Our own faults stay on the recorder, where the mirror counts them.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import Any, Final, Literal, Protocol

from shadoweval.capture.copying import argument_data, plain_arguments, quickly_packed
from shadoweval.capture.documents import hit_rows, recorded_rows
from shadoweval.capture.interception import error_text, hands
from shadoweval.capture.recorder import Recorder, inside
from shadoweval.capture.wire.rows import CALL
from shadoweval.records import Effect

__all__ = ["NOTHING", "Entries", "Rows", "Step", "Tool", "unbound"]

StepKind = Literal["model", "retrieval", "other"]
NOTHING: Final = b"\x80"
"""No arguments: an empty mapping."""
_RETURNED: Final = (None, "live", None, None, None)
"""Of a call in another one: no error, answered live, no index, no parent, not judged."""
_P = inspect.Parameter
_LITTLE: Final = 1 << 14
"""Bytes of a result that are encoded in less time than a look at the clock is worth."""
_FEW: Final = 32
"""Documents that are read by our own rule in as little."""
_FIXED: Final = frozenset({str, int, float, bool, type(None), bytes})
"""Types of arguments that no tool can change."""
_PLAIN: Final = frozenset({str, dict, list, int, float, bool, type(None)})


class Entries(Protocol):
    """Writes down the calls of one function."""

    @property
    def arguments(self) -> Callable[[Recorder, tuple[Any, ...], dict[str, Any]], bytes] | None:
        """Encodes its arguments before it runs, for `ended` and `failed`; None: they are not recorded."""
        ...

    def ended(self, recorder: Recorder, arguments: bytes, started: float, result: Any, /) -> None:  # noqa: PLR0917 - the request path
        """A call that returned just now; `started` as `time.perf_counter()` gave it."""
        ...

    def failed(self, recorder: Recorder, arguments: bytes, started: float, error: BaseException, /) -> None:  # noqa: PLR0917 - as `ended`
        """A call that raised just now."""
        ...


class Rows(list[Any]):
    """What a retriever yielded, as rows of hits already."""


def _with_objects(recorder: Recorder, arguments: dict[str, Any]) -> bytes:
    """Arguments that take their time: large ones, and those with objects, whose own code is asked."""
    since = perf_counter()
    try:
        return argument_data(arguments)
    except Exception as fault:  # noqa: BLE001 - a fault of ours must not reach the caller
        recorder.fault = fault
        return NOTHING
    finally:
        recorder.spent(since)


def _watched(recorder: Recorder, raw: bytes, arguments: dict[str, Any]) -> bytes:
    """Encoded arguments which the tool may change."""
    from shadoweval.capture.beside import watched  # noqa: PLC0415 - with the first of them

    try:
        return watched(raw, arguments)
    except Exception as fault:  # noqa: BLE001 - a fault of ours must not reach the caller
        recorder.fault = fault
        return raw


class Tool:
    """A tool.

    Args:
        name: As records have it.
        effect: What it does to the world.
        function: The tool itself.
    """

    def __init__(self, name: str, effect: Effect, function: Callable[..., Any]) -> None:
        self.name = name
        self.effect: Effect = effect
        self.bind = _binder(function)
        """The call's arguments by name."""
        self._keywords = _keywords(function)

    def arguments(self, recorder: Recorder, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """See `Entries`."""
        try:
            named = kwargs if not args and kwargs.keys() == self._keywords else self.bind(*args, **kwargs)
        except TypeError:
            named = unbound(args, kwargs)
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not reach the caller
            recorder.fault = fault
            return NOTHING
        raw = plain_arguments(named) or _with_objects(recorder, named)
        if raw is NOTHING or _FIXED.issuperset(map(type, named.values())):
            return raw
        return _watched(recorder, raw, named)

    def ended(self, recorder: Recorder, arguments: bytes, started: float, result: Any) -> None:  # noqa: PLR0917 - see `Entries`
        """See `Entries`."""
        ended = perf_counter()
        try:
            log = recorder.log
            if len(log) >= recorder.max_items:
                recorder.truncated = True
                return
            if type(arguments) is not bytes or started in recorder.retrieved:
                took = ended - started
                recorder.add_call(self.name, arguments, result, started=started, duration=took, effect=self.effect)
                recorder.spent(ended)
                return
            raw = quickly_packed(result, recorder.left)
            size = len(raw)
            if not 0 < size <= _LITTLE or type(result) not in _PLAIN:
                if not size:
                    raw = recorder.encoded(result)
                    size = 0
                recorder.spent(ended)
            recorder.left -= size
            outer, moments = inside.get(), hands()
            if outer is None and not moments:
                log.append((CALL, self.name, self.effect, arguments, raw, started, ended))
            else:
                log.append((CALL, self.name, self.effect, arguments, raw, started, ended, *_RETURNED, outer, moments))
        except Exception as fault:  # noqa: BLE001 - see `arguments`
            recorder.fault = fault
            recorder.spent(ended)

    def failed(self, recorder: Recorder, arguments: bytes, started: float, error: BaseException) -> None:  # noqa: PLR0917 - see `Entries`
        """See `Entries`."""
        try:
            from shadoweval.capture.raised import chain_of, raised  # noqa: PLC0415 - with the first failure

            recorder.add_call(
                self.name,
                arguments,
                raised(error),
                started=started,
                duration=perf_counter() - started,
                error=error_text(error),
                effect=self.effect,
                beside=chain_of(error),
            )
        except Exception as fault:  # noqa: BLE001 - see `arguments`
            recorder.fault = fault


def unbound(args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments that don't fit a tool, which is about to say so itself; or a decorator adds what they lack."""
    return {"args": list(args), **kwargs} if args else kwargs


class Step:
    """A part of a pipeline.

    Args:
        kind: As records have it.
        name: As records have it.
        rows_of: Rows of hits from what it returned; None: it is no retriever.
        replace: They replace those of earlier retrievals.
    """

    arguments = None

    def __init__(
        self, kind: StepKind, name: str, *, rows_of: Callable[[Any], Sequence[Any]] | None = None, replace: bool = False
    ) -> None:
        self.kind: StepKind = kind
        self.name, self.rows_of, self.replace = name, rows_of, replace

    def ended(self, recorder: Recorder, _arguments: bytes, started: float, result: Any) -> None:
        """See `Entries`."""
        ended = perf_counter()
        row = (self.kind, self.name, started, ended)
        try:
            rows_of = self.rows_of
            if rows_of is not None:
                if recorder.hit_id is not None and rows_of is recorded_rows:
                    rows = hit_rows(result, recorder.hit_id)
                else:
                    rows = rows_of(result)
                recorder.add_hits(result if type(result) is Rows else rows, name=self.name, replace=self.replace)
                if len(rows) > _FEW or rows_of is not recorded_rows or recorder.hit_id is not None:
                    recorder.spent(ended)
            if len(recorder.log) < recorder.max_items:
                recorder.log.append(row)
            else:
                recorder.truncated = True
        except Exception as fault:  # noqa: BLE001 - see `Tool.arguments`
            recorder.fault = fault
            recorder.spent(ended)

    def failed(self, recorder: Recorder, _arguments: bytes, started: float, error: BaseException) -> None:
        """See `Entries`."""
        try:
            recorder.add_failed_step(self.kind, self.name, started, error)
        except Exception as fault:  # noqa: BLE001 - see `Tool.arguments`
            recorder.fault = fault


def _keywords(function: Callable[..., Any]) -> frozenset[str] | None:
    """Keywords that are all of a call's arguments where it has just these; None: that can't be said."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # a builtin without one
        return None
    whole = all(
        p.kind in {_P.POSITIONAL_OR_KEYWORD, _P.KEYWORD_ONLY} and p.name not in {"self", "cls"} for p in parameters
    )
    return frozenset(p.name for p in parameters) if whole else None


def _binder(function: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    """A function with the same parameters that returns them by name, so that Python itself binds a call, fast.

    `self` and `cls` are left out, `*args` become a list under their name, `**kwargs` are merged in; where one of these
    is called as a positional argument is, they are a mapping under their own name.
    """
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:  # a builtin without one
        return lambda *args, **kwargs: {"args": list(args), **kwargs}
    heads: list[str] = []
    parts: list[str] = []
    for at, p in enumerate(parameters):
        starred = any(before.kind in {_P.VAR_POSITIONAL, _P.KEYWORD_ONLY} for before in parameters[:at])
        if p.kind is _P.KEYWORD_ONLY and not starred:
            heads.append("*")
        mark = {_P.VAR_POSITIONAL: "*", _P.VAR_KEYWORD: "**"}.get(p.kind, "")
        heads.append(f"{mark}{p.name}" + ("" if p.default is _P.empty else f"=defaults[{p.name!r}]"))
        if p.kind is _P.POSITIONAL_ONLY and (at + 1 == len(parameters) or parameters[at + 1].kind != p.kind):
            heads.append("/")
        if at or p.name not in {"self", "cls"}:
            value = f"[*{p.name}]" if mark == "*" else p.name
            parts.append(f"**{_merged(p, parameters)}" if mark == "**" else f"{p.name!r}: {value}")
    defaults = {p.name: p.default for p in parameters}
    source = f"lambda {', '.join(heads)}: {{{', '.join(parts)}}}"
    return eval(source, {"defaults": defaults})  # noqa: S307 - names of parameters only, as dataclasses do


def _merged(keywords: inspect.Parameter, parameters: list[inspect.Parameter]) -> str:
    """The source of what is merged in of `**keywords`."""
    name = keywords.name
    alike = [p.name for p in parameters if p.kind in {_P.POSITIONAL_ONLY, _P.VAR_POSITIONAL}]
    return f"({name} if {name}.keys().isdisjoint({alike!r}) else {{{name!r}: {name}}})" if alike else name
