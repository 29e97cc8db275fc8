"""`@retriever` and `@step`: parts of a pipeline whose results and times are recorded.

Outside a recording a call costs one look into a context variable.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from time import perf_counter
from typing import Any, Literal, TypeVar, cast, overload

from shadoweval.capture.document_parts import HitId, checked_hit_id, chosen_by
from shadoweval.capture.documents import hit_rows, recorded_rows
from shadoweval.capture.entries import Step
from shadoweval.capture.generators import Ranked, is_stream
from shadoweval.capture.interception import error_text, message_of
from shadoweval.capture.recorder import Recorder, current
from shadoweval.capture.wire.rows import HitRow
from shadoweval.capture.wrappers import observed
from shadoweval.checks import checked_choice, checked_function, checked_instance, checked_keywords, checked_truth
from shadoweval.errors import ArgumentError
from shadoweval.records import CACHE

__all__ = ["record_cache", "record_hits", "record_model_call", "retriever", "step"]

_F = TypeVar("_F", bound=Callable[..., Any])


def _checked_name(what: str, name: str | None) -> None:
    if name is not None:
        checked_instance(what, name, str)


def _text(value: Any) -> str:
    """A text as it is; what was given in its place as one, for any other would make the record unreadable."""
    if type(value) is str:
        return value
    return error_text(value) if isinstance(value, BaseException) else message_of(value)


def _title(function: Callable[..., Any], name: str | None) -> str:
    return name or getattr(function, "__name__", type(function).__name__)


@overload
def retriever(function: _F, /) -> _F: ...
@overload
def retriever(
    *,
    hit_id: HitId | str | None = None,
    replace: bool = False,
    name: str | None = None,
    exact: Callable[..., Any] | None = None,
) -> Callable[[_F], _F]: ...
@checked_keywords({"doc_id": "It is called hit_id."})
def retriever(
    function: _F | None = None,
    /,
    *,
    hit_id: HitId | str | None = None,
    replace: bool = False,
    name: str | None = None,
    exact: Callable[..., Any] | None = None,
) -> _F | Callable[[_F], _F]:
    """Declare a function, sync or async, that returns, or yields one by one, a ranked list of documents.

    Args:
        function: The retriever, when the decorator is used without parentheses.
        hit_id: What a document is known by, as the labels call it: a function of a document, or the path to it, such
            as `"metadata.doc_id"`. By default the experiment's, else see `documents`.
        replace: Its list replaces those of earlier retrievers (a reranker's does); else lists are joined.
        name: Name in records; the function's own by default.
        exact: The same search without approximation, called with the same arguments, in shadows alone and off the
            run's clock: `scoring.index_recall` says which share of its documents the retriever gave.

    Raises:
        ArgumentError: an argument that can't be used.
    """
    checked_function("retriever()", function, awaited=True)
    checked_function("retriever(exact)", exact, awaited=True)
    own_id = checked_hit_id("retriever(hit_id)", hit_id)
    checked_truth("retriever(replace)", replace)
    _checked_name("retriever(name)", name)

    def declare(declared: _F) -> _F:
        checked_function("what @retriever() declares", declared, awaited=True)
        title = _title(declared, name)
        rows_of = recorded_rows if own_id is None else functools.partial(hit_rows, hit_id=own_id)

        def taking(recorder: Recorder) -> Ranked:
            return Ranked(lambda documents: hit_rows(documents, own_id or recorder.hit_id), recorder.max_items)

        watched = observed(declared, Step("retrieval", title, rows_of=rows_of, replace=replace), taking=taking)
        return cast("_F", watched if exact is None else _searched_again(declared, watched, exact, hit_id=own_id))

    return declare if function is None else declare(function)


def _searched_again(
    declared: Callable[..., Any], watched: Callable[..., Any], exact: Callable[..., Any], *, hit_id: HitId | None
) -> Callable[..., Any]:
    from shadoweval.capture.exact import searched_again  # noqa: PLC0415 - for the few that search twice

    if is_stream(declared):
        mend = "Return the documents, or leave exact= out."
        raise ArgumentError("retriever(exact)", declared, expected="on a retriever that returns its list", mend=mend)
    if inspect.iscoroutinefunction(exact) and not inspect.iscoroutinefunction(declared):
        raise ArgumentError("retriever(exact)", exact, expected="a plain function, as the retriever is")

    def rows_of(documents: Any, recorder: Recorder) -> list[HitRow]:
        return hit_rows(documents, hit_id or recorder.hit_id)

    return searched_again(watched, exact, rows_of)


@checked_keywords()
def step(kind: Literal["model", "other"] = "other", *, name: str | None = None) -> Callable[[_F], _F]:
    """Record the time of a part of the pipeline, sync or async, under a name; of a generator until its end.

    Raises:
        ArgumentError: a kind that is none.
    """
    if callable(kind):
        raise ArgumentError(
            "step()", kind, expected="a kind", mend="Write @step() above the function, with parentheses."
        )
    checked_choice("step()", kind, Literal["model", "other"])
    _checked_name("step(name)", name)

    def declare(declared: _F) -> _F:
        checked_function("what @step() declares", declared, awaited=True)
        return cast("_F", observed(declared, Step(kind, _title(declared, name))))

    return declare


def record_hits(docs: Any, *, hit_id: HitId | str | None = None, replace: bool = False) -> None:
    """Record a ranked list of documents where no function returns it. Nothing happens outside a recording."""
    recorder = current.get()
    if recorder is not None:
        since = perf_counter()
        try:
            own_id = recorder.hit_id if hit_id is None else chosen_by(hit_id)
            rows = recorded_rows(docs) if own_id is None else hit_rows(docs, own_id)
            recorder.add_hits(rows, name="" if rows else "record_hits", replace=replace)
            if not rows:  # a search that found nothing is not the same as no search
                recorder.add_step("retrieval", "record_hits", started=perf_counter(), duration=0.0)
        except Exception as fault:  # noqa: BLE001 - a fault of ours must not reach the caller; the mirror counts it
            recorder.fault = fault
        recorder.spent(since)


def record_cache(*, hit: bool, name: str = "") -> None:
    """Record a look into a cache: whether what was looked for was there. Nothing happens outside a recording.

    Args:
        hit: Whether it was there.
        name: Which cache, where there are several, such as `"embeddings"`.
    """
    recorder = current.get()
    if recorder is not None:
        try:
            row = ("other", f"{CACHE} {_text(name)}".rstrip(), perf_counter() - recorder.began, 0.0)
            recorder.add_step_row((*row, None, None, None, None, None, None, None, 1.0 if hit else 0.0))
        except Exception as fault:  # noqa: BLE001 - as above
            recorder.fault = fault


def record_model_call(
    name: str,
    *,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
    cost_usd: float | None = None,
    started: float | None = None,
    duration: float = 0.0,
    first_chunk: float | None = None,
    error: str | BaseException | None = None,
    tokens: Mapping[str, int] | None = None,
    provider: str = "",
) -> None:
    """Record a model call. Nothing happens outside a recording.

    Args:
        name: The model.
        input_tokens: Tokens of the prompt.
        output_tokens: Tokens of the answer.
        cost_usd: What it cost.
        started: `time.perf_counter()` at its start; by default it ends now.
        duration: Seconds.
        first_chunk: Seconds from its start to its first chunk.
        error: `TypeName: message` where it failed, or the exception.
        tokens: Parts of them that are billed apart, by `records.TokenKind`: `{"cached_input": 900, "reasoning": 40}`.
        provider: Whose model it is: `openai`, `anthropic`, `aws.bedrock`, ...
    """
    recorder = current.get()
    if recorder is not None:
        try:
            try:
                since = (perf_counter() - duration if started is None else started) - recorder.began
            except (TypeError, ValueError, ArithmeticError):  # no numbers: when and how long is unknown
                since = duration = 0.0
            used = (input_tokens, output_tokens, cost_usd)
            name, error = _text(name), None if error is None else _text(error)
            more = (None, dict(tokens or {}), _text(provider)) if tokens or provider else ()
            recorder.add_step_row(("model", name, since, duration, *used, first_chunk, error, None, None, *more))
        except Exception as fault:  # noqa: BLE001 - as above
            recorder.fault = fault
