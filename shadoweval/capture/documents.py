"""From whatever a retriever returns to hits: identity, score and text of each document.

Document identity is not standard: `Document.id` is often None and the id lies in the metadata. It is looked for in
this order: the user's `doc_id`, attribute or key `id`, `_id`, `doc_id`, then `_id`, `id`, `doc_id`, `source` of the
metadata (or payload), then the SHA-256 of the text.
"""

from __future__ import annotations

import dataclasses
import functools
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
_UNUSUAL: Final = frozenset((*_METADATA_IDS[:-1], *_SCORES))
"""What metadata may have besides `source` that matters."""
_NAMES: Final = frozenset((*_IDS, *_SCORES, *_TEXTS, *_METADATA))
_NO_METADATA: Final[dict[str, Any]] = {}
_LISTS: Final = ("points", "documents", "hits", "nodes", "matches", "results")
_TEXT_CAP: Final = 65_536
_MOST_TYPES: Final = 1_000


def recorded_rows(documents: Any) -> Sequence[Any]:
    """Rows of hits as a recorder holds them (`capture.wire.rows.joined_hits` reads them): quick ones, or `hit_rows`."""
    if type(documents) is list:
        try:
            rows = _quick_rows(documents)
            if rows is not None:
                return rows
        except Exception:  # noqa: BLE001, S110 - whatever a document's class raises: `hit_rows` meets it again, or knows better
            pass
    return hit_rows(documents)


def _quick_rows(documents: list[Any]) -> list[_Row] | None:  # noqa: C901, PLR0911, PLR0912 - the request path: each function more is paid for once a document
    """Identity, score and text of documents of the common kinds; None: `hit_rows` must have a look.

    Common are lists of texts, dictionaries, dataclasses and pydantic models (LangChain's `Document` and Qdrant's points
    among them), or of pairs of one of these and a score. The rows say what those of `hit_rows` do, without ranks; where
    the identity is the hash of the text it is None, and whoever reads the record works it out.
    """
    rows: list[_Row] = []
    for document in documents:
        kind, score = type(document), None
        if kind is tuple:
            if len(document) != 2:
                return None
            document, score = document  # noqa: PLW2901 - a pair's first is the document
            if type(score) is not float:
                if not _is_number(type(score)):
                    return None
                score = float(score)
            kind = type(document)
        if kind is str:
            identity, text = None, document
        else:
            read = _readers[kind] if kind in _readers else _learnt(kind)
            if read is None:
                return None
            text, identity, own_score, metadata = read(document)
            if score is None:
                score = own_score
            if metadata:
                if type(metadata) is not dict:
                    return None
                if not _UNUSUAL.isdisjoint(metadata):
                    if score is None and not metadata.keys().isdisjoint(_SCORES):
                        return None
                    if identity is None:
                        identity = _identity_in(metadata)
                elif identity is None:
                    identity = metadata.get("source")
            if identity is not None and type(identity) is not str:
                identity = str(identity)
            if score is not None and type(score) is not float:
                return None
        if (type(text) is not str or len(text) > _TEXT_CAP) and (text is not None or identity is None):
            return None
        rows.append((identity, score, text))
    return rows


def _identity_in(metadata: dict[str, Any]) -> Any:
    for name in _METADATA_IDS:
        identity = metadata.get(name)
        if identity is not None:
            return identity
    return None


def _parts_of_dict(fields: dict[str, Any]) -> _Parts:
    """Text, identity, score and metadata: the first of their names that is not None. A loop would cost twice that."""
    get = fields.get
    text = get("page_content")
    if text is None:
        text = get("text")
        if text is None:
            text = get("content")
    identity = get("id")
    if identity is None:
        identity = get("_id")
        if identity is None:
            identity = get("doc_id")
    score = get("score")
    if score is None:
        score = get("relevance_score")
        if score is None:
            score = get("_score")
    return text, identity, score, get("metadata") or get("payload")


_Parts = tuple[Any, Any, Any, Any]
_readers: Final[dict[type, Callable[[Any], _Parts] | None]] = {dict: _parts_of_dict}
"""Type of document -> what gives its text, identity, score and metadata; None: `hit_rows` must have a look."""


def _learnt(kind: type) -> Callable[[Any], _Parts] | None:
    """The reader of a type that was not met before."""
    if len(_readers) >= _MOST_TYPES:  # classes that are made again and again shall not be kept for ever
        _readers.clear()
        _readers[dict] = _parts_of_dict
    _readers[kind] = reader = _reader(kind)
    return reader


def _reader(kind: Any) -> Callable[[Any], _Parts] | None:
    """Reads the fields of a dataclass or pydantic model from its `__dict__`, where that says what `getattr` would give.

    Not with slots, extra fields, or anything that answers for a name instead. To ask a pydantic model for a field that
    it has not costs ten times as much as to ask its `__dict__`.
    """
    fields: Any = getattr(kind, "model_fields", None)
    if not fields and hasattr(kind, "__dataclass_fields__"):
        fields = {field.name: field for field in dataclasses.fields(kind)}  # without class variables
    answering = next((base for base in kind.__mro__ if "__getattr__" in base.__dict__), None)
    if (
        not isinstance(fields, dict)
        or issubclass(kind, Mapping)  # its items are asked, not its fields
        or kind.__getattribute__ is not object.__getattribute__
        or not kind.__dictoffset__
        or (answering is not None and answering.__module__ != "pydantic.main")
        or getattr(kind, "model_config", {}).get("extra") == "allow"
        or not _NAMES.isdisjoint(getattr(kind, "__private_attributes__", ()))
    ):
        return None
    # A property or method of that name is no field; a dataclass's default is what its instances have anyway.
    if any(name not in fields or hasattr(type(getattr(kind, name)), "__get__") for name in _NAMES & set(dir(kind))):
        return None
    names = [[name for name in role if name in fields] for role in (_TEXTS, _IDS, _SCORES, _METADATA)]
    if max(map(len, names)) > 1:  # the first that is not None
        parts = "parts_of_dict(fields)"
    else:
        parts = "(" + ", ".join(f"fields[{role[0]!r}]" if role else "None" for role in names) + ")"
    # Only the fields that the type has, and no loop. An instance with attributes of its own, or without some field,
    # gives what can't be unpacked, or raises: `hit_rows` has a look.
    source = f"lambda document: {parts} if len(fields := document.__dict__) == {len(fields)} else ()"
    return eval(source, {"parts_of_dict": _parts_of_dict, "len": len})  # noqa: S307 - names of fields only


@functools.lru_cache
def _is_number(kind: type) -> bool:
    """Whether it can be a score. Numpy's numbers are none of Python's, but say what float they are; arrays do too."""
    return issubclass(kind, int | float) or (hasattr(kind, "__float__") and not hasattr(kind, "__len__"))


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
    """Rows whose texts can be encoded."""
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
        if len(pair) == 2 and _is_number(type(pair[1])):
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
