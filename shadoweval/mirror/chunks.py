"""What a stream gave its consumer, within a cap."""

from __future__ import annotations

from typing import Any

import msgspec

from shadoweval.capture.copying import data_of
from shadoweval.capture.outcomes import answer_text

__all__ = ["Chunks"]


class Chunks:
    """Collects a stream's chunks: text as it is, anything else as bytes at once, since its owner may change it.

    Args:
        max_bytes: What is kept of it; the rest is only counted.
    """

    __slots__ = ("count", "kept", "left", "max_bytes", "only_text", "texts", "truncated")

    def __init__(self, max_bytes: int) -> None:
        self.left = self.max_bytes = max_bytes
        self.count = 0
        self.kept: list[Any] = []
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
                    self.kept.append(chunk)
                return
        elif self.left > 0:
            self._add_other(chunk)
            return
        self.truncated = True

    def _add_other(self, chunk: Any) -> None:
        if self.only_text:
            self.only_text = False
            self.kept = list(self.texts)
        raw, too_large = data_of(chunk, max_bytes=self.left)
        self.truncated |= too_large
        self.left -= len(bytes(raw)) if raw is not None else 1
        self.kept.append(raw)
        self.texts.append(answer_text(chunk))

    def joined(self) -> tuple[str | None, Any]:
        """Answer (None where some chunk has no text) and value (None where the answer says it all)."""
        texts = [text for text in self.texts if text is not None]
        answer = "".join(texts) if len(texts) == len(self.texts) and (texts or not self.kept) else None
        return answer, (None if self.only_text else self.kept)

    def data(self) -> list[Any]:
        """The chunks as data, for an experiment's own reading."""
        raw = self.texts if self.only_text else self.kept
        return [msgspec.msgpack.decode(chunk) if isinstance(chunk, msgspec.Raw) else chunk for chunk in raw]
