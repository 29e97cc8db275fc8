"""From what a pipeline returned to an outcome: one rule for both arms."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import data_of
from shadoweval.capture.documents import hit_rows
from shadoweval.capture.interception import message_of
from shadoweval.capture.recorder import Parts
from shadoweval.errors import ToolRefusedError
from shadoweval.records import Failure, FailureKind, Hit, Outcome, ToolCall

__all__ = ["Chunks", "Extract", "answer_text", "failure_of", "outcome_of", "outcome_of_chunks"]

Extract = Callable[[Any], Outcome | str | Mapping[str, Any]]
"""An experiment's own way from the returned value to the outcome."""

_ANSWERS: Final = ("answer", "output", "content", "text")
_MESSAGE_CAP: Final = 2_000


def answer_text(value: Any) -> str | None:
    """The answer in a returned value, as text; None where it has none.

    A string is the answer; a mapping has it under `answer`, `output`, `content` or `text`, or in the last of its
    `messages`; a message object in `.content` (text, or a list of blocks with `text`).
    """
    if type(value) is str:
        return value
    if type(value) is dict:
        answer = value.get("answer")
        return answer if type(answer) is str else _mapped(value)
    if isinstance(value, str | Mapping):
        return str(value) if isinstance(value, str) else _mapped(cast("Mapping[Any, Any]", value))
    content = None if _is_http_response(type(value)) else getattr(value, "content", None)
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return _blocks(cast("list[Any]", content))
    return None


@functools.lru_cache
def _is_http_response(kind: type) -> bool:
    """A response of requests or httpx: to ask for its content would wait for it, and take it from its reader."""
    return hasattr(kind, "iter_content") or hasattr(kind, "iter_bytes")


def _mapped(value: Mapping[Any, Any]) -> str | None:
    for name in _ANSWERS:
        part = value.get(name)
        if part is not None:
            return answer_text(part) if not isinstance(part, list) else _blocks(cast("list[Any]", part))
    messages = value.get("messages")
    if isinstance(messages, list | tuple) and messages:
        return answer_text(cast("Sequence[Any]", messages)[-1])
    return None


def _blocks(blocks: list[Any]) -> str | None:
    texts = [part if isinstance(part, str) else _block(part) for part in blocks]
    known = [text for text in texts if text is not None]
    return "".join(known) if known else None


def _block(part: Any) -> str | None:
    text = cast("Mapping[str, Any]", part).get("text") if isinstance(part, Mapping) else getattr(part, "text", None)
    return text if isinstance(text, str) else None


def joined(chunks: Sequence[Any]) -> tuple[str | None, Any]:
    """Answer and value of a stream: texts joined; the value is None where the text says it all, else the list."""
    try:
        return "".join(chunks), None
    except TypeError:
        pass
    texts = [answer_text(chunk) for chunk in chunks]
    answer = None if any(text is None for text in texts) or not texts else "".join(cast("list[str]", texts))
    return answer, list(chunks)


def _data(value: Any, max_bytes: int) -> tuple[Any, bool]:
    raw, too_large = data_of(value, max_bytes=max_bytes)
    return (None if raw is None else msgspec.msgpack.decode(raw)), too_large


def outcome_of(
    value: Any,
    *,
    parts: Parts | None = None,
    extract: Extract | None = None,
    max_bytes: int = codec.MAX_BYTES,
) -> Outcome:
    """The outcome of a run that returned `value` and recorded `parts`; values inside are plain.

    Raises:
        Exception: whatever `extract` raises.
    """
    parts = parts or Parts()
    if extract is None:
        return _outcome(answer_text(value), value, parts=parts, max_bytes=max_bytes)
    extracted = extract(value)
    if isinstance(extracted, Outcome):
        return _merged(extracted, parts, max_bytes)
    if isinstance(extracted, str):
        return _outcome(extracted, value, parts=parts, max_bytes=max_bytes)
    outcome = _outcome(answer_text(extracted), extracted, parts=parts, max_bytes=max_bytes)
    if "hits" not in extracted:
        return outcome
    return msgspec.structs.replace(
        outcome, hits=tuple(Hit(id=r[0], rank=r[1], score=r[2], text=r[3]) for r in hit_rows(extracted["hits"]))
    )


def outcome_of_chunks(
    chunks: Sequence[Any],
    *,
    parts: Parts | None = None,
    extract: Extract | None = None,
    max_bytes: int = codec.MAX_BYTES,
) -> Outcome:
    """The outcome of a stream. `extract` gets the joined text where there is one, else the chunks as data."""
    answer, value = joined(chunks)
    if extract is not None:
        if answer is None:
            value = [chunk if type(chunk) is str else _data(chunk, max_bytes)[0] for chunk in chunks]
        outcome = outcome_of(answer if answer is not None else value, parts=parts, extract=extract, max_bytes=max_bytes)
    else:
        outcome = _outcome(answer, value, parts=parts or Parts(), max_bytes=max_bytes)
    return msgspec.structs.replace(outcome, chunks=len(chunks))


def _outcome(answer: str | None, value: Any, *, parts: Parts, max_bytes: int) -> Outcome:
    copied, too_large = _data(value, max_bytes)
    return Outcome(
        answer=answer,
        hits=parts.hits,
        tool_calls=parts.tool_calls,
        value=copied,
        truncated=parts.truncated or too_large,
    )


def _merged(extracted: Outcome, parts: Parts, max_bytes: int) -> Outcome:
    wrong = [each for each in (*extracted.hits, *extracted.tool_calls) if not isinstance(each, Hit | ToolCall)]  # pyright: ignore[reportUnnecessaryIsInstance] - users'
    if wrong or not isinstance(extracted.answer, str | None):  # pyright: ignore[reportUnnecessaryIsInstance] - users'
        why = "the answer is a text or None, hits are Hit(...), tool calls ToolCall(...)"
        raise TypeError(f"An Outcome that no worker could read: {why}; got {extracted!r:.200}.")
    copied, too_large = _data(extracted.value, max_bytes)
    return msgspec.structs.replace(
        extracted,
        hits=extracted.hits or parts.hits,
        tool_calls=extracted.tool_calls or parts.tool_calls,
        value=copied,
        truncated=extracted.truncated or parts.truncated or too_large,
    )


def _is_cancellation(error: BaseException) -> bool:
    loaded = sys.modules.get("asyncio")  # who has not loaded it has nothing that it could cancel
    return loaded is not None and isinstance(error, loaded.CancelledError)


def failure_kind(error: BaseException) -> FailureKind:
    """The kind of failure that an exception of a run is."""
    if isinstance(error, GeneratorExit | KeyboardInterrupt) or _is_cancellation(error):
        return "aborted"
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, MemoryError):
        return "out_of_memory"
    return "refused" if isinstance(error, ToolRefusedError) else "error"


def failure_of(error: BaseException, parts: Parts | None = None) -> Failure:
    """The failure of a run that raised `error`."""
    return Failure(
        kind=failure_kind(error),
        error_type=type(error).__name__,
        message=message_of(error)[:_MESSAGE_CAP],
        step=parts.failed_step if parts else "",
    )


class Chunks:
    """Collects a stream's chunks: text as it is, anything else as bytes at once, since its owner may change it.

    Args:
        max_bytes: What is kept of it; the rest is only counted.
    """

    __slots__ = ("count", "left", "max_bytes", "only_text", "parts", "texts", "truncated")

    def __init__(self, max_bytes: int) -> None:
        self.left = self.max_bytes = max_bytes
        self.count = 0
        self.parts: list[Any] = []
        self.texts: list[str | None] = []
        self.only_text = True
        self.truncated = False

    def add(self, chunk: Any) -> None:
        """One more chunk."""
        self.count += 1
        if type(chunk) is str:
            self.left -= len(chunk)
            if self.left >= 0:
                self.texts.append(chunk)
                if not self.only_text:
                    self.parts.append(chunk)
                return
        elif self.left > 0:
            self._add_other(chunk)
            return
        self.truncated = True

    def _add_other(self, chunk: Any) -> None:
        if self.only_text:
            self.only_text = False
            self.parts = list(self.texts)
        raw, too_large = data_of(chunk, max_bytes=self.left)
        self.truncated |= too_large
        self.left -= len(bytes(raw)) if raw is not None else 1
        self.parts.append(raw)
        self.texts.append(answer_text(chunk))

    def joined(self) -> tuple[str | None, Any]:
        """Answer (None where some chunk has no text) and value (None where the answer says it all)."""
        texts = [text for text in self.texts if text is not None]
        answer = "".join(texts) if len(texts) == len(self.texts) and (texts or not self.parts) else None
        return answer, (None if self.only_text else self.parts)

    def data(self) -> list[Any]:
        """The chunks as data, for an experiment's own reading."""
        raw = self.texts if self.only_text else self.parts
        return [msgspec.msgpack.decode(chunk) if isinstance(chunk, msgspec.Raw) else chunk for chunk in raw]
