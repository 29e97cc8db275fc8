"""What a hit is to the labels: the document that they name, a part of it, or some of its characters.

Three words, as the label file says them by the form of an id:

- a *chunk*, `handbook#3`: the hit that is known by this id, and no other;
- a *document*, `handbook#*`: the hit `handbook`, and each part `handbook#...` of it. Further parts are the same
  document again;
- a *span*, `handbook#char=120,260`: the characters from 120 up to 260 (RFC 5147), and each hit whose own span shares
  any of them.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Final, NamedTuple

__all__ = ["DOCUMENT", "Span", "has_parts", "labelled_names", "span_name", "span_of"]

DOCUMENT: Final = "#*"
"""Ends the name of a label for any part of a document."""
_SPAN: Final = re.compile(r"#char=(\d+),(\d+)\Z")


class Span(NamedTuple):
    """Characters of a document, the last one not included."""

    document: str
    start: int
    end: int

    def shared(self, other: Span) -> int:
        """How many characters are in both."""
        return max(0, min(self.end, other.end) - max(self.start, other.start)) * (self.document == other.document)


def span_name(document: str, start: int, end: int) -> str:
    """The id of a hit or label that is a span."""
    return f"{document}#char={start},{end}"


def span_of(name: str) -> Span | None:
    """The span that an id says; None: it says none, or one without a character."""
    match = _SPAN.search(name)
    if match is None or int(match[1]) >= int(match[2]):
        return None
    return Span(name[: match.start()], int(match[1]), int(match[2]))


def has_parts(labels: Iterable[str]) -> bool:
    """Whether any label is for a document or a span, so that `labelled_names` may change anything."""
    if "#" not in "".join(labels):  # as nearly always
        return False
    return any(name.endswith(DOCUMENT) or _SPAN.search(name) for name in labels)


def labelled_names(ids: Sequence[str], labels: Mapping[str, object] | Sequence[str]) -> tuple[str, ...]:
    """By what the labels know these hits, in their order; a hit that no label is about keeps its id."""
    if not has_parts(labels):
        return tuple(ids)
    spans = [span for name in labels if (span := span_of(name)) is not None]
    return tuple(name if name in labels else _document(name, labels) or _span(name, spans) or name for name in ids)


def _document(name: str, labels: Container[str]) -> str | None:
    """The label of the document that it is, or of the smallest that it is a part of."""
    whole = name
    while whole:
        if whole + DOCUMENT in labels:
            return whole + DOCUMENT
        whole = whole.rpartition("#")[0]
    return None


def _span(name: str, spans: Sequence[Span]) -> str | None:
    """The label with which it shares most characters."""
    own = span_of(name)
    if own is None or not spans:
        return None
    nearest = max(spans, key=own.shared)
    return span_name(*nearest) if own.shared(nearest) else None
