"""What stands behind `@per_arm` and `@pairwise`: a user's function, called by the names of its arguments.

A name that nobody knows is an error where it is written. What the function returns may be any kind of number; what is
none, and what it raises, is the reason of a score that is missing, and costs no other one.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
import hashlib
import inspect
import math
import os
import textwrap
import threading
import tokenize
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, Final, TypeAlias, cast

from shadoweval.checks import checked_function
from shadoweval.errors import ArgumentError, closest
from shadoweval.protocols import Metric
from shadoweval.records import Observation, Pair, Score, Scored, Unscored
from shadoweval.scoring.pair_scorer import raised

__all__ = ["OF_PAIR", "OF_RUN", "OwnFunction", "Reader", "own_metrics", "score_of", "source_digest"]

_AT_ONCE: Final = 16
"""Calls of an async function that are under way together."""

Reader: TypeAlias = Callable[[Observation, Pair], Any]
"""Gives an argument, or `Unscored`: why there is none."""


def _or_unscored(value: Any, why: str, *, informative: bool = False) -> Any:
    return Unscored(why, informative=informative) if value is None or value in ((), {}) else value


def _answer(observation: Observation, _: Pair) -> Any:
    answer = observation.outcome.answer if observation.outcome else None
    return _or_unscored(answer, "no answer", informative=True)


def _value(observation: Observation, _: Pair) -> Any:
    return observation.outcome.value if observation.outcome else None


OF_RUN: Final[Mapping[str, Reader]] = {
    "answer": _answer,
    "value": _value,
    "hits": lambda run, _: run.hits,
    "tool_calls": lambda run, _: run.tool_calls,
    "steps": lambda run, _: run.steps,
    "usage": lambda run, _: run.usage,
}
"""What differs between the arms."""
OF_PAIR: Final[Mapping[str, Reader]] = {
    "query": lambda _, pair: pair.query.text,
    "attributes": lambda _, pair: pair.query.attributes,
    "labels": lambda _, pair: pair.labels,
    "references": lambda _, pair: _or_unscored(pair.labels.references, "no reference"),
    "relevant": lambda _, pair: _or_unscored(pair.labels.relevant, "no judged document"),
    "expected_calls": lambda _, pair: (
        Unscored("no expected tool calls", informative=False)
        if pair.labels.expected_calls is None
        else pair.labels.expected_calls
    ),
    "pair": lambda _, pair: pair,
}
"""What both arms share; `reference` is each of `references` in turn."""
_REFERENCE: Final = "reference"
_MISTYPED: Final = 0.8
"""How much an argument with a default is like one that is known (`difflib`), to be taken for a slip."""


def source_digest(function: Callable[..., Any]) -> str:
    """Changes with the function's own text; what it calls is not seen."""
    bound = ""
    while isinstance(function, functools.partial):
        bound += repr((function.args, sorted(function.keywords.items())))
        function = cast("functools.partial[Any]", function).func
    function = inspect.unwrap(function)
    try:
        text = textwrap.dedent(inspect.getsource(function if hasattr(function, "__code__") else type(function)))
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):  # at a prompt, in C, in no file of code
        code = getattr(function, "__code__", None)
        text = repr((code.co_code, code.co_consts, code.co_names)) if code else getattr(function, "__name__", "")
    return hashlib.sha256((text + bound).encode("utf-8", "replace")).hexdigest()[:8]


class OwnFunction:
    """A user's function and what it asks for.

    Args:
        function: Sync or async.
        of: The decorator's name, for errors.
        readers: Name -> what gives that argument.
        batch: How many runs it gets at once, each argument a list; 0: one.

    Raises:
        ArgumentError: an argument that nobody knows, or that has no name.
    """

    def __init__(self, function: Callable[..., Any], *, of: str, readers: Mapping[str, Reader], batch: int = 0) -> None:
        checked_function(f"what @{of} declares", function, awaited=True)
        self.function, self.batch = function, batch
        self.name: str = getattr(function, "__name__", "") or type(function).__name__
        self.is_async = any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))
        self._readers: dict[str, Reader] = {}
        self._optional: set[str] = set()
        self._by_position: list[str] = []
        known = [*readers, _REFERENCE]
        for each in inspect.signature(function).parameters.values():
            if each.name in known and each.kind not in {each.VAR_POSITIONAL, each.VAR_KEYWORD}:
                self._readers[each.name] = readers.get(each.name, readers["references"])
                self._optional |= {each.name} if each.default is not each.empty else set()
                self._by_position += [each.name] if each.kind is each.POSITIONAL_ONLY else []
            elif each.default is each.empty or difflib.get_close_matches(
                each.name, known, 1, _MISTYPED
            ):  # else its own
                mend = closest(each.name, known).strip()
                what = f"each argument of {self.name!r} under @{of}"
                raise ArgumentError(what, each.name, expected=f"one of {', '.join(sorted(known))}", mend=mend)

    def asked(self, observation: Observation, pair: Pair) -> list[dict[str, Any]] | Unscored:
        """The arguments of its calls for a run: one call, or one for each reference; or why there is none."""
        arguments: dict[str, Any] = {}
        for name, read in self._readers.items():
            value = read(observation, pair)
            if not isinstance(value, Unscored):
                arguments[name] = value
            elif name not in self._optional:
                return value
        references = cast("Sequence[str]", arguments.pop(_REFERENCE, ()))
        return [{**arguments, _REFERENCE: each} for each in references] if references else [arguments]

    def answers(self, asked: Sequence[Mapping[str, Any]]) -> list[Any]:
        """What it returns for each of several calls, or the exception that it raised."""
        if self.batch:
            calls, answers = iter(asked), list[Any]()
            while portion := list(islice(calls, self.batch)):
                answers += self._answers_of_batch(portion)
            return answers
        if self.is_async:
            return _in_loop(self._gathered(asked))
        return [_caught(functools.partial(self._called, each)) for each in asked]

    def _called(self, arguments: Mapping[str, Any]) -> Any:
        rest = dict(arguments)
        positional = [rest.pop(name) for name in self._by_position if name in rest]
        return self.function(*positional, **rest)

    def _answers_of_batch(self, portion: Sequence[Mapping[str, Any]]) -> list[Any]:
        """A batch that raises is asked again one by one, so that the others of it have their scores."""
        names = dict.fromkeys(name for each in portion for name in each)
        columns = {name: [each.get(name) for each in portion] for name in names}
        call = functools.partial(self._called, columns)
        answer = _in_loop(_acaught(call)) if self.is_async else _caught(call)
        if not isinstance(answer, BaseException):
            answers = list(cast("Iterable[Any]", answer))
            if len(answers) == len(portion):
                return answers
            answer = ValueError(f"{self.name} got {len(portion)} and returned {len(answers)}")
        if len(portion) == 1:
            return [answer]
        return [each for one in portion for each in self._answers_of_batch([one])]

    async def _gathered(self, asked: Sequence[Mapping[str, Any]]) -> list[Any]:
        free = asyncio.Semaphore(_AT_ONCE)

        async def answer(arguments: Mapping[str, Any]) -> Any:
            async with free:
                return await _acaught(functools.partial(self._called, arguments))

        return list(await asyncio.gather(*map(answer, asked)))


def _caught(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - sys.exit() in a scorer ends no evaluation
        return error


async def _acaught(call: Callable[[], Any]) -> Any:
    try:
        return await call()
    except BaseException as error:  # noqa: BLE001 - as above; it would end the loop
        return error


class _Loop:
    """An event loop in a thread, begun by the first async scorer of a process: clients stay bound to one loop."""

    def __init__(self) -> None:
        self._lock, self._of, self._loop = threading.Lock(), 0, asyncio.AbstractEventLoop()

    def get(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._of != os.getpid():  # none yet, or that of a process which forked
                self._of, self._loop = os.getpid(), asyncio.new_event_loop()
                threading.Thread(target=self._loop.run_forever, name="own-scorers", daemon=True).start()
            return self._loop


_loop: Final = _Loop()


def _in_loop(work: Any) -> Any:
    return asyncio.run_coroutine_threadsafe(work, _loop.get()).result()


def score_of(value: Any) -> Score:
    """A number of any kind as a score; what is none gives the reason."""
    if isinstance(value, Scored | Unscored):
        return value
    if isinstance(value, BaseException):
        return raised(value)
    if value is None:
        return Unscored("the scorer gave no value")
    try:
        if isinstance(value, str | bytes | bytearray):
            raise TypeError(f"the scorer gave a text, {value[:40]!r}, and no number")  # noqa: TRY301 - as float() does
        number = float(value.item() if callable(getattr(value, "item", None)) else value)
    except Exception as error:  # noqa: BLE001 - whatever a class makes of it
        return raised(error)
    return Scored(number) if math.isfinite(number) else Unscored(f"ValueError: the scorer gave {number}")


def own_metrics(name: str, metrics: Iterable[Metric] | None, options: Mapping[str, Any]) -> tuple[Metric, ...]:
    """The metrics that a function makes: those that are named, else one of its name."""
    if metrics is None:
        return (Metric(name=name, **options),)
    if options:
        mend = "Write them into each Metric(...)."
        raise ArgumentError("metrics", metrics, expected="alone, without options of one metric", mend=mend)
    return tuple(metrics)
