"""`Mirror`: the decorator over an incumbent."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec

from shadoweval.capture.document_parts import HitId
from shadoweval.capture.outcomes import Extract, settled
from shadoweval.capture.third_party import adapter
from shadoweval.checks import checked_keywords, checked_share, checked_strings
from shadoweval.counters import Counters
from shadoweval.errors import ArgumentError
from shadoweval.mirror.begin import begin
from shadoweval.mirror.call import Call
from shadoweval.mirror.outlet import Outlet
from shadoweval.mirror.plan import (
    PLAIN,
    Plan,
    Reader,
    Site,
    entry_of,
    is_method,
    kind_shown_by,
    named_part,
    now,
    positional,
)
from shadoweval.mirror.streams import over_async_generator, over_generator
from shadoweval.protocols import Redactor, Transport

if TYPE_CHECKING:
    from shadoweval.capture.failures import Failures

__all__ = ["Mirror"]

_F = TypeVar("_F", bound=Callable[..., Any])
_R = TypeVar("_R")
MAX_BYTES = 1024 * 1024
_RETRYING: Final = frozenset({"tenacity", "backoff", "retrying", "stamina"})
_APPS: Final = {"wsgi_app": "wsgi(app.wsgi_app, routes=[...])", "add_middleware": "asgi(app, routes=[...])"}
"""What apps have and functions have not: Flask's, and Starlette's or FastAPI's."""


class Mirror:
    """Mirrors the calls of a function, and never hurts them.

    Decorates functions, coroutine functions, generator and async generator functions, methods (below or above
    `@staticmethod` and `@classmethod`), callable objects and partials. What comes out is of the same kind with the same
    signature; arguments, values, exceptions, chunks, what is sent and thrown, cancellation and context variables pass
    through unchanged. A first parameter named `self` or `cls` is not part of the copied input.

    Args:
        experiment: Name of the experiment.
        transport: Where envelopes go, or what makes it; made at the first call. Mirrors may share an outlet.
        counters: Where calls and losses are counted; by default beside the transport's frames.
        decide: Says whether a call may be mirrored: None, or the loss (`counters.LOSSES`) that it is counted as.
        sample: Share of the units, 0 to 1.
        salt: Which units; by default the experiment's name.
        control: Share of the sampled calls that is left alone, to compare durations with.
        attributes: Query attributes from the call's arguments.
        unit: User or session from the call's arguments; sampling and statistics go by it.
        text: The question as text from the call's arguments; by default see `capture.wire.questions`.
        key: What the query is known by, from the call's arguments; by default all of them.
        inputs: What a candidate is called with, from the call's arguments: a mapping of keyword arguments, or the only
            argument; by default all of them. Leaves out what can't be copied: a database session, an HTTP request.
        outcome: The outcome from the returned value; by default see `capture.outcomes.answer_text`.
        failures: Says whether what was returned or raised is a failure; by default see `capture.failures`.
        hit_id: Gives what a retrieved document is known by; by default see `capture.documents`.
        versions: What decides the answer, by name: prompt, model, index.
        redact: Takes secrets out of every text before it leaves the process; `redact_secrets`, or your own.
        clock: The time of day.
        max_bytes: Cap of the input, of the returned value and of all tool calls, each.
        observe: Called as `observe(seconds, failed=, mirrored=, own=)` at the end of mirrored and control calls.
        shut, asked: Asked before all else, as `decide` is; called with the seconds that a call waited for all of these.
        charge: Called for each mirrored call (a budget).
        entry: `"module:attribute"` of the incumbent where it is not where it was defined.

    Raises:
        ShareError: `sample` or `control` is no share.
    """

    def __init__(
        self,
        experiment: str,
        transport: Transport | Callable[[], Transport] | Outlet,
        *,
        counters: Counters | None = None,
        decide: Callable[[str, Mapping[str, Any]], str | None] | None = None,
        sample: float = 1.0,
        salt: str | None = None,
        control: float = 0.05,
        attributes: Reader | None = None,
        unit: Reader | None = None,
        text: Reader | None = None,
        key: Reader | None = None,
        inputs: Reader | None = None,
        ignore: Sequence[str] = (),
        outcome: Extract | None = None,
        failures: Failures | None = None,
        hit_id: HitId | None = None,
        versions: Mapping[str, str] | None = None,
        redact: Redactor | None = None,
        clock: Callable[[], datetime] = now,
        max_bytes: int = MAX_BYTES,
        observe: Callable[..., None] | None = None,
        shut: Callable[[], str | None] | None = None,
        asked: Callable[[float], None] | None = None,
        charge: Callable[[], Any] | None = None,
        entry: str | None = None,
    ) -> None:
        self.experiment, self.ignore = experiment, checked_strings("mirror(ignore)", ignore)
        if self.ignore and inputs is not None:
            raise ArgumentError("mirror(ignore)", ignore, expected="given without inputs=", mend="Keep one of them.")
        self.outlet = transport if isinstance(transport, Outlet) else Outlet(experiment, transport, counters)
        self.entry = entry
        self.plan = Plan(
            experiment=experiment,
            outlet=self.outlet,
            sample=checked_share("sample", sample),
            control=checked_share("control", control),
            salt=experiment if salt is None else salt,
            decide=decide,
            attributes=attributes,
            unit=unit,
            text=text,
            key=key,
            inputs=inputs,
            outcome=outcome,
            failures=failures,
            hit_id=hit_id,
            redact=redact,
            versions=dict(versions or {}),
            clock=clock,
            max_bytes=max_bytes,
            observe=observe,
            shut=shut,
            asked=asked,
            charge=charge,
        )

    def __call__(self, function: _F) -> _F:
        """The same function, mirrored.

        Raises:
            ArgumentError: no function.
        """
        if not callable(function) and not isinstance(cast("object", function), staticmethod | classmethod):
            mend = "Decorate a function; see runnable(), client() and asgi() for what is none."
            raise ArgumentError("what is mirrored", function, expected="a function", mend=mend)
        door = next((door for trait, door in _APPS.items() if hasattr(function, trait)), "")
        if door:
            mend = f"Mirror its routes by mirror.{door}, or decorate the function behind one."
            raise ArgumentError("what is mirrored", function, expected="a function, and this is an app", mend=mend)
        if not isinstance(function, PLAIN):
            from shadoweval.mirror.manners import refuse_runnable  # noqa: PLC0415 - few are no functions

            refuse_runnable(function)
        if isinstance(function, staticmethod | classmethod):
            return cast("_F", type(cast("staticmethod[..., Any]", function))(self._wrapped(function.__func__)))
        return cast("_F", self._wrapped(function))

    def _wrapped(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if hasattr(function, "mirrored_for") or not isinstance(function, PLAIN):
            from shadoweval.mirror.manners import bare  # noqa: PLC0415 - few are mirrored again

            function = bare(function, self.experiment)
        method = is_method(function)
        names = [name for name in positional(function)[1 if method else 0 :] if name not in self.ignore]
        site = Site(self.plan, self.entry or entry_of(function), method=method, names=names)
        if self.ignore:
            from shadoweval.mirror.manners import without  # noqa: PLC0415 - few need it

            site.plan = msgspec.structs.replace(self.plan, inputs=without(function, self.ignore, method=method))
        kind = kind_shown_by(function)
        if inspect.isasyncgenfunction(kind):
            wrapper = over_async_generator(site, function)
        elif inspect.isgeneratorfunction(kind):
            wrapper = over_generator(site, function)
        elif inspect.iscoroutinefunction(kind):
            wrapper = _over_coroutine(site, function)
        else:
            wrapper = _over_function(site, function)
        named = named_part(function)
        wrapper.__name__, wrapper.__qualname__ = named.__name__, named.__qualname__  # FastAPI names routes by it
        functools.update_wrapper(wrapper, function)
        vars(wrapper)["mirrored_for"] = (self.experiment, function)
        if self.ignore:
            vars(wrapper)["ignored_by_mirror"] = self.ignore
        if isinstance(function, PLAIN):
            return wrapper
        from shadoweval.mirror.manners import like_object  # noqa: PLC0415 - few are no functions

        return like_object(function, wrapper)

    @checked_keywords()
    def runnable(self, runnable: _R, *, entry: str | None = None) -> _R:
        """A LangChain Runnable or compiled graph, mirrored in all its entry methods; see `adapters.langchain`."""
        return adapter("mirror", "langchain_core")(runnable, self, entry=entry)

    @checked_keywords()
    def client(self, client: _R, *, entry: str | None = None) -> _R:
        """An OpenAI client whose every chat completion and response is one query; see `adapters.openai`."""
        return adapter("mirror", "openai")(client, self, entry=entry)

    @checked_keywords()
    def asgi(
        self,
        app: Any,
        *,
        routes: Sequence[Any],
        headers: Iterable[str] | None = None,
        max_body: int = MAX_BYTES,
        entry: str | None = None,
        header: str | None = None,
    ) -> Any:
        """An ASGI app whose matching routes are mirrored; see `adapters.asgi.ShadowASGI`."""
        options = {"headers": headers, "max_body": max_body, "entry": entry, "header": header}
        return adapter("mirror", "asgi")(app, self, routes=routes, **options)

    @checked_keywords()
    def wsgi(
        self,
        app: Any,
        *,
        routes: Sequence[Any],
        headers: Iterable[str] | None = None,
        max_body: int = MAX_BYTES,
        entry: str | None = None,
        header: str | None = None,
    ) -> Any:
        """A WSGI app (Flask, Django) whose matching routes are mirrored; see `adapters.wsgi.ShadowWSGI`."""
        options = {"headers": headers, "max_body": max_body, "entry": entry, "header": header}
        return adapter("mirror", "wsgi")(app, self, routes=routes, **options)

    def close(self) -> None:
        """Close the transport; what was handed over stays."""
        self.outlet.close()


def _look_for_retries(site: Site) -> None:
    if any(library in sys.modules for library in _RETRYING):
        from shadoweval.mirror.manners import tell_of_retries  # noqa: PLC0415 - where one of these libraries is loaded

        tell_of_retries(site.entry)


def _passed_on(call: Call, value: Any, at: float) -> Any:
    from shadoweval.mirror.returned import passed_on  # noqa: PLC0415 - with the first value that is consumed later

    return passed_on(call, value, at)


def _over_function(site: Site, function: Callable[..., Any]) -> Callable[..., Any]:
    def mirrored(*args: Any, **kwargs: Any) -> Any:
        call = begin(site, args, kwargs)
        if call is None:
            return function(*args, **kwargs)
        call.enter()
        try:
            value = function(*args, **kwargs)
        except BaseException as error:
            call.raised(error)
            _look_for_retries(site)
            raise
        at = perf_counter()
        if type(value) is str or settled(value):
            call.returned(value, at)
            return value
        return _passed_on(call, value, at)

    return mirrored


def _over_coroutine(site: Site, function: Callable[..., Any]) -> Callable[..., Any]:
    async def mirrored(*args: Any, **kwargs: Any) -> Any:
        call = begin(site, args, kwargs)
        if call is None:
            return await function(*args, **kwargs)
        call.enter()
        try:
            value = await function(*args, **kwargs)
        except BaseException as error:
            call.raised(error)
            _look_for_retries(site)
            raise
        at = perf_counter()
        if type(value) is str or settled(value):
            call.returned(value, at)
            return value
        return _passed_on(call, value, at)

    return mirrored
