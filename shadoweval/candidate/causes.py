"""Whose failure is it? From the exception that ended a run to what of the shadow caused it, and the line to add.

A refusal that a run survived is no cause of its end: only what stands in the chain of the exception that ended it is.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval.candidate.guard import RefusedError
from shadoweval.errors import ToolRefusedError
from shadoweval.records import Failure, FailureKind, Refusal

__all__ = ["Cause", "blamed", "cause_of", "chain", "unproven", "with_refusals"]

_DEEPEST: Final = 100
"""Exceptions of a chain that are looked at."""
_MARK: Final = "this run is a shadow"
"""Stands in the message of each of our refusals, so also in what a library makes of it as text alone."""
_NOT_PERMITTED: Final = (
    *(os.strerror(number) for number in (errno.EPERM, errno.EACCES)),
    "access permission denied",  # SQLite's words for a lock, a write or a file that it was not given
    "attempt to write a readonly database",
    "unable to open database file",
)
_UNPROVEN: Final = "something was not permitted"
"""Cause of a failure that may be a refusal's: the pool knows what the guard refused in this run."""
_EGRESS: Final = frozenset({"socket.connect", "socket.send"})


class Cause(msgspec.Struct, frozen=True):
    """What of the shadow ended a run."""

    what: str
    mend: str = ""
    kind: FailureKind | None = None
    """What the failure is then; None: as it was."""


def chain(error: BaseException) -> Iterator[BaseException]:
    """The exception, what it was raised from or during, what it holds (groups, `URLError.reason`), and theirs."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting and len(seen) < _DEEPEST:
        at = waiting.pop(0)
        if id(at) in seen:
            continue
        seen.add(id(at))
        yield at
        held: list[Any] = [at.__cause__, at.__context__, *at.args, *vars(at).values()]
        if isinstance(at, BaseExceptionGroup):
            held += cast("BaseExceptionGroup[BaseException]", at).exceptions
        waiting += [part for part in held if isinstance(part, BaseException)]


def cause_of(error: BaseException) -> Cause | None:
    """What of the shadow is behind an exception; None: nothing is, so far as this process can know."""
    doubtful = False
    for part in chain(error):
        if isinstance(part, ToolRefusedError):
            return _refused_tool(part.tool, part.effect)
        if isinstance(part, RefusedError):
            return _of_refusal(part.refusal)
        own: Any = getattr(part, "shadow_cause", None)
        if type(own) is tuple:  # an adapter's exception, such as of a service that wants credentials
            return Cause(*cast("tuple[str, str]", own))
        text = _text(part)
        doubtful |= isinstance(part, PermissionError) or _MARK in text or any(w in text for w in _NOT_PERMITTED)
    return Cause(_UNPROVEN) if doubtful else None


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - an exception's own __str__ may fail in any way
        return ""


def _refused_tool(name: str, effect: str) -> Cause:
    mend = f"Sandbox(stubs=Stubs({{{name!r}: a_function_that_stands_in_for_it}}))"
    if effect == "read":
        mend += f", or Stubs(live=[{name!r}]) to read for real"
    elif effect == "unknown":
        mend += f'; if it only reads, declare it: @tool(effect="read") and Stubs(live=[{name!r}])'
    return Cause(f"the tool {name!r} was refused", mend, "refused")


def _of_refusal(refusal: Refusal) -> Cause:
    """A refusal as the cause of an end."""
    kind, detail = refusal.kind, refusal.detail
    if kind == "tool":
        return _refused_tool(detail, "unknown")
    if kind in _EGRESS:
        where = f"{detail!r}" if not detail.startswith("unix:") else f"the socket {detail.removeprefix('unix:')!r}"
        mend = f"Sandbox(allow=[{detail!r}]) if it may be reached from a shadow"
        return Cause(f"the guard refused a connection to {where}", mend, "refused")
    if kind == "socket.resolve":
        mend = f"Sandbox(allow=[{f'{detail}:PORT'!r}]) with its port, if it may be reached from a shadow"
        return Cause(f"the guard refused to look up {detail!r}", mend, "refused")
    if kind in {"open.write", "file.change"}:
        folder = os.path.dirname(detail.rpartition(" ")[2]) or detail  # noqa: PTH120 - text, as the guard has it
        mend = (
            "write below tempfile.gettempdir(), which leads to the run's scratch folder, or stub the tool that writes"
        )
        return Cause(f"the guard refused to write in {folder!r}", mend, "refused")
    mend = "no line allows it: stub the tool that does it, Sandbox(stubs=Stubs({'tool': a_function}))"
    return Cause(f"the guard refused {kind}", mend, "refused")


def blamed(failure: Failure, cause: Cause | None) -> Failure:
    """The failure as the shadow's; without a cause as it is."""
    if cause is None:
        return failure
    if cause.what == _UNPROVEN:
        return msgspec.structs.replace(failure, cause=_UNPROVEN)
    kind = cause.kind or failure.kind
    return msgspec.structs.replace(failure, kind=kind, owner="shadow", cause=cause.what, mend=cause.mend)


def unproven(failure: Failure | None) -> bool:
    """Whether it depends on what the guard refused whose failure it is."""
    return failure is not None and failure.owner is None and failure.cause == _UNPROVEN


def with_refusals(failure: Failure, refusals: Sequence[Refusal]) -> Failure:
    """An unproven failure, told by what was refused in its run: the shadow's where anything was."""
    if not refusals:
        return msgspec.structs.replace(failure, cause="")
    return blamed(failure, _of_refusal(refusals[-1]))
