"""From what a pipeline returned to an outcome: one rule for both arms."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import msgspec

from shadoweval import codec
from shadoweval.capture.copying import data_of, encode, readable
from shadoweval.capture.documents import hit_rows
from shadoweval.capture.encodable import UNCOPYABLE, type_name
from shadoweval.capture.recorder import MOST_ITEMS, Parts
from shadoweval.records import Hit, Outcome, ToolCall

__all__ = [
    "ATOMS", "Chunks", "Extract", "answer_text", "chunk_text", "joined", "joined_texts", "keep_objects",
    "outcome_of", "outcome_with", "records", "settled", "settled_types",
]  # fmt: skip

Extract = Callable[[Any], Outcome | str | Mapping[str, Any]]
"""An experiment's own way from the returned value to the outcome."""

_ANSWERS: Final = ("answer", "output", "content", "text")
_TWO: Final = 2
_SYLLABLE: Final = 3
ATOMS: Final = frozenset({str, int, float, bool, bytes, type(None)})
records: Final[set[type]] = set()
"""Types of records whose fields lie in a `__dict__`."""
settled_types: Final[set[type]] = {*ATOMS, dict, list, tuple, set, frozenset}
"""Types that were met in a value and have nothing to come; what lies deeper is found when it can't be copied."""


def settled(value: Any) -> bool:
    """Whether nothing in a value is to come, by types alone; False may only mean that `deferred.parts_of` must look.

    Never raises: it is asked where nobody catches anything, between a pipeline and its caller.
    """
    try:
        kind = type(value)
        if kind is dict:
            return settled_types.issuperset(map(type, value.values()))
        if kind is tuple:
            return settled_types.issuperset(map(type, value))
        if kind is list:
            return not value or type(value[0]) in settled_types
        if kind in records:
            return settled_types.issuperset(map(type, value.__dict__.values()))
        return kind in ATOMS  # noqa: TRY300 - this may raise as well
    except Exception:  # noqa: BLE001 - a metaclass may define __eq__ and __hash__, and these may raise anything
        return False


def answer_text(value: Any) -> str | None:
    """The answer in a returned value, as text; None where it has none.

    A string is the answer; a mapping has it under `answer`, `output`, `content` or `text`, or in the last of its
    `messages`; a message object in `.content` (text, or a list of blocks with `text`).
    """
    try:
        return _answer_text(value)
    except Exception:  # noqa: BLE001 - the value's own code: what it raises is that it has none
        return None


def _answer_text(value: Any) -> str | None:
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
            return _answer_text(part) if not isinstance(part, list) else _blocks(cast("list[Any]", part))
    messages = value.get("messages")
    if isinstance(messages, list | tuple) and messages:
        return _answer_text(cast("Sequence[Any]", messages)[-1])
    return None


def _blocks(blocks: list[Any]) -> str | None:
    texts = [part if isinstance(part, str) else _block(part) for part in blocks]
    known = [text for text in texts if text is not None]
    return "".join(known) if known else None


def _block(part: Any) -> str | None:
    text = cast("Mapping[str, Any]", part).get("text") if isinstance(part, Mapping) else getattr(part, "text", None)
    return text if isinstance(text, str) else None


def _data(value: Any, max_bytes: int) -> tuple[Any, bool]:
    """A value as data, None where it can't be copied; and whether it was left out for its size."""
    raw, too_large = data_of(value, max_bytes=max_bytes)
    return (None if raw is None else readable(raw)), too_large


def outcome_of(
    value: Any, *, parts: Parts | None = None, extract: Extract | None = None, max_bytes: int = codec.MAX_BYTES
) -> Outcome:
    """The outcome of a run that returned `value` and recorded `parts`; values inside are plain.

    Raises:
        Exception: whatever `extract` raises.
    """
    parts = parts or Parts()
    if extract is None:
        return outcome_with(answer_text(value), value, parts=parts, max_bytes=max_bytes)
    extracted = extract(value)
    if isinstance(extracted, Outcome):
        return _merged(extracted, parts, max_bytes)
    if isinstance(extracted, str):
        return outcome_with(extracted, value, parts=parts, max_bytes=max_bytes)
    outcome = outcome_with(answer_text(extracted), extracted, parts=parts, max_bytes=max_bytes)
    if "hits" not in extracted:
        return outcome
    rows = hit_rows(extracted["hits"])
    hits = tuple(Hit(id=r[0], rank=r[1], score=r[2], text=r[3]) for r in rows[:MOST_ITEMS])
    return msgspec.structs.replace(outcome, hits=hits, truncated=outcome.truncated or len(rows) > MOST_ITEMS)


def keep_objects(returned: Any) -> Outcome:
    """Give it as `Experiment(outcome=keep_objects)`: what was returned is recorded with its classes, not as data.

    Stores and reports still read it as data; a scorer with `PairScorer(rebuild=True)` gets the objects.
    """
    try:
        value = codec.plain(returned)
    except codec.UncopyableError:
        value = returned  # as data, as far as it is some
    return Outcome(answer=answer_text(returned), value=value)


def outcome_with(answer: str | None, value: Any, *, parts: Parts, max_bytes: int) -> Outcome:
    """The outcome of a run with this answer and value that recorded `parts`."""
    copied, too_large = _data(value, max_bytes)
    if answer is not None and len(answer) > max_bytes:
        answer, too_large = answer[:max_bytes], True
    return Outcome(
        answer=answer if answer is None or answer.isascii() else codec.as_text(answer),
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
    answer, hits, calls = extracted.answer, extracted.hits, extracted.tool_calls
    cut = len(answer or "") > max_bytes or len(hits) > MOST_ITEMS or len(calls) > MOST_ITEMS
    return msgspec.structs.replace(
        extracted,
        answer=answer and answer[:max_bytes],
        hits=hits[:MOST_ITEMS] or parts.hits,
        tool_calls=calls[:MOST_ITEMS] or parts.tool_calls,
        value=copied,
        truncated=extracted.truncated or parts.truncated or too_large or cut,
    )


def chunk_text(chunk: Any) -> str | None:
    """The text that a chunk of a stream adds to the answer; None where it has none.

    Chunks of OpenAI's chat completions have it in `choices[0].delta.content`; of those without any it is empty.
    """
    text = answer_text(chunk)
    if text is not None:
        return text
    choices = _part(chunk, "choices")
    if not isinstance(choices, list):
        return None
    delta = _part(cast("list[Any]", choices)[0], "delta") if choices else None
    content = _part(delta, "content")
    return content if isinstance(content, str) else ""


def _part(value: Any, name: str) -> Any:
    return cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else getattr(value, name, None)


def joined(chunks: Sequence[Any]) -> tuple[str | None, Any]:
    """Answer and value of a stream: texts joined; the value is None where the text says it all, else the list."""
    if all(isinstance(chunk, str) for chunk in chunks):
        return joined_texts(chunks), None
    texts = [chunk_text(chunk) for chunk in chunks]
    answer = None if any(text is None for text in texts) or not texts else joined_texts(cast("list[str]", texts))
    return answer, list(chunks)


def joined_texts(texts: Sequence[str]) -> str:
    """The answer that texts of chunks make: the last one where each replaces the one before, else all of them."""
    return texts[-1] if replacing(texts) else "".join(texts)


def replacing(texts: Sequence[str]) -> bool:
    """Whether each text is the whole answer so far, the one before it and more, as Gradio's functions yield them.

    Two that grow once may be pieces that happen to begin alike, unless the first is no mere syllable.
    """
    if len(texts) < _TWO or len(texts[-1]) <= len(texts[0]) or not texts[-1].startswith(texts[0]):
        return False  # pieces end here
    grown = [text for text in texts if text]
    if any(not after.startswith(before) for before, after in itertools.pairwise(grown)):
        return False
    growths = sum(len(after) > len(before) for before, after in itertools.pairwise(grown))
    return growths >= _TWO or (growths == 1 and len(grown[0]) >= _SYLLABLE)


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
            if self.left >= 0 or self._replaced(chunk):
                self.texts.append(chunk)
                if not self.only_text:
                    self.parts.append(chunk)
                return
        elif self.left > 0:
            self._add_other(chunk)
            return
        self.truncated = True

    def _replaced(self, chunk: str) -> bool:
        """Over the cap: whether the chunk is the whole answer so far, so that those before it need not be kept."""
        texts = [text for text in self.texts if text]
        if not self.only_text or len(chunk) > self.max_bytes >> 1 or not texts or not replacing([*texts, chunk]):
            return False
        self.texts, self.parts = [texts[0], texts[-1]], []
        self.left = self.max_bytes - len(texts[0]) - len(texts[-1]) - len(chunk)
        return self.left >= 0

    def _add_other(self, chunk: Any) -> None:
        if self.only_text:
            self.only_text = False
            self.parts = list(self.texts)
        raw, too_large = data_of(chunk, max_bytes=self.left)
        if raw is None and not too_large:  # marked, as in a list
            raw = msgspec.Raw(encode({UNCOPYABLE: type_name(chunk)}))
        self.truncated |= too_large
        self.left -= len(bytes(raw)) if raw is not None else 1
        self.parts.append(raw)
        self.texts.append(chunk_text(chunk))

    def joined(self) -> tuple[str | None, Any]:
        """Answer (None where some chunk has no text) and value (None where the answer says it all)."""
        texts = [text for text in self.texts if text is not None]
        answer = joined_texts(texts) if len(texts) == len(self.texts) and (texts or not self.parts) else None
        if self.only_text:
            return answer, None
        return answer, [codec.as_text(part) if type(part) is str else part for part in self.parts]

    def data(self) -> list[Any]:
        """The chunks as data, for an experiment's own reading."""
        raw = self.texts if self.only_text else self.parts
        return [readable(chunk) if isinstance(chunk, msgspec.Raw) else chunk and codec.as_text(chunk) for chunk in raw]
