"""From whatever a retriever returns to hits: identity, score and text of each document.

Document identity is not standard: `Document.id` is often None and the id lies in the metadata. It is looked for in
this order: the user's `doc_id`, attribute or key `id`, `_id`, `doc_id`, then `_id`, `id`, `doc_id`, `source` of the
metadata (or payload), then the SHA-256 of the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, cast

from shadoweval.capture.recorder import HitRow

__all__ = ["DocId", "hit_rows"]

DocId = Callable[[Any], str]

_IDS: Final = ("id", "_id", "doc_id")
_METADATA_IDS: Final = ("_id", "id", "doc_id", "source")
_SCORES: Final = ("score", "relevance_score", "_score")
_TEXTS: Final = ("page_content", "text", "content")
_LISTS: Final = ("points", "documents", "hits", "nodes", "matches", "results")
_TEXT_CAP: Final = 65_536


def hit_rows(found: Any, doc_id: DocId | None = None) -> list[HitRow]:
    """Rows in the order of Hit's fields, ranks from 1.

    Args:
        found: Documents (strings, mappings, objects or (document, score) pairs) in ranked order, or an object or
            mapping that holds them under a common name such as `points` or `documents`.
        doc_id: Identity of one document.
    """
    rows: list[HitRow] = []
    rank = 0
    for document in found if type(found) is list else _ranked(found):
        rank += 1
        if type(document) is dict and doc_id is None:  # the common case, without a call a document
            key, text, score = document.get("id"), document.get("text"), document.get("score")
            if type(key) is str and type(score) is float and type(text) is str and len(text) <= _TEXT_CAP:
                rows.append((key, rank, score, text))
                continue
        rows.append(_row(document, rank, doc_id))
    return rows


def _ranked(found: Any) -> Iterable[Any]:
    if isinstance(found, list | tuple):
        return cast("Iterable[Any]", found)
    for name in _LISTS:
        inner = _part(found, name)
        if isinstance(inner, list | tuple):
            return cast("Iterable[Any]", inner)
    return () if found is None else (found,)


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
