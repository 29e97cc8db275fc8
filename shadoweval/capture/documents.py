"""From whatever a retriever returns to hits: identity, score and text of each document.

Document identity is not standard: `Document.id` is often None and the id lies in the metadata. It is looked for in
this order: the user's `doc_id`, attribute or key `id`, `_id`, `doc_id`, then `_id`, `id`, `doc_id`, `source` of the
metadata (or payload), then the SHA-256 of the text.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, cast

from shadoweval.capture.wire.rows import HitRow

__all__ = ["DocId", "as_text", "hit_rows", "recorded_rows", "writable"]

DocId = Callable[[Any], str]
_Row = tuple[str | None, float | None, str | None]

_IDS: Final = ("id", "_id", "doc_id")
_METADATA_IDS: Final = ("_id", "id", "doc_id", "source")
_SCORES: Final = ("score", "relevance_score", "_score")
_TEXTS: Final = ("page_content", "text", "content")
_METADATA: Final = ("metadata", "payload")
_NAMES: Final = frozenset((*_IDS, *_SCORES, *_TEXTS, *_METADATA))
_NO_METADATA: Final[dict[str, Any]] = {}
_LISTS: Final = ("points", "documents", "hits", "nodes", "matches", "results")
_TEXT_CAP: Final = 65_536
_MOST_TYPES: Final = 1_000

_in_dict: Final[dict[type, bool]] = {}
"""Type of document -> whether its `__dict__` alone says what `getattr` would give for every name that is looked for."""


def recorded_rows(documents: Any) -> Sequence[Any]:
    """Rows of hits as a recorder holds them (`capture.wire.rows.joined_hits` reads them): quick ones, or `hit_rows`."""
    rows = _quick_rows(documents)
    return hit_rows(documents) if rows is None else rows


def _quick_rows(documents: Any) -> list[_Row] | None:
    """Identity, score and text of documents of the common kinds; None: `hit_rows` must have a look.

    Common are lists of texts, dictionaries, dataclasses and pydantic models (LangChain's `Document` and Qdrant's points
    among them), or of pairs of one of these and a score. The rows say what those of `hit_rows` do, without ranks; where
    the identity is the hash of the text it is None, and whoever reads the record works it out.
    """
    if type(documents) is not list:
        return None
    rows: list[_Row] = []
    for document in cast("list[Any]", documents):
        kind, score = type(document), None
        if kind is tuple:
            if len(document) != 2 or not _is_number(document[1]):
                return None
            document, score = document[0], float(document[1])  # noqa: PLW2901 - a pair's first is the document
            kind = type(document)
        if kind is str:
            row = None if len(document) > _TEXT_CAP else (None, score, document)
        elif kind is dict:
            row = _quick_row(document, score)
        elif _in_dict[kind] if kind in _in_dict else _learnt(kind):
            # To ask a pydantic model for a field that it has not costs ten times as much as to ask its `__dict__`.
            row = _quick_row(document.__dict__, score)
        else:
            row = None
        if row is None:
            return None
        rows.append(row)
    return rows


def _quick_row(fields: dict[str, Any], score: float | None) -> _Row | None:  # noqa: C901, PLR0912 - spelt out: a loop over names costs twice as much
    """Identity, score and text from a document's fields; None: `_row` must have a look."""
    get = fields.get
    text = get("page_content")
    if text is None:
        text = get("text")
        if text is None:
            text = get("content")
    if text is not None and (type(text) is not str or len(text) > _TEXT_CAP):
        return None
    identity = get("id")
    if identity is None:
        identity = get("_id")
        if identity is None:
            identity = get("doc_id")
    metadata = get("metadata") or get("payload") or _NO_METADATA
    if type(metadata) is not dict:
        return None
    if identity is None:
        for name in _METADATA_IDS if metadata else ():
            identity = metadata.get(name)
            if identity is not None:
                break
        else:
            if text is None:
                return None
    if score is None:
        number = get("score")
        if number is None:
            number = get("relevance_score")
            if number is None:
                number = get("_score")
        if type(number) is float:
            score = number
        elif number is not None or not metadata.keys().isdisjoint(_SCORES):
            return None
    return (identity if identity is None or type(identity) is str else str(identity), score, text)


def _is_number(value: Any) -> bool:
    """Whether it can be a score. Numpy's numbers are none of Python's, but say what float they are; arrays do too."""
    kind = type(value)
    return isinstance(value, int | float) or (hasattr(kind, "__float__") and not hasattr(kind, "__len__"))


def _learnt(kind: type) -> bool:
    """What `_in_dict` shall say of a type that was not met before."""
    if len(_in_dict) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
        _in_dict.clear()
    _in_dict[kind] = learnt = _is_in_dict(kind)
    return learnt


def _is_in_dict(kind: Any) -> bool:
    """Dataclasses and pydantic models without slots, extra fields or anything that answers for a name instead."""
    fields: Any = getattr(kind, "model_fields", None) or getattr(kind, "__dataclass_fields__", None)
    if not isinstance(fields, dict) or kind.__getattribute__ is not object.__getattribute__ or not kind.__dictoffset__:
        return False
    answering = next((base for base in kind.__mro__ if "__getattr__" in base.__dict__), None)
    if answering is not None and answering.__module__ != "pydantic.main":
        return False
    if getattr(kind, "model_config", {}).get("extra") == "allow":
        return False
    if not _NAMES.isdisjoint(getattr(kind, "__private_attributes__", ())):
        return False
    # A property or method of that name is no field; a dataclass's default is what its instances have anyway.
    return not any(
        name not in fields or hasattr(type(getattr(kind, name)), "__get__") for name in _NAMES & set(dir(kind))
    )


def hit_rows(documents: Any, doc_id: DocId | None = None) -> list[HitRow]:
    """Rows in the order of Hit's fields, ranks from 1.

    Args:
        documents: Documents (strings, mappings, objects or (document, score) pairs) in ranked order, or an object or
            mapping that holds them under a common name such as `points` or `documents`.
        doc_id: Identity of one document.
    """
    return [_row(document, rank, doc_id) for rank, document in enumerate(_ranked(documents), 1)]


def as_text(text: str) -> str:
    """The text with `?` for lone surrogates, which no encoding has: half an emoji at the end of a model's tokens."""
    return text.encode("utf-8", "replace").decode()


def writable(rows: Iterable[Any]) -> list[tuple[Any, ...]]:
    """Rows of hits that can be encoded."""
    return [tuple(as_text(part) if isinstance(part, str) else part for part in row) for row in rows]


def _ranked(documents: Any) -> Iterable[Any]:
    if isinstance(documents, list | tuple):
        return cast("Iterable[Any]", documents)
    for name in _LISTS:
        inner = _part(documents, name)
        if isinstance(inner, list | tuple):
            return cast("Iterable[Any]", inner)
    # A generator is its caller's to consume: it has no hits to show.
    return () if documents is None or isinstance(documents, Iterator | AsyncIterator) else (documents,)


def _part(document: Any, name: str) -> Any:
    if isinstance(document, Mapping):
        return cast("Mapping[str, Any]", document).get(name)
    return getattr(document, name, None)


def _row(document: Any, rank: int, doc_id: DocId | None) -> HitRow:
    score: Any = None
    if isinstance(document, tuple):
        pair = cast("tuple[Any, ...]", document)
        if len(pair) == 2 and _is_number(pair[1]):
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
