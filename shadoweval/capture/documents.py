"""From whatever a retriever returns to hits: identity, score and text of each document.

Document identity is not standard: `Document.id` is often None and the id lies in the metadata. It is looked for in
this order: the user's `doc_id`, attribute or key `id`, `_id`, `doc_id`, then `_id`, `id`, `doc_id`, `source` of the
metadata (or payload), then the SHA-256 of the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any, Final, cast

from shadoweval.capture.wire.rows import HitRow

__all__ = ["DocId", "as_text", "hit_rows", "quick_rows", "writable"]

DocId = Callable[[Any], str]

_IDS: Final = ("id", "_id", "doc_id")
_METADATA_IDS: Final = ("_id", "id", "doc_id", "source")
_SCORES: Final = ("score", "relevance_score", "_score")
_TEXTS: Final = ("page_content", "text", "content")
_LISTS: Final = ("points", "documents", "hits", "nodes", "matches", "results")
_TEXT_CAP: Final = 65_536
_common: Final = itemgetter("id", "score", "text")


def quick_rows(found: Any) -> list[tuple[str, float, str]] | None:
    """Id, score and text of the commonest documents, mappings with all three; None: `hit_rows` must have a look."""
    if type(found) is not list:
        return None
    try:
        rows = list(map(_common, cast("list[Any]", found)))
    except Exception:  # noqa: BLE001 - whatever a document's own class raises when it is no mapping
        return None
    for key, score, text in rows:
        if type(text) is not str or type(key) is not str or type(score) is not float or len(text) > _TEXT_CAP:
            return None
    return rows


def hit_rows(found: Any, doc_id: DocId | None = None) -> list[HitRow]:
    """Rows in the order of Hit's fields, ranks from 1.

    Args:
        found: Documents (strings, mappings, objects or (document, score) pairs) in ranked order, or an object or
            mapping that holds them under a common name such as `points` or `documents`.
        doc_id: Identity of one document.
    """
    return [_row(document, rank, doc_id) for rank, document in enumerate(_ranked(found), 1)]


def as_text(text: str) -> str:
    """The text with `?` for lone surrogates, which no encoding has: half an emoji at the end of a model's tokens."""
    return text.encode("utf-8", "replace").decode()


def writable(rows: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Rows of hits that can be encoded."""
    return [tuple(as_text(part) if isinstance(part, str) else part for part in row) for row in rows]


def _ranked(found: Any) -> Iterable[Any]:
    if isinstance(found, list | tuple):
        return cast("Iterable[Any]", found)
    for name in _LISTS:
        inner = _part(found, name)
        if isinstance(inner, list | tuple):
            return cast("Iterable[Any]", inner)
    # A generator is its caller's to consume: it has no hits to show.
    return () if found is None or isinstance(found, Iterator | AsyncIterator) else (found,)


def _part(document: Any, name: str) -> Any:
    if isinstance(document, Mapping):
        return cast("Mapping[str, Any]", document).get(name)
    return getattr(document, name, None)


def _row(document: Any, rank: int, doc_id: DocId | None) -> HitRow:
    score: Any = None
    if isinstance(document, tuple):
        pair = cast("tuple[Any, ...]", document)
        if len(pair) == 2 and isinstance(pair[1], int | float):
            document, score = pair
    text = document if isinstance(document, str) else _first(document, _TEXTS)
    text = str(text) if text is not None else None
    metadata = _part(document, "metadata") or _part(document, "payload")
    if score is None:
        score = _first(document, _SCORES)
        score = _first(metadata, _SCORES) if score is None else score
    identity = doc_id(document) if doc_id is not None else _identity(document, metadata, text)
    number = float(score) if score is not None else None
    return (str(identity), rank, number, text[:_TEXT_CAP] if text is not None else None)


def _first(document: Any, names: Iterable[str]) -> Any:
    if document is None:
        return None
    return next((part for name in names if (part := _part(document, name)) is not None), None)


def _identity(document: Any, metadata: Any, text: str | None) -> Any:
    identity = None if isinstance(document, str) else _first(document, _IDS)
    if identity is None:
        identity = _first(metadata, _METADATA_IDS)
    if identity is None:
        identity = hashlib.sha256((text if text is not None else repr(document)).encode("utf-8", "replace")).hexdigest()
    return identity
