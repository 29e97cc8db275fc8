"""What is the same for all calls of a mirror, and of one decorated function: worked out once."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from time import time
from types import BuiltinFunctionType, FunctionType, MethodDescriptorType, MethodType, WrapperDescriptorType
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from shadoweval.buckets import first_out
from shadoweval.capture.copying import encode
from shadoweval.capture.document_parts import HitId
from shadoweval.capture.outcomes import Extract
from shadoweval.mirror.outlet import Outlet
from shadoweval.protocols import Redactor

if TYPE_CHECKING:
    from shadoweval.capture.failures import Failures

__all__ = [
    "PLAIN", "Plan", "Reader", "Site", "entry_of", "is_method", "kind_shown_by", "named_part", "now", "positional",
]  # fmt: skip

PLAIN: Final = (FunctionType, MethodType, BuiltinFunctionType, MethodDescriptorType, WrapperDescriptorType, type)
"""What has no manners beyond a function's."""

Reader = Callable[..., Any]
"""Gets the call's own arguments."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a mirror does with each call; made once."""

    experiment: str
    outlet: Outlet
    sample: float
    control: float
    salt: str
    decide: Callable[[str, Mapping[str, Any]], str | None] | None
    attributes: Reader | None
    unit: Reader | None
    text: Reader | None
    key: Reader | None
    inputs: Reader | None
    outcome: Extract | None
    failures: Failures | None
    hit_id: HitId | None
    redact: Redactor | None
    versions: dict[str, str]
    clock: Callable[[], datetime]
    max_bytes: int
    observe: Callable[..., None] | None
    """Called as `observe(seconds, failed=, mirrored=, own=)` where mirrored and control calls end, `own`: our part."""
    shut: Callable[[], str | None] | None
    """Asked before all else: why nothing may be mirrored now, whatever the call is; None: something may."""
    asked: Callable[[float], None] | None
    """Called with the seconds that a call waited for what is asked of every call, mirrored or not."""
    charge: Callable[[], Any] | None
    """Called for each mirrored call."""


def now() -> datetime:
    """The time of day, aware."""
    return datetime.now(UTC)


class Site:
    """A decorated function.

    Args:
        plan: What its mirror does with each call.
        entry: Where a candidate's process finds it, `"module:attribute"`.
        method: Its first argument is the instance or class, and no part of the input.
        names: Of its positional arguments, as far as they have any.
    """

    def __init__(self, plan: Plan, entry: str, *, method: bool, names: Sequence[str] = ()) -> None:
        self.plan, self.entry = plan, entry
        self.outlet = plan.outlet
        self.outlet.sites.add(self)
        self.skip = 1 if method else 0
        self.sample = plan.sample
        self.off = plan.sample <= 0.0
        self.by_chance = plan.unit is plan.attributes is plan.decide is None
        self.salted, self.first_out = f"{plan.salt}:".encode(), first_out(plan.sample)
        self.clock: Any = time if plan.clock is now else plan.clock
        self.names = () if plan.inputs is not None else tuple(names)  # what `inputs` gives has its own names, or none
        site = (plan.experiment, entry, plan.salt, plan.versions, self.names, plan.outlet.definition)
        self.raw = msgspec.Raw(encode(site))


def named_part(function: Callable[..., Any]) -> Any:
    """What has a name: the function, that of a partial, a callable object's class."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = cast("functools.partial[Any]", inner).func
    return inner if hasattr(inner, "__qualname__") else type(inner)


def entry_of(function: Callable[..., Any]) -> str:
    """Where a candidate's process finds a function, `"module:attribute"`."""
    named = named_part(function)
    return f"{named.__module__}:{named.__qualname__}"


def kind_shown_by(function: Callable[..., Any]) -> Callable[..., Any]:
    """A callable object's kind is that of its `__call__`."""
    inner = function
    while isinstance(inner, functools.partial):
        inner = cast("functools.partial[Any]", inner).func
    if inspect.isroutine(inner) or isinstance(inner, type):
        return function
    return inner.__call__


def is_method(function: Callable[..., Any]) -> bool:
    """Whether the first argument is the instance or class. Bound methods and partials have theirs bound already."""
    if isinstance(function, PLAIN) and not inspect.isfunction(function):
        return False
    if not hasattr(type(function), "__get__"):  # a callable object; what `functools.cache` makes is bound as a function
        return False
    if not inspect.isfunction(function):
        return positional(function)[:1] in (["self"], ["cls"])
    first = next(iter(inspect.signature(function, follow_wrapped=False).parameters), None)
    return first in {"self", "cls"}


def positional(function: Callable[..., Any]) -> list[str]:
    """Names of its positional parameters."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (ValueError, TypeError):  # a builtin without one
        return []
    positional = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}
    return [p.name for p in parameters if p.kind in positional]
